"""What is found of a problem of classes: metrics, their bands, estimates, and tables of what was answered."""

from dataclasses import replace
from functools import partial

import numpy as np

from headrace_functions.statistics.sample import RowSample
from headrace_functions.views import Array
from headrace_jobs.performance import judging, own_estimate, reference
from headrace_jobs.performance.calibration import Calibration, Reference
from headrace_jobs.performance.cbpe import Known
from headrace_jobs.performance.counting import ACTUAL, ANSWER, Counted, answered_places, probabilities_of
from headrace_jobs.performance.custom import Custom, judged_classes
from headrace_jobs.performance.estimators import ClassEstimates, drawing, estimate_classes
from headrace_jobs.performance.findings import Findings, with_metric
from headrace_jobs.performance.likeness import like_window
from headrace_jobs.performance.metrics import CLASSIFICATION
from headrace_jobs.performance.multiclass import Answers
from headrace_jobs.performance.problem import Classes
from headrace_jobs.performance.reference import ClassRows, Features, Source
from headrace_jobs.performance.tables import ClassTables, tables

METHOD = "confidence-based"


def findings(problem: Classes, source: Source, features: Features, counted: Counted, custom: Custom | None) -> Findings:
    """The findings of a window; ``custom`` is a metric of the user's own."""
    rows = reference.class_rows(problem, source)
    learnt = Reference.of(rows.probabilities, rows.answered, rows.actual)
    window = None if counted.sample is None else _answers(counted.sample, counted.usable)
    enough = len(rows.actual) >= judging.MIN_REFERENCE and counted.usable >= judging.MIN_ROWS
    estimated = _estimated(rows, learnt, features, window, counted) if enough and window is not None else None
    found = _figures(problem, rows, counted, estimated)
    calibration = None if estimated is None else estimated.weighted or estimated.calibration
    found = replace(found, tables=_tables(learnt, window, calibration, counted))
    if custom is None:
        return found
    known = judged_classes(problem.names, rows.actual, answered_places(rows.answered), rows.probabilities)
    own = own_estimate.estimate(custom, problem.names, calibration, learnt, window) if calibration and window else None
    labelled = counted.judged and _labelled(counted.judged)
    judged = judged_classes(problem.names, *labelled) if labelled else None
    return with_metric(custom, found, known, judged, counted, own)


def _figures(problem: Classes, rows: ClassRows, counted: Counted, estimated: ClassEstimates | None) -> Findings:
    def known(chosen: Array) -> Known:
        return reference.known_of(problem, rows, chosen)

    count, size = len(rows.actual), judging.judged_rows(counted.usable, counted.labelled)
    return Findings(
        CLASSIFICATION,
        METHOD if estimated is None else _said(estimated),
        count,
        known(np.arange(count)).metrics(),
        judging.bands(CLASSIFICATION, count, size, lambda chosen: known(chosen).metrics()),
        {} if estimated is None else estimated.estimates,
        counted.known.metrics() if counted.known is not None and counted.labelled else {},
    )


def _said(estimated: ClassEstimates) -> str:
    weighted = ", reference made like the inputs of the window" if estimated.weighted else ""
    return f"{METHOD}, {estimated.calibration.method} calibration{weighted}"


def _estimated(
    rows: ClassRows, learnt: Reference, features: Features, window: Answers, counted: Counted
) -> ClassEstimates:
    assert counted.sample is not None
    now = np.column_stack([window.probabilities, *(counted.sample.columns[key] for key in features.encodings)])
    before = np.column_stack((rows.probabilities, features.matrix[rows.kept]))
    like = partial(like_window, learnt, before, window, now)
    return estimate_classes(learnt, drawing(window, counted.scores), like)


def _answers(sample: RowSample, rows: int) -> Answers:
    """The sampled rows of a window, which has ``rows``."""
    probabilities, places = probabilities_of(sample), sample.columns[ANSWER]
    answers = np.array([1]) if probabilities.shape[1] == 1 else np.arange(probabilities.shape[1])
    return Answers(probabilities, np.asarray(places[:, None] == answers), rows)


def _labelled(judged: RowSample) -> tuple[Array, Array, Array]:
    """Places of classes and answers, and probabilities of rows whose label has come."""
    return judged.columns[ACTUAL], judged.columns[ANSWER], probabilities_of(judged)


def _tables(
    learnt: Reference, window: Answers | None, calibration: Calibration | None, counted: Counted
) -> dict[str, ClassTables]:
    """Of the reference, of the window as expected, and of its rows with labels."""
    found = {"reference": tables(learnt.probabilities, learnt.answered, learnt.marks)}
    if window is not None and calibration is not None:
        shares = calibration.shares(calibration.design(window.probabilities, window.answered))
        found["estimated"] = tables(window.probabilities, window.answered, shares)
    if counted.judged is not None and counted.labelled:
        judged = _answers(counted.judged, counted.labelled)
        marks = Reference.of(judged.probabilities, judged.answered, counted.judged.columns[ACTUAL]).marks
        found["realised"] = tables(judged.probabilities, judged.answered, marks)
    return found
