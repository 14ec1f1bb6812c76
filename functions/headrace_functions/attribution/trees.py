"""Shapley values of ensembles of trees, from the trees themselves: no row has to be asked (Lundberg, Erion and Lee 2018).

The game is the path-dependent one: a feature that is not known goes both ways at a split, in the proportion of the training rows
that did. A leaf then gives a coalition the product over the features of its path of 1 or 0 where the feature is known, for
whether the row goes that way, and of the share of training rows that do where it is not. For such a product the Shapley value of
feature ``j`` has a closed form, ``v (o_j - z_j) ∫ Π_{i≠j} (t o_i + (1 - t) z_i) dt`` over ``[0, 1]``: drawing ``t`` and letting each
feature be known with that probability is the Shapley weighting (Owen 1972). The integrand is a polynomial of one degree less than there are features, so
Gauss-Legendre quadrature with half as many points is exact. Rows enter by their bits ``o`` alone, so each pattern of bits is
worked out once a leaf, and the rows look theirs up.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from headrace_functions.views import Array

MAX_PATH = 60
"""Distinct features on one path: their bits fit a number."""


@dataclass(frozen=True, slots=True)
class Tree:
    """Nodes by number, the root first. A row goes left where ``x[feature] <= threshold``; ``left`` is -1 at a leaf.

    ``value`` is what a leaf gives, ``cover`` the weight of the training rows at a node, ``missing_left`` where a missing value goes.
    """

    left: Array
    right: Array
    feature: Array
    threshold: Array
    value: Array
    cover: Array
    missing_left: Array


@dataclass(slots=True)
class _Condition:
    """What the path to a leaf asks of one feature: ``low < x <= high``; ``share`` of training rows went that way."""

    low: float = -np.inf
    high: float = np.inf
    missing: bool = True
    share: float = 1.0


Path = dict[int, _Condition]


def tree_shap(trees: Sequence[Tree], x: Array) -> tuple[Array, float]:
    """Shapley values ``(n, d)`` of rows ``x`` ``(n, d)`` for the sum of the trees, and its mean over the training rows.

    A row's values sum to what the trees give it less that mean. ``ValueError`` for a path of more than ``MAX_PATH`` features.
    """
    columns = np.ascontiguousarray(x.T)
    missing = np.isnan(columns)
    found = np.zeros(columns.shape)
    base = 0.0
    for tree in trees:
        for leaf, path in leaves(tree):
            value = float(tree.value[leaf])
            base += value * float(np.prod([c.share for c in path.values()]))
            if path and value:
                _add_leaf(found, columns, missing, path, value)
    return found.T, base


def predict(trees: Sequence[Tree], x: Array) -> Array:
    """What the trees give together, ``(n,)``."""
    total = np.zeros(len(x))
    for tree in trees:
        node = np.zeros(len(x), np.intp)
        while (inner := tree.left[node] >= 0).any():
            value = x[np.arange(len(x)), np.maximum(tree.feature[node], 0)]
            goes_left = np.where(np.isnan(value), tree.missing_left[node], value <= tree.threshold[node])
            node = np.where(inner, np.where(goes_left, tree.left[node], tree.right[node]), node)
        total += tree.value[node]
    return total


def leaves(tree: Tree) -> Iterator[tuple[int, Path]]:
    """Each leaf with the conditions of its path, by feature."""
    waiting: list[tuple[int, Path]] = [(0, {})]
    while waiting:
        node, path = waiting.pop()
        if tree.left[node] < 0:
            if len(path) > MAX_PATH:
                raise ValueError(f"a path of {len(path)} features")
            yield node, path
            continue
        feature, threshold = int(tree.feature[node]), float(tree.threshold[node])
        known = path.get(feature, _Condition())
        missing_left = bool(tree.missing_left[node])
        for child, left in ((int(tree.left[node]), True), (int(tree.right[node]), False)):
            share = known.share * float(tree.cover[child] / tree.cover[node])
            low, high = (known.low, min(known.high, threshold)) if left else (max(known.low, threshold), known.high)
            waiting.append(
                (child, {**path, feature: _Condition(low, high, known.missing and missing_left == left, share)})
            )


def _add_leaf(found: Array, columns: Array, missing: Array, path: Path, value: float) -> None:
    bits = np.zeros(columns.shape[1], np.int64)
    for place, (feature, condition) in enumerate(path.items()):
        column = columns[feature]
        inside = column <= condition.high
        if condition.low > -np.inf:
            inside &= column > condition.low
        if condition.missing:
            inside |= missing[feature]
        bits |= inside.astype(np.int64) << place
    if 1 << len(path) <= len(bits):
        patterns, rows = np.arange(1 << len(path)), bits
    else:
        patterns, rows = np.unique(bits, return_inverse=True)
    shares = np.array([c.share for c in path.values()])
    values = value * _of_patterns(patterns, shares)
    for place, feature in enumerate(path):
        found[feature] += values[place][rows]


def _of_patterns(patterns: Array, shares: Array) -> Array:
    """Shapley values ``(k, p)`` of a leaf of value 1, for each pattern of the bits of its ``k`` features."""
    count = len(shares)
    known = ((patterns >> np.arange(count)[:, None]) & 1).astype(np.float64)
    points, weights = np.polynomial.legendre.leggauss((count + 1) // 2)
    t = ((points + 1) / 2)[:, None, None]
    factors = t * known + (1 - t) * shares[:, None]
    rest = factors.prod(axis=1, keepdims=True) / factors
    return np.asarray((known - shares[:, None]) * np.tensordot(weights / 2, rest, axes=1))
