"""Raw rows of a window: a bounded random sample with every field, for what needs whole rows instead of counts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_functions.errors import InvalidInput
from headrace_functions.statistics.sample import RowSample, logged_priorities, lowest
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.views import Array, ViewName, names
from headrace_jobs import inputs
from headrace_jobs.columns import Column, Series, series
from headrace_jobs.content import content_of, has_content
from headrace_jobs.content import key as content_key
from headrace_jobs.execution import Executor
from headrace_jobs.inputs import LogFile
from headrace_jobs.plan import ROOT, by_leaf, tree
from headrace_jobs.scan import of_groups, repeats_of, row_hashes, take
from headrace_jobs.statistics.repeats import RowCounts
from headrace_jobs.window import Window

ROWS = 100_000
"""Rows of a sample, at most."""
CELLS = 10_000_000
"""Values of a sample, at most: of a wide table there are fewer rows."""
REQUEST, ROW, RECEIVED = "request_id", "row", "received"
"""Columns that a sample with ``identified`` has besides the views."""

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class SampleTask:
    """What every leaf needs besides its file."""

    window: Window
    columns: tuple[Column, ...]
    size: int
    identified: bool = False
    """Whether rows bear their request id, number and time."""
    wanted: tuple[str, int] | None = None
    """Request id and number of a row that the sample shall have if the window has it."""
    grouping: Column | None = None
    """The column of whose values the sample has whole groups of rows."""
    told_by: tuple[str, ...] = ()
    """Columns whose values together tell rows apart; with some of them rows bear the content of texts and vectors too."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """Answered rows of a part of the window, and some of them raw: ``sample.columns`` by ``Column.key``."""

    rows: int = 0
    failed: int = 0
    sample: RowSample | None = None
    problems: Mapping[str, str] = field(default_factory=dict)
    repeats: RowCounts | None = None

    def merge(self, other: "Sampled") -> "Sampled":
        return Sampled(
            self.rows + other.rows,
            self.failed + other.failed,
            self.sample.merge(other.sample) if self.sample and other.sample else self.sample or other.sample,
            {**other.problems, **self.problems},
            repeats_of(self, other),
        )

    @property
    def columns(self) -> Mapping[str, Array]:
        return self.sample.columns if self.sample is not None else {}


def sample(
    files: Sequence[LogFile], task: SampleTask, executor: Executor, progress: Progress, what: str = "reference files"
) -> Sampled:
    """The sample of a window, always the same one for the same log."""
    whole: Sampled = executor.run(
        tree([(sample_file, file, task) for file in files], merge_all), ROOT, by_leaf(len(files), progress, what)
    )
    return whole


def size_for(columns: Sequence[Column], wanted: int = ROWS) -> int:
    """Rows that a sample of all views of these columns may have."""
    return min(wanted, max(1, CELLS // max(1, views_of(columns))))


def views_of(columns: Sequence[Column]) -> int:
    """How many views these columns have."""
    return sum(len(names(c.field)) for c in columns)


def sample_file(file: LogFile, task: SampleTask) -> Sampled:
    """The rows of lowest priority of one file."""
    answered = inputs.answered(inputs.open_parquet(ObjectStore(file.storage), file.key), task.window)
    if not answered.rows:
        return Sampled(failed=answered.failed)
    times, row = answered.times(), answered.numbers()
    priority = of_groups(task.grouping, answered.column)
    priority = logged_priorities(times, row) if priority is None else priority
    if task.wanted is not None:
        priority[_is(answered, row, *task.wanted)] = 0
    chosen = lowest(priority, task.size)
    raw: dict[str, Array] = {}
    problems: dict[str, str] = {}
    if task.identified:
        ids = answered.column(REQUEST)
        named = [None] * len(chosen) if ids is None else ids.cast(pa.string()).take(pa.array(chosen)).to_pylist()
        raw = {REQUEST: np.array(named, object), ROW: row[chosen], RECEIVED: times[chosen]}
    hashes, told = np.zeros(answered.rows, np.uint64), set[str]()
    for column in task.columns:
        values = answered.column(column.name)
        read = _read(column, values, problems)
        raw |= _views(column, read, chosen)
        if column.name in task.told_by and read:
            hashes = row_hashes(hashes, column, values, read)
            told.add(column.name)
        if task.told_by and read and has_content(column.field):
            inside = content_of(column.field, values, chosen)
            raw |= {content_key(column): inside} if inside is not None else {}
    repeats = RowCounts.of(hashes) if told and told == set(task.told_by) else None
    return Sampled(answered.rows, answered.failed, RowSample(task.size, priority[chosen], raw), problems, repeats)


def merge_all(*parts: Sampled) -> Sampled:
    """The sum of some parts, from left to right."""
    total = parts[0] if parts else Sampled()
    for part in parts[1:]:
        total = total.merge(part)
    return total


def _is(answered: inputs.Answered, row: Array, request_id: str, number: int) -> Array:
    ids = answered.column(REQUEST)
    if ids is None:
        return np.zeros(answered.rows, bool)
    same = pc.fill_null(pc.equal(ids.cast(pa.string()), request_id), False).to_numpy(zero_copy_only=False)
    return np.asarray(same & (row == number))


def _read(column: Column, values: pa.ChunkedArray | None, problems: dict[str, str]) -> Mapping[ViewName, Series]:
    """The views of a column; none of one that is not there, or that cannot be read."""
    if values is None:
        return {}
    try:
        return series(column.field, values)
    except InvalidInput as error:
        problems[column.name] = error.message
        return {}


def _views(column: Column, read: Mapping[ViewName, Series], chosen: Array) -> dict[str, Array]:
    """Chosen rows of each view; those of a column without views are missing throughout."""
    if read:
        return {column.key(view): take(one, chosen) for view, one in read.items()}
    return {column.key(view): _nothing(view, len(chosen)) for view in names(column.field)}


def _nothing(view: ViewName, rows: int) -> Array:
    return np.full(rows, np.nan) if view.kind == "number" else np.full(rows, None, object)
