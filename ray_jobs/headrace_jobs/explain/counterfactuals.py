"""Counterfactuals: the nearest rows, met before, that have another answer; and how little of each has to change for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from headrace_functions.views import Array

FOUND = 5
"""Rows that are returned."""
ROUNDS = 30
"""Up to so many features that differ are tried one by one; of more, several together, in at most ..."""
MANY_ROUNDS = 90

Model = Callable[[Array], Array]
"""Whether each row of ``(n, d)`` objects has the answer that is explained, bool ``(n,)``."""


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """``row`` is the row that is explained with as few ``changed`` features of the neighbour as give another answer.

    ``source`` is the place of the neighbour among the candidates; ``distance`` is how far ``row`` is, see ``distances``.
    """

    row: Array
    changed: tuple[int, ...]
    source: int
    distance: float


def scales(background: Array) -> Array:
    """What makes features comparable: the spread (interquartile range, else standard deviation) of numbers, 1 for the others."""
    found = np.ones(background.shape[1])
    for feature in range(background.shape[1]):
        column = background[:, feature]
        if not _is_number(column):
            continue
        known = column.astype(np.float64)
        known = known[np.isfinite(known)]
        if len(known):
            low, high = np.quantile(known, (0.25, 0.75))
            found[feature] = next((s for s in (high - low, known.std()) if s > 0), 1.0)
    return found


def distances(row: Array, rows: Array, scale: Array) -> Array:
    """Distance by feature ``(n, d)``: numbers in spreads, at most 3; categories 1 where they differ (after Gower 1971).

    A missing value is as far as can be from every other, and not at all from another missing one.
    """
    found = np.empty(rows.shape)
    for feature, value in enumerate(row.tolist()):
        column = rows[:, feature]
        if _is_missing(value):
            furthest = 3.0 if _is_number(column) else 1.0
            found[:, feature] = [0.0 if _is_missing(other) else furthest for other in column.tolist()]
        elif isinstance(value, int | float) and not isinstance(value, bool) and _is_number(column):
            apart = np.abs(column.astype(np.float64) - float(value)) / scale[feature]
            found[:, feature] = np.where(np.isnan(apart), 3.0, np.minimum(apart, 3.0))
        else:
            found[:, feature] = column != value
    return found


def counterfactuals(model: Model, row: Array, others: Array, scale: Array) -> list[Counterfactual]:
    """Rows near ``row`` with another answer, made from ``others`` ``(n, d)``, which have one: the nearest by its changes first.

    For the nearest of them, features go back to the row's own value, the ones nearest to it first, while the answer stays another.
    All are asked together, a step a round.
    """
    apart = distances(row, others, scale)
    nearest = np.argsort(apart.mean(axis=1), kind="stable")[:FOUND]
    rows = others[nearest].copy()
    searches = [_Search(_differing(apart[i])) for i in nearest.tolist()]
    for _ in range(MANY_ROUNDS):
        steps = [search.step() for search in searches]
        if not any(len(step) for step in steps):
            break
        trial = rows.copy()
        for i, step in enumerate(steps):
            trial[i, step] = row[step]
        for i, kept in enumerate((~model(trial)).tolist()):
            if kept:
                rows[i, steps[i]] = row[steps[i]]
            searches[i].told(kept=kept)
    return _distinct(row, rows, nearest, scale)


class _Search:
    """Which features of one neighbour to try next: one, or of many twice as many after each success and half after a failure."""

    def __init__(self, order: Array) -> None:
        self._left = order
        self._size = 1
        self._many = len(order) > ROUNDS

    def step(self) -> Array:
        """Features to set back together; none where all have been tried."""
        return self._left[: self._size]

    def told(self, *, kept: bool) -> None:
        """Whether the answer stayed another with the last step."""
        if kept or self._size == 1:
            self._left = self._left[self._size :]
        if self._many:
            self._size = self._size * 2 if kept else max(1, self._size // 2)


def _differing(apart: Array) -> Array:
    """The features that differ, in the order of their distance."""
    order = np.flatnonzero(apart > 0)
    return np.asarray(order[np.argsort(apart[order], kind="stable")])


def _distinct(row: Array, rows: Array, sources: Array, scale: Array) -> list[Counterfactual]:
    apart = distances(row, rows, scale)
    found: dict[tuple[object, ...], Counterfactual] = {}
    for i, source in enumerate(sources.tolist()):
        changed = tuple(np.flatnonzero(apart[i] > 0).tolist())
        changed_row = np.where(apart[i] > 0, rows[i], row)  # two missing values are one
        key = tuple(changed_row.tolist())
        found.setdefault(key, Counterfactual(changed_row, changed, source, float(apart[i].mean())))
    return sorted(found.values(), key=lambda c: (c.distance, c.source))


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


def _is_number(column: Array) -> bool:
    values: Sequence[object] = column[:100].tolist()
    return all(v is None or (isinstance(v, int | float) and not isinstance(v, bool)) for v in values)
