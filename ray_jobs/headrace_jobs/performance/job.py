"""The performance job: how well a version did in a window of its log, estimated and, where labels have come, realised."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from headrace_functions.names import VersionId
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.views import Array
from headrace_jobs import inputs
from headrace_jobs.execution import Executor
from headrace_jobs.performance import cbpe, dle, judging, multiclass, reference
from headrace_jobs.performance.calibration import Calibration, learn
from headrace_jobs.performance.cbpe import Estimate, Known
from headrace_jobs.performance.counting import (
    ACTUAL,
    ANSWER,
    Counted,
    Task,
    answered_places,
    count_file,
    merge_all,
    probabilities_of,
)
from headrace_jobs.performance.custom import Custom, Judged, judged_classes
from headrace_jobs.performance.findings import Findings, describe
from headrace_jobs.performance.labels import of_newest, read_labels
from headrace_jobs.performance.metrics import CLASSIFICATION, REGRESSION, Errors, Values
from headrace_jobs.performance.problem import Classes, Problem
from headrace_jobs.performance.reference import NumberRows, Source
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
    """A metric of the user's own, of realised and reference rows alone."""

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

        if isinstance(problem, Classes):
            counted = count(Task(self.window, problem, labels, judged=self.custom is not None))
            found = _classes(problem, source, counted)
            known = reference.class_rows(problem, source)
            rows_of = judged_classes(problem.names, known.actual, answered_places(known.answered), known.probabilities)
        else:
            rows = reference.number_rows(problem, source, version)
            counted = count(Task(self.window, problem, labels, rows.encodings, rows.columns, self.custom is not None))
            found = _numbers(rows, counted)
            rows_of = Judged(rows.actual, rows.answers)
        if self.custom is not None:
            found = _with(self.custom, found, rows_of, counted, problem)
        return describe(self.version, self.window, problem, counted, found, len(files), pushed)


def _with(custom: Custom, found: Findings, rows: Judged, counted: Counted, problem: Problem) -> Findings:
    """The findings with a metric of the user's own; nothing is estimated of it."""
    name, size = custom.metric.name, judging.judged_rows(counted.usable, counted.labelled)
    bands = judging.bands((custom.metric,), len(rows.actual), size, lambda c: {name: custom.value(rows.at(c))})
    realised = {name: custom.value(_judged(counted, problem))} if counted.labelled else {}
    return replace(
        found,
        metrics=(*found.metrics, custom.metric),
        reference={**found.reference, name: custom.value(rows)},
        bands={**found.bands, **bands},
        realised={**found.realised, **realised},
    )


def _judged(counted: Counted, problem: Problem) -> Judged:
    assert counted.judged is not None
    columns = counted.judged.columns
    if not isinstance(problem, Classes):
        return Judged(columns[ACTUAL], columns[ANSWER])
    return judged_classes(problem.names, columns[ACTUAL], columns[ANSWER], probabilities_of(counted.judged))


def _run(leaves: list[tuple[object, ...]], executor: Executor, progress: Progress) -> Counted:
    whole: Counted = executor.run(tree(leaves, merge_all), ROOT, by_leaf(len(leaves), progress))
    return whole


def _classes(problem: Classes, source: Source, counted: Counted) -> Findings:
    rows = reference.class_rows(problem, source)
    count = len(rows.actual)

    def known(chosen: Array) -> Known:
        return reference.known_of(problem, rows, chosen)

    whole = known(np.arange(count))
    size = judging.judged_rows(counted.usable, counted.labelled)
    calibration = cbpe.calibration_of(whole) if problem.binary else learn(rows.probabilities, rows.actual)
    estimates: Mapping[str, Estimate] = {}
    if count >= judging.MIN_REFERENCE and counted.usable >= judging.MIN_ROWS:
        estimates = _estimated(calibration, counted)
    return Findings(
        CLASSIFICATION,
        f"confidence-based, {' and '.join(calibration.methods)} calibration",
        count,
        whole.metrics(),
        judging.bands(CLASSIFICATION, count, size, lambda chosen: known(chosen).metrics()),
        estimates,
        counted.known.metrics() if counted.known is not None and counted.labelled else {},
    )


def _estimated(calibration: Calibration, counted: Counted) -> Mapping[str, Estimate]:
    """Of two classes all rows are counted; of several some are kept whole."""
    if counted.sample is not None:
        places, probabilities = counted.sample.columns[ANSWER], probabilities_of(counted.sample)
        answered = places[:, None] == np.arange(probabilities.shape[1])
        return multiclass.estimate(calibration, multiclass.Answers(probabilities, answered, counted.usable))
    return cbpe.estimate(calibration, counted.scores) if counted.scores is not None else {}


def _numbers(rows: NumberRows, counted: Counted) -> Findings:
    count = len(rows.actual)

    def values(chosen: Array) -> Values:
        return Errors.of(rows.answers[chosen], rows.actual[chosen]).metrics()

    size = judging.judged_rows(counted.usable, counted.labelled)
    estimates: Mapping[str, Estimate] = {}
    sample = counted.sample
    if count >= judging.MIN_REFERENCE and sample is not None and counted.usable >= judging.MIN_ROWS:
        window = np.column_stack([sample.columns[name] for name in reference.feature_names(rows)])
        estimates = dle.estimate(rows.features, rows.answers - rows.actual, window, counted.usable, rows.actual)
    return Findings(
        REGRESSION,
        "direct loss estimation",
        count,
        values(np.arange(count)),
        judging.bands(REGRESSION, count, size, values),
        estimates,
        counted.errors.metrics() if counted.labelled else {},
    )
