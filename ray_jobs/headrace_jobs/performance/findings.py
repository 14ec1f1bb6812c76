"""From figures to the report: severities, the verdict, and what it says in one sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from headrace_functions.names import VersionId
from headrace_jobs import report_text
from headrace_jobs.performance.cbpe import Estimate
from headrace_jobs.performance.counting import Counted
from headrace_jobs.performance.judging import MIN_REFERENCE, MIN_ROWS, Band, Source, source_of
from headrace_jobs.performance.labels import Labels
from headrace_jobs.performance.metrics import Metric, Values
from headrace_jobs.performance.problem import Classes, Problem
from headrace_jobs.report.models import MetricPerformance, Note, PerformanceReport, PerformanceRows, Span
from headrace_jobs.verdict import SEVERITIES, Severity, worst
from headrace_jobs.window import Window, text

OPTIMISM = (
    "The reference is the training data. A model that fits it closer than new data promises too much, and so do its estimates; "
    "labels tell."
)
NO_CONCEPT = "An estimate without labels sees what other inputs do to the answers, and not that the same inputs have come to mean something else."

Verdict = Literal["degraded", "steady", "not-enough-data"]


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
    severity = worst([m.severity for m in metrics])
    verdict: Verdict = "not-enough-data" if not enough else "steady" if severity == "none" else "degraded"
    return PerformanceReport(
        model=str(version),
        window=Span(since=text(window.since), until=text(window.until), length=window.length),
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
        sentence=_sentence(verdict, metrics, source, counted, found.rows),
        metrics=metrics,
        notes=_notes(counted, source, labels),
    )


def _kind(problem: Problem) -> Literal["binary", "multiclass", "regression"]:
    if not isinstance(problem, Classes):
        return "regression"
    return "binary" if problem.binary else "multiclass"


def _metric(metric: Metric, found: Findings, source: Source, *, enough: bool) -> MetricPerformance:
    band, estimate = found.bands.get(metric.name), found.estimates.get(metric.name)
    realised = _known(found.realised.get(metric.name))
    value = realised if source == "realised" else estimate.value if estimate is not None else None
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
        low=None if estimate is None else estimate.low,
        high=None if estimate is None else estimate.high,
        realised=realised,
        severity=severity,
    )


def _known(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def _sentence(
    verdict: Verdict, metrics: Sequence[MetricPerformance], source: Source, counted: Counted, reference: int
) -> str:
    if verdict == "not-enough-data":
        have = f"the window has {report_text.rows(counted.usable)} with an answer, the reference {report_text.rows(reference)} with a label"
        return f"Not enough data for a verdict: {have}; {MIN_ROWS} and {MIN_REFERENCE} are needed."
    worse = [m for m in metrics if m.severity != "none"]
    if not worse:
        said = "; ".join(_said(m, source) for m in metrics[:1])
        return f"No metric is worse than chunks of the training data show: {said}."
    worse.sort(key=lambda m: -SEVERITIES.index(m.severity))
    edges = [m.band_low if m.better == "higher" else m.band_high for m in worse]
    first = f"{_said(worse[0], source)}, where windows without change have at {'least' if worse[0].better == 'higher' else 'most'} {report_text.number(edges[0])}"
    more = "" if len(worse) == 1 else f" {len(worse) - 1} more of {len(metrics)} metrics are worse too."
    return f"Performance has degraded: {first}.{more}"


def _said(metric: MetricPerformance, source: Source) -> str:
    if source == "realised":
        return f"`{metric.name}` is {report_text.number(metric.realised)} by the labels that came"
    interval = f"{report_text.number(metric.low)} to {report_text.number(metric.high)}"
    return f"`{metric.name}` is estimated at {report_text.number(metric.estimated)} ({interval})"


def _notes(counted: Counted, source: Source, labels: Labels | None) -> tuple[Note, ...]:
    notes = [Note(name="reference", reason=OPTIMISM)]
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
