"""Counting the rows of a window for their metrics: a leaf of the plan, and how two of them add up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from headrace_functions.statistics.sample import RowSample, lowest
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.views import Array
from headrace_jobs import inputs
from headrace_jobs.columns import Column
from headrace_jobs.inputs import LogFile
from headrace_jobs.performance.cbpe import Known
from headrace_jobs.performance.features import Encoding, encode
from headrace_jobs.performance.labels import KEYS, join
from headrace_jobs.performance.metrics import Errors
from headrace_jobs.performance.problem import Classes, Number, Problem, codes, floats
from headrace_jobs.performance.scores import count
from headrace_jobs.window import Window

SAMPLE = 20_000
"""Rows of a window that are kept with their inputs; of more, those of lowest priority. Of two classes the scores of all rows are counted too."""
JUDGED = 100_000
"""Labelled rows that a metric of the user's own sees."""
ANSWER, ACTUAL = "answer", "actual"

_STRANGER, _UNLABELLED = -1, -2  # places of classes that are none
_LAST = np.uint64(2**64 - 1)


@dataclass(frozen=True, slots=True)
class Task:
    """What every leaf needs besides its file. ``labels`` has ``request_id``, ``row`` and ``label``."""

    window: Window
    problem: Problem
    labels: pa.Table | None
    encodings: Mapping[str, Encoding] = field(default_factory=dict)
    columns: tuple[Column, ...] = ()
    judged: bool = False
    """Whether labelled rows are kept as they are, for a metric of the user's own."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Rows of a part of the window that were answered."""

    rows: int = 0
    failed: int = 0
    unusable: int = 0
    """Rows without a usable answer: missing, or no probability."""
    strangers: int = 0
    """Labels that are no class of the model, or no number."""
    scores: Array | None = None
    known: Known | None = None
    errors: Errors = field(default_factory=Errors)
    sample: RowSample | None = None
    judged: RowSample | None = None
    """Labelled rows: ``ACTUAL``, ``ANSWER``, and of classes ``p0``, ``p1``…; at most ``JUDGED``, of more those of lowest priority."""

    @property
    def labelled(self) -> int:
        return self.known.rows if self.known is not None else self.errors.rows

    @property
    def usable(self) -> int:
        return self.rows - self.unusable

    def merge(self, other: "Counted") -> "Counted":
        return Counted(
            self.rows + other.rows,
            self.failed + other.failed,
            self.unusable + other.unusable,
            self.strangers + other.strangers,
            _sum(self.scores, other.scores),
            self.known.merge(other.known) if self.known and other.known else self.known or other.known,
            self.errors.merge(other.errors),
            self.sample.merge(other.sample) if self.sample and other.sample else self.sample or other.sample,
            self.judged.merge(other.judged) if self.judged and other.judged else self.judged or other.judged,
        )


def merge_all(*parts: Counted) -> Counted:
    """The sum of some parts, from left to right."""
    total = parts[0] if parts else Counted()
    for part in parts[1:]:
        total = total.merge(part)
    return total


def count_file(file: LogFile, task: Task) -> Counted:
    """Count the rows of one file that are in the window and were answered."""
    parquet = inputs.open_parquet(ObjectStore(file.storage), file.key)
    answered = inputs.answered(parquet, task.window)
    if not answered.rows:
        return Counted(failed=answered.failed)
    columns = {name: answered.column(name) for name in task.problem.columns}
    if any(column is None for column in columns.values()):
        return Counted(answered.rows, answered.failed, unusable=answered.rows)
    places, labels = _labels_of(answered, file, task.labels)
    if isinstance(task.problem, Classes):
        return _classes(task, task.problem, answered, columns, (places, labels))
    return _numbers(task.problem, task, answered, places, labels)


def known_classes(probabilities: Array, answered: Array, actual: Array, *, binary: bool) -> Known:
    """Counts of rows whose class is known: ``actual`` ``(n,)`` is its place among the classes."""
    places = [1] if binary else range(probabilities.shape[1])
    positives = []
    for i, place in enumerate(places):
        rows = actual == place
        positives.append(count(probabilities[rows, i : i + 1], answered[rows, i : i + 1])[0])
    of_class = np.stack(positives)
    return Known(of_class, count(probabilities, answered) - of_class)


def _labels_of(answered: inputs.Answered, file: LogFile, labels: pa.Table | None) -> tuple[Array, Any]:
    if labels is None:
        return np.empty(0, np.int64), None
    request_ids, rows = (answered.column(name) for name in KEYS)
    return join(request_ids, rows, labels, file.key)


def _classes(
    task: Task,
    problem: Classes,
    answered: inputs.Answered,
    columns: Mapping[str, Any],
    labelled: tuple[Array, Any],
) -> Counted:
    places, labels = labelled
    usable, probabilities, chosen = problem.read(columns)
    priority = answered.priorities()[usable]
    inside = lowest(priority, SAMPLE)
    sample = RowSample(
        SAMPLE,
        priority[inside],
        {**_raw(probabilities[inside], chosen[inside]), **_features(task, answered, np.flatnonzero(usable)[inside])},
    )
    known, strangers, judged = None, 0, None
    if labels is not None:
        actual = np.full(answered.rows, _UNLABELLED)
        actual[places] = codes(labels, problem.names)
        strangers = int((actual == _STRANGER).sum())
        actual = actual[usable]
        have = actual >= 0
        known = known_classes(probabilities[have], chosen[have], actual[have], binary=problem.binary)
        if task.judged:
            raw = {ACTUAL: actual[have], **_raw(probabilities[have], chosen[have])}
            judged = _kept(priority[have], raw, JUDGED)
    unusable = int((~usable).sum())
    scores = count(probabilities, chosen)
    return Counted(answered.rows, answered.failed, unusable, strangers, scores, known, sample=sample, judged=judged)


def _numbers(problem: Number, task: Task, answered: inputs.Answered, places: Array, labels: Any) -> Counted:
    answers = problem.read({problem.columns[0]: answered.column(problem.columns[0])})
    usable, priority = np.isfinite(answers), answered.priorities()
    errors, strangers, judged = Errors(), 0, None
    if labels is not None:
        actual = numbers_of(labels)
        strangers = int((~np.isfinite(actual)).sum())
        have = np.isfinite(actual) & usable[places]
        errors = Errors.of(answers[places][have], actual[have])
        if task.judged:
            raw = {ACTUAL: actual[have], ANSWER: answers[places][have]}
            judged = _kept(priority[places][have], raw, JUDGED)
    priority = np.where(usable, priority, _LAST)
    chosen = lowest(priority, min(SAMPLE, int(usable.sum())))
    raw = {ANSWER: answers[chosen], **_features(task, answered, chosen)}
    sample = RowSample(SAMPLE, priority[chosen], raw)
    return Counted(
        answered.rows, answered.failed, int((~usable).sum()), strangers, errors=errors, sample=sample, judged=judged
    )


def _features(task: Task, answered: inputs.Answered, rows: Array) -> dict[str, Array]:
    """The inputs of some rows as numbers, by key."""
    found: dict[str, Array] = {}
    for column in task.columns:
        found |= encode(column, answered.column(column.name), task.encodings, rows)
    return found


def answered_places(answered: Array) -> Array:
    """The place of the answered class ``(n,)`` of ``(n, k)``, -1 for none; k is 1 for two classes."""
    if answered.shape[1] == 1:
        return np.asarray(answered[:, 0].astype(np.int64))
    return np.where(answered.any(axis=1), answered.argmax(axis=1), -1)


def probabilities_of(sample: RowSample) -> Array:
    """The probabilities ``(m, k)`` of sampled rows of classes; keys of inputs are no such names."""
    count = sum(name.startswith("p") and name[1:].isdigit() for name in sample.columns)
    return np.column_stack([sample.columns[f"p{i}"] for i in range(count)])


def _raw(probabilities: Array, answered: Array) -> dict[str, Array]:
    return {ANSWER: answered_places(answered), **{f"p{i}": column for i, column in enumerate(probabilities.T)}}


def _kept(priority: Array, columns: Mapping[str, Array], size: int) -> RowSample:
    chosen = lowest(priority, size)
    return RowSample(size, priority[chosen], {name: column[chosen] for name, column in columns.items()})


def numbers_of(labels: Any) -> Array:
    """Labels as float64 ``(n,)``, NaN for what is no number."""
    if pa.types.is_string(labels.type) or pa.types.is_large_string(labels.type):
        return np.array([_number(text) for text in labels.to_pylist()], np.float64)
    return floats(labels)


def _number(text: str | None) -> float:
    try:
        return np.nan if text is None or "_" in text else float(text)
    except ValueError:
        return np.nan


def _sum(a: Array | None, b: Array | None) -> Array | None:
    if a is None or b is None:
        return a if b is None else b
    return np.asarray(a + b)
