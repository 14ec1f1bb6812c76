"""The profile job: training data and a window of the log through the same statistics, side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from headrace_functions.errors import InvalidInput
from headrace_functions.names import VersionId
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import Array
from headrace_jobs import inputs
from headrace_jobs.columns import Column, columns_of
from headrace_jobs.execution import Executor
from headrace_jobs.inputs import LogFile
from headrace_jobs.plan import ROOT, is_leaf, tree
from headrace_jobs.profiles.looks import looks, matrix
from headrace_jobs.profiles.partial import Directions, Profiled, SeriesProfile, merge_all
from headrace_jobs.profiles.telling import tell
from headrace_jobs.report.models import Note, ProfileReport, ProfileRows, Span
from headrace_jobs.sampling import ROW, Progress
from headrace_jobs.statistics.sample import logged_priorities, priorities
from headrace_jobs.window import Window, text

BATCH = 131_072
"""Rows of the training data that are in memory at a time."""


@dataclass(frozen=True, slots=True)
class ProfileRun:
    """One run of the job."""

    version: VersionId
    window: Window

    def report(self, objects: ObjectStore, executor: Executor, progress: Progress) -> ProfileReport:
        """``NotFound`` for an unknown version. Without training data the window stands alone."""
        version = inputs.read_version(objects, self.version)
        files = inputs.log_files(objects, self.version, self.window)
        leaves = [(profile_file, file, self.window, columns_of(version.signature)) for file in files]
        finished = 0

        def done(key: str) -> None:
            nonlocal finished
            if is_leaf(key):
                finished += 1
                progress(finished, len(files), "files")

        now: Profiled = executor.run(tree(leaves, merge_all), ROOT, done)
        before = merge_all(*_training(objects, version))
        names = [f"log: {problem}" for problem in now.problems.values()]
        notes = [*before.problems.items(), *zip(now.problems, names, strict=True)]
        return ProfileReport(
            model=str(self.version),
            window=Span(since=text(self.window.since), until=text(self.window.until), length=self.window.length),
            rows=ProfileRows(training=before.rows, window=now.rows, failed=now.failed, files=len(files)),
            fields=tell(before, now),
            notes=tuple(Note(name=name, reason=reason) for name, reason in notes),
        )


def profile_file(file: LogFile, window: Window, columns: Sequence[Column]) -> Profiled:
    """The rows of one file that are in the window and were answered; one column is in memory at a time."""
    answered = inputs.answered(inputs.open_parquet(ObjectStore(file.storage), file.key), window)
    if not answered.rows:
        return Profiled(failed=answered.failed)
    times = answered.received.cast(pa.int64()).to_numpy(zero_copy_only=False)
    numbers = answered.column(ROW)
    row = np.zeros(answered.rows, np.int64) if numbers is None else numbers.cast(pa.int64()).to_numpy()
    read = ((column, answered.column(column.name)) for column in columns)
    return _profiled(answered.rows, answered.failed, read, logged_priorities(times, row))


def _training(objects: ObjectStore, version: Version) -> Iterator[Profiled]:
    """The training data and the answers on it, batch by batch: neither has to fit into memory."""
    sides = (("input", inputs.read_training(objects, version)), ("output", inputs.read_answers(objects, version.id)))
    for side, file in sides:
        if file is None:
            continue
        named = {
            (c.field.name if side == "input" else c.name): c for c in columns_of(version.signature) if c.side == side
        }
        known = [name for name in named if name in file.schema_arrow.names]
        for i, batch in enumerate(file.iter_batches(BATCH, columns=known, use_threads=False)):
            read = ((named[name], pa.chunked_array([batch.column(name)])) for name in known)
            rows = batch.num_rows if side == "input" else 0
            yield _profiled(rows, 0, read, priorities(f"{version.id} {side} {i}", batch.num_rows))


def _profiled(rows: int, failed: int, read: Iterator[tuple[Column, Any]], priority: Array) -> Profiled:
    found: dict[str, SeriesProfile] = {}
    sides: dict[str, str] = {}
    directions: dict[str, Directions] = {}
    problems: dict[str, str] = {}
    for column, values in read:
        if values is None:
            continue
        try:
            seen = looks(column.field, values)
        except InvalidInput as error:
            problems[column.field.name] = error.message
            continue
        for name, one in seen.items():
            found[name] = SeriesProfile.of(one, priority)
            sides[name] = column.side
        block = matrix(column.field, values)
        if block is not None:
            directions[column.field.name] = Directions.of(block)
    return Profiled(rows, failed, found, sides, directions, problems)
