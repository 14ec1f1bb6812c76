"""The outliers job: learn a version's detector (once), keep it as a function to serve, and report on a window of its log."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_functions.errors import InvalidInput
from headrace_functions.names import VersionId
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.views import Array
from headrace_jobs import inputs
from headrace_jobs.execution import Executor
from headrace_jobs.outliers.engines import NATIVE, OutlierEngine
from headrace_jobs.outliers.package import keep_function
from headrace_jobs.outliers.scorer import Detector
from headrace_jobs.outliers.series import POINTS, outstanding
from headrace_jobs.outliers.training import Learnt, learn
from headrace_jobs.outliers.window import Scored, Task, Worst, merge_all, score_file
from headrace_jobs.plan import ROOT, by_leaf, tree
from headrace_jobs.report.models import (
    DetectorChoice,
    FieldShare,
    Note,
    OutlierReport,
    OutlierRow,
    OutlierStep,
    OutlierTime,
    Scalar,
    Severity,
    Span,
)
from headrace_jobs.report_text import rows as counted
from headrace_jobs.report_text import share
from headrace_jobs.statistics.history import STEPS
from headrace_jobs.window import Window, text

MIN_ROWS = 30
MAX_RATE = 0.5
TIMES = 20
"""Times that a report names."""
FIELDS = 5
"""Fields that are named with a row."""
EXCESS: tuple[tuple[float, Severity], ...] = ((0.25, "severe"), (0.10, "medium"), (0.02, "low"))
"""Share of rows beyond what the false alarms explain, from which on more outliers are as bad as this."""

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class OutlierRun:
    """One run of the job. ``rate`` is the wanted share of false alarms: of rows like the training data that are called outliers."""

    version: VersionId
    window: Window
    rate: float = 0.01
    engine: OutlierEngine = NATIVE

    def __post_init__(self) -> None:
        if not 0 < self.rate <= MAX_RATE:
            raise InvalidInput(
                f"rate: {self.rate} is not a valid false-alarm rate",
                field="rate",
                expected=f"more than 0, at most {MAX_RATE}",
            )

    def report(self, objects: ObjectStore, executor: Executor, progress: Progress) -> tuple[OutlierReport, str]:
        """The report, and the key of the folder that holds the function to serve."""
        version = inputs.read_version(objects, self.version)
        progress(0, 1, "learning what is usual")
        learnt = learn(objects, version, self.engine)
        folder = keep_function(objects, version, learnt.detector, self.rate, self.engine.licence)
        files = inputs.log_files(objects, self.version, self.window)
        fields = {f.name: f for f in version.signature.inputs}
        looked = tuple(fields[code.name] for code in learnt.detector.encoding.fields)
        task = Task(self.window, learnt.detector, looked, 1 - self.rate)
        done = by_leaf(len(files), progress)
        found: Scored = executor.run(tree([(score_file, f, task) for f in files], merge_all), ROOT, done)
        return self._describe(learnt, found, len(files)), folder

    def _describe(self, learnt: Learnt, found: Scored, files: int) -> OutlierReport:
        rows, outliers = int(found.rows.sum()), int(found.outliers.sum())
        held_out = len(learnt.detector.held_out)
        low, high = interval(outliers, rows)
        _, expected = interval(round(self.rate * held_out), held_out)
        excess = low - expected
        enough = rows >= MIN_ROWS
        severity: Severity = next((s for limit, s in EXCESS if enough and excess >= limit), "none")
        notes = [Note(name=n, reason=r) for n, r in learnt.skipped.items()]
        if found.unread:
            reason = f"{counted(found.unread)} of files that lack an input, or have it as another type"
            notes.append(Note(name="rows", reason=reason))
        return OutlierReport(
            model=str(self.version),
            window=Span.of(self.window),
            engine=self.engine.name,  # type: ignore[arg-type]  # pydantic checks it
            licence=self.engine.licence,
            rows=rows,
            failed=found.failed,
            files=files,
            verdict="not-enough-data" if not enough else "more-outliers" if severity != "none" else "as-expected",
            severity=severity,
            sentence=_sentence(rows, outliers, self.rate, enough, severity),
            detector=DetectorChoice(
                method=learnt.detector.method,  # type: ignore[arg-type]  # pydantic checks it
                candidates=dict(learnt.areas),
                fitted=learnt.fitted,
                held_out=held_out,
            ),
            threshold=1 - self.rate,
            outliers=outliers,
            expected=self.rate,
            expected_high=expected,
            rate=outliers / rows if rows else 0.0,
            low=low,
            high=high,
            worst=tuple(_row(learnt.detector, w) for w in found.worst),
            history=tuple(
                OutlierStep(
                    start=text(self.window.since + i * (self.window.until - self.window.since) / STEPS),
                    rows=int(found.rows[i]),
                    outliers=int(found.outliers[i]),
                )
                for i in range(STEPS)
            ),
            times=self._times(found.series) if enough else (),
            notes=tuple(notes),
        )

    def _times(self, counts: Array) -> tuple[OutlierTime, ...]:
        """Pieces of the window's time whose number of rows stands out of the pieces around."""
        scores = self.engine.series(counts.astype(np.float64))
        length = (self.window.until - self.window.since) / POINTS
        return tuple(
            OutlierTime(start=text(self.window.since + i * length), rows=int(counts[i]), score=float(scores[i]))
            for i in outstanding(scores, counts)[:TIMES]
        )


def interval(hits: int, rows: int) -> tuple[float, float]:
    """95 % interval of a share (Clopper and Pearson 1934); all of [0, 1] where there are no rows."""
    from scipy import stats  # takes a second to import; an explanation does without

    low = float(stats.beta.ppf(0.025, hits, rows - hits + 1)) if hits else 0.0
    high = float(stats.beta.ppf(0.975, hits + 1, rows - hits)) if hits < rows else 1.0
    return low, high


def shares(detector: Detector, encoded: Array) -> Mapping[str, float]:
    """What part of a row's score goes away when a field has its typical value; 0 where that changes nothing, scaled to 1 at most."""
    places = detector.encoding.places()
    changed = np.repeat(encoded[None, :], len(places) + 1, axis=0)
    for i, columns in enumerate(places.values(), 1):
        changed[i, columns] = detector.typical[columns]
    scores = detector.scores(changed)
    relief = np.maximum(scores[0] - scores[1:], 0.0)
    total = max(float(relief.sum()), 1e-300)
    return dict(zip(places, (relief / total).tolist(), strict=True))


def _row(detector: Detector, worst: Worst) -> OutlierRow:
    ranked = sorted(shares(detector, worst.encoded).items(), key=lambda item: (-item[1], item[0]))
    return OutlierRow(
        request_id=worst.request_id,
        row=worst.row,
        received=worst.received.isoformat().replace("+00:00", "Z"),
        value=worst.value,
        score=worst.score,
        fields=tuple(
            FieldShare(name=name, value=_plain(worst.given.get(name)), share=part)
            for name, part in ranked[:FIELDS]
            if part > 0
        ),
    )


def _plain(value: Any) -> Scalar | None:
    """A value as JSON has it; a tensor is told by its length."""
    if isinstance(value, list):
        return f"{len(value)} elements"
    if value is None or value != value or value in (np.inf, -np.inf):
        return None if value is None or value != value else str(value)
    return value if isinstance(value, str | int | float | bool) else str(value)


def _sentence(rows: int, outliers: int, rate: float, enough: bool, severity: Severity) -> str:
    if not enough:
        return f"{counted(rows)} in the window are too few to speak of a rate; it takes {MIN_ROWS}."
    usual = f"of rows like the training data {share(rate)} would be"
    if severity == "none":
        return f"{outliers:,} of {counted(rows)} are outliers ({share(outliers / rows)}); {usual}."
    return f"More outliers than training explains: {outliers:,} of {counted(rows)} ({share(outliers / rows)}), {usual}."
