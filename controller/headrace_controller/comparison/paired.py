"""What two versions answered to the same rows. Pure: columns in, figures out."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_controller.comparison import intervals
from headrace_controller.comparison.intervals import Array, Estimate
from headrace_functions.classes import spellings
from headrace_functions.logtable import output_column
from headrace_functions.signature import Field

CLOSE = 1e-6
"""Relative difference of two numbers that are the same answer."""
SHOWN = 20
LEAST = 30
"""Rows below which nothing is said of a difference."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pair:
    """One row that both have answered: columns of the log by name, the healthy flags of its metrics, and its label."""

    request_id: str
    row: int
    first: Row
    second: Row
    healthy: Mapping[str, tuple[bool, bool]] | None = None
    label: Any = None


@dataclass(frozen=True, slots=True)
class OutputComparison:
    name: str
    agreement: Estimate
    """Share of rows with the same answer."""
    mean_difference: Estimate | None
    """Of numbers, the second less the first."""
    correlation: float | None
    means: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of both, and the second less the first."""

    name: str
    first: float
    second: float
    difference: Estimate
    rows: int
    needed: int | None
    """Rows it would take to tell a difference of this size, where it is not told."""
    better: str
    """``first``, ``second`` or empty where it is not told."""


@dataclass(frozen=True, slots=True)
class Comparison:
    rows: int
    outputs: Sequence[OutputComparison]
    latency: Figure | None
    metrics: Sequence[Figure]
    quality: Figure | None
    differing: Sequence[Pair]
    """Rows that differ most, the most different first."""
    apart: Mapping[tuple[str, int], bool] = dataclasses.field(default_factory=dict)
    """Of each row whether any answer differs."""
    answers: Mapping[str, tuple[Sequence[float], Sequence[float]]] = dataclasses.field(default_factory=dict)
    """By output that is one number, or the last element of a vector, the answers of both, NaN where missing."""


def compare(outputs: Sequence[Field], pairs: Sequence[Pair], *, latency: bool) -> Comparison:
    """``outputs`` are those that both have; there is at least one pair. ``latency``: whether both were timed in the same way."""
    compared, distance = [], np.zeros(len(pairs))
    for field in outputs:
        found, apart = _output(field, pairs)
        compared.append(found)
        distance += apart
    worst = [i for i in np.argsort(-distance, kind="stable")[:SHOWN].tolist() if distance[i] > 0]
    return Comparison(
        len(pairs),
        compared,
        _latency(pairs) if latency else None,
        _metrics(pairs),
        _quality(outputs, pairs),
        [pairs[i] for i in worst],
        {(p.request_id, p.row): bool(d > 0) for p, d in zip(pairs, distance.tolist(), strict=True)},
        {
            _numbered(f): _answers(f, pairs)
            for f in outputs
            if f.dtype.is_number and f.profile != "categorical" and f.size
        },
    )


def _numbered(field: Field) -> str:
    """The name of an output's number that is drawn: of a vector the last element, the second of two classes."""
    return field.name if field.is_scalar else f"{field.name}[{(field.columns or range(field.size or 1))[-1]}]"


def _answers(field: Field, pairs: Sequence[Pair]) -> tuple[Sequence[float], Sequence[float]]:
    a, b = _matrices(pairs, output_column(field))
    return a[:, -1].tolist(), b[:, -1].tolist()


def _output(field: Field, pairs: Sequence[Pair]) -> tuple[OutputComparison, Array]:
    """The figures of one output, and how far apart the answers are by row: 0 the same, 1 for another word."""
    column = output_column(field)
    if not (field.dtype.is_number and field.profile != "categorical"):
        same = np.array([p.first.get(column) == p.second.get(column) for p in pairs])
        return OutputComparison(field.name, intervals.share(int(same.sum()), len(same)), None, None, None), ~same * 1.0
    a, b = _matrices(pairs, column)
    scale = np.maximum(np.abs(a), np.abs(b))
    same = ((np.abs(a - b) <= CLOSE * scale) | (np.isnan(a) & np.isnan(b))).all(axis=1)
    given = np.concatenate([a, b])
    given = given[np.isfinite(given)]
    spread = (given.std() if len(given) else 0.0) or 1.0
    apart = np.nan_to_num(np.abs(a - b), nan=float(spread)).max(axis=1) / spread
    agreement = intervals.share(int(same.sum()), len(same))
    if a.shape[1] > 1:
        return OutputComparison(field.name, agreement, None, None, None), np.where(same, 0.0, apart)
    x, y = a[:, 0], b[:, 0]
    known = np.isfinite(x) & np.isfinite(y)
    if known.sum() < 2:
        return OutputComparison(field.name, agreement, None, None, None), np.where(same, 0.0, apart)
    moving = x[known].std() > 0 and y[known].std() > 0
    correlation = float(np.corrcoef(x[known], y[known])[0, 1]) if moving else None
    means = (float(x[known].mean()), float(y[known].mean()))
    difference = intervals.mean_difference(y[known] - x[known])
    return OutputComparison(field.name, agreement, difference, correlation, means), np.where(same, 0.0, apart)


def _matrices(pairs: Sequence[Pair], column: str) -> tuple[Array, Array]:
    """The numbers of both in one column of the log."""
    return _matrix([p.first.get(column) for p in pairs]), _matrix([p.second.get(column) for p in pairs])


def _matrix(values: Sequence[Any]) -> Array:
    """Numbers as ``(n, k)``, NaN where missing or of another length."""
    rows = [v if isinstance(v, list) else [v] for v in values]
    width = max((len(r) for r in rows), default=1)
    return np.array(
        [[np.nan if v is None else float(v) for v in r] if len(r) == width else [np.nan] * width for r in rows]
    ).reshape(len(rows), width)


def _latency(pairs: Sequence[Pair]) -> Figure | None:
    """Median milliseconds, and the median of the differences, of the pairs that both have a latency; None without any."""
    timed = [p for p in pairs if p.first.get("latency_ms") is not None and p.second.get("latency_ms") is not None]
    if not timed:
        return None
    a, b = (side[:, 0] for side in _matrices(timed, "latency_ms"))
    found = intervals.median_difference(b - a)
    return _figure("latency", float(np.median(a)), float(np.median(b)), found, len(a), more_is_better=False)


def _metrics(pairs: Sequence[Pair]) -> list[Figure]:
    """The share of unhealthy rows by each metric that both have."""
    names = sorted({name for p in pairs for name in p.healthy or ()})
    found = []
    for name in names:
        both = [p.healthy[name] for p in pairs if p.healthy and name in p.healthy]
        a, b = (np.array([not pair[side] for pair in both]) for side in (0, 1))
        difference = intervals.difference_of_shares(a, b)
        found.append(_figure(f"{name} unhealthy", a.mean(), b.mean(), difference, len(a), more_is_better=False))
    return found


def _quality(outputs: Sequence[Field], pairs: Sequence[Pair]) -> Figure | None:
    """Accuracy where an output says a class, else the mean absolute error of a number; of the rows that have a label."""
    labelled = [p for p in pairs if p.label is not None]
    if not labelled:
        return None
    answer = class_of_row(outputs)
    if answer is not None:
        return _accuracy(labelled, answer)
    column = number_column(outputs, [p.label for p in labelled])
    if column is None:
        return None
    truth = np.array([float(p.label) for p in labelled])
    a, b = (np.abs(side[:, 0] - truth) for side in _matrices(labelled, column))
    known = np.isfinite(a) & np.isfinite(b)
    if not known.any():
        return None
    difference = intervals.mean_difference(b[known] - a[known])
    return _figure(
        "mean absolute error", a[known].mean(), b[known].mean(), difference, int(known.sum()), more_is_better=False
    )


def wrong_answers(outputs: Sequence[Field], rows: Sequence[Row], labels: Sequence[Any]) -> Array | None:
    """Of each row whether its answer is not its label, or of a number whether it is in the tenth that is furthest off; ``(n,)``, None where
    no output can be held against the labels."""
    answer = class_of_row(outputs)
    if answer is not None:
        return np.array([not same_class(answer(row), label) for row, label in zip(rows, labels, strict=True)], bool)
    number = number_column(outputs, labels)
    if number is None:
        return None
    off = np.abs(_matrix([row.get(number) for row in rows])[:, 0] - np.array([float(x) for x in labels]))
    return (off >= np.nanquantile(off, 0.9)) & (off > 0) if np.isfinite(off).any() else None


def class_of_row(outputs: Sequence[Field]) -> Callable[[Row], Any] | None:
    """What reads the class that a row was given; None where no output says one."""
    for field in outputs:
        if field.columns and field.dtype.is_number and field.size == len(field.columns) > 1:
            return lambda row, f=field: _most_likely(f, row)  # type: ignore[misc]
    for field in outputs:
        if field.is_scalar and (field.profile == "categorical" or not field.dtype.is_number):
            return lambda row, f=field: row.get(output_column(f))  # type: ignore[misc]
    return None


def number_column(outputs: Sequence[Field], labels: Sequence[Any]) -> str | None:
    """The column of the number that is predicted; None where no output is one number, or labels are none."""
    numbers = [f for f in outputs if f.is_scalar and f.dtype.is_number]
    if not numbers or not all(isinstance(x, int | float) and not isinstance(x, bool) for x in labels):
        return None
    return output_column(numbers[0])


def _accuracy(pairs: Sequence[Pair], answer: Callable[[Row], Any]) -> Figure:
    a = np.array([same_class(answer(p.first), p.label) for p in pairs])
    b = np.array([same_class(answer(p.second), p.label) for p in pairs])
    difference = intervals.difference_of_shares(a, b)
    return _figure("accuracy", a.mean(), b.mean(), difference, len(a), more_is_better=True)


def _most_likely(field: Field, row: Row) -> Any:
    values = row.get(output_column(field))
    return (field.columns or ())[int(np.argmax(values))] if values else None


def same_class(answer: Any, label: Any) -> bool:
    """Whether they are one class, however spelled: 1, 1.0, true and "1" are one."""
    return answer is not None and not set(spellings(answer)).isdisjoint(spellings(label))


def _figure(name: str, first: float, second: float, difference: Estimate, rows: int, *, more_is_better: bool) -> Figure:
    told = difference.told and rows >= LEAST
    better = "" if not told else "second" if (difference.value > 0) is more_is_better else "first"
    needed = intervals.rows_needed(difference, rows) if rows >= LEAST else None
    return Figure(name, float(first), float(second), difference, rows, needed, better)
