"""The performance job: how well a version did in a window of its log, estimated and, where labels have come, realised."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from headrace_functions.names import VersionId
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.views import Array
from headrace_jobs import inputs
from headrace_jobs.execution import Executor
from headrace_jobs.performance import classification, dle, judging, reference
from headrace_jobs.performance.counting import ACTUAL, ANSWER, Counted, Task, count_file, merge_all
from headrace_jobs.performance.custom import Custom, Judged
from headrace_jobs.performance.estimate import Estimate
from headrace_jobs.performance.findings import Findings, describe, with_metric
from headrace_jobs.performance.labels import of_newest, read_labels
from headrace_jobs.performance.metrics import REGRESSION, Errors, Values
from headrace_jobs.performance.problem import Classes
from headrace_jobs.performance.reference import NumberRows
from headrace_jobs.performance.weighting import weights
from headrace_jobs.plan import ROOT, by_leaf, tree
from headrace_jobs.report.models import PerformanceReport
from headrace_jobs.window import Window

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class PerformanceRun:
    """One run of the job. ``output`` is chosen (see ``problem.problem_of``) where it is None."""

    version: VersionId
    window: Window
    output: str | None = None
    custom: Custom | None = None
    """A metric of the user's own; of numbers it is not estimated."""

    def report(self, objects: ObjectStore, executor: Executor, progress: Progress) -> PerformanceReport:
        """Read, count, estimate and judge; ``NotFound`` for an unknown version, ``InvalidInput`` where nothing can be measured."""
        version = inputs.read_version(objects, self.version)
        problem, source = reference.read(objects, version, self.output)
        files = inputs.log_files(objects, self.version, self.window)
        pushed = read_labels(objects, self.version, problem.target)
        pushed = of_newest(pushed, files, self.window, executor) if pushed is not None else None
        labels = pushed.table if pushed is not None else None

        def count(task: Task) -> Counted:
            return _run([(count_file, file, task) for file in files], executor, progress)

        judged = self.custom is not None or isinstance(problem, Classes)
        if isinstance(problem, Classes):
            inside = reference.features(source, version)
            counted = count(Task(self.window, problem, labels, inside.encodings, inside.columns, judged))
            found = classification.findings(problem, source, inside, counted, self.custom)
        else:
            rows = reference.number_rows(problem, source, version)
            counted = count(Task(self.window, problem, labels, rows.encodings, rows.columns, judged))
            found = _numbers(rows, counted)
            if self.custom is not None:
                known = Judged(rows.actual, rows.answers)
                found = with_metric(self.custom, found, known, _judged(counted), counted, None)
        found = replace(found, honest=source.honest)
        return describe(self.version, self.window, problem, counted, found, len(files), pushed)


def _judged(counted: Counted) -> Judged | None:
    if counted.judged is None:
        return None
    return Judged(counted.judged.columns[ACTUAL], counted.judged.columns[ANSWER])


def _run(leaves: list[tuple[object, ...]], executor: Executor, progress: Progress) -> Counted:
    whole: Counted = executor.run(tree(leaves, merge_all), ROOT, by_leaf(len(leaves), progress))
    return whole


def _numbers(rows: NumberRows, counted: Counted) -> Findings:
    count = len(rows.actual)

    def values(chosen: Array) -> Values:
        return Errors.of(rows.answers[chosen], rows.actual[chosen]).metrics()

    size = judging.judged_rows(counted.usable, counted.labelled)
    estimates: Mapping[str, Estimate] = {}
    sample = counted.sample
    if count >= judging.MIN_REFERENCE and sample is not None and counted.usable >= judging.MIN_ROWS:
        window = np.column_stack([sample.columns[name] for name in reference.feature_names(rows)])
        estimates = dle.estimate(
            rows.features,
            rows.answers - rows.actual,
            window,
            counted.usable,
            rows.actual,
            weights(rows.features, window),
        )
    return Findings(
        REGRESSION,
        "direct loss estimation",
        count,
        values(np.arange(count)),
        judging.bands(REGRESSION, count, size, values),
        estimates,
        counted.errors.metrics() if counted.labelled else {},
    )
