"""Reconstruction: rows that the main directions of the reference cannot rebuild as well as they rebuild the reference's own."""

from typing import Any

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.detectors.base import Finding, Rows
from headrace_jobs.detectors.distances import share_bound
from headrace_jobs.detectors.rows import matrix, shared

ROWS = 20_000
MIN_ROWS = 100
EXPLAINED = 0.8
"""Share of the variance that the kept directions explain, at least."""
METHOD = f"PCA reconstruction error ({EXPLAINED:.0%} of variance), Kolmogorov-Smirnov"


def reconstruction(reference: Rows, window: Rows) -> Finding | None:
    """None with fewer than ``MIN_ROWS`` rows on a side or fewer than two columns.

    Directions are learnt from one half of the reference; the errors of the other half and of the window are compared, so the
    p-value holds whatever was learnt. The effect is the largest difference of both distributions of errors.
    """
    keys, n, m = shared(reference.inputs, window.inputs)
    n, m = min(n, ROWS), min(m, ROWS)
    if min(n // 2, m) < MIN_ROWS // 2:
        return None
    x = matrix(reference.inputs, window.inputs, keys, n, m).astype(np.float64)
    if x.shape[1] < 2:
        return None
    learn, held, now = x[: n // 2], x[n // 2 : n], x[n:]
    rebuild = _directions(learn)
    middle = learn.mean(axis=0)
    before, after = (_error(side - middle, rebuild) for side in (held, now))
    test = _stats().ks_2samp(before, after, method="asymp")
    distance, at = float(test.statistic), float(test.statistic_location)
    f, g = float((before <= at).mean()), float((after <= at).mean())
    low = share_bound(distance, f, g, len(before), len(after))
    return Finding("reconstruction", METHOD, distance, float(min(max(test.pvalue, 0.0), 1.0)), distance, low, "moved")


def _directions(learn: Array) -> Array:
    """Orthonormal columns ``(d, k)``, 1 <= k < d, that explain ``EXPLAINED`` of the variance of the rows."""
    covariance = np.cov(learn, rowvar=False)
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    share = np.cumsum(values) / max(float(values.sum()), 1e-300)
    kept = min(int(np.searchsorted(share, EXPLAINED)) + 1, learn.shape[1] - 1)
    return np.asarray(vectors[:, :kept])


def _error(rows: Array, directions: Array) -> Array:
    rest = rows - rows @ directions @ directions.T
    return np.asarray((rest**2).sum(axis=1))


def _stats() -> Any:
    from scipy import stats  # takes a second to import; an explanation does without

    return stats
