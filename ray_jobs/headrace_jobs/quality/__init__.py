"""Data quality: does a window keep the rules that people wrote for it.

``counting`` is a leaf of the plan, ``job`` the report, ``command`` its options. Only the command line imports it.
"""
