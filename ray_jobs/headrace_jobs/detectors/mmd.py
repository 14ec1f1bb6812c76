"""Maximum mean discrepancy by random Fourier features: are the two sides one distribution, whatever way they may differ?

The squared distance of both sides' mean features (Rahimi and Recht 2007; Gretton et al. 2012), Gaussian kernel, bandwidth the
median distance of rows. Rows are summed in groups of one side before labels are permuted, so that thousands of permutations cost
no more than one pass over the rows; under one distribution equal groups are as exchangeable as rows.
"""

from typing import Any

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.detectors.base import Finding, Rows
from headrace_jobs.detectors.distances import share_bound
from headrace_jobs.detectors.rows import matrix, shared

ROWS = 100_000
MIN_ROWS = 100
FREQUENCIES = 128
GROUPS = 200
"""Groups of both sides together."""
PERMUTATIONS = 9999
RARE = 10
"""With fewer permutations than this as far out, the tail of a gamma distribution with their moments takes over."""
BLOCK = 8192
METHOD = f"MMD ({FREQUENCIES} random Fourier features, {PERMUTATIONS} permutations)"


def mmd(reference: Rows, window: Rows) -> Finding | None:
    """None with fewer than ``MIN_ROWS`` rows on a side or without a field that both have.

    The statistic is the squared discrepancy. The effect is what a threshold on the witness function, learnt from half of the
    rows, tells right of the other half beyond chance: a lower bound of the share of rows that moved.
    """
    keys, n, m = shared(reference.inputs, window.inputs)
    n, m = min(n, ROWS), min(m, ROWS)
    if min(n, m) < MIN_ROWS:
        return None
    x = matrix(reference.inputs, window.inputs, keys, n, m)
    return Finding("mmd", METHOD, *discrepancy(x, n), "moved")


def discrepancy(x: Array, n: int) -> tuple[float, float, float, float]:
    """Statistic, p-value, effect and its lower bound of float32 rows, the first ``n`` of which are the reference's."""
    z = _features(x)
    p, statistic = _permuted(z[:n], z[n:])
    effect, low = _told_apart(z[:n], z[n:])
    return statistic, p, effect, low


def _features(x: Array) -> Array:
    """Float32 ``(rows, 2 * FREQUENCIES)`` whose inner products are about the kernel's."""
    random = np.random.default_rng(0)
    some = x[random.choice(len(x), min(len(x), 1000), replace=False)].astype(np.float64)
    pairs = len(some) // 2
    distances = np.sqrt(((some[:pairs] - some[pairs : 2 * pairs]) ** 2).sum(axis=1))
    width = float(np.median(distances[distances > 0])) if (distances > 0).any() else 1.0
    frequencies = (random.normal(size=(x.shape[1], FREQUENCIES)) / width).astype(np.float32)
    z = np.empty((len(x), 2 * FREQUENCIES), np.float32)
    for start in range(0, len(x), BLOCK):  # a block fits the cache
        rows = slice(start, start + BLOCK)
        angles = x[rows] @ frequencies
        np.cos(angles, out=z[rows, :FREQUENCIES])
        np.sin(angles, out=z[rows, FREQUENCIES:])
    return z


def _permuted(before: Array, now: Array) -> tuple[float, float]:
    """p-value and statistic."""
    size = max(1, (len(before) + len(now)) // GROUPS)
    groups = [_grouped(side, min(size, len(before), len(now))) for side in (before, now)]
    n, m = (len(g) for g in groups)
    means = np.concatenate(groups)
    weights = np.concatenate((np.full(n, -1 / n), np.full(m, 1 / m)))
    statistic = float(((weights @ means) ** 2).sum() / FREQUENCIES)
    shuffled = np.random.default_rng(1).permuted(np.tile(weights, (PERMUTATIONS, 1)), axis=1)
    null = ((shuffled @ means) ** 2).sum(axis=1) / FREQUENCIES
    return _tail(null, statistic), statistic


def _grouped(side: Array, size: int) -> Array:
    """Means of groups of ``size`` rows, float64; the rest that fills none is left out."""
    count = len(side) // size
    whole = side[: count * size].reshape(count, size, -1)
    return np.asarray(whole.mean(axis=1, dtype=np.float64))


def _tail(null: Array, statistic: float) -> float:
    beyond = int((null >= statistic * (1 - 1e-9)).sum())
    counted = (beyond + 1) / (len(null) + 1)
    spread = float(null.var())
    if beyond >= RARE or not spread > 0:
        return counted
    scale = spread / float(null.mean())
    fitted = float(_stats().gamma.sf(statistic, float(null.mean()) / scale, scale=scale))
    return min(counted, max(fitted, 0.0))


def _told_apart(before: Array, now: Array) -> tuple[float, float]:
    """Share of held-out rows told right beyond chance, and its bound."""
    halves = [(side[: len(side) // 2], side[len(side) // 2 :]) for side in (before, now)]
    means = [learn.mean(axis=0, dtype=np.float64) for learn, _ in halves]
    witness = means[1] - means[0]
    threshold = float((means[0] + means[1]) @ witness / 2)
    alarms, hits = (float((held @ witness.astype(np.float32) > threshold).mean()) for _, held in halves)
    effect = max(hits - alarms, 0.0)
    return effect, share_bound(effect, alarms, hits, len(halves[0][1]), len(halves[1][1]))


def _stats() -> Any:
    from scipy import stats  # takes a second to import; an explanation does without

    return stats
