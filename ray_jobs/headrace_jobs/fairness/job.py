"""The fairness job: groups of a window by one field, what share of each got the good answer, and of those who deserved it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from headrace_functions.classes import spellings, text_of
from headrace_functions.errors import InvalidInput
from headrace_functions.logtable import output_column
from headrace_functions.names import VersionId
from headrace_functions.signature import Field
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import names
from headrace_jobs import inputs
from headrace_jobs.columns import Numbers, series
from headrace_jobs.execution import Executor
from headrace_jobs.fairness.counting import Answer, Grouped, Task, count_file, merge_all
from headrace_jobs.fairness.shares import difference, quantile, ratio, wilson
from headrace_jobs.performance.labels import of_newest, read_labels
from headrace_jobs.performance.problem import floats
from headrace_jobs.plan import ROOT, by_leaf, tree
from headrace_jobs.report.models import FairnessReport, Group, Note, Severity, ShareOf, Span
from headrace_jobs.report_text import share
from headrace_jobs.window import Window

MIN_ROWS = 30
MAX_GROUPS = 50
IMPACT: tuple[tuple[float, Severity], ...] = ((0.5, "severe"), (0.65, "medium"), (0.8, "low"))
"""Disparate impact below which, by its whole interval, groups are treated differently; 0.8 is the four-fifths rule."""
OPPORTUNITY: tuple[tuple[float, Severity], ...] = ((0.3, "severe"), (0.2, "medium"), (0.1, "low"))
"""The same for the difference of true positive rates, beyond."""
ORDER = ("none", "low", "medium", "severe")

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class FairnessRun:
    """One run of the job. ``positive`` is the good answer: without it the last of two classes, or a probability from 0.5."""

    version: VersionId
    window: Window
    group: str
    positive: str | None = None
    output: str | None = None

    def report(self, objects: ObjectStore, executor: Executor, progress: Progress) -> FairnessReport:
        """Count and compare; ``InvalidInput`` where the field makes no groups or no output is an answer."""
        version = inputs.read_version(objects, self.version)
        group = _group(version, self.group)
        answer = answer_of(objects, version, self.output, self.positive)
        files = inputs.log_files(objects, self.version, self.window)
        pushed = read_labels(objects, self.version, version.target[0]) if version.target else None
        labels = of_newest(pushed, files, self.window, executor).table if pushed is not None else None
        task = Task(self.window, group, _edges(objects, version, group), answer, labels)
        done = by_leaf(len(files), progress)
        found: Grouped = executor.run(tree([(count_file, f, task) for f in files], merge_all), ROOT, done)
        return self._describe(answer, found, len(files))

    def _describe(self, answer: Answer, found: Grouped, files: int) -> FairnessReport:
        ranked = [name for name, _ in sorted(found.rows.items(), key=lambda i: (-i[1], i[0]))]
        shown = ranked[:MAX_GROUPS]
        judged = [name for name in shown if found.rows[name] >= MIN_ROWS]
        z = quantile(len(judged) - 1)
        groups = tuple(_group_of(name, judged, found, z) for name in shown)
        severity: Severity = max((g.severity for g in groups), key=ORDER.index, default="none")
        enough = len(judged) > 1
        notes = []
        if len(ranked) > MAX_GROUPS:
            notes.append(Note(name=self.group, reason=f"{len(ranked) - MAX_GROUPS} smaller groups are not shown"))
        if not found.labelled:
            notes.append(Note(name="equal opportunity", reason="no row of the window has a label yet"))
        return FairnessReport(
            model=str(self.version),
            window=Span.of(self.window),
            group=self.group,
            output=answer.field.name,
            positive=answer.positive,
            rows=sum(found.rows.values()),
            labelled=found.labelled,
            failed=found.failed,
            unusable=found.unread,
            files=files,
            reference=judged[0] if judged else None,
            verdict="not-enough-data" if not enough else "disparity" if severity != "none" else "no-disparity",
            severity=severity if enough else "none",
            sentence=_sentence(self.group, groups, judged, severity, enough),
            groups=groups,
            notes=tuple(notes),
        )


def answer_of(objects: ObjectStore, version: Version, wanted: str | None, positive: str | None) -> Answer:
    """The output that holds the answer: a category, a vector with an element a class, or a probability."""
    fields = [f for f in version.signature.outputs if wanted in (None, f.name)]
    for field in fields:
        if field.is_scalar and (field.profile == "categorical" or not field.dtype.is_number):
            classes = tuple(text_of(c) for c in field.categories or ()) or _classes(objects, version, field)
            return Answer(field, _positive(positive, classes, field), classes)
        if not field.is_scalar and field.columns and field.size == len(field.columns):
            return Answer(field, _positive(positive, field.columns, field), field.columns)
    for field in fields:
        if field.is_scalar and field.dtype.is_number and _is_probability(objects, version, field):
            return Answer(field, positive or "1", threshold=0.5)
    known = ", ".join(f.name for f in version.signature.outputs)
    raise InvalidInput(
        f"{version.id}: no output is a yes-or-no decision",
        field="output",
        expected="a category, probabilities with 'columns', or a number between 0 and 1",
        got=wanted or known,
    )


def _positive(wanted: str | None, classes: tuple[str, ...], field: Field) -> str:
    if wanted is not None:
        meant = {spelling: c for c in classes for spelling in spellings(c)}
        if classes and wanted not in meant:
            raise InvalidInput(
                f"positive: {field.name} is never {wanted!r}", field="positive", expected=f"one of {', '.join(classes)}"
            )
        return meant.get(wanted, wanted)
    if len(classes) != 2:
        raise InvalidInput(
            f"positive: {field.name} has {len(classes)} classes, so the favourable one must be named",
            field="positive",
            expected=f"one of {', '.join(classes)}" if classes else "a prediction of the model",
        )
    return classes[1]


def _classes(objects: ObjectStore, version: Version, field: Field) -> tuple[str, ...]:
    """The truth values, or the answers that the model gave to training rows, sorted; none where the build kept none."""
    if field.dtype.name == "bool":
        return ("false", "true")
    answers = inputs.read_answers(objects, version.id)
    column = inputs.column(answers, output_column(field)) if answers is not None else None
    found = {text_of(v) for v in column.unique().to_pylist() if v is not None} if column is not None else set()
    return tuple(sorted(found)) if len(found) <= MAX_GROUPS else ()


def _is_probability(objects: ObjectStore, version: Version, field: Field) -> bool:
    answers = inputs.read_answers(objects, version.id)
    column = inputs.column(answers, output_column(field)) if answers is not None else None
    values = floats(column) if column is not None else np.zeros(0)
    known = values[~np.isnan(values)]
    return bool(len(known)) and bool(((known >= 0) & (known <= 1)).all())


def _group(version: Version, name: str) -> Field:
    field = version.signature.input(name)
    if field is None or not field.is_scalar or field.profile == "text":
        usable = [f.name for f in version.signature.inputs if f.is_scalar and f.profile != "text"]
        raise InvalidInput(
            f"group: {name!r} cannot be used to group rows of {version.id}",
            field="group",
            expected=f"one of {', '.join(usable)}",
            got=name,
        )
    return field


def _edges(objects: ObjectStore, version: Version, field: Field) -> tuple[float, ...]:
    """Quartiles of the training data where the field is a number."""
    if names(field)[0].kind == "category":
        return ()
    training = inputs.read_training(objects, version)
    column = inputs.column(training, field.name) if training is not None else None
    if column is None:
        raise InvalidInput(
            f"group: {field.name} is a number, and there is no training data to derive ranges from",
            field="group",
            expected="a category, or a version with training data",
        )
    (found,) = series(field, column).values()
    assert isinstance(found, Numbers)
    known = found.values[np.isfinite(found.values)]
    return tuple(np.unique(np.quantile(known, (0.25, 0.5, 0.75))).tolist()) if len(known) else ()


def _group_of(name: str, judged: list[str], found: Grouped, z: float) -> Group:
    """One group against the largest."""
    rows, deserving = found.rows[name], found.deserving[name]
    selection = _share(found.selected[name], rows)
    opportunity = _share(found.hits[name], deserving) if deserving else None
    if name not in judged or name == judged[0]:
        return Group(
            name=name, rows=rows, deserving=deserving, selection=selection, opportunity=opportunity, severity="none"
        )
    other = judged[0]
    impact = ratio(found.selected[name], rows, found.selected[other], found.rows[other], z)
    apart = difference(found.hits[name], deserving, found.hits[other], found.deserving[other], z)
    apart = apart if min(deserving, found.deserving[other]) >= MIN_ROWS else None
    return Group(
        name=name,
        rows=rows,
        deserving=deserving,
        selection=selection,
        opportunity=opportunity,
        impact=_triple(impact),
        difference=_triple(apart),
        severity=max(_by_impact(impact), _by_difference(apart), key=ORDER.index),
    )


def _by_impact(impact: tuple[float, float, float] | None) -> Severity:
    """Of the whole interval, the end nearest to equal counts; a group that gets more is as far off as one that gets less."""
    if impact is None:
        return "none"
    _, low, high = impact
    nearest = high if high < 1 else 1 / low if low > 1 else 1.0
    return next((s for limit, s in IMPACT if nearest < limit), "none")


def _by_difference(apart: tuple[float, float, float] | None) -> Severity:
    if apart is None:
        return "none"
    _, low, high = apart
    nearest = -high if high < 0 else low if low > 0 else 0.0
    return next((s for limit, s in OPPORTUNITY if nearest > limit), "none")


def _share(hits: int, count: int) -> ShareOf:
    low, high = wilson(hits, count, quantile(1))
    return ShareOf(value=hits / count if count else 0.0, low=low, high=high)


def _triple(found: tuple[float, float, float] | None) -> ShareOf | None:
    return None if found is None else ShareOf(value=found[0], low=found[1], high=found[2])


def _sentence(field: str, groups: tuple[Group, ...], judged: list[str], severity: Severity, enough: bool) -> str:
    if not enough:
        return f"Fewer than two groups of `{field}` have {MIN_ROWS} answered rows: nothing can be compared."
    if severity == "none":
        return f"No group of `{field}` is treated clearly differently from {judged[0]}, the largest of {len(judged)}."
    worst = max(groups, key=lambda g: (ORDER.index(g.severity), -min(g.selection.value, 1)))
    base = next(g for g in groups if g.name == judged[0])
    return (
        f"`{field}` = {worst.name} gets the good answer in {share(worst.selection.value)} of rows, "
        f"{base.name} in {share(base.selection.value)}."
        if _by_impact(_plain(worst.impact)) != "none" or worst.opportunity is None or base.opportunity is None
        else f"Of those who deserve it, `{field}` = {worst.name} gets the good answer in {share(worst.opportunity.value)}, "
        f"{base.name} in {share(base.opportunity.value)}."
    )


def _plain(found: ShareOf | None) -> tuple[float, float, float] | None:
    return None if found is None else (found.value, found.low, found.high)
