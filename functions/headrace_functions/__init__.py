"""What runs beside a model: the vocabulary, the wire protocol, the function server, the log spool and the gateway.

This package is the leaf of the house: it imports neither the controller nor the jobs, and both import it.
Import time here is cold-start time, so modules at this level use the standard library and numpy only.
"""
