"""The data-quality job: does the traffic of a window keep the rules that people wrote for it?"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from headrace_functions.classes import text_of
from headrace_functions.errors import InvalidInput
from headrace_functions.names import VersionId
from headrace_functions.quality_rules import ANY_ROWS, QualityRule, check
from headrace_functions.storage.objects import ObjectStore
from headrace_jobs import inputs
from headrace_jobs.execution import Executor
from headrace_jobs.plan import ROOT, by_leaf, tree
from headrace_jobs.quality.counting import Broken, Counted, Task, count_file, merge_all
from headrace_jobs.report.models import BrokenRow, Note, QualityReport, QualityResult, Severity, Span
from headrace_jobs.report_text import share
from headrace_jobs.statistics.repeats import EVERYTHING
from headrace_jobs.window import EPOCH, Window, text

Progress = Callable[[int, int, str], None]
ORDER: tuple[Severity, ...] = ("none", "low", "medium", "severe")
SAID = 3
"""Rules that the report's sentence names."""


@dataclass(frozen=True, slots=True)
class QualityRun:
    """One run of the job; ``rules`` are those of the version where none are given."""

    version: VersionId
    window: Window
    rules: tuple[QualityRule, ...] = ()

    def report(self, objects: ObjectStore, executor: Executor, progress: Progress) -> QualityReport:
        """Count and judge; ``InvalidInput`` where there are no rules, or they speak of what the version does not have."""
        version = inputs.read_version(objects, self.version)
        rules = self.rules or version.quality
        if not rules:
            raise InvalidInput(
                f"{version.id} has no data-quality rules",
                field="rules",
                expected="rules under monitoring in its definition, or a file of them with --rules",
            )
        check(rules, version.signature)
        files = inputs.log_files(objects, self.version, self.window)
        task = Task(self.window, version.signature, rules)
        done = by_leaf(len(files), progress)
        found: Counted = executor.run(tree([(count_file, f, task) for f in files], merge_all), ROOT, done)
        return self._describe(rules, found, len(files))

    def _describe(self, rules: tuple[QualityRule, ...], found: Counted, files: int) -> QualityReport:
        results = tuple(self._result(rule, found.rules.get(place, Broken()), found) for place, rule in enumerate(rules))
        failed = sorted((r for r in results if r.verdict == "fail"), key=lambda r: -ORDER.index(r.severity))
        judged = [r for r in results if r.verdict != "no-rows"]
        unread = [r for place, r in enumerate(results) if found.rules.get(place, Broken()).unread]
        return QualityReport(
            model=str(self.version),
            window=Span.of(self.window),
            rows=found.rows,
            failed=found.failed,
            files=files,
            verdict="not-enough-data" if not judged else "fail" if failed else "pass",
            severity=failed[0].severity if failed else "none",
            sentence=_sentence(results, failed),
            rules=results,
            notes=tuple(
                Note(name=r.name, reason="files without the column, or with another type of it") for r in unread
            ),
        )

    def _result(self, rule: QualityRule, broken: Broken, found: Counted) -> QualityResult:
        if rule.rule in ANY_ROWS:
            kept, sentence = self._of_window(rule, found)
            return _judged(rule, found.rows, 0, kept, sentence)
        rows, count, estimated = _count(rule, broken)
        if not rows:
            return _judged(rule, 0, 0, None, "No row has a value.")
        part = count / rows
        kept = part <= rule.allowed
        shown = f"{share(part)} of rows" if count else "no row"
        allowed = f"; at most {share(rule.allowed)} may" if rule.allowed and rule.rule != "constant" else ""
        return _judged(rule, rows, count, kept, f"{_breaks(rule, shown)}{allowed}.", broken, estimated)

    def _of_window(self, rule: QualityRule, found: Counted) -> tuple[bool, str]:
        if rule.rule == "rows":
            enough = (rule.min is None or found.rows >= rule.min) and (rule.max is None or found.rows <= rule.max)
            return (
                enough,
                f"The window has {found.rows:,} answered rows; {_ends(rule)} are expected.",
            )
        if not found.newest:
            return False, f"No row is in the window; the newest may be {rule.within} old."
        newest = EPOCH + timedelta(microseconds=found.newest)
        age = self.window.until - newest
        old = str(timedelta(seconds=int(age.total_seconds())))
        return (
            age <= rule.span,
            f"The newest row is of {text(newest.replace(microsecond=0))}, {old} before the end; it may be {rule.within} old.",
        )


def _count(rule: QualityRule, broken: Broken) -> tuple[int, int, bool]:
    """Rows, those of them that break the rule, and whether that is an estimate."""
    if broken.values is None:
        return broken.rows, broken.broken, False
    counts = broken.values.counts
    seen = int(counts.sum())
    if rule.rule == "constant":
        return broken.rows, int(counts.max(initial=0)), False
    several = int(counts[counts > 1].sum())
    whole = broken.values.limit == EVERYTHING
    return broken.rows, several if whole or not seen else round(several / seen * broken.rows), not whole


def _breaks(rule: QualityRule, shown: str) -> str:
    field = f"`{rule.field}`"
    return {
        "range": f"{field} is outside {_ends(rule)} in {shown}",
        "set": f"{field} is none of {_some(rule)} in {shown}",
        "regex": f"{field} does not match `{rule.pattern}` in {shown}",
        "missing": f"{field} is missing in {shown}",
        "unique": f"{field} has the value of another row in {shown}",
        "constant": f"{field} has one and the same value in {shown}; at most {share(rule.allowed)} may",
        "condition": f"`{rule.where}` does not hold in {shown}",
        "duplicates": f"All inputs are those of another row in {shown}",
    }[rule.rule]


def _ends(rule: QualityRule) -> str:
    low, high = (f"{end:,.10g}" if end is not None else "" for end in (rule.min, rule.max))
    return f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}"


def _some(rule: QualityRule) -> str:
    shown = ", ".join(text_of(v) for v in rule.values[:SAID])
    return shown + (f" and {len(rule.values) - SAID} more" if len(rule.values) > SAID else "")


def _judged(
    rule: QualityRule,
    rows: int,
    broken: int,
    kept: bool | None,
    sentence: str,
    found: Broken | None = None,
    estimated: bool = False,
) -> QualityResult:
    return QualityResult(
        name=rule.title,
        rule=rule.rule,
        field=rule.field,
        verdict="no-rows" if kept is None else "pass" if kept else "fail",
        severity=rule.severity if kept is False else "none",
        rows=rows,
        broken=broken,
        share=broken / rows if rows else None,
        allowed=rule.allowed,
        estimated=estimated,
        sentence=sentence,
        examples=tuple(
            BrokenRow(request_id=e.request_id, row=e.row, value=e.value) for e in (found.examples if found else ())
        ),
    )


def _sentence(results: tuple[QualityResult, ...], failed: list[QualityResult]) -> str:
    silent = sum(r.verdict == "no-rows" for r in results)
    none = f" {silent} had no rows to look at." if silent else ""
    if not failed:
        kept = len(results) - silent
        return (f"All {kept} rules hold." if kept else "No rule could be judged.") + none
    words = " ".join(r.sentence for r in failed[:SAID])
    more = f" And {len(failed) - SAID} more." if len(failed) > SAID else ""
    return f"{len(failed)} of {len(results)} rules fail. {words}{more}{none}"
