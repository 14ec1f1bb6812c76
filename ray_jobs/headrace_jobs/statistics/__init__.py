"""Mergeable statistics of columns: what a leaf of the plan computes from a file and what two of them add up to.

Here belong partials and the references they are counted against; what needs no reference is ``headrace_functions.statistics``. Tests and
verdicts do not (``detectors``), nor reading (``inputs``). Merging is associative up to rounding, and the plan merges in a fixed order, so a report repeats to the byte.
"""
