"""Have two inputs another relation than they had? All pairs are looked at, and the one that changed most is named.

Of each number two scores of its pooled rank are taken, one that rises and one that is large at both ends (Legendre polynomials), so that a
product of two hears a correlation, and a dependence such as that of x and its square. The largest difference of the mean products, in
standard errors, is held against the largest ones where rows change sides at random (Westfall and Young 1993): p is exact for every law.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.detectors.base import Finding, Rows
from headrace_jobs.detectors.ordered import Cells, moved
from headrace_jobs.detectors.rows import shared

ROWS = 2000
MIN_ROWS = 60
COLUMNS = 220
"""Scores that are paired, at most: those of the first fields."""
GROUPS = 200
"""Groups of rows of both sides together that change sides as one."""
FIRST, PERMUTATIONS = 99, 999
"""Permutations that all runs take, and those that one takes where fewer than ``ENOUGH`` of the first are as far out."""
ENOUGH = 10
COMMON = 0.1
"""Share of the rows that a category has at least, and at most leaves to the others, to be a score."""
METHOD = f"largest change of a mean product of rank scores over all pairs, {PERMUTATIONS} permutations"


def relations(reference: Rows, window: Rows) -> Finding | None:
    """None with fewer than ``MIN_ROWS`` rows on a side, or with fewer than two inputs that vary."""
    keys, n, m = shared(reference.inputs, window.inputs)
    n, m = min(n, ROWS), min(m, ROWS)
    if min(n, m) < MIN_ROWS:
        return None
    names, scores = _scores(reference.inputs, window.inputs, keys, n, m)
    if len(set(names)) < 2:
        return None
    size = max(1, (n + m) // GROUPS)
    count = [n // size, m // size]
    pairs = _pairs(names)
    means = np.concatenate([_products(scores[:n], pairs, size, count[0]), _products(scores[n:], pairs, size, count[1])])
    p, statistic, at = _permuted(means, *count)
    first, second = (int(side[at]) for side in pairs)
    effect, low = _share(scores[:, first] * scores[:, second], n)
    return Finding(
        "relations", METHOD, statistic, p, effect, low, "moved", tuple(dict.fromkeys((names[first], names[second])))
    )


def _scores(
    before: Mapping[str, Array], now: Mapping[str, Array], keys: list[str], n: int, m: int
) -> tuple[list[str], Array]:
    """Keys ``(c,)`` and scores ``(n + m, c)`` of mean 0 and variance about 1."""
    names: list[str] = []
    found: list[Array] = []
    for key in keys:
        if len(found) >= COLUMNS:
            break
        for score in _of(np.concatenate((before[key][:n], now[key][:m]))):
            names.append(key)
            found.append(score)
    return names, np.stack(found, axis=1) if found else np.empty((n + m, 0))


def _of(both: Array) -> list[Array]:
    if both.dtype == object:
        plain = both.tolist()
        often = [c for c, k in Counter(plain).most_common(4) if COMMON * len(plain) <= k <= (1 - COMMON) * len(plain)]
        marks = [np.asarray(both == c, np.float64) for c in often]
        return [(mark - mark.mean()) / mark.std() for mark in marks[: max(1, len(marks) - 1)]]
    known = ~np.isnan(both)
    values, place, counts = np.unique(both[known], return_inverse=True, return_counts=True)
    if len(values) < 2:
        return []
    rank = 2 * ((np.cumsum(counts) - counts / 2) / counts.sum())[place] - 1
    scores = [rank, 3 * rank**2 - 1] if len(values) > 2 else [rank]
    result = []
    for score in scores:
        spread = score.std()
        if spread > 1e-9:
            whole = np.zeros(len(both))
            whole[known] = (score - score.mean()) / spread
            result.append(whole)
    return result


def _products(scores: Array, pairs: tuple[Array, Array], size: int, count: int) -> Array:
    """Mean products of ``pairs`` of scores in groups of rows, float32 ``(count, pairs)``."""
    groups = scores[: size * count].astype(np.float32).reshape(count, size, scores.shape[1])
    means = np.matmul(groups.transpose(0, 2, 1), groups) / np.float32(size)
    return np.asarray(means[:, pairs[0], pairs[1]])


def _pairs(names: list[str]) -> tuple[Array, Array]:
    """Places of all pairs of scores of different fields."""
    first, second = np.triu_indices(len(names), 1)
    field = np.array([names.index(name) for name in names])
    apart = field[first] != field[second]
    return first[apart], second[apart]


def _permuted(means: Array, n: int, m: int) -> tuple[float, float, int]:
    """p-value, the largest difference in standard errors, and the place of its pair. The second lot of permutations is drawn only where it matters."""
    spread = means.std(axis=0)
    scaled = (means - means.mean(axis=0)) / np.where(spread > 1e-9, spread, np.inf)
    weights = np.concatenate((np.full(n, -1 / n), np.full(m, 1 / m))).astype(np.float32)
    own = np.abs(weights @ scaled)
    at = int(np.argmax(own))
    random = np.random.default_rng(1)
    beyond = 0
    for start, stop in ((0, FIRST), (FIRST, PERMUTATIONS)):
        shuffled = random.permuted(np.tile(weights, (stop - start, 1)), axis=1)
        beyond += int((np.abs(shuffled @ scaled).max(axis=1) >= own[at] * (1 - 1e-5)).sum())
        if beyond >= ENOUGH:
            break
    return (beyond + 1) / (stop + 1), float(own[at] / np.sqrt(1 / n + 1 / m)), at


def _share(product: Array, n: int) -> tuple[float, float]:
    """Share of rows whose product moved, and its bound."""
    values, place = np.unique(product, return_inverse=True)
    before, now = (np.bincount(place[side], minlength=len(values)) * 1.0 for side in (slice(n), slice(n, None)))
    return moved(Cells(before, now, np.ones(len(values), bool)))
