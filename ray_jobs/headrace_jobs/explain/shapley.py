"""Shapley values of one row of a black box, exact by enumeration or by sampling permutations.

The game: features in a coalition have the row's values, the others those of a background row; its worth is the mean answer
(Shapley 1953; Štrumbelj and Kononenko 2014; Lundberg and Lee 2017). Both ways add up by construction: the values sum to the
row's answer less the base.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import factorial

import numpy as np

from headrace_functions.views import Array

MAX_EXACT = 10
"""Features up to which all coalitions are enumerated: 1024 of them."""

Model = Callable[[Array], Array]
"""Answers ``(n,)`` for rows ``(n, d)``."""


@dataclass(frozen=True, slots=True)
class Shapley:
    """``values`` and their standard ``errors`` are ``(d,)``; ``base + values.sum()`` is ``prediction``."""

    method: str
    values: Array
    errors: Array
    base: float
    prediction: float
    background: int
    asked: int
    """Rows that the model was asked."""


def explain(model: Model, row: Array, background: Array, budget: int) -> Shapley:
    """Shapley values of ``row`` ``(d,)`` against ``background`` ``(b, d)``.

    Up to ``MAX_EXACT`` features all coalitions are enumerated, with as many background rows as ``budget`` rows to ask allow
    (16 at least, so that 10 features ask 16,400 rows); above, ``budget`` is kept but for one pair of permutations, 2 d rows.
    """
    features = len(row)
    if features <= MAX_EXACT:
        fitting = max(budget >> features, 16)
        return exact(model, row, background[:fitting])
    pairs = max(1, (budget - 1) // (2 * features - 1))
    return permutation(model, row, background[: min(pairs, len(background))], pairs)


def exact(model: Model, row: Array, background: Array) -> Shapley:
    """All 2^d coalitions; exact for this background."""
    features, size = len(row), len(background)
    coalitions = (np.arange(1 << features)[:, None] >> np.arange(features) & 1).astype(bool)
    mixed = np.where(coalitions[:-1, None, :], row, background[None, :, :]).reshape(-1, features)
    answers = model(np.concatenate((mixed, row[None, :])))
    prediction = float(answers[-1])
    worth = np.append(answers[:-1].reshape(-1, size).mean(axis=1), prediction)
    members = coalitions.sum(axis=1)
    weights = np.array([factorial(k) * factorial(features - k - 1) for k in range(features)]) / factorial(features)
    values = np.empty(features)
    for i in range(features):
        without = np.flatnonzero(~coalitions[:, i])
        values[i] = (weights[members[without]] * (worth[without | 1 << i] - worth[without])).sum()
    return Shapley("exact", values, np.zeros(features), float(worth[0]), prediction, size, len(answers))


def permutation(model: Model, row: Array, background: Array, pairs: int, seed: int = 0) -> Shapley:
    """Mean marginal contribution over random orders, each with its reverse (antithetic) and one background row.

    Castro, Gómez and Tejada (2009); the reverse order halves the variance where features interact in pairs
    (Mitchell, Cooper, Frank and Holmes 2022). Errors come from the spread of the pairs.
    """
    features = len(row)
    random = np.random.default_rng(seed)
    orders = np.array([random.permutation(features) for _ in range(pairs)])
    behind = background[np.arange(pairs) % len(background)]
    # rank[p, i] is the place of feature i in order p; after k steps the features of rank < k have the row's values.
    rank = np.argsort(orders, axis=1)
    steps = np.arange(1, features)[None, :, None]
    forward = rank[:, None, :] < steps
    backward = (features - 1 - rank)[:, None, :] < steps
    mixed = np.where(np.concatenate((forward, backward), axis=1), row, behind[:, None, :])
    asked = np.concatenate((mixed.reshape(-1, features), behind, row[None, :]))
    answers = model(asked)
    prediction, starts = float(answers[-1]), answers[-1 - pairs : -1]
    chains = answers[: -1 - pairs].reshape(pairs, 2, features - 1)
    ends = np.full((pairs, 1), prediction)
    worth = [np.concatenate((starts[:, None], chains[:, way], ends), axis=1) for way in (0, 1)]
    forwards = np.take_along_axis(np.diff(worth[0], axis=1), rank, axis=1)
    backwards = np.take_along_axis(np.diff(worth[1], axis=1), features - 1 - rank, axis=1)
    each = (forwards + backwards) / 2
    errors = each.std(axis=0, ddof=1) / np.sqrt(pairs) if pairs > 1 else np.full(features, np.nan)
    base = float(starts.mean())
    return Shapley("permutation", each.mean(axis=0), errors, base, prediction, len(background), len(asked))
