"""Use cases, one module a resource: what may be done, and in which order it is done.

They speak of models, versions, sequences and jobs, and raise ``headrace_functions.errors``. Flask, click and Kubernetes do
not come in here: ``api`` and ``cli`` call these modules, ``app`` wires them. Object storage is reached through documents.
"""
