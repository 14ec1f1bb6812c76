"""Detectors that can be chosen, each fitted to the encoded rows of training data; scoring them is in ``scorer``.

- ``tails``: empirical tail probabilities of each column (ECOD: Li, Zhao, Hu, Botta, Ionescu and Chen 2022).
- ``mahalanobis``: distance from a robust centre by a robust covariance: the concentration steps of the fast minimum
  covariance determinant (Rousseeuw and Van Driessen 1999) from a robust start (Hubert, Rousseeuw and Verdonck 2012).
- ``forest``: isolation forest (Liu, Ting and Zhou 2008).
- ``neighbours``: distance to the nearest of some training rows (Ramaswamy, Rastogi and Shim 2000).
- ``density``: that distance by what it is for these neighbours (local outlier factor: Breunig, Kriegel, Ng and Sander 2000).
"""

from collections.abc import Callable, Mapping

import numpy as np

from headrace_functions.views import Array

KNOTS = 256
TREES, DEPTH = 100, 7
"""An isolation forest of perfect trees, each grown from 2^DEPTH rows."""
KEPT = 0.75  # share of rows that the covariance is of: a quarter of the training rows may be outliers themselves
STEPS = 20
TINY = 1e-6  # a spread below is none
SHRINKAGE = 1e-3
"""Share of the mean variance added to each: columns that are constant or follow from others leave no inverse."""

POINTS, NEAREST = 1000, 10
"""Training rows that others are held against, and how many of them count as near."""
CLOSE = 0.05
"""Of the typical distance of kept rows, the smallest that a row's own neighbourhood is taken for."""

State = Mapping[str, Array]


def fit_tails(rows: Array) -> State:
    """Tables of minus the logarithm of the tail's share, by knot: left, right, and the one that the skewness points to."""
    knots, tables = [], []
    for column in rows.T:
        ordered = np.sort(column)
        distinct = np.unique(ordered)
        if len(distinct) > KNOTS:
            distinct = np.unique(np.quantile(ordered, np.linspace(0, 1, KNOTS), method="inverted_cdf"))
        below = np.searchsorted(ordered, distinct, "right")
        above = len(ordered) - np.searchsorted(ordered, distinct, "left")
        beyond = np.nextafter(ordered[-1], np.inf)
        left = -np.log(np.concatenate(([0.5], below, [len(ordered)])) / (len(ordered) + 0.5))
        right = -np.log(np.concatenate(([len(ordered)], above, [0.5])) / (len(ordered) + 0.5))
        centred = column - column.mean()
        skewed = left if (centred**3).sum() < 0 else right
        knots.append(np.append(distinct, beyond))
        tables.append(np.column_stack((left, right, skewed)))
    sizes = np.cumsum([0, *(len(k) for k in knots)])
    padded = np.zeros((len(tables), max(len(t) for t in tables), 3))
    for place, table in enumerate(tables):
        padded[place, : len(table)] = table
    return {"knots": np.concatenate(knots), "starts": sizes, "tables": padded}


def fit_mahalanobis(rows: Array) -> State:
    """Centre ``(d,)`` and whitening ``(d, d)``: the identity of the concentrated rows' covariance."""
    location = np.median(rows, axis=0)
    spread = np.median(np.abs(rows - location), axis=0) * 1.4826
    distance = (((rows - location) / np.where(spread > TINY, spread, 1.0)) ** 2).sum(axis=1)
    count = max(int(len(rows) * KEPT), min(len(rows), rows.shape[1] + 2))
    kept = np.zeros(0, np.intp)
    whiten = np.eye(rows.shape[1])
    for _ in range(STEPS):
        chosen = np.sort(np.argsort(distance, kind="stable")[:count])
        if np.array_equal(chosen, kept):
            break
        kept = chosen
        location = rows[kept].mean(axis=0)
        whiten = _whitening(rows[kept] - location)
        distance = (((rows - location) @ whiten) ** 2).sum(axis=1)
    return {"location": location, "whiten": whiten}


def _whitening(centred: Array) -> Array:
    covariance = centred.T @ centred / max(len(centred) - 1, 1)
    shrunk = SHRINKAGE * (float(np.trace(covariance)) / len(covariance) or 1.0)
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors / np.sqrt(np.maximum(values, 0.0) + shrunk))


def fit_forest(rows: Array, seed: int = 0) -> State:
    """Perfect trees: a branch that ended early repeats its end, so that all rows take the same number of steps."""
    random = np.random.default_rng(seed)
    size = min(len(rows), 2**DEPTH)
    trees = [_Tree(rows[random.choice(len(rows), size, replace=False)], random) for _ in range(TREES)]
    return {
        "feature": np.array([t.feature for t in trees]),
        "threshold": np.array([t.threshold for t in trees]),
        "depth": np.array([t.depth for t in trees]),
        "expected": np.array(expected_path(size)),
        "low": rows.min(axis=0),
        "high": rows.max(axis=0),
    }


def expected_path(rows: int) -> float:
    """Mean length of an unsuccessful search in a binary search tree of so many rows (Liu et al. 2008, equation 1)."""
    return 1.0 if rows <= 2 else 2 * (np.log(rows - 1) + np.euler_gamma) - 2 * (rows - 1) / rows


class _Tree:
    """One isolation tree over ``rows``, as arrays: node k has the children 2 k + 1 and 2 k + 2."""

    def __init__(self, rows: Array, random: np.random.Generator) -> None:
        self.feature = np.zeros(2**DEPTH - 1, np.intp)
        self.threshold = np.full(2**DEPTH - 1, np.inf)
        self.depth = np.zeros(2**DEPTH)
        self._random = random
        self._grow(0, 0, rows)

    def _grow(self, node: int, level: int, rows: Array) -> None:
        apart = np.flatnonzero(np.ptp(rows, axis=0) > 0) if len(rows) > 1 else ()
        if level == DEPTH or not len(apart):
            rest = 0.0 if len(rows) <= 1 else expected_path(len(rows))
            first = (node + 1) * 2 ** (DEPTH - level) - 2**DEPTH
            self.depth[first : first + 2 ** (DEPTH - level)] = level + rest
            return
        feature = int(self._random.choice(apart))
        column = rows[:, feature]
        cut = float(self._random.uniform(column.min(), column.max()))
        self.feature[node], self.threshold[node] = feature, cut
        self._grow(2 * node + 1, level + 1, rows[column <= cut])
        self._grow(2 * node + 2, level + 1, rows[column > cut])


def fit_neighbours(rows: Array, seed: int = 0) -> State:
    """``POINTS`` of the rows, their columns in standard deviations, and of each the mean distance to its own nearest ``NEAREST``."""
    random = np.random.default_rng(seed)
    spread = rows.std(axis=0)
    spread = np.where(spread > TINY, spread, 1.0)
    chosen = np.sort(random.choice(len(rows), min(len(rows), POINTS), replace=False))
    points = rows[chosen] / spread
    count = max(min(NEAREST, len(points) - 1), 1)
    squares = (points**2).sum(axis=1)
    apart = np.sqrt(np.maximum(squares[:, None] + squares[None, :] - 2 * points @ points.T, 0.0))
    if len(points) > 1:
        np.fill_diagonal(apart, np.inf)
    own = np.partition(apart, count - 1, axis=1)[:, :count].mean(axis=1)
    typical = float(np.median(own))
    least = CLOSE * typical if typical > 0 else 1.0  # copies of a row are as near to each other as can be
    return {
        "points": points.astype(np.float32),
        "spread": spread,
        "own": np.maximum(own, least),
        "count": np.array(count),
    }


CANDIDATES: Mapping[str, Callable[[Array], State]] = {
    "tails": fit_tails,
    "mahalanobis": fit_mahalanobis,
    "forest": fit_forest,
    "neighbours": fit_neighbours,
    "density": fit_neighbours,
}
"""The quickest to score first: of two that are nearly as good, the first is taken."""
