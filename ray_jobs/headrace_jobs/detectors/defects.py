"""Tests that no engine does: missing values, and values outside the range of the reference."""

import numpy as np

from headrace_jobs.detectors import tails
from headrace_jobs.detectors.base import Finding
from headrace_jobs.detectors.distances import share_bound
from headrace_jobs.statistics.numbers import NumberPartial, NumberReference

Scales = tuple[float, float]
ALL: Scales = (1.0, 1.0)
"""Every row of both sides is one of its own."""


def missing(
    missing_before: int, rows_before: int, missing_now: int, rows_now: int, scale: Scales = ALL
) -> Finding | None:
    """Fisher's exact test of the share of missing values; None where neither side has any. ``scale`` are effective rows a row."""
    if not rows_before or not rows_now or not missing_before + missing_now:
        return None
    a, b = missing_before / rows_before, missing_now / rows_now
    n, m = rows_before * scale[0], rows_now * scale[1]
    effect = abs(b - a)
    p = tails.two_sided(a * n, n, b * m, m)
    return Finding("missing", "Fisher", effect, p, effect, share_bound(effect, a, b, n, m), "defect")


def out_of_range(reference: NumberReference, window: NumberPartial, scale: Scales = ALL) -> Finding | None:
    """Exceedance test of the values outside the reference's range; None where there are none.

    If both sides have one continuous distribution, all of the k largest of n + m values come from the window's n with
    probability n/(n+m) * (n-1)/(n+m-1) * … (k factors; Gumbel and von Schelling 1950). With ties it is less, so the test
    is on the safe side. Both ends are tested, so the smaller p-value counts twice.
    """
    n, m = window.count, reference.count
    if not n or not m or not len(reference.grid):
        return None
    # Infinite values are beyond any finite one, and nothing is beyond those that the reference has itself.
    under = int(window.below[0]) if not reference.infinite_low else 0
    over = int(window.count - window.upto[-1]) if reference.count == reference.finite + reference.infinite_low else 0
    if not under + over:
        return None
    rows = max(round(n * scale[1]), 1), max(round(m * scale[0]), 1)
    p = min(1.0, 2 * min(_exceedance(int(k * scale[1]), *rows) for k in (under, over)))
    share = (under + over) / n
    expected = 2 / (m + 1)
    low = share_bound(max(0.0, share - expected), share, expected, *rows)
    return Finding("range", "exceedance", share, p, share, low, "defect")


def _exceedance(k: int, n: int, m: int) -> float:
    if not k:
        return 1.0
    places = np.arange(min(k, 10_000), dtype=np.float64)  # after so many factors below 1 the product is settled
    with np.errstate(divide="ignore"):
        return float(np.exp(np.log((n - places) / (n + m - places)).sum()))
