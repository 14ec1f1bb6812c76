"""Rows of a window that are worth an explanation: a sample, the outliers, or those least like the training data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from headrace_functions.attribution.features import matrix
from headrace_functions.logtable import input_column
from headrace_functions.signature import Field
from headrace_functions.statistics.sample import RowSample, logged_priorities, lowest
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import Array
from headrace_jobs import inputs
from headrace_jobs.attribution.training_similarity import unlike
from headrace_jobs.execution import Executor
from headrace_jobs.inputs import LogFile
from headrace_jobs.outliers.training import learn
from headrace_jobs.outliers.window import Scored, Task, score_file
from headrace_jobs.outliers.window import merge_all as merge_scored
from headrace_jobs.plan import ROOT, by_leaf, tree
from headrace_jobs.sampling import RECEIVED, REQUEST, ROW, Sampled, merge_all
from headrace_jobs.window import EPOCH, Window

Choice = Literal["sample", "outliers", "drifted", "training"]
CHOICES: tuple[Choice, ...] = ("sample", "outliers", "drifted", "training")
LOOKED_AT = 2000
"""Rows of the window among which those least like training are looked for."""
RATE = 0.01
"""False alarms of the detector that says what an outlier is."""

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Rows ``(n, d)`` of features with what each is; ``why`` is the outlier's or the domain's score, None in a sample."""

    rows: Array
    ids: tuple[str, ...]
    numbers: tuple[int, ...]
    received: tuple[str, ...]
    why: tuple[float, ...] | None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class RawTask:
    """What every leaf needs besides its file."""

    window: Window
    fields: tuple[Field, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Looking:
    """Where rows are looked for, and how many are wanted."""

    objects: ObjectStore
    version: Version
    window: Window
    count: int
    executor: Executor
    progress: Progress

    def run(self, leaf: Callable[..., Any], task: Any, merge: Callable[..., Any]) -> Any:
        files = inputs.log_files(self.objects, self.version.id, self.window)
        done = by_leaf(len(files), self.progress)
        return self.executor.run(tree([(leaf, f, task) for f in files], merge), ROOT, done)


def choose_rows(looking: Looking, choice: Choice, background: Array) -> Chosen:
    """The rows, always the same ones for the same log; none where the window has none."""
    if choice == "outliers":
        return _outliers(looking)
    if choice == "training":
        rows = background[: looking.count]
        names = tuple(f"training-{i}" for i in range(len(rows)))
        return Chosen(rows, names, (0,) * len(rows), ("",) * len(rows), None)
    if choice == "sample":
        return _sampled(looking, looking.count)
    found = _sampled(looking, LOOKED_AT)
    scores = unlike(background, found.rows)
    kept = np.argsort(-scores, kind="stable")[: looking.count].tolist()
    return Chosen(
        found.rows[kept],
        tuple(found.ids[i] for i in kept),
        tuple(found.numbers[i] for i in kept),
        tuple(found.received[i] for i in kept),
        tuple(float(scores[i]) for i in kept),
    )


def sample_raw(file: LogFile, task: RawTask) -> Sampled:
    """The rows of lowest priority of one file, each field as Python values."""
    answered = inputs.answered(inputs.open_parquet(ObjectStore(file.storage), file.key), task.window)
    if not answered.rows:
        return Sampled(failed=answered.failed)
    times, row = answered.times(), answered.numbers()
    priority = logged_priorities(times, row)
    chosen = lowest(priority, task.size)
    ids = answered.column(REQUEST)
    raw = {
        REQUEST: _objects([None] * len(chosen) if ids is None else ids.take(pa.array(chosen)).to_pylist()),
        ROW: row[chosen],
        RECEIVED: times[chosen],
    }
    for field in task.fields:
        column = answered.column(input_column(field))
        raw[input_column(field)] = _objects(
            [None] * len(chosen) if column is None else column.take(pa.array(chosen)).to_pylist()
        )
    return Sampled(answered.rows, answered.failed, RowSample(task.size, priority[chosen], raw))


def _sampled(looking: Looking, size: int) -> Chosen:
    fields = looking.version.signature.inputs
    found: Sampled = looking.run(sample_raw, RawTask(looking.window, fields, size), merge_all)
    columns = found.columns
    if not columns:
        return Chosen(np.empty((0, 0), object), (), (), (), None)
    return Chosen(
        _matrix(looking.version, {f.name: columns[input_column(f)].tolist() for f in fields}),
        tuple(str(i) for i in columns[REQUEST]),
        tuple(int(n) for n in columns[ROW]),
        tuple(_moment(EPOCH + timedelta(microseconds=int(t))) for t in columns[RECEIVED]),
        None,
    )


def _outliers(looking: Looking) -> Chosen:
    learnt = learn(looking.objects, looking.version)
    fields = {f.name: f for f in looking.version.signature.inputs}
    task = Task(looking.window, learnt.detector, tuple(fields.values()), 1 - RATE)
    found: Scored = looking.run(score_file, task, merge_scored)
    worst = found.worst[: looking.count]
    if not worst:
        return Chosen(np.empty((0, 0), object), (), (), (), None)
    return Chosen(
        _matrix(looking.version, {name: [w.given[name] for w in worst] for name in fields}),
        tuple(w.request_id for w in worst),
        tuple(w.row for w in worst),
        tuple(_moment(w.received) for w in worst),
        tuple(w.score for w in worst),
    )


def _matrix(version: Version, columns: Mapping[str, list[Any]]) -> Array:
    """Rows as features; a missing tensor is one of missing numbers."""
    filled = {
        f.name: columns[f.name]
        if f.is_scalar
        else [[None] * (f.size or 1) if value is None else value for value in columns[f.name]]
        for f in version.signature.inputs
    }
    return matrix(version.signature, filled)


def _objects(values: list[Any]) -> Array:
    return np.array([*values, None], object)[:-1] if not any(isinstance(v, list) for v in values) else _lists(values)


def _lists(values: list[Any]) -> Array:
    found = np.empty(len(values), object)
    found[:] = values
    return found


def _moment(moment: Any) -> str:
    return str(moment.isoformat().replace("+00:00", "Z"))
