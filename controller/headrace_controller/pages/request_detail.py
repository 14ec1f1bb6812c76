"""The page of one request: what was asked and answered, held against training, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from headrace_controller import clock
from headrace_controller.api import views
from headrace_controller.pages import links
from headrace_controller.pages.model import service_log
from headrace_controller.requestlog.literals import literal
from headrace_controller.requestlog.reader import LogQuery
from headrace_controller.service.paging import PageRequest
from headrace_controller.service.platform import Platform
from headrace_functions import charts, logtable
from headrace_functions.errors import HeadraceError, NotFound
from headrace_functions.names import VersionId
from headrace_functions.profile import Profile, ViewProfile
from headrace_functions.version import Version

METHODS = {
    "shap": "how much each input moved it",
    "anchors": "the rule that holds it",
    "counterfactual": "what would change it",
}
ROWS = 20
"""Rows of a request that the page offers; all of them are in the log."""

AROUND = timedelta(minutes=10)
"""How far from a request its other rows, its other stages and the values of its metrics are searched for: no answer takes longer."""

Json = dict[str, Any]
Moments = tuple[datetime, datetime]


def content(platform: Platform, version_id: VersionId, request_id: str, row: int, at: datetime | None = None) -> Json:
    """Raises ``NotFound`` where the log has no such request or row. ``at`` is about when it came: elsewhere it is searched for last."""
    near = [LogQuery(at - AROUND, at + AROUND, limit=1)] if at is not None else []
    wanted = (replace(q, where=f"request_id = {literal(request_id)}") for q in (*near, LogQuery(limit=1)))
    newest = next((found for query in wanted if (found := platform.logs.rows(version_id, query))), None)
    if newest is None:
        raise NotFound(
            f"the log of {version_id} has no request {request_id!r}",
            field="request-id",
            hint="a request is in the log about three seconds after its response",
        )
    around = (newest[0]["received"] - AROUND, newest[0]["received"] + AROUND)
    rows = _rows(platform, version_id, request_id, around)
    chosen = next((r for r in rows if r["row"] == row), None)
    if chosen is None:
        raise NotFound(f"request {request_id!r} has {len(rows)} rows, so there is no row {row}", field="row")
    version = platform.catalog.get(version_id).version
    served = version is None or version.served
    profile = platform.versions.profile(version_id) if version is not None else None
    failed = set(chosen.get("checks") or ())
    metrics = [m for m in platform.metrics.of_request(version_id, request_id, *around) if m["row"] == row]
    explanations = _explanations(platform, version_id, request_id, row)
    return {
        "version": str(version_id),
        "model": version_id.model,
        "number": version_id.number,
        "request_id": request_id,
        "row": chosen,
        "callable": served,
        "rows": [r["row"] for r in rows[:ROWS]],
        "total": len(rows),
        "inputs": _fields(version, profile, chosen, failed) if version else [],
        "outputs": _outputs(version, chosen) if version else [],
        "checks": sorted(failed),
        "traceback": service_log(platform, version_id, request_id) if chosen["outcome"] == "failed" and served else "",
        "metrics": metrics,
        "stages": _stages(platform, chosen, around),
        "neighbours": _neighbours(platform, version_id, chosen),
        "explanations": explanations,
        "methods": [{"name": n, "text": t} for n, t in METHODS.items() if n not in {e["method"] for e in explanations}],
    }


def _rows(platform: Platform, version: VersionId, request_id: str, around: Moments) -> list[Json]:
    where = f"request_id = {literal(request_id)}"
    return platform.logs.query(version, LogQuery(*around, where, limit=1000, ascending=True))


def _fields(version: Version, profile: Profile | None, row: Json, failed: set[str]) -> list[Json]:
    found = []
    for field in version.signature.inputs:
        value = row.get(logtable.input_column(field))
        known = profile.fields.get(field.name, ()) if profile is not None else ()
        checks = sorted(c.split(":", 1)[1] for c in failed if c.split(":", 1)[0] == field.name)
        found.append({"name": field.name, "checks": checks, **_shown(value), **_training(known, value, field.name)})
    return found


def _shown(value: Any) -> Json:
    """A value as the page has it: long texts and tensors by their size and beginning."""
    if isinstance(value, list):
        numbers = [v for v in value if isinstance(v, int | float)]
        mean = sum(numbers) / len(numbers) if numbers else None
        return {"value": None, "tensor": len(value), "mean": mean, "first": [*value[:8]]}
    if isinstance(value, str) and len(value) > 200:
        return {"value": value[:200] + "…", "whole": value}
    return {"value": value}


def _training(views_of: Sequence[ViewProfile], value: Any, name: str) -> Json:
    """Where a value lies among those of training: a picture, and the same in words."""
    if not views_of or isinstance(value, list):
        return {"picture": "", "training": ""}
    view = views_of[0]
    numbers = view.numbers
    if numbers is not None and numbers.quantiles and numbers.min is not None and numbers.max is not None:
        words = f"{charts.number(numbers.min)} to {charts.number(numbers.max)}, median {charts.number(numbers.quantiles['0.5'])}"
        if not isinstance(value, int | float) or isinstance(value, bool) or view.label != views_of[0].label:
            return {"picture": "", "training": words}
        marks = [numbers.quantiles[q] for q in ("0.05", "0.5", "0.95")]
        picture = charts.training_range(numbers.min, numbers.max, marks, float(value), f"{name}: training {words}")
        return {"picture": picture, "training": words}
    categories = view.categories
    if categories is not None and view.count:
        share = next((n for v, n in categories.values if v == value), 0) / view.count
        words = (
            f"{share * 100:.1f} % of training rows"
            if share
            else "never in training"
            if categories.complete
            else "rare in training"
        )
        return {"picture": charts.share_bar(share, f"{name}: {words}"), "training": words}
    return {"picture": "", "training": ""}


def _outputs(version: Version, row: Json) -> list[Json]:
    return [{"name": f.name, **_shown(row.get(logtable.output_column(f)))} for f in version.signature.outputs]


def _stages(platform: Platform, row: Json, around: Moments) -> list[Json]:
    """The exchanges of the same request at every stage of its sequence, in order; none outside one."""
    name = row.get("sequence")
    if not name:
        return []
    sequence = platform.sequences.find(str(name))
    if sequence is None:
        return []
    found = []
    for version in sorted(set(sequence.versions()), key=str):
        try:
            rows = [r for r in _rows(platform, version, row["request_id"], around) if r["row"] == 0]
        except HeadraceError:
            continue  # a stage whose log is away is left out of the picture
        found += [{**{k: r[k] for k in ("received", "latency_ms", "outcome", "status", "stage", "shadow")}, "version": str(version), "href": links.request(version, row["request_id"], at=r["received"])} for r in rows]  # fmt: skip
    return sorted(found, key=lambda s: (str(s["received"]), s["shadow"]))


def _neighbours(platform: Platform, version: VersionId, row: Json) -> Json:
    """Links to the next older and newer request."""
    at = clock.parse(row["received"], field="received")
    after = at + timedelta(microseconds=1)
    queries = {
        "older": [LogQuery(until=at, where="row = 0", limit=1)],
        "newer": [LogQuery(after, until, "row = 0", limit=1, ascending=True) for until in (at + AROUND, None)],
    }
    found: Json = {}
    for name, tried in queries.items():
        rows = next((rows for query in tried if (rows := platform.logs.rows(version, query))), [])
        if rows:
            found[name] = links.request(version, rows[0]["request_id"], at=clock.show(rows[0]["received"]))
    return found


def _explanations(platform: Platform, version: VersionId, request_id: str, row: int) -> list[Json]:
    """The newest run of each method for this row: its report's content, or how far it is."""
    found: dict[str, Json] = {}
    for job in platform.jobs.select(PageRequest(1000), kind="explain", model=str(version)).items:
        arguments: Mapping[str, str] = job.request.get("arguments", {})
        method = arguments.get("method", "shap")
        if arguments.get("request-id") != request_id or arguments.get("row", "0") != str(row) or method in found:
            continue
        view = views.job(job)
        found[method] = {
            "method": method,
            "text": METHODS.get(method, method),
            "job": view.id,
            "state": view.state,
            "reason": view.reason,
        }
        if view.report is not None:
            found[method] |= _report(platform, view.report)
    return [found[m] for m in sorted(found, key=list(METHODS).index) if m in METHODS]


def _report(platform: Platform, report: str) -> Json:
    of, kind, name = report.split("/", 2)
    version = VersionId.parse(of)
    link = f"/reports/{version.model}/{version.number}/{kind}/{name}"
    try:
        document = platform.reports.document(version, kind, name)
    except HeadraceError as error:
        return {"link": link, "problem": error.message}
    shown: Json = {"link": link, "sentence": document.get("sentence", "")}
    if "contributions" in document:
        steps = [c["shap"] for c in document["contributions"]]
        bars = charts.waterfall(document["base"], steps, document["prediction"])
        shown["waterfall"] = [{**c, "bar": bar} for c, bar in zip(document["contributions"], bars, strict=False)]
        shown |= {
            "base": document["base"],
            "prediction": document["prediction"],
            "total": bars[-1],
            "output": document["output"],
        }
    if "rule" in document:
        shown["rule"] = document["rule"]
    if "rows" in document and isinstance(document["rows"], list):
        shown["counterfactuals"] = [r["changes"] for r in document["rows"] if "changes" in r][:3]
    return shown
