"""The pages of reports and of runs: what was analysed, what it said, what is planned."""

from collections.abc import Mapping
from typing import Any, get_args

import orjson

from headrace_controller.api import views
from headrace_controller.pages import links
from headrace_controller.service.jobs import State
from headrace_controller.service.paging import PageRequest
from headrace_controller.service.platform import Platform
from headrace_functions import charts
from headrace_functions.errors import InvalidInput
from headrace_functions.names import VersionId

SHOWN = 100
FIELDS = 60
"""Fields of a drift report that the page draws; the report has all of them."""

Json = dict[str, Any]


def reports(platform: Platform, arguments: Mapping[str, str]) -> Json:
    """Every report, the newest first; ``version`` and ``kind`` narrow it. Explanations of single requests only where they are asked for."""
    version = VersionId.parse(arguments["version"]) if arguments.get("version") else None
    kind = arguments.get("kind") or None
    found = platform.reports.select(PageRequest(1000), version=version, kind=kind).items
    kinds = sorted({r.kind for r in found})
    shown = [r for r in found if kind or r.kind != "explain"][:SHOWN]
    return {
        "reports": [summary(r) for r in shown],
        "kinds": kinds,
        "kind": kind or "",
        "version": str(version) if version else "",
        "more": len(found) > len(shown),
    }


def summary(report: Any) -> Json:
    return {**views.report(report).model_dump(), "model": report.version.model, "number": report.version.number}


def report(platform: Platform, version: VersionId, kind: str, name: str) -> Json:
    """One report: its sentence first, then what it has to show. ``page`` is the self-contained page of the job."""
    document = platform.reports.document(version, kind, name)
    shown: Json = {
        "version": str(version),
        "model": version.model,
        "kind": kind,
        "name": name,
        "document": document,
        "page": f"/api/v1/reports/{version.model}/{version.number}/{kind}/{name}/page",
        "json": f"/api/v1/reports/{version.model}/{version.number}/{kind}/{name}",
    }
    if kind == "drift":
        shown["fields"] = [_drift_field(f) for f in document["fields"][:FIELDS]]
        shown["history"] = _history(platform, version)
    if kind == "quality":
        shown["quality"] = [_quality_rule(version, rule) for rule in document["rules"]]
    return shown


def _quality_rule(version: VersionId, rule: Json) -> Json:
    examples = [{**e, "href": links.request(version, e["request_id"], e["row"])} for e in rule["examples"]]
    return {**rule, "examples": examples}


def _drift_field(field: Json) -> Json:
    bars = field.get("bars") or ()
    training = [float(b.get("reference") or 0.0) for b in bars]
    window = [float(b.get("window") or 0.0) for b in bars]
    labels = [str(b.get("label", "")) for b in bars]
    picture = charts.distribution(training, window, labels, f"{field['name']}: {field['sentence']}") if bars else ""
    return {**field, "picture": picture}


def _history(platform: Platform, version: VersionId) -> Json:
    """The severities of the version's last drift reports, the oldest first."""
    found = platform.reports.select(PageRequest(60), version=version, kind="drift").items[::-1]
    levels = {"none": 0, "low": 1, "medium": 2, "severe": 3}
    cells = [
        charts.Cell(
            levels.get(r.severity) if r.verdict != "not-enough-data" else charts.NOT_JUDGED,
            f"{r.written}: {r.verdict}",
            f"/reports/{version.model}/{version.number}/drift/{r.name}",
        )
        for r in found
    ]
    return {
        "picture": charts.strip(cells, f"severity of the last {len(cells)} drift reports") if len(cells) > 1 else "",
        "count": len(cells),
    }


def runs(platform: Platform, arguments: Mapping[str, str]) -> Json:
    state = arguments.get("state") or None
    if state is not None and state not in get_args(State):
        raise InvalidInput(
            f"state: {state[:80]!r} is not a state", field="state", expected=f"one of {', '.join(get_args(State))}"
        )
    found = platform.jobs.select(PageRequest(SHOWN), status=state)
    return {
        "jobs": [views.job(j).model_dump() for j in found.items],
        "more": found.next is not None,
        "state": state or "",
        "schedules": [views.schedule(s).model_dump() for s in platform.schedules.select()],
    }


def _logged(line: str) -> str:
    """A line of a run's log as people read it: jobs write progress and messages as JSON."""
    if not line.startswith("{"):
        return line
    try:
        told = orjson.loads(line)
    except orjson.JSONDecodeError:
        return line
    if {"done", "total", "what"} <= told.keys():
        return f"{told['done']}/{told['total']} {told['what']}"
    return str(told["message"]) if "message" in told else line


def run(platform: Platform, job_id: str) -> Json:
    job = platform.jobs.get(job_id)
    shown = views.job(job).model_dump()
    link = ""
    if shown["report"]:
        of, kind, name = shown["report"].split("/", 2)
        version = VersionId.parse(of)
        link = f"/reports/{version.model}/{version.number}/{kind}/{name}"
    return {
        "job": shown,
        "log": "\n".join(_logged(line) for line in platform.jobs.log(job_id)[-64_000:].splitlines()),
        "link": link,
        "over": shown["state"] in ("done", "failed"),
    }
