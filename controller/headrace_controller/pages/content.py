"""What pages show, as JSON-ready mappings made from the same views as the API's answers."""

from typing import Any

from headrace_controller.api import metrics, views
from headrace_controller.catalog.catalog import ModelVersion
from headrace_controller.requestlog.reader import LogQuery
from headrace_controller.service.paging import PageRequest
from headrace_controller.service.platform import Platform
from headrace_controller.service.versions import VersionFilter
from headrace_functions.errors import InvalidInput
from headrace_functions.names import VersionId

SHOWN = 200  # models or sequences of the overview, versions of a model
HOURS = 24  # of a metric's history
RECENT = 20  # requests, reports and jobs

_REQUEST_COLUMNS = (
    "received",
    "request_id",
    "outcome",
    "status",
    "latency_ms",
    "sequence",
    "shadow",
    "error",
    "checks",
)

Content = dict[str, Any]


def overview(platform: Platform) -> Content:
    models = platform.versions.models("", PageRequest(SHOWN))
    sequences = platform.sequences.select("", PageRequest(SHOWN))
    services = [views.service(s).model_dump() for s in platform.services.select()]
    return {
        "status": {k: v for k, v in platform.status().items() if k != "services"},
        "models": [views.model(m).model_dump() for m in models.items],
        "more_models": models.next is not None,
        "sequences": [views.revision(r).model_dump() for r in sequences.items],
        "more_sequences": sequences.next is not None,
        "services": services,
        "states": {s["version"]: s for s in services},
        "reports": _reports(platform, None),
        "jobs": [views.job(j).model_dump() for j in platform.jobs.select(PageRequest(5)).items],
        "schedules": [views.schedule(s).model_dump() for s in platform.schedules.select()],
    }


def model(platform: Platform, name: str, number: int | None) -> Content:
    """A model and one of its versions: the one asked for, else the newest."""
    summary = platform.versions.model(name)
    page = platform.versions.select(VersionFilter(name), PageRequest(SHOWN))
    chosen = platform.versions.get(VersionId(name, number or summary.latest.id.number))
    services = {s["version"]: s for s in platform.services.select()}
    return {
        "model": views.model(summary).model_dump(),
        "versions": [views.version(v, platform.catalog).model_dump() for v in page.items],
        "more_versions": page.next is not None,
        "version": views.version(chosen, platform.catalog).model_dump(),
        "service": services.get(str(chosen.id)),
        "states": services,
        "build_log": platform.builds.log(chosen.id).text,
        "users": platform.catalog.users_of(chosen.id),
        "requests": recent_requests(platform, chosen.id),
        "reports": _reports(platform, chosen.id),
        "metrics": _metrics(platform, chosen),
    }


def sequence(platform: Platform, name: str) -> Content:
    found = platform.sequences.get(name)
    history = [views.revision(r).model_dump() for r in platform.sequences.history(name)]
    return {
        "sequence": views.revision(found).model_dump(),
        "revisions": history[::-1],
        "states": {s["version"]: s for s in platform.services.select()},
    }


def recent_requests(platform: Platform, version: VersionId) -> list[Content]:
    """The newest exchanges of the log, without their fields; none where nothing was logged yet."""
    held = platform.logs.columns(version)
    if not held:
        return []
    columns = tuple(c for c in _REQUEST_COLUMNS if c in held)
    try:
        return platform.logs.query(version, LogQuery(columns=columns, where="row = 0", limit=RECENT))
    except InvalidInput:
        # The table was made anew between the two looks; the next one sees it.
        return []


def _metrics(platform: Platform, chosen: ModelVersion) -> list[Content]:
    """The metrics of a version with the share of unhealthy rows by hour, the last day's worth."""
    if not chosen.released:
        return []
    found = platform.metrics.select(chosen.id)
    return [
        {
            **metrics.view(m).model_dump(),
            "history": [
                metrics.health(h).model_dump() for h in platform.metrics.history(chosen.id, m.spec.name)[-HOURS:]
            ],
        }
        for m in found
    ]


def _reports(platform: Platform, version: VersionId | None) -> list[Content]:
    found = platform.reports.select(PageRequest(RECENT), version=version)
    return [views.report(r).model_dump() for r in found.items]
