"""Scores: probabilities counted on a grid, so that parts of a window add up and every metric comes from the counts.

The grid has equal steps of the logit, so that 0.999 and 0.9999 stay apart; a bin is at most 0.0022 wide in probability.
"""

import numpy as np

from headrace_functions.views import Array

BINS = 8193
"""An odd number, so that 0.5 is the middle of a bin."""
LIMIT = 36.0
"""Largest logit that is told apart: 1 less 2e-16, the last float64 before 1."""

CENTRES: Array = np.linspace(-LIMIT, LIMIT, BINS)
"""Logits of the bins, ascending ``(BINS,)``."""
PROBABILITIES: Array = 1 / (1 + np.exp(-CENTRES))


def bins_of(probabilities: Array) -> Array:
    """The bin of each probability, int64 of the same shape; values must be in [0, 1]."""
    with np.errstate(divide="ignore"):
        logits = np.log(probabilities) - np.log1p(-probabilities)
    steps = (np.clip(logits, -LIMIT, LIMIT) + LIMIT) * ((BINS - 1) / (2 * LIMIT))
    return np.asarray(np.rint(steps).astype(np.int64))


def count(probabilities: Array, predicted: Array) -> Array:
    """Counts ``(k, 2, BINS)`` of rows by class, by whether the class was answered (1) or not (0), and by score.

    ``probabilities`` is ``(n, k)``, ``predicted`` bool ``(n, k)``; k is 1 for two classes, then the second one's.
    """
    classes = probabilities.shape[1]
    places = bins_of(probabilities) + (predicted + 2 * np.arange(classes)) * BINS
    return np.asarray(np.bincount(places.ravel(), minlength=classes * 2 * BINS).reshape(classes, 2, BINS))
