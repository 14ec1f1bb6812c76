"""Estimates of a window's metrics from rows of a reference: calibrate, look for misfit, weight by what the window's inputs are like."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.performance import cbpe, dle, multiclass
from headrace_jobs.performance.calibration import Calibration, Reference, learn
from headrace_jobs.performance.estimate import Drawn, Estimate, estimates, together
from headrace_jobs.performance.likeness import like_window
from headrace_jobs.performance.misfit import misfit
from headrace_jobs.performance.scores import count
from headrace_jobs.performance.weighting import weights


@dataclass(frozen=True, slots=True)
class Side:
    """Rows of one side: ``features`` ``(n, d)``, ``answers`` (probabilities ``(n, k)``, or numbers ``(n,)``), of classes ``answered`` ``(n, k)``."""

    features: Array
    answers: Array
    answered: Array | None = None


@dataclass(frozen=True, slots=True)
class ClassEstimates:
    """What was estimated, and how: ``calibration`` is the unweighted one, ``weighted`` says whether weights had a part in it."""

    estimates: Mapping[str, Estimate]
    calibration: Calibration
    weighted: Calibration | None


def estimate_classes(
    reference: Reference,
    window: Callable[[Calibration], Drawn],
    likeness: Callable[[Calibration], Reference | None] | None = None,
) -> ClassEstimates:
    """Metrics of a window of which ``window`` draws labels under a calibration; ``likeness`` finds rows that have its inputs."""
    plain = learn(reference)
    before = window(plain)
    off = misfit(plain, reference)
    found = estimates(before, off)
    like = likeness(plain) if likeness is not None else None
    if like is None:
        return ClassEstimates(found, plain, None)
    tilted = learn(like)
    after = window(tilted)
    if len(like.actual) == len(reference.actual):
        off = misfit(tilted, like)
    return ClassEstimates(together(found, estimates(after, off), before, after), plain, tilted)


def drawing(answers: multiclass.Answers, scores: Array | None, seed: int = 0) -> Callable[[Calibration], Drawn]:
    """How labels of a window are drawn: of two classes by counts of all rows ``(1, 2, BINS)``, of several by rows."""
    if answers.probabilities.shape[1] == 1:
        assert scores is not None
        return lambda calibration: cbpe.drawn(calibration, scores, seed)
    return lambda calibration: multiclass.drawn(calibration, answers, seed)


def of_classes(reference: Side, actual: Array, window: Side, *, weighted: bool = True) -> Mapping[str, Estimate]:
    """Estimates of classes from rows alone; those without weights are for comparison."""
    assert reference.answered is not None
    assert window.answered is not None
    answers = multiclass.Answers(window.answers, window.answered, len(window.answers))
    scores = count(window.answers, window.answered) if window.answers.shape[1] == 1 else None
    rows = Reference.of(reference.answers, reference.answered, actual)
    before, now = (np.column_stack((s.answers, s.features)) for s in (reference, window))
    like = partial(like_window, rows, before, answers, now) if weighted else None
    return estimate_classes(rows, drawing(answers, scores), like).estimates


def of_numbers(reference: Side, actual: Array, window: Side, *, weighted: bool = True) -> Mapping[str, Estimate]:
    """Estimates of a number from rows alone; those without weights are for comparison."""
    features, now = (np.column_stack([s.answers, s.features]) for s in (reference, window))
    return dle.estimate(
        features, reference.answers - actual, now, len(now), actual, weights(features, now) if weighted else None
    )
