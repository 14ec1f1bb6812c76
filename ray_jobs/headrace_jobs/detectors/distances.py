"""Distances between a reference and a window, from their counts. Each is documented with its source and its unit."""

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.detectors.base import CategoryPair, Z
from headrace_jobs.statistics.numbers import NumberPartial, NumberReference, binned

SMOOTHING = 0.5  # added to each count before logarithms (Jeffreys' prior), so that an empty bin is not infinitely far


def kolmogorov_smirnov(reference: NumberReference, window: NumberPartial) -> tuple[float, float, float]:
    """Largest difference of the two distribution functions, and both functions' values there.

    Exact where the grid holds every distinct value of the reference: between two of them its function is constant, so the
    largest difference is at one of them, approached from the left or from the right.
    """
    if not len(reference.grid):
        return _beyond(window)
    left = (reference.below / reference.count, window.below / window.count)
    right = (reference.upto / reference.count, window.upto / window.count)
    # Rows beyond the last point (infinite ones) are seen by its right side, those before the first by its left.
    f, g = np.concatenate((left[0], right[0])), np.concatenate((left[1], right[1]))
    at = int(np.argmax(np.abs(f - g)))
    return float(abs(f[at] - g[at])), float(f[at]), float(g[at])


def _beyond(window: NumberPartial) -> tuple[float, float, float]:
    """A reference of infinities alone has no grid: what differs is the share of finite values."""
    finite = window.finite / window.count
    return finite, 0.0, finite


def share_bound(effect: float, a: float, b: float, n: float, m: float) -> float:
    """One-sided 95 % lower bound of a difference of two shares ``a`` of ``n`` and ``b`` of ``m`` rows (Wald)."""
    a, b = min(max(a, 0.0), 1.0), min(max(b, 0.0), 1.0)  # sums of shares may be beyond by what was rounded
    error = Z * np.sqrt(a * (1 - a) / n + b * (1 - b) / m)
    return float(max(0.0, effect - error))


def wasserstein(reference: NumberReference, window: NumberPartial) -> float | None:
    """First Wasserstein distance, in units of the field: the area between the two distribution functions.

    Counts and sums of both sides between grid points give the area of each step exactly, but where the functions cross
    inside a step. None where one side has no finite values, or where float64 does not suffice.
    """
    if not window.finite or not len(reference.grid):
        return None
    grid = reference.grid
    with np.errstate(all="ignore"):
        between = np.abs(_areas(reference, grid) - _areas(window, grid)).sum()
        under = window.below[0] - window.infinite_low
        over = window.finite - (window.below[-1] - window.infinite_low)
        before = (under * grid[0] - window.sum_below[0]) / window.finite
        after = (window.total - window.sum_below[-1] - over * grid[-1]) / window.finite
        total = float(between + before + after)
    return max(total, 0.0) if np.isfinite(total) else None


def _areas(side: NumberReference | NumberPartial, grid: Array) -> Array:
    """The area under the distribution function of the finite values between neighbouring grid points."""
    at = side.upto - side.below
    start = (side.upto[:-1] - side.infinite_low) * np.diff(grid)
    inside = side.below[1:] - side.upto[:-1]
    sums = np.diff(side.sum_below) - at[:-1] * grid[:-1]
    return np.asarray((start + inside * grid[1:] - sums) / side.finite)


def population_stability(reference: Array, window: Array) -> float:
    """Population stability index of two vectors of counts ``(k,)``: Jeffreys' divergence in nats (Kullback and Leibler 1951)."""
    p, q = _smoothed(reference), _smoothed(window)
    return float(((p - q) * np.log(p / q)).sum())


def jensen_shannon(reference: Array, window: Array) -> float:
    """Jensen-Shannon distance of two vectors of counts ``(k,)``: 0 for the same shares, 1 for disjoint (Lin 1991, base 2)."""
    p, q = reference / reference.sum(), window / window.sum()
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [np.where(a > 0, a * np.log2(a / middle), 0.0).sum() for a in (p, q)]
    return float(np.sqrt(max(0.0, sum(terms) / 2)))


def bin_counts(reference: NumberReference, window: NumberPartial) -> tuple[Array, Array]:
    """Counts of both sides in the reference's equally probable bins."""
    return reference.bins(), binned(window.below, reference.cuts, window.count)


def total_variation(pair: CategoryPair) -> float:
    """Share of rows that would have to change their category to make both sides alike; all unknown ones count as one."""
    table = pair.table()
    return float(np.abs(table[0] / table[0].sum() - table[1] / table[1].sum()).sum() / 2)


def shares_apart(table: Array) -> tuple[float, float]:
    """The total variation distance of the rows of a ``(2, k)`` table of counts, and its lower bound.

    Random differences add up over categories, so the bound takes off the distance expected without any drift, half the
    sum of the mean absolute differences of the shares, and the error of the share of the categories that grew.
    """
    n, m = table.sum(axis=1)
    p, q = table[0] / n, table[1] / m
    distance = float(np.abs(p - q).sum() / 2)
    pooled = table.sum(axis=0) / (n + m)
    expected = float(np.sqrt(2 / np.pi * pooled * (1 - pooled) * (1 / n + 1 / m)).sum() / 2) if len(p) > 2 else 0.0
    grown = q > p
    return distance, max(0.0, share_bound(distance, float(p[grown].sum()), float(q[grown].sum()), n, m) - expected)


def _smoothed(counts: Array) -> Array:
    raised = counts + SMOOTHING
    return np.asarray(raised / raised.sum())
