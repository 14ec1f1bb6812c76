"""Outliers: a detector learnt from a version's training data, shipped as a function, and the report of a window.

``scorer`` is the function that the platform serves as ``<model>-outliers``: numpy alone and nothing of ours, for it travels
as a payload. ``candidates``, ``detector_selection`` and ``training`` make its state. Only the job and its tests import them.
"""
