"""The thin controller: catalogue, environments, backends, collector, management API, command line and pages.

``app`` is the only place that wires. It may import ``headrace_functions`` and nothing of ``headrace_jobs``:
jobs are started as processes in an environment of their own.
"""
