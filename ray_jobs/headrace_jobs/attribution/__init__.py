"""Attribution over a window: what the answers depend on, over a sample of rows, its outliers, or rows unlike training.

``artifact`` takes the trees out of a version's artifact and ``direct`` asks them (their arithmetic is ``headrace_functions.attribution``), ``rows`` chooses rows
of the log, ``job`` is the report, ``command`` its options. One row of one request is the business of ``explain``. Only the command line imports it.
"""
