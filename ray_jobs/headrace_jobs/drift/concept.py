"""Concept drift: does the same answer of the model now go with other labels than on the training data?

Rows are cut into strata by the model's answer; within each, labels of the window are held against those of the training rows.
So a window of other inputs (covariate shift) is no concept drift, as long as an answer means what it meant.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from headrace_functions.errors import InvalidInput
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import Array
from headrace_jobs import inputs
from headrace_jobs.detectors.base import Finding, Z
from headrace_jobs.detectors.tails import least
from headrace_jobs.drift.permuted_labels import ChiSquare, Contrasts, Strata, p_values
from headrace_jobs.execution import Executor
from headrace_jobs.inputs import LogFile
from headrace_jobs.performance import reference
from headrace_jobs.performance.counting import numbers_of
from headrace_jobs.performance.labels import KEYS, join, of_newest, read_labels
from headrace_jobs.performance.problem import Classes, Number, Problem, codes
from headrace_jobs.plan import ROOT, tree
from headrace_jobs.window import Window

STRATA = 10
"""Strata of equal probability of a probability or a number; several classes have one each for their surer and less sure half."""
RESIDUALS = 4
"""Classes of the difference of label and answer where a number is predicted: quarters of the training rows."""
MIN_ROWS = 30
"""Labelled rows that a side must have."""
MIN_STRATUM = 10
METHOD = "chi-square of labels within strata of the answer, and contrasts of lower and upper strata, by permutation"

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Cut:
    """How rows are cut: ``edges`` of the answer's strata, ``residuals`` of the classes of a number's label."""

    problem: Problem
    edges: Array
    residuals: Array

    def table(self, columns: dict[str, Any], labels: Any) -> Array:
        """Counts ``(strata, labels)`` of answered rows (Arrow columns) with their labels."""
        if isinstance(self.problem, Classes):
            usable, probabilities, _ = self.problem.read(columns)
            actual = codes(labels, self.problem.names)[usable]
            stratum = _strata(self.problem, probabilities, self.edges)
            width = len(self.problem.names)
        else:
            answers, truth = self.problem.read(columns), numbers_of(labels)
            usable = np.isfinite(answers) & np.isfinite(truth)
            stratum = np.searchsorted(self.edges, answers[usable], "right")
            actual = np.searchsorted(self.residuals, truth[usable] - answers[usable], "right")
            width = len(self.residuals) + 1
        known = actual >= 0
        flat = np.bincount(stratum[known] * width + actual[known], minlength=self.strata * width)
        return flat.reshape(self.strata, width).astype(np.float64)

    @property
    def strata(self) -> int:
        several = isinstance(self.problem, Classes) and not self.problem.binary
        return 2 * len(self.problem.names) if several and isinstance(self.problem, Classes) else len(self.edges) + 1


def concept(
    objects: ObjectStore, version: Version, window: Window, files: Sequence[LogFile], executor: Executor
) -> Finding | None:
    """The finding; None where the version has no target or no answers on its training rows, or no labels came for the window.

    The effect is the share of rows whose label would have to change, beyond what so few rows show by chance.
    """
    try:
        problem, source = reference.read(objects, version, None)
    except InvalidInput:
        return (
            None  # no target, no labels in training or no output to hold against them: there is no concept to compare
        )
    labels = read_labels(objects, version.id, problem.target)
    if labels is None:
        return None
    columns = {name: inputs.column(source.answers, name) for name in problem.columns}
    cut = cut_of(problem, columns, source.target)
    newest = of_newest(labels, files, window, executor).table
    leaves = [(count_file, file, window, cut, newest) for file in files]
    now: Array = executor.run(tree(leaves, merge_all), ROOT, lambda _: None)
    return compare(cut.table(columns, source.target), now)


def count_file(file: LogFile, window: Window, cut: Cut, labels: pa.Table) -> Array:
    """The table of one file's rows that are in the window, were answered and have a label."""
    answered = inputs.answered(inputs.open_parquet(ObjectStore(file.storage), file.key), window)
    columns: dict[str, Any] = {name: answered.column(name) for name in (*cut.problem.columns, *KEYS)}
    if not answered.rows or any(column is None for column in columns.values()):
        return np.zeros((cut.strata, 1))
    places, found = join(columns[KEYS[0]], columns[KEYS[1]], labels, file.key)
    if not len(places):
        return np.zeros((cut.strata, 1))
    return cut.table({name: columns[name].take(pa.array(places)) for name in cut.problem.columns}, found)


def merge_all(*tables: Array) -> Array:
    """The sum; a table without rows has one column of zeros."""
    width = max((t.shape[1] for t in tables), default=1)
    return np.asarray(sum(t if t.shape[1] == width else np.zeros((len(t), width)) for t in tables))


def compare(before: Array, now: Array) -> Finding | None:
    """The finding of two tables ``(strata, labels)``; None with too few rows on a side.

    Half of the error belongs to a chi-square test of every label in every stratum, half to contrasts: the shares of each label in the
    lower and in the upper strata, at every cut. A change of what answers mean is seldom without an order, so that few of them hear it.
    Both are exact given the labels of both sides together: see ``permuted_labels``.
    """
    if now.shape != before.shape or min(before.sum(), now.sum()) < MIN_ROWS:
        return None
    kept = np.minimum(before.sum(axis=1), now.sum(axis=1)) >= MIN_STRATUM
    strata = Strata(before[kept], now[kept])
    if not ((strata.both > 0).sum(axis=1) > 1).any():
        return None
    together, contrasts = ChiSquare(strata), Contrasts(strata)
    p = least([(one, 0.5) for one in p_values(strata, (together, contrasts))])
    effect, low = _labels_changed(strata)
    contrast, error = contrasts.clearest()
    low = max(low, contrast - float(_stats().norm.isf(0.05 / contrasts.tests)) * error, 0.0)
    return Finding("concept", METHOD, float(together(strata.now[None])[0]), p, max(effect, contrast), low, "moved")


def _labels_changed(strata: Strata) -> tuple[float, float]:
    """Share of labels that would have to change in their stratum beyond what so few rows show by chance, and its lower bound."""
    n, m = strata.n, strata.m
    share = m / m.sum()
    pooled = strata.both / (n + m)[:, None]
    apart = np.abs(strata.before / n[:, None] - strata.now / m[:, None]).sum(axis=1) / 2
    error = np.sqrt(2 / np.pi * pooled * (1 - pooled) * (1 / n + 1 / m)[:, None]).sum(axis=1) / 2
    effect = max(float(share @ (apart - error)), 0.0)
    return effect, effect - Z * float(np.sqrt((share**2 * 0.25 * (1 / n + 1 / m)).sum()))


def cut_of(problem: Problem, columns: dict[str, Any], labels: Any) -> Cut:
    """How the reference's answers and labels cut rows."""
    steps = np.linspace(0, 1, STRATA + 1)[1:-1]
    if isinstance(problem, Number):
        answers, truth = problem.read(columns), numbers_of(labels)
        known = np.isfinite(answers) & np.isfinite(truth)
        rest = truth[known] - answers[known]
        quarters = np.linspace(0, 1, RESIDUALS + 1)[1:-1]
        edges, residuals = (np.quantile(v, q) if len(v) else v for v, q in ((answers[known], steps), (rest, quarters)))
        return Cut(problem, np.unique(edges), np.unique(residuals))
    _, probabilities, _ = problem.read(columns)
    if problem.binary:
        edges = np.quantile(probabilities[:, 0], steps) if len(probabilities) else np.empty(0)
        return Cut(problem, np.unique(edges), np.empty(0))
    surest = probabilities.max(axis=1)
    chosen = probabilities.argmax(axis=1)
    places = range(len(problem.names))
    halves = [float(np.median(surest[chosen == c])) if (chosen == c).any() else 0.5 for c in places]
    return Cut(problem, np.array(halves), np.empty(0))


def _strata(problem: Classes, probabilities: Array, edges: Array) -> Array:
    if problem.binary:
        return np.asarray(np.searchsorted(edges, probabilities[:, 0], "right"))
    chosen = probabilities.argmax(axis=1)
    return np.asarray(2 * chosen + (probabilities.max(axis=1) > edges[chosen]))


def _stats() -> Any:
    from scipy import stats  # takes a second to import; an explanation does without

    return stats
