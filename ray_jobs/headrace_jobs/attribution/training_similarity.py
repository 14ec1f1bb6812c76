"""How little a row of the window looks like training: the score of a classifier that has not seen the row."""

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.detectors.domain_classifier import scores_of

MIN_ROWS = 100
"""Rows that either side must have."""


def unlike(background: Array, rows: Array) -> Array:
    """A score for each of ``rows`` ``(n, d)`` against ``background`` ``(b, d)``, both objects: above 0 where it looks like the window.

    All 0 where a side has fewer than ``MIN_ROWS`` rows, for then nothing can be told.
    """
    if min(len(background), len(rows)) < MIN_ROWS:
        return np.zeros(len(rows))
    sides = [{str(i): _column(side[:, i]) for i in range(side.shape[1])} for side in (background, rows)]
    for key in sides[0]:
        if sides[0][key].dtype != sides[1][key].dtype:  # a column without a number on one side is one of words there
            sides[0][key], sides[1][key] = (side[key].astype(object) for side in sides)
    return scores_of(*sides)


def _column(values: Array) -> Array:
    known = [v for v in values.tolist() if v is not None]
    if known and all(isinstance(v, int | float) and not isinstance(v, bool) for v in known):
        return values.astype(np.float64)
    return values
