"""Confidence-based performance estimation of three or more classes, from whole rows.

What one class's probability says of it changes where the others' move, so counts of rows by the probability of each class by itself
(which are all that ``cbpe`` needs of two) are not enough: a sample of the window's rows is kept.
"""

from dataclasses import dataclass

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.performance import metrics
from headrace_jobs.performance.calibration import Calibration, single_thread
from headrace_jobs.performance.cbpe import DRAWS, Estimate, estimates
from headrace_jobs.performance.scores import bins_of


@dataclass(frozen=True, slots=True)
class Answers:
    """Rows of a window: ``probabilities`` and ``answered`` (bool) are ``(m, k)``; ``rows`` is of how many they are a sample."""

    probabilities: Array
    answered: Array
    rows: int


def estimate(calibration: Calibration, window: Answers, seed: int = 0) -> dict[str, Estimate]:
    """Each metric of the window's rows; undefined ones are left out.

    The interval is made as that of ``cbpe.estimate``. Where the window has more rows than are given, each repetition takes them as
    often as a Poisson variable of mean 1 says, which covers that they are a sample and is a little wider than it need be.
    """
    with single_thread():
        return _estimate(calibration, window, seed)


def _estimate(calibration: Calibration, window: Answers, seed: int) -> dict[str, Estimate]:
    design, random = calibration.design(window.probabilities), np.random.default_rng(seed)
    counter = _Counter.of(window)
    rows = len(window.probabilities)
    once = np.ones(rows)
    draws = []
    for _ in range(DRAWS):
        shares = calibration.shares(design, calibration.another(random))
        passed = random.random(rows) > shares.T[:-1].cumsum(axis=0)
        actual = passed.sum(axis=0)
        times = once if window.rows <= rows else random.poisson(1.0, rows).astype(np.float64)
        draws.append(counter.drawn(actual, times))
    return estimates(counter.expected(calibration.shares(design)), draws)


@dataclass(frozen=True, slots=True)
class _Counter:
    """Counts of rows by class, by whether it was answered and by the bins that were met, ascending: ``(k, 2, m)``."""

    place: Array
    """Of each row and class in the counts ``(n, k)``."""
    at: Array

    @classmethod
    def of(cls, window: Answers) -> "_Counter":
        at, place = np.unique(bins_of(window.probabilities), return_inverse=True)
        k = window.probabilities.shape[1]
        return cls(place.reshape(-1, k) + (window.answered + 2 * np.arange(k)) * len(at), at)

    def expected(self, shares: Array) -> metrics.Values:
        """Metrics where a row is of each class by its share ``(n, k)``."""
        return self._metrics(self._counts(self.place, shares), self._counts(self.place, 1 - shares))

    def drawn(self, actual: Array, times: Array) -> metrics.Values:
        """Metrics where rows are of class ``actual`` ``(n,)``, each met ``times`` ``(n,)``."""
        of_class = self._counts(self.place[np.arange(len(actual)), actual], times)
        every = self._counts(self.place, np.repeat(times, self.place.shape[1]))
        return self._metrics(of_class, every - of_class)

    def _counts(self, place: Array, weights: Array) -> Array:
        k = self.place.shape[1]
        return np.bincount(place.ravel(), weights.ravel(), k * 2 * len(self.at)).reshape(k, 2, -1)

    def _metrics(self, positives: Array, negatives: Array) -> metrics.Values:
        return metrics.of_counts(positives, negatives, self.at)
