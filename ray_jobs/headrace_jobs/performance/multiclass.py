"""Confidence-based performance estimation of three or more classes, from whole rows.

What one class's probability says of it changes where the others' move, so counts of rows by the probability of each class by itself
(which are all that ``cbpe`` needs of two) are not enough: a sample of the window's rows is kept.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import exp, factorial

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.performance import metrics
from headrace_jobs.performance.calibration import Calibration, single_thread
from headrace_jobs.performance.estimate import CURVES, DRAWS, Drawn, variances
from headrace_jobs.performance.scores import CENTRES, PROBABILITIES, bins_of

BLOCK = 8
"""Repetitions that are drawn together: the rows are read once for all of them."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Rows of a window: ``probabilities`` and ``answered`` (bool) are ``(m, k)``; ``rows`` is of how many they are a sample."""

    probabilities: Array
    answered: Array
    rows: int


def drawn(calibration: Calibration, window: Answers, seed: int = 0) -> Drawn:
    """Metrics of the window's rows, as ``cbpe.drawn`` has them.

    Where the window has more rows than are given, each repetition takes them as
    often as a Poisson variable of mean 1 says, which covers that they are a sample and is a little wider than it need be.
    """
    with single_thread():
        return _drawn_metrics(calibration, window, seed)


def _drawn_metrics(calibration: Calibration, window: Answers, seed: int) -> Drawn:
    design, random = calibration.design(window.probabilities, window.answered), np.random.default_rng(seed)
    counter = Counter.of(window)
    rows = len(window.probabilities)
    short = [part.astype(np.float32) for part in design]  # enough to draw a label by, in half the time
    draws: list[metrics.Values] = []
    curves: list[metrics.Values] = []
    for first in range(0, DRAWS, BLOCK):
        thetas, chances, times = [], [], []
        for _ in range(first, min(first + BLOCK, DRAWS)):
            thetas.append(calibration.another(random))
            chances.append(random.random(rows))
            times.append(None if window.rows <= rows else poisson(random, rows))
        odds = calibration.odds(short, np.stack(thetas).astype(np.float32))
        if first < CURVES:
            curves += [counter.expected(part) for part in np.moveaxis(odds / odds.sum(axis=0), 0, 2)]
        labels = _drawn(odds, np.stack(chances).astype(np.float32))
        draws += [counter.drawn(actual, often) for actual, often in zip(labels, times, strict=True)]
    return Drawn(counter.expected(calibration.shares(design)), draws, variances(curves))


def _drawn(odds: Array, chances: Array) -> Array:
    """A class ``(r, n)`` of each row by its ``odds`` ``(k, r, n)``, which are used up, where chances ``(r, n)`` are uniform."""
    for before, here in pairwise(odds):
        np.add(here, before, out=here)
    limit = chances * odds[-1]
    actual = np.zeros(chances.shape, np.int64)
    for upto in odds[:-1]:
        actual += limit > upto
    return actual


def poisson(random: np.random.Generator, rows: int) -> Array:
    """Poisson variables of mean 1 ``(rows,)``, by a table: their probabilities are exact to 2⁻¹⁶."""
    return np.asarray(_TIMES[random.integers(0, len(_TIMES), rows, np.uint16)])


def _table() -> Array:
    """What each of 2¹⁶ equally probable numbers stands for."""
    shares = np.cumsum([exp(-1) / factorial(k) for k in range(10)])
    return np.searchsorted(shares, (np.arange(1 << 16) + 0.5) / (1 << 16)).astype(np.float64)


_TIMES = _table()


@dataclass(frozen=True, slots=True)
class Counter:
    """The window's rows, ready to be counted under any labels; bins are places in ``at``, the ``m`` that were met, ascending."""

    bins: Array
    """Of each row and class ``(n, k)``."""
    answered: Array
    """``(n, k)``, 0 or 1."""
    at: Array
    first: Array
    """Where each row begins in a flat ``(n, k)``."""
    squares: Array
    """Of each row the sum of its squared probabilities ``(n,)``."""
    surely: Array
    """``(m,)``: the logarithmic loss of a row of the class."""
    p: Array
    """``(m,)``"""
    met: Array
    """Rows by class and bin ``(k, m)``, met once each."""
    below: Array
    """Rows whose probability of the class is lower, ties by half: ``(k, m)``, of rows that are met once each."""

    @classmethod
    def of(cls, window: Answers) -> "Counter":
        n, k = window.probabilities.shape
        bins = bins_of(window.probabilities)
        seen = np.bincount(bins.ravel()) > 0
        at, bins = np.flatnonzero(seen), (np.cumsum(seen) - 1)[bins]
        p = PROBABILITIES[at]
        surely, squares = np.logaddexp(0.0, -CENTRES[at]), (p**2)[bins].sum(axis=1)
        met = _met(bins, np.ones(n), len(at))
        first = np.arange(n) * k
        return cls(bins, window.answered.astype(np.float64), at, first, squares, surely, p, met, _below(met))

    def expected(self, shares: Array, weights: Array | None = None) -> metrics.Values:
        """Metrics where a row is of each class by its share ``(n, k)``, and is met ``weights`` ``(n,)`` times, or once."""
        k = self.bins.shape[1]
        times = np.ones(len(shares)) if weights is None else weights
        place = (self.bins + (self.answered.astype(np.int64) + 2 * np.arange(k)) * len(self.at)).ravel()
        of_class, others = (
            np.bincount(place, (w * times[:, None]).ravel(), k * 2 * len(self.at)).reshape(k, 2, -1)
            for w in (shares, 1 - shares)
        )
        return metrics.of_counts(of_class, others, self.at)

    def drawn(self, actual: Array, times: Array | None) -> metrics.Values:
        """Metrics where rows are of class ``actual`` ``(n,)``, each met ``times`` ``(n,)``, or once where that is None."""
        (n, k), m = self.bins.shape, len(self.at)
        own = self.first + actual
        bins = self.bins.ravel().take(own)
        w = np.ones(n) if times is None else times
        met = self.met if times is None else _met(self.bins, times, m)
        below = self.below if times is None else _below(met)
        yes = np.bincount(actual * m + bins, w, k * m).reshape(k, m)
        return metrics.of_sums(
            metrics.Sums(
                rows=float(w.sum()),
                actual=np.bincount(actual, w, k),
                answered=w @ self.answered,
                hit=np.bincount(actual, w * self.answered.ravel().take(own), k),
                below=np.bincount(actual, w * below.ravel().take(actual * m + bins), k),
                yes=yes,
                no=met - yes,
                loss=float(w @ self.surely.take(bins)),
                brier=float(w @ (self.squares + 1 - 2 * self.p.take(bins))),
            )
        )


def _met(bins: Array, times: Array, size: int) -> Array:
    """Rows by class and bin ``(k, size)``."""
    return np.stack([np.bincount(column, times, size) for column in bins.T])


def _below(met: Array) -> Array:
    """For each class and bin the rows in bins under it, and half of those in it: ``(k, size)``."""
    return np.asarray(np.cumsum(met, axis=1) - met / 2)
