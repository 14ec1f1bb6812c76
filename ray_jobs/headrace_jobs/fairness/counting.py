"""A leaf of the plan: the rows of one file by group, answer and label; and how two of them add up."""

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from headrace_functions.classes import text_of
from headrace_functions.logtable import input_column, output_column
from headrace_functions.signature import Field
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.views import Array
from headrace_jobs import inputs
from headrace_jobs.columns import Coded, series
from headrace_jobs.inputs import LogFile
from headrace_jobs.performance.labels import KEYS, join
from headrace_jobs.performance.problem import codes, floats
from headrace_jobs.window import Window

MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Answer:
    """Which output holds the answer: ``threshold`` for a probability, the place of the positive class in ``names`` else."""

    field: Field
    positive: str
    names: tuple[str, ...] = ()
    threshold: float | None = None

    def selected(self, column: Any) -> Array:
        """Whether each answer of an Arrow column is the good one, float64 with NaN where it is missing."""
        if self.threshold is not None:
            values = floats(column)
            return np.where(np.isnan(values), np.nan, values >= self.threshold)
        if self.field.is_scalar:
            given = codes(column, (self.positive,))
            missing = np.asarray(column.is_null().to_numpy(zero_copy_only=False), bool)
            return np.where(missing, np.nan, given == 0)
        place = self.names.index(self.positive)
        rows = column.to_pylist()
        return np.array([np.nan if not r else float(int(np.argmax(r)) == place) for r in rows], np.float64)


@dataclass(frozen=True, slots=True)
class Task:
    """What every leaf needs besides its file. ``edges`` cut a number into groups; ``labels`` as in ``performance``."""

    window: Window
    group: Field
    edges: tuple[float, ...]
    answer: Answer
    labels: pa.Table | None


@dataclass(frozen=True, slots=True)
class Grouped:
    """Rows by group: all with an answer, those selected, those labelled, deserving (label is positive), and both."""

    rows: Counter[str] = field(default_factory=Counter)
    selected: Counter[str] = field(default_factory=Counter)
    deserving: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    labelled: int = 0
    failed: int = 0
    unread: int = 0

    def merge(self, other: "Grouped") -> "Grouped":
        return Grouped(
            self.rows + other.rows,
            self.selected + other.selected,
            self.deserving + other.deserving,
            self.hits + other.hits,
            self.labelled + other.labelled,
            self.failed + other.failed,
            self.unread + other.unread,
        )


def merge_all(*parts: Grouped) -> Grouped:
    total = parts[0] if parts else Grouped()
    for part in parts[1:]:
        total = total.merge(part)
    return total


def count_file(file: LogFile, task: Task) -> Grouped:
    """Count the answered rows of one file that are in the window."""
    answered = inputs.answered(inputs.open_parquet(ObjectStore(file.storage), file.key), task.window)
    given, said = answered.column(input_column(task.group)), answered.column(output_column(task.answer.field))
    if not answered.rows or given is None or said is None:
        return Grouped(failed=answered.failed, unread=answered.rows)
    names = group_names(task.group, given, task.edges)
    selected = task.answer.selected(said)
    known = ~np.isnan(selected)
    good = known & (selected == 1)
    deserving, labelled = _deserving(answered, file, task)
    return Grouped(
        Counter(names[known].tolist()),
        Counter(names[good].tolist()),
        Counter(names[known & deserving].tolist()),
        Counter(names[good & deserving].tolist()),
        labelled,
        answered.failed,
        int((~known).sum()),
    )


def group_names(field: Field, column: Any, edges: tuple[float, ...]) -> Array:
    """The group of each row: a category as it is written, a number by the interval that it lies in."""
    (found,) = series(field, column).values()
    if isinstance(found, Coded):
        named = np.array([*(text_of(v) for v in found.values), MISSING], object)
        return np.asarray(named[found.codes])
    labels = np.array([*_intervals(edges), MISSING], object)
    places = np.searchsorted(np.array(edges), found.values, "left")
    return np.asarray(labels[np.where(np.isnan(found.values), len(labels) - 1, places)])


def _intervals(edges: tuple[float, ...]) -> Mapping[str, None]:
    shown = [f"{e:.6g}" for e in edges]
    if not shown:
        return {"all": None}
    middle = [f"{a} to {b}" for a, b in itertools.pairwise(shown)]
    return dict.fromkeys([f"≤ {shown[0]}", *middle, f"> {shown[-1]}"])


def _deserving(answered: inputs.Answered, file: LogFile, task: Task) -> tuple[Array, int]:
    """Rows whose label is the positive one, and how many have a label."""
    found = np.zeros(answered.rows, bool)
    requests, rows = (answered.column(key) for key in KEYS)
    if task.labels is None or requests is None or rows is None:
        return found, 0
    places, labels = join(requests, rows, task.labels, file.key)
    found[places] = codes(labels, (task.answer.positive,)) == 0
    return found, len(places)
