"""Tests that no engine does: missing values, unseen categories, values outside the range of the reference."""

from typing import Any

import numpy as np

from headrace_jobs.detectors.base import Finding
from headrace_jobs.detectors.distances import share_bound
from headrace_jobs.statistics.categories import CategoryPartial, CategoryReference
from headrace_jobs.statistics.numbers import NumberPartial, NumberReference


def missing(missing_before: int, rows_before: int, missing_now: int, rows_now: int) -> Finding | None:
    """Fisher's exact test of the share of missing values; None where neither side has any."""
    if not rows_before or not rows_now or not missing_before + missing_now:
        return None
    a, b = missing_before / rows_before, missing_now / rows_now
    return _two_shares("missing", a, b, rows_before, rows_now)


def new_categories(reference: CategoryReference, window: CategoryPartial) -> Finding | None:
    """Fisher's exact test of the rows in categories that the reference has not.

    How many to expect is the share of reference rows whose category occurs nowhere else (Good 1953), one more to be safe.
    None where there are no such rows, or where the reference has more categories than are known by name.
    """
    if not window.unknown or not reference.complete or not reference.count:
        return None
    expected = min(1.0, (reference.singletons + 1) / (reference.count + 1))
    share = window.unknown / window.count
    found = _two_shares("new-category", expected, share, reference.count + 1, window.count)
    return found if share > expected else None


def out_of_range(reference: NumberReference, window: NumberPartial) -> Finding | None:
    """Exceedance test of the values outside the reference's range; None where there are none.

    If both sides have one continuous distribution, all of the k largest of n + m values come from the window's n with
    probability n/(n+m) * (n-1)/(n+m-1) * … (k factors; Gumbel and von Schelling 1950). With ties it is less, so the test
    is on the safe side. Both ends are tested, so the smaller p-value counts twice.
    """
    n, m = window.count, reference.count
    if not n or not m or not len(reference.grid):
        return None
    under = int(window.below[0])
    over = int(window.count - window.upto[-1])
    if not under + over:
        return None
    p = min(1.0, 2 * min(_exceedance(k, n, m) for k in (under, over)))
    share = (under + over) / n
    expected = 2 / (m + 1)
    low = share_bound(max(0.0, share - expected), share, expected, n, m)
    return Finding("range", "exceedance", share, p, share, low, "defect")


def _exceedance(k: int, n: int, m: int) -> float:
    if not k:
        return 1.0
    places = np.arange(min(k, 10_000), dtype=np.float64)  # after so many factors below 1 the product is settled
    with np.errstate(divide="ignore"):
        return float(np.exp(np.log((n - places) / (n + m - places)).sum()))


def _two_shares(test: str, a: float, b: float, n: int, m: int) -> Finding:
    first, second = round(a * n), round(b * m)
    _, p = _stats().fisher_exact([[first, n - first], [second, m - second]])
    effect = abs(b - a)
    return Finding(test, "Fisher", effect, float(min(p, 1.0)), effect, share_bound(effect, a, b, n, m), "defect")


def _stats() -> Any:
    from scipy import stats  # takes a second to import; an explanation does without

    return stats
