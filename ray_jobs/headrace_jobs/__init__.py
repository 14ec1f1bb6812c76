"""Batch analysis of the request logs: drift against the training data, explanations of single requests, profiles.

Here belongs what reads the store (versions, training data, log tables) and writes reports. Serving, building and scheduling
do not: the controller starts ``python -m headrace_jobs`` as a process in an environment of its own and reads its last line.
Nobody imports this package; it imports ``headrace_functions`` alone. Ray and Dask live in ``execution``, Delta tables in
``inputs``, Alibi Detect in ``detectors.alibi``, Jinja in ``report.page``.
"""
