"""A leaf of the plan: the rows of one file scored; and how two of them add up."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from headrace_functions.errors import InvalidInput
from headrace_functions.logtable import input_column
from headrace_functions.signature import Field
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.views import Array
from headrace_jobs import inputs
from headrace_jobs.inputs import LogFile
from headrace_jobs.outliers.scorer import CHUNK, Detector
from headrace_jobs.outliers.series import POINTS
from headrace_jobs.outliers.training import columns_of
from headrace_jobs.statistics.history import STEPS, step_of
from headrace_jobs.window import Window

WORST = 50
"""Rows that a report names."""
SLICE = CHUNK


@dataclass(frozen=True, slots=True)
class Task:
    """What every leaf needs besides its file. A row is an outlier iff its value is above ``threshold``."""

    window: Window
    detector: Detector
    fields: tuple[Field, ...]
    threshold: float


@dataclass(frozen=True, slots=True)
class Worst:
    """A row that the report may name: ``encoded`` is its line of the matrix, ``given`` its inputs by field."""

    score: float
    value: float
    request_id: str
    row: int
    received: Any
    encoded: Array
    given: Mapping[str, Any]

    @property
    def rank(self) -> tuple[float, str, int]:
        """The most unusual first; ties by what the row is, so that the order of files does not matter."""
        return -self.score, self.request_id, self.row


@dataclass(frozen=True, slots=True)
class Scored:
    """A part of the window. ``rows`` and ``outliers`` are by step of the window's time, ``(STEPS,)``."""

    rows: Array = field(default_factory=lambda: np.zeros(STEPS, np.int64))
    outliers: Array = field(default_factory=lambda: np.zeros(STEPS, np.int64))
    failed: int = 0
    unread: int = 0
    """Answered rows of files that lack an input, or have it as another type."""
    worst: tuple[Worst, ...] = ()
    series: Array = field(default_factory=lambda: np.zeros(POINTS, np.int64))
    """Answered rows by finer pieces of the window's time, ``(POINTS,)``."""

    def merge(self, other: "Scored") -> "Scored":
        worst = tuple(sorted((*self.worst, *other.worst), key=lambda w: w.rank)[:WORST])
        return Scored(
            self.rows + other.rows,
            self.outliers + other.outliers,
            self.failed + other.failed,
            self.unread + other.unread,
            worst,
            self.series + other.series,
        )


def merge_all(*parts: Scored) -> Scored:
    total = parts[0] if parts else Scored()
    for part in parts[1:]:
        total = total.merge(part)
    return total


def score_file(file: LogFile, task: Task) -> Scored:
    """Score the answered rows of one file that are in the window."""
    answered = inputs.answered(inputs.open_parquet(ObjectStore(file.storage), file.key), task.window)
    if not answered.rows:
        return Scored(failed=answered.failed)
    columns = _columns(answered, task)
    if columns is None:
        return Scored(failed=answered.failed, unread=answered.rows)
    scores, values = _score(task.detector, columns, answered.rows)
    times = answered.received.cast(pa.int64()).to_numpy(zero_copy_only=False)
    steps = step_of(times, *task.window.microseconds())
    unusual = values > task.threshold
    return Scored(
        np.bincount(steps, minlength=STEPS),
        np.bincount(steps[unusual], minlength=STEPS),
        answered.failed,
        0,
        _worst(answered, task, columns, scores, values),
        np.bincount(_points(times, task.window), minlength=POINTS),
    )


def _points(times: Array, window: Window) -> Array:
    """The piece ``0 … POINTS - 1`` of each time in microseconds."""
    since, until = window.microseconds()
    return np.asarray(np.minimum((times - since) * POINTS // max(until - since, 1), POINTS - 1))


def _columns(answered: inputs.Answered, task: Task) -> dict[str, Sequence[Array]] | None:
    """The columns of each field of the detector, or None where the file cannot be read so."""
    found: dict[str, Sequence[Array]] = {}
    fields = {f.name: f for f in task.fields}
    for code in task.detector.encoding.fields:
        column = answered.column(input_column(fields[code.name]))
        if column is None:
            return None
        try:
            found[code.name] = columns_of(code, fields[code.name], column)
        except InvalidInput:
            return None  # the report counts these rows
    return found


def _score(detector: Detector, columns: Mapping[str, Sequence[Array]], rows: int) -> tuple[Array, Array]:
    """Scores and values; slices side by side, for numpy lets other threads run while it works."""

    def one(start: int) -> tuple[Array, Array]:
        part = {name: [c[start : start + SLICE] for c in found] for name, found in columns.items()}
        scores = detector.scores(detector.encoding.matrix(part))
        return scores, detector.values(scores)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        done = list(threads.map(one, range(0, rows, SLICE)))
    return np.concatenate([s for s, _ in done]), np.concatenate([v for _, v in done])


def _worst(
    answered: inputs.Answered, task: Task, columns: Mapping[str, Sequence[Array]], scores: Array, values: Array
) -> tuple[Worst, ...]:
    """The outliers of a file that score most; only candidates for the report are taken apart."""
    unusual = np.flatnonzero(values > task.threshold)
    if not len(unusual):
        return ()
    limit = np.sort(scores[unusual])[-min(WORST, len(unusual))]
    places = unusual[scores[unusual] >= limit]
    requests, numbers = answered.column("request_id"), answered.column("row")
    assert requests is not None
    ids = requests.take(places).to_pylist()
    within = [0] * len(places) if numbers is None else numbers.take(places).to_pylist()
    chosen = sorted(range(len(places)), key=lambda i: (-scores[places[i]], ids[i], within[i]))[:WORST]
    kept = places[chosen]
    encoded = task.detector.encoding.matrix({name: [c[kept] for c in found] for name, found in columns.items()})
    given = {f.name: _taken(answered, f, kept) for f in task.fields}
    received = answered.received.take(kept).to_pylist()
    return tuple(
        Worst(
            float(scores[place]),
            float(values[place]),
            ids[chosen[i]],
            within[chosen[i]],
            received[i],
            encoded[i],
            {name: found[i] for name, found in given.items()},
        )
        for i, place in enumerate(kept)
    )


def _taken(answered: inputs.Answered, field: Field, places: Array) -> list[Any]:
    column = answered.column(input_column(field))
    return [None] * len(places) if column is None else list(column.take(places).to_pylist())
