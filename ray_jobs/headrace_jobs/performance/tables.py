"""Tables of classes: which answers go with which classes, and which share of rows is of a class where so much was given for it."""

from dataclasses import dataclass

import numpy as np

from headrace_functions.views import Array

BINS = 10


@dataclass(frozen=True, slots=True)
class ClassTables:
    """``confusion`` ``(c, c)``: shares of rows by class and answer, of two or more classes; the last column is for answers that are no class.

    ``given`` ``(BINS,)`` are pairs of row and class by the probability in equal bins, as a share of all pairs, of two classes the second alone;
    ``met`` which part of them is of the class, NaN where there are none.
    """

    confusion: Array
    given: Array
    met: Array


def tables(probabilities: Array, answered: Array, shares: Array) -> ClassTables:
    """From rows ``(n, k)``, k is 1 for two classes: probabilities, whether a class was answered, and the share (or label) of each class."""
    rows = max(len(probabilities), 1)
    place = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1).ravel()
    count = np.bincount(place, minlength=BINS)
    of_class = np.bincount(place, shares.ravel(), BINS)
    met = np.divide(of_class, count, out=np.full(BINS, np.nan), where=count > 0)
    if probabilities.shape[1] == 1:
        answered, shares = np.hstack((~answered, answered)), np.hstack((1 - shares, shares))
    none = ~answered.any(axis=1)
    chosen = np.column_stack((answered, none)).astype(np.float64)
    return ClassTables(shares.T @ chosen / rows, count / max(len(place), 1), met)
