"""Predicates of a row: a category, a half-line of a number, a word of a text, or that a value is missing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_functions.views import Array

CUTS = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Quantiles of the background where half-lines end."""
MOST_LOOKED_AT = 400  # different words of a text
MOST_WORDS = 40  # of a text that become predicates
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Predicate:
    """``feature`` is a column of the matrix; ``relation`` is ``=``, ``<=``, ``>``, ``contains`` (a word) or ``is missing`` (no value)."""

    feature: int
    relation: str
    value: Any


def under(predicates: Sequence[Predicate], rows: Array) -> Array:
    """Which ``rows`` ``(n, d)`` fulfil all of the predicates."""
    fulfilled = [fulfils(p, rows[:, p.feature]) for p in predicates]
    return np.asarray(np.logical_and.reduce(fulfilled) if fulfilled else np.ones(len(rows), bool))


def taken(predicate: Predicate) -> tuple[Any, ...]:
    """What a rule has once: a bound each way of a number, but as many words of a text as help."""
    word = (predicate.value,) if predicate.relation == "contains" else ()
    return (predicate.feature, predicate.relation, *word)


def columns_of(row: Array, rows: Array) -> list[Array]:
    """The columns of ``rows``, those of numbers as such: turned once, for many predicates look at each."""
    words = str | bool | bytes | None
    return [
        rows[:, place] if isinstance(value, words) else rows[:, place].astype(np.float64)
        for place, value in enumerate(row.tolist())
    ]


def predicates_of(row: Array, columns: Sequence[Array]) -> list[Predicate]:
    """What the row fulfils and some other rows do not: categories, words, half-lines that end at quantiles, and that a value is missing."""
    found: list[Predicate] = []
    for feature, value in enumerate(row.tolist()):
        column = columns[feature]
        possible = [p for p in _conditions(feature, value, column) if 0 < fulfils(p, column).mean() < 1]
        found += possible if possible or not isinstance(value, str) else _words(feature, value, column)
    return found


def _conditions(feature: int, value: Any, column: Array) -> list[Predicate]:
    if _is_missing(value):
        return [Predicate(feature, "is missing", None)]
    if isinstance(value, str | bool | bytes):
        return [Predicate(feature, "=", value)]
    numbers = column.astype(np.float64)
    known = numbers[np.isfinite(numbers)]
    cuts = np.unique(np.quantile(known, CUTS)).tolist() if len(known) else []
    return [Predicate(feature, "<=" if value <= cut else ">", cut) for cut in cuts]


def _words(feature: int, text: str, column: Array) -> list[Predicate]:
    """The words of a text that no other row has as a whole; those of most rows first where there are many."""
    predicates = [Predicate(feature, "contains", word) for word in dict.fromkeys(_WORD.findall(text))]
    shares = {p: float(fulfils(p, column).mean()) for p in predicates[:MOST_LOOKED_AT]}
    possible = sorted((p for p, share in shares.items() if 0 < share < 1), key=lambda p: -shares[p])
    return possible[:MOST_WORDS]


def _is_missing(value: Any) -> bool:
    return value is None or value != value


def fulfils(predicate: Predicate, column: Array) -> Array:
    """Which values of a column of objects fulfil it; a missing one fulfils nothing but that it is missing."""
    if predicate.relation == "is missing":
        return np.fromiter(map(_is_missing, column.tolist()), bool, len(column))
    if predicate.relation == "contains":
        return np.fromiter((predicate.value in _WORD.findall(v or "") for v in column.tolist()), bool, len(column))
    if predicate.relation == "=":
        return np.asarray(column == predicate.value, bool)
    numbers = column.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(numbers <= predicate.value if predicate.relation == "<=" else numbers > predicate.value)
