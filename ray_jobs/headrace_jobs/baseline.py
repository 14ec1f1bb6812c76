"""What a window is compared with: the training data, or another window of the log."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace_functions.errors import InvalidInput
from headrace_functions.names import VersionId
from headrace_functions.profile import spread_rows
from headrace_functions.statistics.sample import lowest, priorities
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import Array, ViewName, names
from headrace_jobs import inputs, sampling
from headrace_jobs.attribution.training import shares
from headrace_jobs.columns import Column, Series, columns_of, series
from headrace_jobs.conditions import satisfied_in_training
from headrace_jobs.content import content_of, has_content
from headrace_jobs.content import key as content_key
from headrace_jobs.detectors.base import Rows
from headrace_jobs.execution import Executor
from headrace_jobs.importance import answers_of, importance
from headrace_jobs.inputs import LogFile
from headrace_jobs.report_text import FIXED, PREVIOUS, TRAINING, Words
from headrace_jobs.sampling import Progress, SampleTask
from headrace_jobs.scan import Reference, reference, row_hashes, take
from headrace_jobs.statistics.categories import CategoryReference
from headrace_jobs.statistics.identity import numbered
from headrace_jobs.statistics.numbers import GRID, NumberReference, grid_for
from headrace_jobs.statistics.repeats import RowCounts, group_priorities
from headrace_jobs.window import Window, rows_of

FEW_ROWS = 100
"""Rows that tell which inputs are numbers or times of rows."""
Ranking = Literal["shap", "variance", "severity"]
WHOLE_TRAINING = (
    "training data",
    "the condition reads what the training data do not have, so all their rows are the reference; --against previous holds both sides to it",
)


@dataclass(frozen=True, slots=True)
class Baseline:
    """References by key, the views they are of, and why some fields have none."""

    rows: int = 0
    references: Mapping[str, Reference] = field(default_factory=dict)
    views: Mapping[str, tuple[Column, ViewName]] = field(default_factory=dict)
    notes: tuple[tuple[str, str], ...] = ()
    sample: Rows = field(default_factory=Rows)
    """Some rows in random order."""
    importance: Mapping[str, float] = field(default_factory=dict)
    """How much the answers depend on an input, 0 to 1, where answers on training rows were kept."""
    ranking: Ranking = "severity"
    """What ``importance`` is: shares of mean |SHAP|, or of the answers' variance; without any, fields are ranked by severity."""
    told_by: tuple[str, ...] = ()
    """Columns whose values together tell rows apart."""
    repeats: RowCounts | None = None


@dataclass(frozen=True, slots=True)
class Against:
    """Which reference a run takes: the training data where ``window`` is None."""

    words: Words = TRAINING
    window: Window | None = None


def against_of(objects: ObjectStore, version: VersionId, text: str, window: Window) -> Against:
    """``training``, ``previous`` (as long as the window, or as many rows, right before it) or ``START/END``."""
    if text == "training":
        return Against()
    if text == "previous":
        count = rows_of(window.length)
        before = window.previous() if count is None else inputs.last_rows(objects, version, count, window)
        return Against(PREVIOUS, before)
    if "/" in text:
        return Against(FIXED, replace(Window.between(text), where=window.where, time=window.time))
    expected = "training, previous, or START/END in RFC 3339"
    raise InvalidInput(f"against: {text!r} is not a reference", field="against", expected=expected, got=repr(text))


def from_training(objects: ObjectStore, version: Version, sample: int, together: int) -> Baseline:
    """Training data for inputs, the model's own answers on it for outputs; ``together`` rows are kept whole."""
    return ranked(objects, version, counted(objects, version, sample, together))


def ranked(objects: ObjectStore, version: Version, base: Baseline) -> Baseline:
    """The baseline with the importance that an attribution of the training data found, where there is one by now."""
    shap = _by_view(shares(objects, version), base.views) if base.importance else {}
    return replace(base, importance=shap, ranking="shap") if shap else base


def counted(
    objects: ObjectStore,
    version: Version,
    sample: int,
    together: int,
    grouping: str | None = None,
    only: pa.BooleanArray | None = None,
) -> Baseline:
    """What depends on the version alone; with a ``grouping`` input rows are told apart by that alone. ``only`` masks training rows; None is all."""
    training, answers = _training(objects, version), inputs.read_answers(objects, version.id)
    rows = training.metadata.num_rows
    # Answers were kept of some of the rows: where these are, of all rows or of those that are chosen, and which answers are of them.
    places = np.arange(0) if answers is None else spread_rows(rows, answers.metadata.num_rows)
    inside = None
    if only is not None:
        kept = only.to_numpy(zero_copy_only=False)
        inside = pa.array(kept[places])
        rows, places = int(kept.sum()), (np.cumsum(kept) - 1)[places[kept[places]]]
    return count_training(
        version,
        rows,
        lambda name: _filtered(inputs.column(training, name), only),
        None if answers is None else lambda name: _filtered(inputs.column(answers, name), inside),
        places,
        (sample, together),
        grouping,
    )


def satisfying(objects: ObjectStore, version: Version, where: str) -> pa.BooleanArray | None:
    """A mask of the training rows that satisfy a condition; None for one that reads what training data do not have."""
    return satisfied_in_training(_training(objects, version), version.signature, where)


def _training(objects: ObjectStore, version: Version) -> pq.ParquetFile:
    training = inputs.read_training(objects, version)
    if training is None:
        raise InvalidInput(
            f"{version.id} has no training data to compare with",
            field="training-data",
            hint="add training-data to its definition and apply it again, or compare with --against previous",
        )
    return training


def _filtered(column: Any | None, mask: pa.BooleanArray | None) -> Any | None:
    return column if column is None or mask is None else column.filter(mask)


ColumnOf = Callable[[str], Any]
"""An Arrow column by its name, or None where there is no such column."""


def count_training(
    version: Version,
    rows: int,
    training: ColumnOf,
    answers: ColumnOf | None,
    places: Array,
    kept: tuple[int, int],
    grouping: str | None = None,
) -> Baseline:
    """The baseline of ``rows`` training rows, and of the answers on those at ``places``; ``kept`` rows are kept raw and whole."""
    sample, together = kept
    grid = grid_for(sampling.views_of(columns_of(version.signature)))
    references: dict[str, Reference] = {}
    views: dict[str, tuple[Column, ViewName]] = {}
    notes: list[tuple[str, str]] = []
    whole = {"input": dict[str, Array](), "output": dict[str, Array]()}
    outputs = _answers(version, answers)
    told, contents = (_Told(rows), _Told(rows)), dict[str, Array]()
    group = _group(version, training, grouping)
    order = priorities(str(version.id), rows) if group is None else group_priorities(group)
    chosen = lowest(order, together)
    groups = {"input": take(group, chosen)} if group is not None else {}
    importances: dict[str, float] = {}
    for column in columns_of(version.signature):
        of, name = (training, column.field.name) if column.side == "input" else (answers, column.name)
        values: Any | None = of(name) if of is not None else None
        if values is None:
            notes.append((column.field.name, _absent(column, of is not None)))
            continue
        try:
            found = series(column.field, values)
        except InvalidInput as error:
            notes.append((column.field.name, f"training data: {error.message}"))
            continue
        kept_rows = chosen if column.side == "input" else _of_answers(version, values, places, order, group, together)
        if group is not None and column.side == "output":
            groups["output"] = take(group, places[kept_rows])
        if together and has_content(column.field):
            inside = content_of(column.field, values, kept_rows)
            contents |= {content_key(column): inside} if inside is not None else {}
        for view, one in found.items():
            references[column.key(view)] = reference(one, column.side, sample, grid)
            views[column.key(view)] = (column, view)
            whole[column.side][column.key(view)] = take(one, kept_rows)
            share = importance(one, places, outputs) if column.side == "input" else None
            if share is not None:
                importances[column.key(view)] = share
        if column.side == "input" and grouping in (None, column.field.name):
            own = grouping is None and any(numbered(references[column.key(view)]) for view in found)
            told[own].add(column, values, found)
    # Inputs that tell the same explain the same variance, each all of it: what they share is shared out.
    whole_share = max(sum(importances.values()), 1.0)
    importances = {key: share / whole_share for key, share in importances.items()}
    ranking: Ranking = "variance" if importances else "severity"
    sampled = Rows(whole["input"], whole["output"], contents, groups)
    # A row that is sent again has another number and time, so these tell rows apart only where nothing else does.
    rows_told = told[0] if told[0].by else told[1]
    repeats = RowCounts.of(rows_told.hashes) if rows_told.by else None
    return Baseline(rows, references, views, tuple(notes), sampled, importances, ranking, tuple(rows_told.by), repeats)


class _Told:
    """Rows told apart by some columns."""

    def __init__(self, rows: int) -> None:
        self.hashes = np.zeros(rows, np.uint64)
        self.by: list[str] = []

    def add(self, column: Column, values: Any, found: Mapping[ViewName, Series]) -> None:
        self.hashes = row_hashes(self.hashes, column, values, found)
        self.by.append(column.name)


def _group(version: Version, training: ColumnOf, grouping: str | None) -> Series | None:
    """The column whose values are groups of rows; None where there is none that can be read."""
    named = [field for field in version.signature.inputs if field.name == grouping]
    values = training(named[0].name) if named else None
    if values is None:
        return None
    try:
        return next(iter(series(named[0], values).values()), None)
    except InvalidInput:
        return None  # noted with the column itself


def _of_answers(
    version: Version, values: Any, places: Array, order: Array, group: Series | None, together: int
) -> Array:
    """Which answers that were kept from training are kept raw; of rows in groups those of whole groups."""
    return lowest(priorities(str(version.id), len(values)) if group is None else order[places], together)


def _by_view(found: Mapping[str, float], views: Mapping[str, tuple[Column, ViewName]]) -> dict[str, float]:
    """Shares of features as those of views; a view that looks at a whole field has the sum of its features."""
    given: dict[str, float] = {}
    for key, (column, view) in views.items():
        if found and column.side == "input":
            field = column.field.name
            own = found.get(view.of(column.field))
            given[key] = (
                sum(v for n, v in found.items() if n == field or n.startswith(f"{field}[")) if own is None else own
            )
    return given


def _answers(version: Version, answers: ColumnOf | None) -> list[Array]:
    """The answers kept from training as numbers ``(n,)``, in the order of their rows."""
    found: list[Array] = []
    for column in columns_of(version.signature):
        values = answers(column.name) if answers is not None and column.side == "output" else None
        if values is None:
            continue
        try:
            read = series(column.field, values)
        except InvalidInput:
            continue  # ``from_training`` notes it
        for one in read.values():
            found += answers_of(one, np.arange(len(values)))
    return found


def from_log(
    objects: ObjectStore,
    version: Version,
    window: Window,
    sample: int,
    executor: Executor,
    progress: Progress,
    grouping: str | None = None,
) -> Baseline:
    """A window of the log itself: a random sample of its rows, always the same one, of at most ``sampling.ROWS``."""
    columns = columns_of(version.signature)
    files = inputs.log_files(objects, version.id, window)
    grid = grid_for(sampling.views_of(columns))
    told_by = told_by_first(files, window, columns) if grouping is None else ()
    told_by = told_by or tuple(c.name for c in columns if c.side == "input" and grouping in (None, c.field.name))
    group = next((c for c in columns if c.side == "input" and c.field.name == grouping), None)
    task = SampleTask(window, columns, sampling.size_for(columns), told_by=told_by, grouping=group)
    found = sampling.sample(files, task, executor, progress)
    references: dict[str, Reference] = {}
    views: dict[str, tuple[Column, ViewName]] = {}
    for column in columns:
        for view in names(column.field):
            key = column.key(view)
            if key in found.columns:
                references[key] = of_rows(found.columns[key], sample, grid)
                views[key] = (column, view)
    given, outputs = (
        {k: v for k, v in found.columns.items() if k in views and views[k][0].side == side}
        for side in ("input", "output")
    )
    own = next((v for k, v in given.items() if group is not None and views[k][0] == group), None)
    groups = {} if own is None else {"input": own, "output": own}
    kept = Rows(given, outputs, {k: v for k, v in found.columns.items() if k not in views}, groups)
    rows = len(next(iter(found.columns.values()))) if found.columns else 0
    fields = {column.name: column.field.name for column in columns}
    notes = tuple((fields[name], f"reference window: {problem}") for name, problem in found.problems.items())
    return Baseline(rows, references, views, notes, kept, told_by=told_by, repeats=found.repeats)


def told_by_first(files: Sequence[LogFile], window: Window, columns: Sequence[Column]) -> tuple[str, ...]:
    """Inputs that are not numbers or times of rows, by the first file that has some rows; none where there are too few."""
    for file in files[:8]:
        answered = inputs.answered(inputs.open_parquet(ObjectStore(file.storage), file.key), window)
        if answered.rows >= FEW_ROWS:
            return tuple(c.name for c in columns if c.side == "input" and not _numbers_rows(c, answered.column(c.name)))
    return ()


def _numbers_rows(column: Column, values: pa.ChunkedArray | None) -> bool:
    try:
        found = series(column.field, values) if values is not None else {}
    except InvalidInput:
        return False
    return any(numbered(reference(one, column.side, 0)) for one in found.values())


def of_rows(values: Array, sample: int, grid: int = GRID) -> Reference:
    """The reference of raw rows in random order: float64, or objects with None where missing."""
    if values.dtype != object:
        return NumberReference.of(values, values[:sample], grid)
    known = tuple(v for v in values.tolist() if v is not None)
    return CategoryReference.of(Counter(known), len(values), known[:sample])


def _absent(column: Column, answered: bool) -> str:
    if column.side == "input":
        return "the training data has no such column, so there is nothing to compare with"
    if answered:
        return "the answers kept from training have no such column"
    return "no answers on the training data were kept, so the outputs are not compared"
