"""The two-sample Cramér-von Mises test from counts on the reference's grid (Anderson 1962), right for ties too."""

from typing import Any

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.statistics.numbers import NumberPartial, NumberReference

CELLS = 128
"""Cells that rows with ties are counted in, at most."""
SMALLEST_TERM = 1e-7
"""Of the series of the limit distribution; SciPy stops there too, so p-values are the same."""


def cramer_von_mises(reference: NumberReference, window: NumberPartial) -> tuple[float, float]:
    """The statistic T and its p-value: the squared difference of both distribution functions, summed over the pooled rows.

    Without ties T and p are Anderson's. With ties Anderson's T is wrong by the squares of their lengths unless both sides have
    the same size, so T is that of the mean of the functions' left and right limits, and p that of its own limit (``_tied``).
    """
    before, now = cells_of(reference, reference.count), cells_of(window, window.count)
    # Cells are: under the first point, at it, between it and the next, at that one, …
    return statistic_of(before, now, np.arange(len(before)) % 2 == 1)


def statistic_of(before: Array, now: Array, at: Array, scale: tuple[float, float] = (1.0, 1.0)) -> tuple[float, float]:
    """The same of counts of ordered cells ``(k,)``, of which those ``at`` one value may be ties.

    ``scale`` are the effective rows a row of either side: where rows are repeated there are fewer independent ones.
    """
    if ((before + now)[at] > 1).any() or min(scale) < 1:
        return _tied(*_merged(before, now), scale)
    statistic = _anderson(before, now, at)
    return statistic, _anderson_p(statistic, int(before.sum()), int(now.sum()))


def _anderson(before: Array, now: Array, at: Array) -> float:
    """T of rows without ties. Between the points of a grid that holds not every value both sides count as evenly mixed."""
    n, m = float(before.sum()), float(now.sum())
    a, b = (np.concatenate(([0.0], np.cumsum(cells)[:-1])) for cells in (before, now))
    of_reference = np.where(at, before * b**2, before * (b**2 + b * now + now**2 / 3)).sum()
    of_window = np.where(at, now * a**2, now * (a**2 + a * before + before**2 / 3)).sum()
    u = n * of_reference + m * of_window
    return float(u / (n * m * (n + m)) - (4 * n * m - 1) / (6 * (n + m)))


def _merged(before: Array, now: Array) -> tuple[Array, Array]:
    """Neighbouring cells joined until at most ``CELLS`` are left, of equal probability where ties allow."""
    pooled = before + now
    known = pooled > 0
    before, now, pooled = before[known], now[known], pooled[known]
    place = np.minimum((np.cumsum(pooled) - pooled) * CELLS // pooled.sum(), CELLS - 1).astype(np.int64)
    _, place = np.unique(place, return_inverse=True)
    return np.bincount(place, before), np.bincount(place, now)


def _tied(before: Array, now: Array, scale: tuple[float, float]) -> tuple[float, float]:
    """T and p of counts ``(k,)`` of ordered cells.

    In the limit T is a sum of chi-squares weighted by the eigenvalues of the scores' covariance (as Anderson and Darling
    1952 for the continuous case), given the pooled cells; its tail is that of the chi-square with the same first three moments.
    """
    n, m = before.sum(), now.sum()
    share = (before + now) / (n + m)
    rows = n * scale[0] * m * scale[1] / (n * scale[0] + m * scale[1])
    gap = np.cumsum(before / n - now / m) - (before / n - now / m) / 2
    statistic = float(rows * (share * gap**2).sum())
    middle = np.cumsum(share) - share / 2
    scores = np.tri(len(share), k=-1) + np.eye(len(share)) / 2
    covariance = (scores * share) @ scores.T - np.outer(middle, middle)
    weights = np.maximum(np.linalg.eigvalsh(covariance * np.sqrt(np.outer(share, share))), 0.0)
    first, second, third = (float((weights**k).sum()) for k in (1, 2, 3))
    if not third > 0:
        return statistic, 1.0  # one cell: nothing can differ
    freedom = second**3 / third**2
    scaled = (statistic - first) / np.sqrt(2 * second) * np.sqrt(2 * freedom) + freedom
    return statistic, float(_scipy().chdtrc(freedom, max(scaled, 0.0)))


def _anderson_p(statistic: float, n: int, m: int) -> float:
    """Probability of a larger statistic under one distribution, by the limit distribution with Anderson's moments."""
    total, product = n + m, float(n) * m
    mean = (1 + 1 / total) / 6
    spread = (total + 1) * (4 * product * total - 3 * (n**2 + m**2) - 2 * product)
    variance = spread / (45 * total**2 * 4 * product)
    scaled = 1 / 6 + (statistic - mean) / np.sqrt(45 * variance)
    if scaled < 0.003:  # the series would divide by nothing; the distribution function is 0 there to 1e-12
        return 1.0
    return float(min(max(1.0 - _limit(float(scaled)), 0.0), 1.0))


def _limit(x: float) -> float:
    """Distribution function of the limit (Anderson and Darling 1952, with Bessel functions of order one quarter)."""
    special = _scipy()
    total, k = 0.0, 0
    while True:
        size = np.exp(special.gammaln(k + 0.5) - special.gammaln(k + 1)) / (np.pi**1.5 * np.sqrt(x))
        q = (4 * k + 1) ** 2 / (16 * x)
        term = float(size * np.sqrt(4 * k + 1) * np.exp(-q) * special.kv(0.25, q))
        total += term
        k += 1
        if abs(term) < SMALLEST_TERM:
            return total


def cells_of(side: NumberReference | NumberPartial, count: int) -> Array:
    """Rows under the first grid point, at it, between it and the second, …, beyond the last; float64 ``(2 g + 1,)``."""
    ends = np.stack((side.below, side.upto), axis=1).reshape(-1)
    return np.diff(np.concatenate(([0], ends, [count]))).astype(np.float64)


def _scipy() -> Any:
    from scipy import special  # takes a while to import; an explanation does without

    return special
