"""The drift job: a window of a version's log against its training data, field by field."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headrace_functions.errors import InvalidInput
from headrace_functions.names import VersionId
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import Array, ViewName
from headrace_jobs import inputs
from headrace_jobs.columns import Column, columns_of, series
from headrace_jobs.compare import Comparison, compare
from headrace_jobs.describe import describe
from headrace_jobs.detectors import joint
from headrace_jobs.detectors.base import Detector
from headrace_jobs.execution import Executor
from headrace_jobs.plan import ROOT, is_leaf, plan
from headrace_jobs.report.models import DriftReport
from headrace_jobs.scan import Part, Reference, Task, reference, take
from headrace_jobs.statistics.sample import lowest, priorities
from headrace_jobs.verdict import DEFAULT, Policy
from headrace_jobs.window import Window

Progress = Callable[[int, int, str], None]
"""Called with what is done, the total, and of what."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the window is compared with: references by key, their names, and why some fields have none."""

    rows: int = 0
    references: Mapping[str, Reference] = field(default_factory=dict)
    views: Mapping[str, tuple[Column, ViewName]] = field(default_factory=dict)
    notes: tuple[tuple[str, str], ...] = ()
    sample: Mapping[str, Array] = field(default_factory=dict)
    """At most ``joint.ROWS`` rows of the inputs by key, the same row at the same place."""


@dataclass(frozen=True, slots=True)
class DriftRun:
    """One run of the job."""

    version: VersionId
    window: Window
    detector: Detector
    policy: Policy = DEFAULT

    def report(self, objects: ObjectStore, executor: Executor, progress: Progress) -> DriftReport:
        """Read, count, test and judge; raises ``NotFound`` for an unknown version, ``InvalidInput`` without training data."""
        version = inputs.read_version(objects, self.version)
        base = baseline(objects, version, self.detector.sample)
        files = inputs.log_files(objects, self.version, self.window)
        columns = columns_of(version.signature)
        task = Task(self.window, columns, base.references, max(self.detector.sample, joint.ROWS))
        whole = self._count(files, task, executor, progress)
        comparison = Comparison(base.rows, base.references, base.views, whole, len(files), base.sample)
        tested = compare(comparison, self.detector, self.policy)
        return describe(self.version, self.window, self.detector, self.policy, comparison, tested, base.notes)

    def _count(self, files: tuple[inputs.LogFile, ...], task: Task, executor: Executor, progress: Progress) -> Part:
        finished = 0

        def done(key: str) -> None:
            nonlocal finished
            if is_leaf(key):
                finished += 1
                progress(finished, len(files), "files")

        whole: Part = executor.run(plan(files, task), ROOT, done)
        return whole


def baseline(objects: ObjectStore, version: Version, sample: int) -> Baseline:
    """The references of a version: training data for inputs, the model's own answers on it for outputs."""
    training = inputs.read_training(objects, version)
    if training is None:
        raise InvalidInput(
            f"{version.id} has no training data to compare with",
            field="training-data",
            hint="give training-data in its definition and apply it again",
        )
    answers = inputs.read_answers(objects, version.id)
    references: dict[str, Reference] = {}
    views: dict[str, tuple[Column, ViewName]] = {}
    notes: list[tuple[str, str]] = []
    rows = training.metadata.num_rows
    chosen = np.sort(lowest(priorities(str(version.id), rows), joint.ROWS))
    together: dict[str, Array] = {}
    for column in columns_of(version.signature):
        file, name = (training, column.field.name) if column.side == "input" else (answers, column.name)
        values: Any | None = inputs.column(file, name) if file is not None else None
        if values is None:
            notes.append((column.field.name, _absent(column, file is not None)))
            continue
        try:
            found = series(column.field, values)
        except InvalidInput as error:
            notes.append((column.field.name, f"training data: {error.message}"))
            continue
        for view, one in found.items():
            references[column.key(view)] = reference(one, column.side, sample)
            views[column.key(view)] = (column, view)
            if column.side == "input":
                together[column.key(view)] = take(one, chosen)
    return Baseline(rows, references, views, tuple(notes), together)


def _absent(column: Column, answered: bool) -> str:
    if column.side == "input":
        return "the training data has no such column, so there is nothing to compare with"
    if answered:
        return "the answers kept from training have no such column"
    return "no answers on the training data were kept, so the outputs are not compared"
