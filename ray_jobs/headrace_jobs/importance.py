"""How much the model's answers depend on each input, from its answers on the training rows: no endpoint has to be asked.

The measure is the first-order sensitivity index (Sobol' 1993): the share of the variance of the answers that the mean answer
in bins of the input explains, adjusted for the number of bins. It is blind to inputs that act only together with others.
"""

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.columns import Coded, Series

BINS = 20
"""Bins of a number, of equal probability; categories have one each up to ``CATEGORIES``, the rest share one."""
CATEGORIES = 50
CLASSES = 32
"""Classes of an answered category that are looked at, each as a number 0 or 1."""
ENOUGH = 50


def answers_of(one: Series, rows: Array) -> list[Array]:
    """An output's view as numbers ``(n,)`` that an input may explain; those without variance are left out."""
    if isinstance(one, Coded):
        codes = one.codes[rows]
        found = [(codes == c).astype(np.float64) for c in range(min(len(one.values), CLASSES))]
    else:
        found = [one.values[rows]]
    finite = [f[np.isfinite(f)] for f in found]
    return [f for f, known in zip(found, finite, strict=True) if len(known) >= ENOUGH and known.std() > 0]


def importance(one: Series, rows: Array, answers: list[Array]) -> float | None:
    """The largest index over the answers, 0 to 1; None without answers. ``rows`` are the places of the answered rows."""
    if not answers:
        return None
    bins = _bins(one, rows)
    return max(_explained(bins, answer) for answer in answers)


def _bins(one: Series, rows: Array) -> Array:
    """The bin of each row, int64 ``(n,)``; missing values have the bin 0."""
    if isinstance(one, Coded):
        order = np.argsort(-np.bincount(one.codes[one.codes >= 0], minlength=len(one.values)), kind="stable")
        place = np.empty(len(order) + 1, np.int64)
        place[order] = np.minimum(np.arange(len(order)), CATEGORIES) + 1
        place[-1] = 0
        return np.asarray(place[one.codes[rows]])
    values = one.values[rows]
    known = values[~np.isnan(values)]
    if not len(known):
        return np.zeros(len(values), np.int64)
    edges = np.unique(np.quantile(np.nan_to_num(known), np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.where(np.isnan(values), 0, np.searchsorted(edges, values, "right") + 1)


def _explained(bins: Array, answer: Array) -> float:
    known = np.isfinite(answer)
    bins, y = bins[known], answer[known]
    n = len(y)
    counts = np.bincount(bins)
    kept = int((counts > 0).sum())
    total = float(((y - y.mean()) ** 2).sum())
    if n <= kept or not total > 0:
        return 0.0
    means = np.bincount(bins, y) / np.maximum(counts, 1)
    rest = float(((y - means[bins]) ** 2).sum())
    return max(0.0, 1 - rest / total * (n - 1) / (n - kept))
