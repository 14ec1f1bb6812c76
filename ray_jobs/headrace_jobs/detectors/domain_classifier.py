"""The whole model: do rows lie elsewhere, even where each field by itself does not? A change of correlation is such a case.

A classifier is asked to tell rows of the window from rows of training. It learns on one half and is judged on the other, so
its p-value needs no repetition: if both sides have one distribution, its scores on rows that it has not seen are exchangeable
(Lopez-Paz and Oquab 2017), and the Mann-Whitney test of them, and the exact tests of their intervals, are valid whatever it learnt. Then the halves change places.
The classifier is kernel ridge regression with a quadratic kernel over normal scores, which is enough for any
change of means, spreads and correlations, and takes numpy alone.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from math import erfc, sqrt

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.detectors import tails
from headrace_jobs.detectors.base import Finding, Z
from headrace_jobs.detectors.ordered import Cells, intervals, moved

ROWS = 2000
"""Rows of a side that are looked at."""
MIN_ROWS = 100
"""Rows that either side must have: half of them judge."""
CATEGORIES = 8
"""Categories of a field with a column of their own, the most frequent of both sides."""
PENALTY = 0.03
"""Of the ridge, for each row that it learns from."""
PART = 256  # rows that are judged at a time, which bounds memory
METHOD = "domain classifier (quadratic kernel ridge, two halves), ranks and intervals of its scores"


def joint(reference: Mapping[str, Array], window: Mapping[str, Array]) -> Finding | None:
    """Test rows ``(n,)`` and ``(m,)`` by view, the same row at the same place; float64, or objects with None where missing.

    The statistic is the area under the classifier's ROC curve. The effect is the share of rows that it tells right beyond
    chance (hits less false alarms), which the total variation distance of the two distributions is at least. None with
    fewer than two views that both sides have, or with fewer than ``MIN_ROWS`` rows on a side.
    """
    keys = [key for key in reference if key in window]
    if len(keys) < 2:
        return None
    n, m = (min(len(side[keys[0]]), ROWS) for side in (reference, window))
    if min(n, m) < MIN_ROWS:
        return None
    x = np.column_stack([_scores(reference[k][:n], window[k][:m]) for k in keys])
    return Finding("joint", METHOD, *told_apart(x, n, m), "moved")


Learner = Callable[[Array, Array, Array], Array]
"""From rows, whether they are the window's, and other rows to scores of these: the larger, the more they look like the window."""


def told_apart(x: Array, n: int, m: int, learnt: Learner | None = None) -> tuple[float, float, float, float]:
    """By the quadratic kernel, or by ``learnt``: area under the ROC curve, p-value, effect and its lower bound of ``n`` and ``m`` rows, columns of mean about 0 and variance about 1."""
    now = np.arange(n + m) >= n
    first = _halves(n, m)
    area, p, effect, low = np.array([_judged(x, now, learn, ~learn, learnt or _learnt) for learn in (first, ~first)]).T
    # The halves share their rows, so their p-values are not independent.
    return float(area.mean()), min(2 * float(p.min()), 1.0), max(float(effect.mean()), 0.0), max(float(low.mean()), 0.0)


def scores_of(reference: Mapping[str, Array], window: Mapping[str, Array]) -> Array:
    """The classifier's score of each row of the window ``(m,)``, by the half that has not learnt it: above 0 where it looks like the window.

    At most ``ROWS`` rows of the reference are used, and all of the window.
    """
    keys = [key for key in reference if key in window]
    n, m = min(len(reference[keys[0]]), ROWS), len(window[keys[0]])
    x = np.column_stack([_scores(reference[k][:n], window[k]) for k in keys])
    now = np.arange(n + m) >= n
    first = _halves(n, m)
    found = np.empty(n + m)
    for learn in (first, ~first):
        found[~learn] = _learnt(x[learn], now[learn], x[~learn])
    return found[now]


def _halves(n: int, m: int) -> Array:
    """Rows of the first half, of both sides: every other one at random, always the same."""
    random = np.random.default_rng(0)
    return np.concatenate([random.permutation(size) % 2 == 0 for size in (n, m)])


def _scores(before: Array, now: Array) -> Array:
    """A view as columns ``(n + m, c)`` of mean about 0 and variance about 1; what is missing is 0, and marked by a column."""
    both = np.concatenate((before, now))
    if both.dtype == object:
        return _marks(both)
    missing = np.isnan(both)
    scores = np.zeros(len(both))
    scores[~missing] = _normal_scores(both[~missing])
    return np.column_stack([scores, _standard(missing)]) if missing.any() else scores[:, None]


def _marks(values: Array) -> Array:
    kept = [value for value, _ in Counter(values.tolist()).most_common(CATEGORIES)]
    return np.column_stack([_standard(np.array([v == value for v in values.tolist()])) for value in kept])


def _standard(mark: Array) -> Array:
    share = mark.mean()
    return np.asarray((mark - share) / max(sqrt(share * (1 - share)), 1e-3))


def _normal_scores(values: Array) -> Array:
    """Ranks of both sides as quantiles of the standard normal distribution; ties share the mean rank."""
    from scipy.special import ndtri  # an explanation shall not wait for its import

    return np.asarray(ndtri((_ranks(values) - 0.5) / max(len(values), 1)))


def _ranks(values: Array) -> Array:
    """Ranks from 1 on, the mean rank for ties."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[place])


def _judged(x: Array, now: Array, learn: Array, judge: Array, learnt: Learner) -> tuple[float, float, float, float]:
    """Area, p-value, share told right beyond chance and its lower bound, on rows that were not learnt.

    Half of the error belongs to the ranks of the scores, half to the intervals of them: few rows that are strange are at the end.
    """
    scores = learnt(x[learn], now[learn], x[judge])
    positive = now[judge]
    n, m = int((~positive).sum()), int(positive.sum())
    ranks = _ranks(scores)
    area = (ranks[positive].sum() - m * (m + 1) / 2) / (n * m)
    values, place, ties = np.unique(scores, return_inverse=True, return_counts=True)
    total = n + m
    spread = (total + 1 - (ties**3 - ties).sum() / (total * (total - 1))) / (12 * n * m)
    by_rank = erfc((area - 0.5) / sqrt(max(spread, 1e-300)) / sqrt(2)) / 2
    cells = Cells(
        np.bincount(place[~positive], minlength=len(values)) * 1.0,
        np.bincount(place[positive], minlength=len(values)) * 1.0,
        np.ones(len(values), bool),
    )
    p = tails.least([(float(by_rank), 0.5), (intervals(cells), 0.5)])
    hits, alarms = float((scores[positive] > 0).mean()), float((scores[~positive] > 0).mean())
    error = sqrt((hits * (1 - hits) + 0.25 / m) / m + (alarms * (1 - alarms) + 0.25 / n) / n)
    effect, low = moved(cells) if area > 0.5 else (0.0, 0.0)
    return float(area), p, max(hits - alarms, effect), max(hits - alarms - Z * error, low)


def _learnt(x: Array, now: Array, at: Array) -> Array:
    """Scores of rows ``at``: above 0 where they look like the window. Both sides weigh the same, whatever their size.

    Ridge regression over all products of two columns, and its dual over rows, have one solution; the smaller one is solved.
    """
    weight = np.where(now, 0.5 / now.mean(), 0.5 / (~now).mean())
    target = np.where(now, 1.0, -1.0)
    columns = x.shape[1]
    if (columns + 1) * (columns + 2) <= len(x):
        known = _products(x) * np.sqrt(weight)[:, None]
        found = _solved(
            known.T @ known, np.full(known.shape[1], PENALTY * len(x)), known.T @ (target * np.sqrt(weight))
        )
        return np.asarray(_products(at) @ found)
    # Half the digits are enough: p-values hold whatever was learnt, and the penalty keeps the matrix far from singular.
    x, at = x.astype(np.float32), at.astype(np.float32)
    found = _solved(_kernel(x, x), (PENALTY * len(x) / weight).astype(np.float32), target.astype(np.float32))
    return np.concatenate([_kernel(at[i : i + PART], x) @ found for i in range(0, len(at), PART)]).astype(np.float64)


def plane(penalty: float, x: Array, now: Array, at: Array) -> Array:
    """Scores of rows ``at`` by linear ridge regression with a ``penalty`` for each row; both sides weigh the same."""
    weight = np.sqrt(np.where(now, 0.5 / now.mean(), 0.5 / (~now).mean()))
    known, target = x * weight[:, None], np.where(now, 1.0, -1.0) * weight
    size = len(x)
    if x.shape[1] <= size:
        return np.asarray(at @ _solved(known.T @ known, np.full(x.shape[1], penalty * size), known.T @ target))
    return np.asarray(at @ (known.T @ _solved(known @ known.T, np.full(size, penalty * size), target)))


def _solved(matrix: Array, penalty: Array, target: Array) -> Array:
    """Solution of a symmetric ``matrix``, which is used up, with a penalty on its diagonal."""
    from scipy import linalg  # an explanation shall not wait for its import

    matrix[np.diag_indices_from(matrix)] += penalty
    # Transposed it is in the order that LAPACK works in, so that no copy of it is made.
    factor = linalg.cho_factor(matrix.T, lower=True, overwrite_a=True, check_finite=False)
    return np.asarray(linalg.cho_solve(factor, target, check_finite=False))


def _kernel(a: Array, b: Array) -> Array:
    found = a @ b.T
    found /= a.dtype.type(sqrt(a.shape[1]))
    found += 1
    return np.asarray(np.square(found, out=found))


def _products(x: Array) -> Array:
    """Columns whose inner product is the ``_kernel``: 1, each column, and all products of two."""
    scaled = np.column_stack([np.ones(len(x)), x / x.shape[1] ** 0.25])
    first, second = np.triu_indices(scaled.shape[1])
    return np.asarray(scaled[:, first] * scaled[:, second] * np.where(first == second, 1.0, sqrt(2)))
