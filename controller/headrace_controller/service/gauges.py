"""Gauges for Prometheus: the last report of each kind of each version, and the open incidents. A scrape looks for reports only where there may
be new ones."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from headrace_controller import clock
from headrace_controller.access import current
from headrace_controller.incidents.model import Incident
from headrace_controller.service.paging import MAX_LIMIT, PageRequest
from headrace_controller.service.reports import Reports, ReportSummary, UnreadableReport
from headrace_controller.service.streams import Stream
from headrace_functions.access.policy import Policy
from headrace_functions.access.roles import PLATFORM

SEVERITIES = ("none", "low", "medium", "severe")
FRESH = 60.0
"""Seconds after which reports are listed again though no job of this platform ended: others write to the store too."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FIGURES: Mapping[str, tuple[str, ...]] = {
    "outliers": ("rate", "expected"),
    "projection": ("beyond",),
    "attribution": (),
}
"""Members of a report's top level that are figures, by kind."""
MOST_SHARES = 20
"""Fields of an attribution that are told, those with the largest share or shift."""
HELP = {
    "headrace_report_timestamp_seconds": "When the last report of a kind was written.",
    "headrace_report_severity": "Its severity: 0 none, 1 low, 2 medium, 3 severe; absent where the kind has none.",
    "headrace_report_enough_data": "Whether it came to a verdict (1) or had not enough data (0).",
    "headrace_report_fields": "Fields of the last drift report by verdict.",
    "headrace_report_attribution": "Share of a field in what the answers depend on, in the last attribution: in its window, and on training data.",
    "headrace_report_attribution_shift": "Whether the answers depend more (1) or less (-1) on the field than on training data, beyond chance.",
    "headrace_report_figure": "Figures of the last report: rates of outliers, shares, metrics of performance.",
}

Sample = tuple[str, Mapping[str, str], float]


class Gauges:
    def __init__(
        self,
        reports: Reports,
        now: Callable[[], float] = time.monotonic,
        incidents: Callable[[], Iterable[Incident]] = lambda: (),
        streams: Callable[[], Iterable[Stream]] = lambda: (),
    ) -> None:
        """``incidents`` gives those that are not resolved."""
        self._streams = streams
        self._incidents = incidents
        self._reports = reports
        self._now = now
        self._known: dict[str, tuple[Sample, ...]] = {}
        self._made_samples: tuple[Sample, ...] = ()
        self._until = -1.0
        self._lock = threading.Lock()  # two scrapes at once list once

    def stale(self) -> None:
        """A report may be new: the next scrape looks."""
        self._until = -1.0

    def text(self) -> str:
        """The exposition format of Prometheus, version 0.0.4."""
        with self._lock:
            now = self._now()
            if now >= self._until:
                self._until = now + FRESH  # before it looks: what is written meanwhile makes it stale again
                try:
                    with current.asking(PLATFORM, Policy()):  # it is kept for all who ask
                        self._made_samples = self._made()
                except Exception:
                    self.stale()
                    raise
            return (
                _text(s for s in self._made_samples if current.may("view", s[1]["model"]))
                + self._open_incidents()
                + self._lag()
            )

    def _lag(self) -> str:
        lines = [
            "# HELP headrace_stream_lag Messages of a stream that are not answered yet.",
            "# TYPE headrace_stream_lag gauge",
        ]
        for stream in self._streams():
            for partition, lag in stream.progress.get("lag", {}).items():
                lines.append(f"headrace_stream_lag{{{_labels({'stream': stream.name, 'partition': partition})}}} {lag}")
        return "\n".join(lines) + "\n"

    def _open_incidents(self) -> str:
        """Of each version with an incident that is not resolved, how many there are of each severity."""
        counts = Counter((v, i.severity) for i in self._incidents() for v in i.versions)
        lines = [
            "# HELP headrace_incidents_open Incidents that are not resolved.",
            "# TYPE headrace_incidents_open gauge",
        ]
        for (version, severity), count in sorted(counts.items()):
            model, _, number = version.partition(":")
            labels = _labels({"model": model, "version": number, "severity": severity})
            lines.append(f"headrace_incidents_open{{{labels}}} {count}")
        return "\n".join(lines) + "\n"

    def _made(self) -> tuple[Sample, ...]:
        last = self._last()
        self._known = {key: self._known.get(key) or tuple(self._samples(report)) for key, report in last.items()}
        return tuple(sample for found in self._known.values() for sample in found)

    def _last(self) -> dict[str, ReportSummary]:
        """The newest report of each version and kind, explanations of single requests left out, by its id."""
        found: dict[tuple[str, str], ReportSummary] = {}
        token: str | None = None
        while True:
            page = self._reports.select(PageRequest(MAX_LIMIT, token))
            for report in page.items:  # the newest first
                if report.severity or report.kind in FIGURES:
                    found.setdefault((str(report.version), report.kind), report)
            token = page.next
            if token is None:
                return {f"{r.version}/{r.key}": r for r in found.values()}

    def _samples(self, report: ReportSummary) -> Iterator[Sample]:
        labels = {"model": report.version.model, "version": str(report.version.number), "kind": report.kind}
        written = clock.parse(report.written, field="written").timestamp()
        yield "headrace_report_timestamp_seconds", labels, written
        if report.severity in SEVERITIES:
            yield "headrace_report_severity", labels, float(SEVERITIES.index(report.severity))
            yield "headrace_report_enough_data", labels, float(report.verdict != "not-enough-data")
        try:
            document = self._reports.document(report.version, report.kind, report.name)
        except UnreadableReport:
            return  # a newer release wrote it: what every report has is told above
        yield from _fields(labels, document)
        yield from _figures(labels, report.kind, document)
        yield from _attribution(labels, document)


def _fields(labels: Mapping[str, str], document: Mapping[str, Any]) -> Iterator[Sample]:
    if labels["kind"] == "drift":
        verdicts = [field.get("verdict", "") for field in document.get("fields", ())]
        for verdict in ("drift", "no-drift", "not-enough-data"):
            yield "headrace_report_fields", {**labels, "verdict": verdict}, float(verdicts.count(verdict))


def _figures(labels: Mapping[str, str], kind: str, document: Mapping[str, Any]) -> Iterator[Sample]:
    for name in FIGURES.get(kind, ()):
        yield "headrace_report_figure", {**labels, "figure": name, "source": "window"}, float(document[name])
    if kind == "performance":
        for metric in document["metrics"]:
            for source in ("reference", "estimated", "realised"):
                if metric[source] is not None:
                    named = {**labels, "figure": metric["name"], "source": source}
                    yield "headrace_report_figure", named, float(metric[source])


def _attribution(labels: Mapping[str, str], document: Mapping[str, Any]) -> Iterator[Sample]:
    if labels["kind"] != "attribution" or document["chosen"] == "training":
        return
    ranked = sorted(document["fields"], key=lambda f: -max(f["share"], abs(f["shift"] or 0.0)))
    for field in ranked[:MOST_SHARES]:
        named = {**labels, "field": field["name"]}
        yield "headrace_report_attribution", {**named, "source": "window"}, float(field["share"])
        if field["trained"] is not None:
            yield "headrace_report_attribution", {**named, "source": "training"}, float(field["trained"])
            told = (1.0 if field["shift"] > 0 else -1.0) if field["told"] else 0.0
            yield "headrace_report_attribution_shift", named, told


def _text(samples: Iterable[Sample]) -> str:
    seen = list(samples)
    lines = []
    for name, said in HELP.items():
        lines += [f"# HELP {name} {said}", f"# TYPE {name} gauge"]
        lines += [f"{name}{{{_labels(labels)}}} {value!r}" for n, labels, value in seen if n == name]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    escaped = {k: v.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for k, v in labels.items()}
    return ",".join(f'{name}="{value}"' for name, value in escaped.items())
