"""Numbers: do reference and window lie elsewhere, spread otherwise, or differ in some interval or at one value?

All looks at ordered cells: rows under the first point of the reference's grid, at it, between it and the next, …. Three tests share
the error (weighted Bonferroni): Cramér-von Mises hears shifts, Mood's test (1954) hears spreads, and exact tests of intervals of
the pooled ranks, each half as wide as those before, hear what is narrow: a mode, a tail, a value that is stuck. A value that holds a
fifth of all rows is tested by itself, and the other rows by themselves.
"""

from dataclasses import dataclass

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.detectors import tails
from headrace_jobs.detectors.cramer_von_mises import cells_of, statistic_of
from headrace_jobs.detectors.distances import share_bound
from headrace_jobs.statistics.numbers import NumberPartial, NumberReference

METHOD = "Cramér-von Mises, spread and intervals"
LEVELS = 5
"""Halvings of the pooled ranks: the narrowest intervals hold one row in 32."""
NARROWEST = 12
"""Pooled rows that an interval has at least."""
ATOM = 0.2
"""Share of the pooled rows from which on a value is tested by itself."""
TIES = 16
"""Values that many rows share, which are tested as intervals of their own."""
TIE = 0.01
FEWEST = 20
"""Rows beside a value that is tested by itself which either side must have to be tested too."""
WEIGHTS = (0.5, 0.2, 0.3)
"""Of the error: Cramér-von Mises, spread, intervals."""
BESIDE = 0.3
"""What of it goes to the value that is tested by itself."""
CHANCE = 0.385
"""Mean of Kuiper's statistic less that of Kolmogorov's, times the root of 1 / n + 1 / m."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Counts ``(k,)`` of ordered cells; ``at`` are those of one value each. ``scale`` are effective rows a row of both sides."""

    before: Array
    now: Array
    at: Array
    scale: tuple[float, float] = (1.0, 1.0)

    @classmethod
    def of(cls, reference: NumberReference, window: NumberPartial, scale: tuple[float, float] = (1.0, 1.0)) -> "Cells":
        before, now = cells_of(reference, reference.count), cells_of(window, window.count)
        met = before + now > 0
        at = np.arange(len(before)) % 2 == 1
        return cls(before[met], now[met], at[met], scale)

    @property
    def rows(self) -> tuple[float, float]:
        """Effective rows of both sides."""
        return float(self.before.sum() * self.scale[0]), float(self.now.sum() * self.scale[1])

    def without(self, place: int) -> "Cells":
        kept = np.arange(len(self.before)) != place
        return Cells(self.before[kept], self.now[kept], self.at[kept], self.scale)


def ordered(cells: Cells) -> tuple[float, float]:
    """Cramér-von Mises' statistic of all rows, and the p-value of all tests together."""
    statistic, _ = statistic_of(cells.before, cells.now, cells.at, cells.scale)
    pooled = np.where(cells.at, cells.before + cells.now, 0)
    atom = int(np.argmax(pooled))
    if pooled[atom] < ATOM * (cells.before.sum() + cells.now.sum()):
        return statistic, _apart(cells)
    n, m = cells.rows
    alone = tails.two_sided(cells.before[atom] * cells.scale[0], n, cells.now[atom] * cells.scale[1], m)
    rest = cells.without(atom)
    if min(rest.rows) < FEWEST:
        return statistic, alone
    return statistic, tails.least([(alone, BESIDE), (_apart(rest), 1 - BESIDE)])


def _apart(cells: Cells) -> float:
    _, p = statistic_of(cells.before, cells.now, cells.at, cells.scale)
    return tails.least([(p, WEIGHTS[0]), (spread(cells), WEIGHTS[1]), (intervals(cells), WEIGHTS[2])])


def spread(cells: Cells) -> float:
    """p-value of Mood's test: squared distances of the ranks from the middle, with their exact mean and variance given the ties."""
    pooled = cells.before + cells.now
    total = pooled.sum()
    middle = (np.cumsum(pooled) - pooled / 2) / total - 0.5
    scores = middle**2
    mean = (pooled * scores).sum() / total
    variance = (pooled * (scores - mean) ** 2).sum() / max(total - 1, 1)
    n, m = cells.rows
    error = np.sqrt(variance * (1 / n + 1 / m))
    if not error > 1e-12:
        return 1.0
    before, now = (float((side * scores).sum() / side.sum()) for side in (cells.before, cells.now))
    moved = now - before
    return float(_erfc(abs(moved) / error / np.sqrt(2)))


def intervals(cells: Cells) -> float:
    """p-value of the most surprising interval of the pooled ranks, or value with many rows, times how many there are."""
    pooled = cells.before + cells.now
    ends, upto = np.cumsum(pooled), np.cumsum(cells.now)
    total = float(ends[-1])
    befores, nows, tests = [], [], 0
    for level in range(1, LEVELS + 1):
        if total / 2**level < NARROWEST:
            break
        places, window = _cut(cells.at, ends, upto, np.arange(1, 2**level) * total / 2**level)
        counts, own = np.diff([0.0, *places, total]), np.diff([0.0, *window, float(upto[-1])])
        befores.append(counts - own)
        nows.append(own)
        tests += 1 if level == 1 else 2**level
    shared = np.flatnonzero(cells.at & (pooled >= max(TIE * total, NARROWEST)))
    shared = shared[np.argsort(-pooled[shared], kind="stable")][:TIES]
    befores.append(cells.before[shared])
    nows.append(cells.now[shared])
    before, now = np.concatenate(befores), np.concatenate(nows)
    n, m = cells.rows
    p, _ = tails.smallest(before * cells.scale[0], n, now * cells.scale[1], m, tests + len(shared))
    return p


def _cut(at: Array, ends: Array, upto: Array, ranks: Array) -> tuple[Array, Array]:
    """Pooled rows and rows of the window up to each rank; a value that has several rows is not cut, but left to the nearer side.

    Which rows are on which side must not decide where a cut is, or the p-values of what is between them would not hold.
    """
    place = np.minimum(np.searchsorted(ends, ranks, "left"), len(ends) - 1)
    starts, first = (np.where(place > 0, side[place - 1], 0.0) for side in (ends, upto))
    share = (ranks - starts) / (ends[place] - starts)
    share = np.where(at[place], np.round(share), share)
    cut = np.round(starts + share * (ends[place] - starts))
    own = np.round(first + share * (upto[place] - first))
    return cut, np.minimum(own, cut)


def moved(cells: Cells) -> tuple[float, float]:
    """Share of rows that moved, and its one-sided 95 % lower bound: the largest difference of the shares in one interval.

    That is Kuiper's statistic (1960), less what it is above Kolmogorov's by chance alone, but no less than Kolmogorov's.
    """
    f, g = (np.concatenate(([0.0], np.cumsum(side) / side.sum())) for side in (cells.before, cells.now))
    n, m = cells.rows
    gap = g - f
    low, high = int(np.argmin(gap)), int(np.argmax(gap))
    chance = CHANCE * np.sqrt(1 / n + 1 / m)
    largest = int(np.argmax(np.abs(gap)))
    plain = float(abs(gap[largest]))
    wide = max(float(gap[high] - gap[low] - chance), 0.0)
    a, b = abs(float(f[high] - f[low])), abs(float(g[high] - g[low]))
    bounds = [
        share_bound(plain, float(f[largest]), float(g[largest]), n, m),
        share_bound(wide, a, b, n, m),
    ]
    return max(plain, wide), max(bounds)


def _erfc(x: float) -> float:
    from scipy.special import erfc  # takes a while to import; an explanation does without

    return float(erfc(x))
