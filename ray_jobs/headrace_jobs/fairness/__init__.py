"""Fairness: do groups of a window get the good answer as often, and those who deserve it as often.

``shares`` is the arithmetic of proportions, ``counting`` a leaf of the plan, ``job`` the report, ``command`` its options. Only the command line imports it.
"""
