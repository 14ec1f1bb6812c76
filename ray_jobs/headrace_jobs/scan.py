"""A leaf of the plan: one file of a log counted against the references; and how two of them add up."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pyarrow as pa

from headrace_functions.errors import InvalidInput
from headrace_functions.statistics.sample import RowSample, logged_priorities, lowest, priorities
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.views import Array, ViewName, names
from headrace_jobs import inputs
from headrace_jobs.columns import Coded, Column, Numbers, Series, series
from headrace_jobs.content import content_of, has_content, text_hashes
from headrace_jobs.content import key as content_key
from headrace_jobs.inputs import LogFile
from headrace_jobs.statistics import history
from headrace_jobs.statistics.categories import CategoryPartial, CategoryReference
from headrace_jobs.statistics.numbers import GRID, NumberPartial, NumberReference
from headrace_jobs.statistics.order import Trend
from headrace_jobs.statistics.repeats import RowCounts, folded, group_priorities
from headrace_jobs.window import Window

Reference = NumberReference | CategoryReference
Summary = NumberPartial | CategoryPartial


@dataclass(frozen=True, slots=True)
class Task:
    """What every leaf needs besides its file. ``references`` by ``Column.key``; ``sample`` rows are kept raw."""

    window: Window
    columns: tuple[Column, ...]
    references: Mapping[str, Reference]
    sample: int = 0
    starts: tuple[int, ...] = ()
    """Starts of the window's chunks, microseconds since the epoch, ascending; none for a run without chunks."""
    coarse: Mapping[str, Reference] = field(default_factory=dict)
    """The references that chunks are counted against."""
    told_by: tuple[str, ...] = ()
    """Columns whose values together tell rows apart: those that count as equal may be repeats."""
    grouping: Column | None = None
    """The column of whose values the sample has whole groups of rows."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the window: rows that were answered, and the statistics of each view by key."""

    rows: int = 0
    failed: int = 0
    """Lines of exchanges that were refused or failed; they are not part of the statistics."""
    views: Mapping[str, Summary] = field(default_factory=dict)
    histories: Mapping[str, Array] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    """Columns that could not be read, with the reason."""
    lost: Mapping[str, int] = field(default_factory=dict)
    """Rows of files that lack a column, or whose column cannot be read, by column."""
    sample: RowSample | None = None
    chunks: "Mapping[int, Part]" = field(default_factory=dict)
    """Parts of the window's chunks by their place, those that have rows."""
    trends: Mapping[str, Trend] = field(default_factory=dict)
    """Of numbers with the time of their rows."""
    repeats: RowCounts | None = None
    """None where rows cannot be told apart."""

    def merge(self, other: "Part") -> "Part":
        return Part(
            self.rows + other.rows,
            self.failed + other.failed,
            {k: _add(self.views.get(k), other.views.get(k)) for k in {**self.views, **other.views}},
            {k: _sum(self.histories.get(k), other.histories.get(k)) for k in {**self.histories, **other.histories}},
            {**other.problems, **self.problems},
            {k: self.lost.get(k, 0) + other.lost.get(k, 0) for k in {**self.lost, **other.lost}},
            self.sample.merge(other.sample) if self.sample and other.sample else self.sample or other.sample,
            {k: _both(self.chunks.get(k), other.chunks.get(k)) for k in {**self.chunks, **other.chunks}},
            {k: _trend(self.trends.get(k), other.trends.get(k)) for k in {**self.trends, **other.trends}},
            repeats_of(self, other),
        )


def merge_all(*parts: Part) -> Part:
    """The sum of some parts, from left to right."""
    total = parts[0] if parts else Part()
    for part in parts[1:]:
        total = total.merge(part)
    return total


def scan(file: LogFile, task: Task) -> Part:
    """Count the rows of one file that are in the window and were answered; one column is in memory at a time."""
    words = [column.name for column in task.columns if _is_of_words(column)]
    answered = inputs.answered(inputs.open_parquet(ObjectStore(file.storage), file.key, words), task.window)
    if not answered.rows:
        return Part(failed=answered.failed)
    return count_rows(task, answered.times(), answered.numbers(), answered.column, answered.failed)


def count_rows(
    task: Task, times: Array, row: Array, column_of: Callable[[str], pa.ChunkedArray | None], failed: int = 0
) -> Part:
    """Count answered rows received at ``times`` (microseconds), with numbers ``row`` in their requests; columns by their name."""
    steps = history.step_of(times, *task.window.microseconds())
    priority = of_groups(task.grouping, column_of)
    leaf = _Leaf(task, times, steps, logged_priorities(times, row) if priority is None else priority)
    for column in task.columns:
        leaf.add(column, column_of(column.name))
    return leaf.part(failed)


def of_groups(column: Column | None, column_of: Callable[[str], pa.ChunkedArray | None]) -> Array | None:
    """Priorities by which a sample has whole groups; None where rows have no groups, or a file has not the column."""
    values = column_of(column.name) if column is not None else None
    if column is None or values is None:
        return None
    try:
        return group_priorities(next(iter(series(column.field, values).values())))
    except InvalidInput:
        return None  # said with the column itself


def _is_of_words(column: Column) -> bool:
    """Whether a column holds categories that are strings, which files keep as codes and a dictionary."""
    return column.field.dtype.name == "string" and any(view.kind == "category" for view in names(column.field))


class _Leaf:
    """What one file adds, gathered column by column."""

    def __init__(self, task: Task, times: Array, steps: Array, priority: Array) -> None:
        self._task = task
        self._rows = len(times)
        self._steps = steps
        self._stride = -(-self._rows // history.ROWS)
        self._chunks = _chunks(times, task.starts)
        self._times = (times - times.min()).astype(np.float64)
        self._hashes = np.zeros(self._rows, np.uint64)
        self._of_chunks: dict[int, dict[str, Summary]] = {place: {} for place in self._chunks}
        self._chosen = lowest(priority, task.sample)
        self._priority = priority[self._chosen]
        self._views: dict[str, Summary] = {}
        self._histories: dict[str, Array] = {}
        self._trends: dict[str, Trend] = {}
        self._raw: dict[str, Array] = {}
        self._problems: dict[str, str] = {}
        self._lost: dict[str, int] = {}

    def add(self, column: Column, values: pa.ChunkedArray | None) -> None:
        """Count one column; None is a column that the file has not."""
        if values is None:
            self._lost[column.name] = self._rows
            return
        try:
            found = series(column.field, values)
        except InvalidInput as error:
            self._problems[column.name] = error.message
            self._lost[column.name] = self._rows  # what cannot be read holds no value
            return
        if column.name in self._task.told_by:
            self._hashes = row_hashes(self._hashes, column, values, found)
        if self._task.sample and has_content(column.field):
            self._keep_content(column, values)
        for view, one in found.items():
            key = column.key(view)
            reference = self._task.references.get(key)
            if reference is None:
                continue
            self._views[key] = summary(one, reference, self._rows)
            self._histories[key] = history.count(one, self._steps, reference, self._stride)
            self._raw[key] = take(one, self._chosen)
            if isinstance(one, Numbers):
                self._trends[key] = Trend.of(one.values[:: self._stride], self._times[:: self._stride])
            for place, rows in self._chunks.items():
                self._of_chunks[place][key] = summary(pick(one, rows), self._task.coarse[key], len(rows))

    def _keep_content(self, column: Column, values: pa.ChunkedArray) -> None:
        found = content_of(column.field, values, self._chosen)
        if found is not None:
            self._raw[content_key(column)] = found

    def part(self, failed: int) -> Part:
        size = self._task.sample
        sample = RowSample(size, self._priority, self._raw) if size else None
        chunks = {
            place: Part(len(rows), views=self._of_chunks[place], lost=dict.fromkeys(self._lost, len(rows)))
            for place, rows in self._chunks.items()
        }
        told = self._task.told_by and not set(self._task.told_by) & set(self._lost)
        return Part(
            self._rows,
            failed,
            self._views,
            self._histories,
            self._problems,
            self._lost,
            sample,
            chunks,
            self._trends,
            RowCounts.of(self._hashes) if told else None,
        )


def _chunks(times: Array, starts: tuple[int, ...]) -> dict[int, Array]:
    """The rows of each chunk that has some."""
    if not starts:
        return {}
    places = np.searchsorted(np.array(starts), times, "right") - 1
    return {int(place): np.flatnonzero(places == place) for place in np.unique(places)}


def summary(one: Series, reference: Reference, rows: int) -> Summary:
    """The mergeable statistics of a series against its reference."""
    if isinstance(one, Numbers) and isinstance(reference, NumberReference):
        return NumberPartial.of(one.values, reference.grid)
    if isinstance(one, Coded) and isinstance(reference, CategoryReference):
        return CategoryPartial.of(one.counts(), rows, reference)
    raise TypeError("a series and its reference are of different kinds")


def reference(one: Series, name: str, sample: int, grid: int = GRID) -> Reference:
    """The reference of a series of the training data, with at most ``sample`` of its rows, chosen by ``name``."""
    if isinstance(one, Numbers):
        chosen = lowest(priorities(name, len(one.values)), sample)
        return NumberReference.of(one.values, one.values[chosen], grid)
    chosen = lowest(priorities(name, len(one.codes)), sample)
    return CategoryReference.of(one.counts(), len(one.codes), tuple(v for v in one.take(chosen) if v is not None))


def pick(one: Series, rows: Array) -> Series:
    """Some rows of a series as one."""
    return Numbers(one.values[rows]) if isinstance(one, Numbers) else Coded(one.codes[rows], one.values)


def take(one: Series, rows: Array) -> Array:
    """Some rows of a series: float64, or objects with None where missing."""
    return one.values[rows] if isinstance(one, Numbers) else one.take(rows)


def _add(a: Summary | None, b: Summary | None) -> Summary:
    if isinstance(a, NumberPartial) and isinstance(b, NumberPartial):
        return a.merge(b)
    if isinstance(a, CategoryPartial) and isinstance(b, CategoryPartial):
        return a.merge(b)
    one = a if b is None else b
    if one is None:
        raise TypeError("there is nothing to add")
    return one


def row_hashes(hashes: Array, column: Column, values: pa.ChunkedArray, found: Mapping[ViewName, Series]) -> Array:
    """Hashes of rows ``(n,)`` with one more column: of a text all of it, of other fields their views."""
    if column.field.is_scalar and column.field.profile == "text":
        return folded(hashes, text_hashes(values))
    for one in found.values():
        hashes = folded(hashes, one)
    return hashes


class Counted(Protocol):
    """What has rows that were told apart."""

    @property
    def rows(self) -> int: ...

    @property
    def repeats(self) -> RowCounts | None: ...


def repeats_of(a: Counted, b: Counted) -> RowCounts | None:
    """Of both parts; a part without rows says nothing, one whose rows cannot be told apart takes it from both."""
    if not a.rows or not b.rows:
        return a.repeats if a.rows else b.repeats
    return a.repeats.merge(b.repeats) if a.repeats and b.repeats else None


def _trend(a: Trend | None, b: Trend | None) -> Trend:
    return a.merge(b) if a is not None and b is not None else a or b or Trend()


def _both(a: Part | None, b: Part | None) -> Part:
    return a.merge(b) if a is not None and b is not None else a or b or Part()


def _sum(a: Array | None, b: Array | None) -> Array:
    return a if b is None and a is not None else b if a is None and b is not None else np.add(a, b)  # type: ignore[arg-type]
