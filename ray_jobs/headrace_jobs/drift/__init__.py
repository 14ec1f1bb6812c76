"""Drift: whether a window lies elsewhere than its reference, field by field and together, and what changed.

Here: the job, its verdicts in words and pictures. Not here: the tests themselves (``detectors``), how rows are read and counted
(``scan``, ``sampling``), what performance shares (``verdict``). Imported by ``commands``.
"""
