"""Who may do what, as people manage it: API keys, grants, blocks, sessions; and who asks in the request that is being answered.

The decisions themselves are ``headrace_functions.access``; this room writes what they go by. It knows no HTTP. ``service`` and all
above it may import it.
"""
