"""How good a version is on a labelled file, and whether that is good enough: reading the file, figures, requirements.

Pure: who asks the version, and where results are kept, is ``service.evaluations``. Estimates without labels, intervals and
reports are the jobs' (``headrace_jobs.performance``).
"""
