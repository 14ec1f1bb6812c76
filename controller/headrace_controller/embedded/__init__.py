"""The embedded home: one command, one machine, several processes.

``supervisor`` starts and keeps the others; ``collector`` is the process that fills the logs; ``gateway`` is the front door's process with the local node in it; ``admin`` its
private side; ``remote`` the controller's client of that side; ``prepare`` brings environments and artifacts to this machine.
A cluster uses none of this.
"""
