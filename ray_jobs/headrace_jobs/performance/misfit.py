"""Misfit: how far metrics that a calibration expects of its own reference are from those that were met, beyond what chance explains."""

from collections.abc import Callable

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.performance import metrics
from headrace_jobs.performance.calibration import Calibration, Reference, held_out_shares, single_thread, some
from headrace_jobs.performance.multiclass import Answers, Counter
from headrace_jobs.performance.scores import bins_of

DRAWS = 60
"""Sets of labels that tell what chance explains."""

Count = Callable[[Array], metrics.Values]
"""Metrics of the reference under shares, or labels as shares of 0 and 1, ``(n, k)``."""


def misfit(calibration: Calibration, reference: Reference, seed: int = 0) -> dict[str, float]:
    """By metric the standard deviation that is to be added to an estimate's, 0 where held-out rows are met as expected.

    Shares are those of calibrations that have not learnt from the row. The squared difference between what they expect and what was
    met, less its variance, is an estimate of the squared misfit.
    """
    reference = some(reference)
    with single_thread():
        shares = held_out_shares(calibration.family, reference)
        count = counter(reference)
        expected, met = count(shares), count(reference.marks)
        random = np.random.default_rng(seed)
        drawn = [count(_labels(shares, random)) for _ in range(DRAWS)]
    found = {}
    for name in expected:
        chance = np.nanvar([d[name] for d in drawn]) if np.isfinite(expected[name]) else 0.0
        beyond = (expected[name] - met[name]) ** 2 - chance
        found[name] = float(max(beyond, 0.0) ** 0.5) if np.isfinite(beyond) else 0.0
    return found


def counter(reference: Reference) -> Count:
    """How metrics of the reference's rows follow from shares, each row met as often as its weight says."""
    if reference.probabilities.shape[1] > 1:
        rows = Answers(reference.probabilities, reference.answered, len(reference.actual))
        several = Counter.of(rows)
        return lambda shares: several.expected(shares, reference.weights)
    at, place = np.unique(bins_of(reference.probabilities[:, 0]), return_inverse=True)
    cell = place + reference.answered[:, 0] * len(at)
    whole = _binned(cell, reference.weights, len(at))

    def two(shares: Array) -> metrics.Values:
        yes = _binned(cell, reference.weights * shares[:, 0], len(at))
        return metrics.of_counts(yes, whole - yes, at)

    return two


def _binned(cell: Array, weights: Array, bins: int) -> Array:
    return np.asarray(np.bincount(cell, weights, 2 * bins).reshape(1, 2, bins))


def labels_of(shares: Array, random: np.random.Generator) -> Array:
    """Places of classes ``(n,)`` that are drawn from shares ``(n, k)``, k is 1 for two classes."""
    chance = random.random(len(shares))
    if shares.shape[1] == 1:
        return np.asarray(chance < shares[:, 0], np.int64)
    return np.asarray((chance[:, None] > shares.cumsum(axis=1)[:, :-1]).sum(axis=1))


def _labels(shares: Array, random: np.random.Generator) -> Array:
    """Labels that are drawn from shares ``(n, k)``, as shares of 0 and 1."""
    places = np.array([1]) if shares.shape[1] == 1 else np.arange(shares.shape[1])
    return np.asarray(labels_of(shares, random)[:, None] == places, np.float64)
