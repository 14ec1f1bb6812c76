"""From figures to the report: severities, the verdict, and what it says in one sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from headrace_functions.names import VersionId
from headrace_jobs import report_text
from headrace_jobs.performance.counting import Counted
from headrace_jobs.performance.custom import Custom, Judged
from headrace_jobs.performance.estimate import Estimate
from headrace_jobs.performance.judging import MIN_REFERENCE, MIN_ROWS, Band, Source, bands, judged_rows, source_of
from headrace_jobs.performance.labels import Labels
from headrace_jobs.performance.metrics import Metric, Values
from headrace_jobs.performance.problem import Classes, Problem
from headrace_jobs.performance.tables import ClassTables
from headrace_jobs.report.models import (
    ClassTable,
    MetricPerformance,
    Note,
    PerformanceReport,
    PerformanceRows,
    Span,
)
from headrace_jobs.verdict import SEVERITIES, Severity, worst
from headrace_jobs.window import Window

OPTIMISM = (
    "The reference is the training data. A model that fits it closer than new data promises too much, and so do its estimates: nothing is "
    "called degraded by them. Give rows that the model has not learnt from as 'reference-data' in the definition."
)
HONEST = "The reference is the reference-data of the definition."
NO_CONCEPT = "An estimate without labels sees what other inputs do to the answers, and not that the same inputs have come to mean something else."

Verdict = Literal["degraded", "steady", "no-reference", "not-enough-data"]


@dataclass(frozen=True, slots=True)
class Findings:
    """What was computed of each metric; a metric that is not in a mapping could not be."""

    metrics: tuple[Metric, ...]
    method: str
    rows: int
    """Reference rows."""
    reference: Values
    bands: Mapping[str, Band]
    estimates: Mapping[str, Estimate]
    realised: Values
    honest: bool = False
    """Whether the model has not learnt from the reference."""
    tables: Mapping[str, ClassTables] = field(default_factory=dict)
    """Of classes by ``reference``, ``estimated``, ``realised``."""


def with_metric(
    custom: Custom, found: Findings, rows: Judged, judged: Judged | None, counted: Counted, estimate: Estimate | None
) -> Findings:
    """The findings with a metric of the user's own: of the reference's ``rows``, of those ``judged`` in the window, and as estimated."""
    name, size = custom.metric.name, judged_rows(counted.usable, counted.labelled)
    own = bands((custom.metric,), len(rows.actual), size, lambda c: {name: custom.value(rows.at(c))})
    realised = {name: custom.value(judged)} if judged is not None and counted.labelled else {}
    return replace(
        found,
        metrics=(*found.metrics, custom.metric),
        reference={**found.reference, name: custom.value(rows)},
        bands={**found.bands, **own},
        estimates={**found.estimates, **({} if estimate is None else {name: estimate})},
        realised={**found.realised, **realised},
    )


def describe(
    version: VersionId,
    window: Window,
    problem: Problem,
    counted: Counted,
    found: Findings,
    files: int,
    labels: Labels | None = None,
) -> PerformanceReport:
    """The report of a run."""
    source = source_of(counted.usable, counted.labelled)
    enough = found.rows >= MIN_REFERENCE and counted.usable >= MIN_ROWS
    metrics = tuple(_metric(m, found, source, enough=enough) for m in found.metrics)
    beyond = [m for m in metrics if m.severity != "none"]
    if not found.honest:
        metrics = tuple(m.model_copy(update={"severity": "none"}) for m in metrics)
    severity = worst([m.severity for m in metrics])
    verdict = _verdict(beyond, enough=enough, honest=found.honest)
    return PerformanceReport(
        model=str(version),
        window=Span.of(window),
        problem=_kind(problem),
        target=problem.target,
        output=problem.output.name,
        classes=problem.names if isinstance(problem, Classes) else (),
        method=found.method,
        rows=PerformanceRows(
            reference=found.rows,
            window=counted.rows,
            failed=counted.failed,
            unusable=counted.unusable,
            labelled=counted.labelled,
            strangers=counted.strangers,
            files=files,
        ),
        verdict=verdict,
        severity=severity,
        judged=source,
        sentence=_sentence(verdict, beyond or metrics, source, counted, found),
        metrics=metrics,
        tables=tuple(_table(name, one) for name, one in found.tables.items()),
        notes=_notes(counted, source, labels, honest=found.honest),
    )


def _verdict(beyond: Sequence[MetricPerformance], *, enough: bool, honest: bool) -> Verdict:
    if not enough:
        return "not-enough-data"
    if not beyond:
        return "steady"
    return "degraded" if honest else "no-reference"


def _table(name: str, one: ClassTables) -> ClassTable:
    met = tuple(_known(float(v)) for v in one.met)
    return ClassTable.model_validate(
        {"of": name, "confusion": one.confusion.tolist(), "given": one.given.tolist(), "met": met}
    )


def _kind(problem: Problem) -> Literal["binary", "multiclass", "regression"]:
    if not isinstance(problem, Classes):
        return "regression"
    return "binary" if problem.binary else "multiclass"


def _metric(metric: Metric, found: Findings, source: Source, *, enough: bool) -> MetricPerformance:
    band, estimate = found.bands.get(metric.name), found.estimates.get(metric.name)
    realised = _known(found.realised.get(metric.name))
    value = realised
    if source == "estimated":
        value = None if estimate is None else kindest(metric, estimate)
    severity: Severity = "none"
    if enough and band is not None and value is not None:
        severity = band.severity(value, metric)
    return MetricPerformance(
        name=metric.name,
        better=metric.better,
        reference=_known(found.reference[metric.name]),
        band_low=None if band is None else max(band.centre - band.half, metric.low),
        band_high=None if band is None else min(band.centre + band.half, metric.high),
        estimated=None if estimate is None else estimate.value,
        low=None if estimate is None else max(estimate.low, metric.low),
        high=None if estimate is None else min(estimate.high, metric.high),
        realised=realised,
        severity=severity,
    )


def kindest(metric: Metric, estimate: Estimate) -> float:
    """The better end of an interval: what may as well be within the band has not degraded."""
    return estimate.high if metric.better == "higher" else estimate.low


def _known(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def _sentence(
    verdict: Verdict, metrics: Sequence[MetricPerformance], source: Source, counted: Counted, found: Findings
) -> str:
    """``metrics`` are those beyond their band, or all where none is."""
    if verdict == "not-enough-data":
        have = f"the window has {report_text.rows(counted.usable)} with an answer, the reference {report_text.rows(found.rows)} with a label"
        return f"Not enough data for a verdict: {have}; {MIN_ROWS} and {MIN_REFERENCE} are needed."
    of = "the reference" if found.honest else "the training data"
    if verdict == "steady":
        said = "; ".join(_said(m, source) for m in metrics[:1])
        return f"No metric is worse than chunks of {of} show: {said}."
    first = max(metrics, key=lambda m: SEVERITIES.index(m.severity))
    edge, limit = (first.band_low, "least") if first.better == "higher" else (first.band_high, "most")
    said = f"{_said(first, source)}, where chunks of {of} have at {limit} {report_text.number(edge)}"
    if verdict == "no-reference":
        return f"Not as on {of}: {said}. A model may have learnt that by heart, so this does not say that it has degraded; reference-data would tell."
    more = "" if len(metrics) == 1 else f" {len(metrics) - 1} more of {len(found.metrics)} metrics are worse too."
    return f"Performance has degraded: {said}.{more}"


def _said(metric: MetricPerformance, source: Source) -> str:
    if source == "realised":
        return f"`{metric.name}` is {report_text.number(metric.realised)} by the labels that came"
    interval = f"{report_text.number(metric.low)} to {report_text.number(metric.high)}"
    return f"`{metric.name}` is estimated at {report_text.number(metric.estimated)} ({interval})"


def _notes(counted: Counted, source: Source, labels: Labels | None, *, honest: bool) -> tuple[Note, ...]:
    notes = [Note(name="reference", reason=HONEST if honest else OPTIMISM)]
    if source == "estimated":
        notes.append(Note(name="estimate", reason=NO_CONCEPT))
    if counted.strangers:
        reason = f"{counted.strangers:,} are no class of the model, or no number; they are not counted"
        notes.append(Note(name="labels", reason=reason))
    if labels is not None and labels.repeated:
        reason = f"{report_text.rows(labels.repeated)} are answers of requests that were answered again: the newest answer has the label"
        notes.append(Note(name="requests", reason=reason))
    if labels is not None and labels.unreadable:
        reason = f"{labels.unreadable:,} files of labels cannot be read and were set aside: see headrace labels list"
        notes.append(Note(name="label files", reason=reason))
    if counted.unusable:
        reason = f"{report_text.rows(counted.unusable)} without a usable answer are not counted"
        notes.append(Note(name="answers", reason=reason))
    return tuple(notes)
