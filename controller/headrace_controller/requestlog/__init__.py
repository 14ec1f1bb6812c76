"""Reading what the collector wrote, the request log and the tables beside it: by condition (``reader``), by position (``tail``), or
commit by commit (``commits``).

Nothing is written here, and no HTTP is known. The use cases and the collector's scoring may import it.
"""
