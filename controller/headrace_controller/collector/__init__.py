"""From spooled records to typed, checked log tables.

``rows`` turns records into an Arrow table (pure), ``tables`` appends to Delta tables exactly once (the only writer of logs),
``collect`` is the loop over the inbox, ``scoring`` asks metric models about what was appended, by a port. The collector knows no backend.
"""
