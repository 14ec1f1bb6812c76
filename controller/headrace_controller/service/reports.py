"""Reports that jobs wrote: lists, the document, the page."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headrace_controller import clock
from headrace_controller.access import current
from headrace_controller.catalog.catalog import Catalog
from headrace_controller.service import reportschema
from headrace_controller.service.paging import Page, PageRequest, page
from headrace_functions.errors import HeadraceError, NotFound
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectInfo, ObjectStore

SCHEMA = 1
"""Newest schema of reports that this release reads; ``headrace_jobs.report.models`` writes it."""

_log = logging.getLogger(__name__)


class UnreadableReport(HeadraceError):
    """A stored report is damaged, or a newer release wrote it."""

    code = "unreadable-report"


@dataclass(frozen=True, slots=True)
class ReportSummary:
    """A report in a list. ``key`` is ``<kind>/<name>``; ``verdict`` and ``severity`` are empty where the kind has none."""

    version: VersionId
    kind: str
    name: str
    written: str
    verdict: str = ""
    severity: str = ""
    engine: str = ""

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.name}"


@dataclass(slots=True)
class Reports:
    catalog: Catalog
    _seen: dict[str, ReportSummary] = field(default_factory=dict)
    """By storage key; reports never change."""

    @property
    def _objects(self) -> ObjectStore:
        return self.catalog.documents.objects

    def select(
        self,
        request: PageRequest,
        *,
        version: VersionId | None = None,
        model: str | None = None,
        kind: str | None = None,
    ) -> Page[ReportSummary]:
        """Reports of a version, a model or all, the newest first."""
        asked = [version] if version else list(self._versions_with_reports(model))
        versions = [v for v in asked if current.may("view", v.model)]
        found = [r for v in versions for r in self._of(v, kind)]
        found.sort(key=lambda r: (r.written, r.key), reverse=True)
        return page(found, request, lambda r: f"{r.version}/{r.key}")

    def document(self, version: VersionId, kind: str, name: str) -> dict[str, Any]:
        """The JSON report; ``NotFound`` if there is none, ``UnreadableReport`` for one that is damaged or of a newer release.

        It is held whole against the schema of its kind, so whoever reads it finds every member.
        """
        document = _checked(self._get(version, kind, f"{name}.json"), version, kind, name)
        where = f"the report {version}/{kind}/{name}"
        if kind not in reportschema.kinds():
            expected = f"one of {', '.join(sorted(reportschema.kinds()))}"
            raise UnreadableReport(f"{where}: this release knows no such kind", field="kind", expected=expected)
        wrong = reportschema.problem(document)
        if wrong is not None:
            raise UnreadableReport(f"{where} is damaged: {wrong}", field="report", hint="run its analysis again")
        return document

    def page(self, version: VersionId, kind: str, name: str) -> bytes:
        """The self-contained HTML page of a report."""
        return self._get(version, kind, f"{name}.html")

    def _get(self, version: VersionId, kind: str, file: str) -> bytes:
        try:
            return self._objects.get(layout.report(version, kind, file))
        except NotFound as error:
            raise NotFound(
                f"{version} has no report {kind}/{file}", field="report", hint=f"see: headrace report list {version}"
            ) from error

    def _versions_with_reports(self, model: str | None) -> Iterator[VersionId]:
        # By their folders, so that reports of a deleted version are still found.
        for name in [model] if model else self._objects.folders(layout.REPORTS):
            for folder in self._objects.folders(layout.model_reports(name)):
                if folder.startswith("v") and folder[1:].isdigit():
                    yield VersionId(name, int(folder[1:]))

    def _of(self, version: VersionId, kind: str | None) -> Iterator[ReportSummary]:
        for info in self._objects.walk(layout.reports(version, kind or "")):
            if info.key.endswith(".json"):
                yield self._summary(version, info)

    def _summary(self, version: VersionId, info: ObjectInfo) -> ReportSummary:
        held = self._seen.get(info.key)
        if held is None:
            kind, name = info.key.removesuffix(".json").rsplit("/", 2)[-2:]
            try:
                head = _checked(self._objects.get(info.key), version, kind, name)
            except UnreadableReport as error:
                _log.warning("%s", error.message)
                head = {"verdict": "unreadable"}  # it stands in the list: asked for, it says what is wrong
            written = clock.show(clock.from_seconds(info.modified))
            held = ReportSummary(
                version, kind, name, written, *(_text(head, k) for k in ("verdict", "severity", "engine"))
            )
            self._seen[info.key] = held
        return held


class _Head(BaseModel):
    """What reports of every kind have: enough for a list."""

    model_config = ConfigDict(extra="allow")

    kind: str
    version: int = Field(alias="schema", ge=1)
    model: str


def _checked(body: bytes, version: VersionId, kind: str, name: str) -> dict[str, Any]:
    where = f"the report {version}/{kind}/{name}"
    try:
        document: dict[str, Any] = orjson.loads(body)
        head = _Head.model_validate(document)
    except (orjson.JSONDecodeError, ValidationError) as error:
        what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else "no JSON"
        raise UnreadableReport(f"{where} is damaged: {what}", field="report", hint="run its analysis again") from error
    if head.version > SCHEMA:
        message = f"{where} has the schema {head.version}, this release reads up to {SCHEMA}"
        raise UnreadableReport(message, field="report", hint="update Headrace")
    if head.kind != kind or head.model != str(version):
        raise UnreadableReport(
            f"{where} says that it is {head.kind} of {head.model}", field="report", hint="restore the store"
        )
    return document


def _text(document: Mapping[str, Any], key: str) -> str:
    """A member of a report's top level or of its ``summary``, where it is text."""
    summary = document.get("summary")
    found = document.get(key, summary.get(key) if isinstance(summary, Mapping) else None)
    return found if isinstance(found, str) else ""
