"""Erasing what the platform keeps of one value of one field, e.g. of one customer.

``subject`` says what is of that value, ``spellings`` where a text says it, ``tables`` takes rows out of Delta tables until no byte of them is left, ``waiting`` looks through
what is on its way into the logs, ``objects`` through everything else, ``passes`` does all of it once. A pass can be cut short anywhere and done
again: what is erased stays erased, and a pass that finds nothing ends it. No HTTP here; ``service.erasures`` runs passes.
"""
