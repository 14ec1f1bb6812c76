"""Shapley values of one row after another, each in milliseconds: what depends on the trees alone is laid out once.

The game, the closed form and the quadrature are those of ``trees``. There a leaf is worked out for all rows at once; here all leaves are for one row.
"""

import numpy as np

from headrace_functions.attribution.ensembles import Ensemble
from headrace_functions.attribution.trees import leaves
from headrace_functions.views import Array


class LeafTable:
    """The leaves of an ensemble as matrices ``(longest path, leaves)``, whose long rows are multiplied quickly. ``ValueError`` for a path of more features than are worked out."""

    def __init__(self, ensemble: Ensemble) -> None:
        paths = [
            (float(tree.value[leaf]), path)
            for tree in ensemble.trees
            for leaf, path in leaves(tree)
            if tree.value[leaf] != 0
        ]
        depth = max((len(path) for _, path in paths), default=0)
        shape = (depth, len(paths))
        # A place that no path fills is a feature that every value fits and every row had: it changes no product and gets nothing.
        self._feature = np.zeros(shape, np.intp)
        self._low = np.full(shape, -np.inf)
        self._high = np.full(shape, np.inf)
        self._missing = np.ones(shape, bool)
        self._share = np.ones(shape)
        self._value = np.array([value for value, _ in paths])
        for leaf, (_, path) in enumerate(paths):
            for place, (feature, condition) in enumerate(path.items()):
                self._feature[place, leaf] = feature
                self._low[place, leaf], self._high[place, leaf] = condition.low, condition.high
                self._missing[place, leaf], self._share[place, leaf] = condition.missing, condition.share
        self._features = ensemble.features
        points, weights = np.polynomial.legendre.leggauss(max((depth + 1) // 2, 1))
        self._points, self._weights = (points + 1) / 2, weights / 2
        self.base = float(self._value @ self._share.prod(axis=0))
        """The mean of what the trees give over the training rows."""

    def values(self, x: Array) -> Array:
        """Shapley values ``(d,)`` of a row ``x`` ``(d,)``; they sum to what the trees give it less ``base``."""
        seen = x[self._feature]
        fits = ((seen <= self._high) & (seen > self._low)) | (np.isnan(seen) & self._missing)
        known, rest, factors = fits.astype(np.float64), np.zeros(seen.shape), np.empty(seen.shape)
        for t, weight in zip(self._points, self._weights, strict=True):
            np.multiply(self._share, 1 - t, out=factors)
            factors += t * known
            np.divide(weight * factors.prod(axis=0), factors, out=factors)
            rest += factors
        parts = self._value * (known - self._share) * rest
        return np.bincount(self._feature.ravel(), weights=parts.ravel(), minlength=self._features)
