"""What failed lately, and what the newest reports say: what incidents are about besides the health of versions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from headrace_controller import clock
from headrace_controller.catalog.catalog import Catalog
from headrace_controller.incidents.model import Movement, Severity
from headrace_controller.service.jobs import Jobs
from headrace_controller.service.paging import MAX_LIMIT, PageRequest
from headrace_controller.service.reports import Reports
from headrace_functions.names import VersionId

REPORTED: Mapping[str, str] = {"drift": "drift", "performance": "performance", "quality": "data-quality"}
"""Kinds of reports whose severity is told of, as people call them."""
FAILED = timedelta(hours=24)
"""How long a failed build or job is told of."""


class Failures:
    def __init__(
        self,
        catalog: Catalog,
        jobs: Jobs,
        reports: Reports,
        services: Callable[[], Sequence[Mapping[str, Any]]] = lambda: (),
    ) -> None:
        """``services`` tells what runs, see ``service.services``."""
        self._catalog = catalog
        self._jobs = jobs
        self._reports = reports
        self._services = services
        self._failing: dict[str, datetime] = {}

    def found(self, now: datetime) -> Iterator[Movement]:
        """What failed lately, and what the newest reports say."""
        for version in self._catalog.versions():
            if version.state == "failed" and version.status.at:
                at = clock.parse(version.status.at, field="at")
                newest = self._catalog.newest_released(version.id.model)
                if now - at < FAILED and (newest is None or newest.id.number < version.id.number):
                    yield _failure(str(version.id), "build", at, f"the build failed: {version.status.reason}")
        yield from self._failed_jobs(now)
        yield from self._failed_services(now)
        yield from self._reported()

    def _failed_services(self, now: datetime) -> Iterator[Movement]:
        for service in self._services():
            version, reason = str(service.get("version", "")), str(service.get("reason", ""))
            if service.get("state") == "failed":
                first = self._failing.setdefault(version, now)
                yield _failure(version, "service", first, f"the function does not start: {reason}")
            else:
                self._failing.pop(version, None)

    def _failed_jobs(self, now: datetime) -> Iterator[Movement]:
        newest: set[tuple[str, str]] = set()
        for job in self._jobs.select(PageRequest(MAX_LIMIT)).items:  # the newest first
            kind, model = str(job.request.get("kind", "")), str(job.request.get("model", ""))
            if job.state not in ("done", "failed") or (kind, model) in newest:
                continue
            newest.add((kind, model))
            at = clock.parse(job.at, field="at")
            if job.state == "failed" and now - at < FAILED and kind != "explain":
                yield _failure(model, "job", at, f"the {kind} analysis failed: {job.reason}", kind)

    def _reported(self) -> Iterator[Movement]:
        newest: set[tuple[VersionId, str]] = set()
        for report in self._reports.select(PageRequest(MAX_LIMIT)).items:  # the newest first
            place = (report.version, report.kind)
            if report.kind not in REPORTED or place in newest:
                continue
            newest.add(place)
            if report.severity in ("medium", "severe"):
                severity: Severity = "severe" if report.severity == "severe" else "medium"
                said = REPORTED[report.kind]
                sentence = f"the newest {said} report of {report.version} is {report.severity}"
                at = clock.parse(report.written, field="written")
                yield Movement(
                    str(report.version), report.kind, "", "", at, severity, None, sentence, f"{said} {report.severity}"
                )


def _failure(version: str, what: str, at: datetime, sentence: str, field: str = "") -> Movement:
    return Movement(version, what, field, "", at, "medium", None, sentence, f"{field or what} failed")
