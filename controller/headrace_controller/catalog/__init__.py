"""The catalogue: what exists on a platform, as documents of the store.

``catalog`` reads and writes them; ``series`` holds states that are only ever appended. The rules of what may be done are in ``service``.
"""
