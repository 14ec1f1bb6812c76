"""What sets some rows of a log apart from the others: conditions on one field or on two, the most telling first. Pure.

Every field gives conditions: each frequent value, missing, and for numbers the ranges between the octiles of all rows, single, two together
and everything below or above, also below or above a thirty-second of the rows. Each condition and each pair of conditions of two fields is a
two-by-two table against the selection, judged by the likelihood ratio G (Wilks 1938) and its p-value times the number of tables looked at
(Bonferroni 1936): conditions by themselves, which are far fewer, have half of the error, pairs the other half. A pair is told only
where it says more than both of its halves, and each half tells rows apart among those of the other: else it is one condition next to noise.
Every condition is looked at by itself; if there are too many, pairs are of those that tell most by themselves. Found is what goes together
with the selection: evidence, not a cause.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from headrace_controller.requestlog.literals import literal

Array = np.ndarray[Any, Any]
COMPARED = ("outcome", "variant", "sequence", "protocol", "shadow")
"""Columns of an exchange that are compared beside inputs and outputs."""

MIN_ROWS = 20
"""Rows that selection and rest need each."""
VALUES = 12
"""Most frequent values of a field that are conditions."""
BINS = 8
TAIL = 1 / 32
"""Share of rows beyond the outermost limits of a number."""
MAX_CONDITIONS = 1200
"""Conditions whose pairs are looked at."""
_SURE = 0.01
_CLOSER = 1.15  # how many times more a pair has to say than the better of its halves


@dataclass(frozen=True, slots=True)
class Segment:
    """A condition with what it is worth. ``where`` is the condition as a filter of the log has it."""

    where: str
    fields: tuple[str, ...]
    share: float
    """Of the selected rows, those that satisfy it."""
    usual: float
    """Of the other rows."""
    rows: int
    """Selected rows that satisfy it."""
    p: float
    """Probability of so much difference by chance, times the number of conditions that were looked at."""
    score: float
    """The likelihood ratio G; what the order is by."""


@dataclass(frozen=True, slots=True)
class _Condition:
    field: str
    where: str
    rows: Array


def segments(columns: Mapping[str, Sequence[Any]], selected: Array, most: int = 10) -> list[Segment]:
    """The most telling conditions for ``selected`` (a mask ``(n,)``) over ``columns`` (``n`` values by column name, None where missing).

    Only conditions that the selection has more often than the rest; none where either side has fewer than ``MIN_ROWS`` rows.
    """
    n, inside = len(selected), int(selected.sum())
    if inside < MIN_ROWS or n - inside < MIN_ROWS:
        return []
    conditions, looked_at = _most_telling(columns, selected)
    if not conditions:
        return []
    looks = (2 * looked_at, looked_at * (looked_at - 1))  # each half of the error
    matrix = np.stack([c.rows for c in conditions]).astype(np.float32)
    both, mine = matrix @ matrix.T, matrix[:, selected] @ matrix[:, selected].T
    scores = _g(mine, both, inside, n)
    alone = np.diagonal(scores).copy()
    usable = np.array([[a.field != b.field for b in conditions] for a in conditions])
    better = _CLOSER * np.maximum(alone[:, np.newaxis], alone[np.newaxis, :])
    scores = np.where(usable & (scores > better) & _each_half_adds(mine, both, looked_at), scores, -1.0)
    np.fill_diagonal(scores, alone)
    return _best(conditions, np.triu(scores), mine, both, (inside, n, looks), most)


def _most_telling(columns: Mapping[str, Sequence[Any]], selected: Array) -> tuple[list[_Condition], int]:
    """The ``MAX_CONDITIONS`` conditions with the highest scores, in the order of the fields, and how many there are in all."""
    inside, n, looked_at = int(selected.sum()), len(selected), 0
    kept: list[_Condition] = []
    for name, values in columns.items():
        found = _conditions(name, values)
        looked_at += len(found)
        kept += found
        if len(kept) > MAX_CONDITIONS:  # after each field: conditions of a thousand fields do not fit into memory
            counts = np.array([(c.rows[selected].sum(), c.rows.sum()) for c in kept], np.float64)
            scores = _g(counts[:, 0], counts[:, 1], inside, n)
            kept = [kept[i] for i in np.sort(np.argsort(-scores, kind="stable")[:MAX_CONDITIONS])]
    return kept, looked_at


def _each_half_adds(mine: Array, both: Array, conditions: int) -> Array:
    """Whether each condition of a pair tells rows apart among those that satisfy the other, of so many that might."""
    needed = _score_needed(conditions)
    within = _g(mine, both, np.diagonal(mine)[:, np.newaxis], np.diagonal(both)[:, np.newaxis])
    adds: Array = np.minimum(within, within.T) > needed
    return adds


def _score_needed(looks: int) -> float:
    """The score whose p-value is sure by so many looks."""
    return NormalDist().inv_cdf(_SURE / looks / 2) ** 2


def _best(
    conditions: Sequence[_Condition],
    scores: Array,
    mine: Array,
    both: Array,
    sizes: tuple[int, int, tuple[int, int]],
    most: int,
) -> list[Segment]:
    """The highest scores, leaving out what says the same of the same fields again."""
    inside, n, (alone, pairs) = sizes
    found: list[Segment] = []
    told: set[frozenset[str]] = set()
    for place in np.argsort(scores, axis=None)[::-1][: 40 * most]:
        i, j = divmod(int(place), len(conditions))
        score = float(scores[i, j])
        p = min(1.0, (alone if i == j else pairs) * math.erfc(math.sqrt(max(score, 0.0) / 2)))
        if score <= 0 or len(found) == most:
            break
        if p > _SURE:
            continue
        parts = [conditions[i]] if i == j else sorted((conditions[i], conditions[j]), key=lambda c: c.field)
        fields = frozenset(c.field for c in parts)
        if fields in told or any(len(t) < len(fields) and t < fields for t in told):
            continue
        told.add(fields)
        rows = int(mine[i, j])
        usual = (int(both[i, j]) - rows) / (n - inside)
        where = " AND ".join(c.where for c in parts)
        found.append(Segment(where, tuple(c.field for c in parts), rows / inside, usual, rows, p, score))
    return found


def _g(mine: Array, both: Array, inside: int | Array, n: int | Array) -> Array:
    """G of each table of condition against selection, of ``n`` rows of which ``inside`` are selected; 0 where the selection has it less often than the rest."""
    outside = n - inside
    with np.errstate(all="ignore"):
        observed = [mine, both - mine, inside - mine, outside - (both - mine)]
        expected = [both * inside / n, both * outside / n, (n - both) * inside / n, (n - both) * outside / n]
        terms = [np.where(o > 0, o * np.log(o / e), 0.0) for o, e in zip(observed, expected, strict=True)]
        more = mine / inside > (both - mine) / outside
    found: Array = np.where(more, 2 * sum(terms), 0.0)
    return found


def _conditions(name: str, values: Sequence[Any]) -> list[_Condition]:
    column = np.array(values, dtype=object)
    missing = np.array([v is None or (isinstance(v, float) and math.isnan(v)) for v in values], bool)
    found = [_Condition(name, f"{name} IS NULL", missing)] if 0 < missing.sum() < len(values) else []
    present = [v for v, gone in zip(values, missing, strict=True) if not gone]
    if not present or isinstance(present[0], list | dict):
        return found
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in present)
    if numbers and len(set(present)) > VALUES:
        return found + _ranges(name, column, missing)
    return found + _values(name, column, present)


def _values(name: str, column: Array, present: Sequence[Any]) -> list[_Condition]:
    counts = Counter(str(v) for v in present)  # NumPy's texts would lose NULs at their ends
    frequent = sorted(counts, key=lambda v: (-counts[v], v))[:VALUES]
    place = {v: i for i, v in enumerate(frequent)}
    codes = np.array([place.get(str(v), -1) if v is not None else -1 for v in column])
    kinds = {str(v): v for v in present}
    return [_Condition(name, f"{name} = {literal(kinds[v])}", codes == place[v]) for v in frequent if len(counts) > 1]


def _ranges(name: str, column: Array, missing: Array) -> list[_Condition]:
    numbers = np.where(missing, np.nan, column).astype(np.float64)
    inner = np.unique(np.nanquantile(numbers, np.arange(1, BINS) / BINS))
    found = []
    with np.errstate(invalid="ignore"):
        for place, edge in enumerate(inner.tolist()):
            found.append(_Condition(name, f"{name} < {edge:.6g}", numbers < float(f"{edge:.6g}")))
            found.append(_Condition(name, f"{name} >= {edge:.6g}", numbers >= float(f"{edge:.6g}")))
            for upper in inner[place + 1 : place + 3].tolist():
                low, high = float(f"{edge:.6g}"), float(f"{upper:.6g}")
                inside = (numbers >= low) & (numbers < high)
                found.append(_Condition(name, f"{name} >= {low:.6g} AND {name} < {high:.6g}", inside))
        low, high = (float(f"{edge:.6g}") for edge in np.nanquantile(numbers, (TAIL, 1 - TAIL)))
        found += [_Condition(name, f"{name} < {low:.6g}", numbers < low)]
        found += [_Condition(name, f"{name} >= {high:.6g}", numbers >= high)]
    distinct = {c.where: c for c in found}
    return [c for c in distinct.values() if 0 < c.rows.sum() < len(column)]
