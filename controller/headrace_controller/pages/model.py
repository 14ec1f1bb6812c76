"""The page of a model: monitoring first, then what it is made of. One version at a time; ``version`` in the URL says which."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from headrace_controller import clock
from headrace_controller.access import current
from headrace_controller.api import evaluations, metrics, views
from headrace_controller.catalog.catalog import ModelVersion
from headrace_controller.monitoring.values import Health
from headrace_controller.pages import healthsource, incidentpages, ranges
from headrace_controller.pages.healthviews import (
    MOVED,
    Bucket,
    Row,
    heat_rows,
    level,
    mark_labels,
    service_charts,
    sure_level,
    totals,
)
from headrace_controller.pages.reporting import summary
from headrace_controller.service import servicelog
from headrace_controller.service.paging import PageRequest
from headrace_controller.service.platform import Platform
from headrace_controller.service.versions import VersionFilter
from headrace_functions import charts
from headrace_functions.charts import NOT_JUDGED, Cell, Mark
from headrace_functions.errors import InvalidInput, NotFound
from headrace_functions.logtable import OUTPUT
from headrace_functions.names import VersionId, natural
from headrace_functions.storage import layout

TABS = ("monitoring", "reports", "metrics", "versions", "signature", "logs")
VERSIONS = 200
EVALUATIONS = 20
FIELDS = 40
"""Rows of inputs, and of outputs, that the heat map shows; more are reached through the profile report."""

Json = dict[str, Any]
Shares = Callable[[Bucket], Mapping[str, float]]


def content(
    platform: Platform, drawn: healthsource.DrawnBuckets, name: str, arguments: Mapping[str, str], now: datetime
) -> Json:
    """Raises ``NotFound`` for a model or version that is not there, ``InvalidInput`` for a tab or range that is none."""
    tab = arguments.get("tab", "monitoring")
    if tab not in TABS:
        raise InvalidInput(f"tab: {tab!r} is not a tab of this page", field="tab", expected=f"one of {', '.join(TABS)}")
    if tab == "logs":
        current.require("diagnose", name)
    model = platform.versions.model(name)
    page = platform.versions.select(VersionFilter(name), PageRequest(VERSIONS))
    number = _number(arguments) or model.released or model.latest.id.number
    chosen = platform.catalog.get(VersionId(name, number))
    services = {s["version"]: s for s in platform.services.select()}
    incident = incidentpages.of_version(platform, chosen.id)
    reports = [r for r in platform.reports.select(PageRequest(1000), version=chosen.id).items if r.kind != "explain"]
    shown: Json = {
        "model": views.model(model).model_dump(),
        "version": views.version(chosen, platform.catalog).model_dump(),
        "versions": [views.version(v, platform.catalog).model_dump() for v in page.items],
        "more_versions": page.next is not None,
        "service": services.get(str(chosen.id)),
        "states": services,
        "users": [u for u in platform.catalog.users_of(chosen.id) if _is_seen(u)],
        "tab": tab,
        "tabs": _tabs(name, number, len(reports), len(page.items)),
        "incident": incidentpages.summary(incident) if incident else None,
        "requests": f"/requests?{urlencode({'version': str(chosen.id)})}",
    }
    if tab == "monitoring":
        shown |= _monitoring(platform, drawn, chosen, ranges.read(arguments, now))
    elif tab == "reports":
        shown["reports"] = [summary(r) for r in reports[:100]]
        found = platform.evaluations.select(chosen.id, EVALUATIONS)
        shown["evaluations"] = [evaluations.view(e).model_dump() for e in found]
    elif tab == "metrics":
        shown["metrics"] = _metrics(platform, chosen)
    elif tab == "logs":
        shown["build_log"] = platform.builds.log(chosen.id).text[-200_000:]
        shown["service_log"] = service_log(platform, chosen.id)
    return shown


def _is_seen(user: str) -> bool:
    """Whether who asks may know of something that uses a version: of sequences there are others' too."""
    kind, _, name = user.partition(" ")
    return kind != "sequence" or current.may("view", name)


def service_log(platform: Platform, version: VersionId, request: str = "") -> str:
    """The end of what a version's processes wrote on this machine, or what they said of one request; where there is none, why."""
    try:
        return servicelog.read(platform.home / "log", version, request)[-100_000:]
    except NotFound as error:
        return "\n".join(filter(None, (error.message, error.hint)))


def _number(arguments: Mapping[str, str]) -> int | None:
    text = arguments.get("version", "")
    if not text:
        return None
    number = natural(text)
    if not number:
        raise InvalidInput(f"version: {text[:80]!r} is not a version number", field="version", expected="1, 2, 3 …")
    return number


def _tabs(name: str, number: int, reports: int, versions: int) -> list[Json]:
    counts = {"reports": reports, "versions": versions}
    return [
        {
            "name": tab,
            "text": tab.capitalize(),
            "count": counts.get(tab),
            "href": f"/models/{name}?{urlencode({'version': number, **({'tab': tab} if tab != 'monitoring' else {})})}",
        }
        for tab in TABS
    ]


def _monitoring(platform: Platform, drawn: healthsource.DrawnBuckets, chosen: ModelVersion, span: ranges.Range) -> Json:
    path, keys = f"/models/{chosen.id.model}", {"version": str(chosen.id.number)}
    shown: Json = {
        "range": span.query(),
        "since": clock.show(span.since),
        "until": clock.show(span.until),
        "start": int(span.since.timestamp()),
        "end": int(span.until.timestamp()),
        "step": span.step,
        "ranges": ranges.choices(span, path, keys),
        "earlier": ranges.moved(span, path, keys, -1),
        "later": ranges.moved(span, path, keys, +1),
        "times": span.times(),
        "groups": [],
        "unjudged": "Fields are not judged: this version has no training data to compare with. Give training-data in its definition and apply it again."
        if chosen.given.get("training") is None
        else "No field was judged in this range.",
        "charts": [],
        "figures": totals([]),
    }
    if chosen.version is None:
        return {**shown, "unbuilt": True}
    source = healthsource.Source(drawn, span, span.buckets)
    buckets = source.buckets(chosen)
    shown["figures"] = totals(buckets)
    if not any(b.requests for b in buckets):
        return {**shown, "quiet": True}
    marks = _marks(platform, chosen, span)
    shown["marks"] = [
        {"at": m.at, "text": m.text, "bad": m.bad, "label": label}
        for m, label in zip(marks, mark_labels(marks), strict=True)
    ]
    shown["groups"] = _heat(platform, chosen, buckets, span)
    named = [name for f in chosen.version.signature.outputs for name in (f.name, OUTPUT + f.name)]
    output = next((name for name in named if any(name in b.means for b in buckets)), "")
    shown["charts"] = service_charts(buckets, source.step, span.times(4), marks, output)
    shown["table"] = [
        {
            "at": clock.show(span.since + timedelta(seconds=n * span.step)),
            "requests": b.requests,
            "errors": b.errors,
            "p50": b.p50,
            "p95": b.p95,
            "unhealthy": b.unhealthy,
        }
        for n, b in enumerate(buckets)
        if b.requests
    ]
    return shown


def _heat(platform: Platform, chosen: ModelVersion, buckets: Sequence[Bucket], span: ranges.Range) -> list[Json]:
    """Groups of rows: inputs by what the answers depend on, outputs, checks, metrics."""
    version = chosen.version
    assert version is not None

    def link(place: int, where: str) -> str:
        since, until = (clock.show(span.since + timedelta(seconds=n * span.step)) for n in (place, place + 1))
        members = {"version": str(chosen.id), "since": since, "until": until, **({"where": where} if where else {})}
        return f"/requests?{urlencode(members)}"

    def title(place: int) -> str:
        at = span.since + timedelta(seconds=place * span.step)
        return f"{at.astimezone(UTC):%H:%M} UTC"

    weights = _weights(platform, chosen.id)
    moved = sorted({name for b in buckets for name in b.moved})
    sides = [{f.name for f in side} for side in (version.signature.inputs, version.signature.outputs)]
    inputs = [n for n in moved if _field_of(n, sides[0])]
    order = {f.name: place for place, f in enumerate(version.signature.inputs)}
    inputs.sort(key=lambda n: (-weights.get(n, 0.0), order.get(n, len(order)), n))
    outputs = [n for n in moved if n not in inputs and _field_of(n.removeprefix(OUTPUT), sides[1])]
    groups = [
        ("inputs", "moved now", [_moved_row(n, buckets, weights.get(n)) for n in inputs[:FIELDS]]),
        ("outputs", "moved now", [_moved_row(n, buckets, None) for n in outputs[:FIELDS]]),
        ("checks", "failed now", [_check_row(n, buckets) for n in _names(buckets, lambda b: b.checks)]),
        ("metrics", "unhealthy now", [_metric_row(n, buckets) for n in _names(buckets, lambda b: b.metrics)]),
    ]  # fmt: skip
    return [
        {"name": n, "said": s, "rows": heat_rows(rows, link, title), "weighted": n == "inputs" and bool(weights)}
        for n, s, rows in groups
        if rows
    ]


def _field_of(view: str, fields: Collection[str]) -> bool:
    """Whether a view (``amount``, ``p[yes]``, ``comment length``) is one of a field among these."""
    return view in fields or any(view.startswith((f"{f}[", f"{f} ")) for f in fields)


def _moved_row(name: str, buckets: Sequence[Bucket], weight: float | None) -> Row:
    values = [b.moved.get(name) if b.requests else None for b in buckets]
    levels = [_judged(level(v, MOVED), b) for v, b in zip(values, buckets, strict=True)]
    return Row(name, "lie elsewhere than in training", "", values, levels, weight)


def _judged(found: int | None, bucket: Bucket) -> int | None:
    """A level as a cell has it: with traffic, what has none is not judged."""
    return NOT_JUDGED if found is None and bucket.requests else found


def _check_row(name: str, buckets: Sequence[Bucket]) -> Row:
    values = [b.checks.get(name, 0.0) if b.rows else None for b in buckets]
    levels = [_judged(sure_level(v, b.rows, b.usual.get(name, 0.0)), b) for v, b in zip(values, buckets, strict=True)]
    return Row(name, "fail this check", "cardinality(checks) > 0", values, levels)


def _metric_row(name: str, buckets: Sequence[Bucket]) -> Row:
    """A bucket whose rows the metric has not scored is not judged."""
    values = [b.metrics.get(name) for b in buckets]
    levels = [_judged(sure_level(v, b.rows), b) for v, b in zip(values, buckets, strict=True)]
    return Row(name, "are unhealthy", "", values, levels)


def _names(buckets: Sequence[Bucket], of: Shares) -> list[str]:
    return sorted({name for b in buckets for name in of(b)})


def _weights(platform: Platform, version: VersionId) -> Mapping[str, float]:
    """Shares of what the answers depend on by input, where a job has worked them out."""
    known = platform.catalog.documents.last(layout.importance(version))
    shares: Mapping[str, float] = (known or {}).get("shares") or {}
    return shares


def _marks(platform: Platform, chosen: ModelVersion, span: ranges.Range) -> list[Mark]:
    """What changed in the range: aliases, sequences and versions of this model; and incidents."""
    found = []
    for change in incidentpages.changes(platform, chosen.id, span.since, span.until):
        at = (clock.parse(change["at"], field="at") - span.since).total_seconds() / span.seconds
        found.append(Mark(at, str(change["text"]), bool(change.get("bad"))))
    return found


def _metrics(platform: Platform, chosen: ModelVersion) -> list[Json]:
    if not chosen.released:
        return []
    found = platform.metrics.select(chosen.id)
    hours = {m.spec.name: platform.metrics.history(chosen.id, m.spec.name)[-24:] for m in found}
    return [
        {
            **metrics.view(m).model_dump(),
            "history": [metrics.health(h).model_dump() for h in hours[m.spec.name]],
            "strip": _hourly_strip(m.spec.name, hours[m.spec.name]),
        }
        for m in found
    ]


def _hourly_strip(name: str, hours: Sequence[Health]) -> str:
    """The level of each hour, by the thresholds of the heat map."""
    said = f"unhealthy rows by {name} in each of {len(hours)} hours, the newest last"
    return charts.strip([Cell(sure_level(h.share, h.rows)) for h in hours], said)
