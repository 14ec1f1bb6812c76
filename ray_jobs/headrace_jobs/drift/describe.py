"""From judged findings to the report: verdicts of fields, their pictures, sentences and ranking."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from headrace_functions.names import VersionId
from headrace_jobs import report_text
from headrace_jobs.baseline import Against, Ranking
from headrace_jobs.content import LABEL
from headrace_jobs.detectors.base import Detector
from headrace_jobs.drift import charts
from headrace_jobs.drift import sides as sides_of
from headrace_jobs.drift.advice import advice
from headrace_jobs.drift.compare import WHOLE, Comparison
from headrace_jobs.drift.usual import Usual
from headrace_jobs.report import models as report
from headrace_jobs.report.models import Chunk, DriftReport, FieldDrift, Note, Rows, Span, Test, Thresholds
from headrace_jobs.verdict import SEVERITIES, Judged, Policy, Verdict, worst
from headrace_jobs.window import Window, text


@dataclass(frozen=True, slots=True)
class Told:
    """What a report says besides the comparison itself."""

    version: VersionId
    window: Window
    against: Against
    detector: Detector
    policy: Policy
    notes: Sequence[tuple[str, str]] = ()
    chunks: tuple[Chunk, ...] = ()
    ranking: Ranking = "severity"
    usual: Usual = field(default_factory=Usual)


def describe(told: Told, sides: Comparison, judged: Mapping[str, Sequence[Judged]]) -> DriftReport:
    """The report of a run."""
    policy, words = told.policy, told.against.words
    told_of = {key: _field(key, sides, judged[key], told) for key in sides.views}
    told_of |= {key: _content(key, sides, judged[key]) for key in sides.contents}
    weighed = any(f.importance is not None for f in told_of.values())
    alone = {key: any(j.alone and j.severity != "none" for j in judged[key]) for key in told_of}
    fields = [f for _, f in sorted(told_of.items(), key=lambda i: _order(i[1], alone=alone[i[0]], weighed=weighed))]
    fields = [_with_usual(f, told.usual) for f in fields]
    enough = sides.enough(policy)
    named = {key: view.of(column.field) for key, (column, view) in sides.views.items()}
    whole = tuple(_test(j, named) for j in judged.get(WHOLE, ()))
    severity = worst([*(f.severity for f in fields), *(t.severity for t in whole)])
    verdict: Verdict = "not-enough-data" if not enough else "drift" if severity != "none" else "no-drift"
    if enough and fields and all(f.verdict == "not-enough-data" for f in fields):
        verdict = "not-enough-data"
    return DriftReport(
        model=str(told.version),
        engine=_engine(told.detector),
        licence=told.detector.licence,
        against=_against(told.against),
        window=Span.of(told.window),
        rows=_rows(sides),
        verdict=verdict,
        severity=severity,
        sentence=_sentence(verdict, sides, fields, whole, told),
        advice=advice(fields, words),
        fields=tuple(fields),
        ranking=told.ranking,
        whole=whole,
        chunks=told.chunks,
        notes=tuple(Note(name=n, reason=r) for n, r in (*told.notes, *_apart_notes(sides), *_log_notes(sides))),
        thresholds=Thresholds(
            alpha=policy.alpha,
            min_rows=policy.min_rows,
            moved=policy.thresholds("moved", policy.effect),
            defect=policy.thresholds("defect", policy.effect),
        ),
    )


def _rows(sides: Comparison) -> Rows:
    before, now = (round(rows) if share < 1 else None for rows, share in zip(sides.effective, sides.scale, strict=True))
    return Rows(
        reference=sides.reference_rows,
        window=sides.window.rows,
        failed=sides.window.failed,
        files=sides.files,
        effective_reference=before,
        effective_window=now,
    )


def _against(against: Against) -> report.Against:
    window = against.window
    if window is None:
        return report.Against(kind=against.words.kind)
    return report.Against(kind=against.words.kind, since=text(window.since), until=text(window.until))


def _engine(detector: Detector) -> Literal["native", "alibi"]:
    return "alibi" if detector.name == "alibi" else "native"


def _with_usual(one: FieldDrift, usual: Usual) -> FieldDrift:
    """A field with how far it usually goes, and a word of it where its drift is nothing new."""
    highest = usual.highest.get(one.name)
    if highest is None:
        return one
    added = report_text.usual_sentence(usual.windows) if one.verdict == "drift" and _effect(one) <= highest else ""
    return one.model_copy(update={"usual": highest, "sentence": one.sentence + added})


def _order(field: FieldDrift, *, alone: bool, weighed: bool) -> tuple[float, ...]:
    """Inputs that drifted, then outputs that did; the rest by what moved.

    Of either side those first whose evidence holds ``alone``, then those that are believed because others drifted too; each by its impact where
    importances are known, else by severity.
    """
    severity = SEVERITIES.index(field.severity)
    drifted = field.verdict == "drift"
    output = drifted and field.side == "output"
    impact = -field.impact if weighed else -severity
    return (-drifted, output, -alone, impact, -severity, -field.score, -_effect(field))


def _effect(field: FieldDrift) -> float:
    return max((t.effect for t in field.tests), default=0.0)


def _sentence(
    verdict: Verdict, sides: Comparison, fields: Sequence[FieldDrift], whole: Sequence[Test], told: Told
) -> str:
    if verdict != "not-enough-data":
        return (
            report_text.drift_sentence(fields, whole, told.against.words)
            + report_text.chunks_sentence(told.chunks)
            + _besides(sides, fields, told)
        )
    if sides.enough(told.policy):
        return report_text.nothing_to_compare(fields)
    reference, window = report_text.rows(round(sides.effective[0])), report_text.rows(round(sides.effective[1]))
    kind = "" if sides.scale == (1.0, 1.0) else " that do not depend on each other"
    have = f"the window has {window}{kind}, {told.against.words.whole} {reference}"
    return f"Not enough data for a verdict: {have}, and {told.policy.min_rows} are needed."


def _apart_notes(sides: Comparison) -> list[tuple[str, str]]:
    named = {key: view.of(column.field) for key, (column, view) in sides.views.items()}
    return [(named[key], f"set apart: {why}") for key, why in sides.apart.items()]


def _besides(sides: Comparison, fields: Sequence[FieldDrift], told: Told) -> str:
    """What a verdict is not to be read without: repeated rows, refused ones, and that a drift is nothing new."""
    drifted = [f for f in fields if f.verdict == "drift"]
    known = [f for f in drifted if f.usual is not None and _effect(f) <= f.usual]
    return (
        report_text.repeats_sentence(_rows(sides))
        + report_text.refused_sentence(_rows(sides))
        + report_text.nothing_new_sentence(len(known), len(drifted), told.usual.windows)
    )


def _log_notes(sides: Comparison) -> list[tuple[str, str]]:
    names = {column.name: column.field.name for column, _ in sides.views.values()}
    lost = {
        names[
            name
        ]: f"{report_text.rows(count)} of the window are in log files without this column; they count as missing"
        for name, count in sides.window.lost.items()
        if name in names and name not in sides.window.problems
    }
    problems = {names.get(name, name): f"log: {problem}" for name, problem in sides.window.problems.items()}
    return [*lost.items(), *problems.items()]


def _field(key: str, sides: Comparison, judged: Sequence[Judged], told: Told) -> FieldDrift:
    column, view = sides.views[key]
    before, now = sides.references[key], sides.window.views.get(key)
    severity = worst([j.severity for j in judged])
    verdict: Verdict = "no-drift" if any(j.finding.test == "distribution" for j in judged) else "not-enough-data"
    history = sides.window.histories.get(key)
    shown = charts.steps(history, before, told.window) if history is not None else ()
    tests = tuple(_test(j) for j in judged)
    score = max((j.finding.effect_low for j in judged if j.severity != "none"), default=0.0)
    share = sides.importance.get(key)
    field = FieldDrift(
        name=view.of(column.field),
        side="input" if column.side == "input" else "output",
        kind=view.kind,
        verdict="drift" if severity != "none" else verdict,
        severity=severity,
        apart=sides.apart.get(key),
        score=score,
        importance=share,
        impact=score * (1.0 if share is None else share),
        sentence="",
        since=charts.since(shown, told.policy.moved[0]) if severity != "none" else None,
        tests=tests,
        distances=sides_of.distances_of(before, now),
        reference=sides_of.reference_side(before),
        window=sides_of.window_side(now, sides.lost().get(key, 0)),
        bars=sides_of.bars(before, now),
        history=shown,
    )
    return field.model_copy(update={"sentence": report_text.field_sentence(field.name, field, told.against.words)})


def _content(key: str, sides: Comparison, judged: Sequence[Judged]) -> FieldDrift:
    """What is said of the content of a text or vector."""
    column = sides.contents[key]
    severity = worst([j.severity for j in judged])
    score = max((j.finding.effect_low for j in judged if j.severity != "none"), default=0.0)
    found = [share for k, share in sides.importance.items() if sides.views.get(k, (None,))[0] == column]
    share = max(found, default=None)
    name = f"{column.field.name} {LABEL}"
    drifted: Verdict = "drift" if severity != "none" else "no-drift" if judged else "not-enough-data"
    return FieldDrift(
        name=name,
        side="input" if column.side == "input" else "output",
        kind="number",
        verdict=drifted,
        severity=severity,
        score=score,
        importance=share,
        impact=score * (1.0 if share is None else share),
        sentence=report_text.content_sentence(name, judged[0].finding.effect_low if judged else 0.0, drifted),
        tests=tuple(_test(j) for j in judged),
    )


def _test(judged: Judged, named: Mapping[str, str] | None = None) -> Test:
    f = judged.finding
    return Test.model_validate(
        {
            "test": f.test,
            "method": f.method,
            "statistic": f.statistic,
            "p": f.p,
            "p_adjusted": judged.p_adjusted,
            "effect": f.effect,
            "effect_low": f.effect_low,
            "severity": judged.severity,
            "about": tuple((named or {}).get(key, key) for key in f.about),
        }
    )
