"""Mergeable statistics of one column that need no reference: what a build and an analysis both make of data bigger than memory.

Here belong moments, distinct values, bounded samples, the profile of a series, and that of a table read in batches. Pure: numpy
and the standard library, no IO. What is counted against a reference is the jobs'. The controller and the jobs import it.
"""
