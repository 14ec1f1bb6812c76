"""The pages of incidents, what other pages show of incidents, and the forms that answer them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import flask
from werkzeug.wrappers import Response

from headrace_controller import clock
from headrace_controller.access import current
from headrace_controller.api.declared import DeclaredRoutes
from headrace_controller.api.permissions import of_incident, on
from headrace_controller.definitions.fields import parse_duration
from headrace_controller.health.buckets import FieldHealth
from headrace_controller.incidents.model import RANK, Event, Incident, Movement
from headrace_controller.pages import links
from headrace_controller.requestlog.reader import LogQuery
from headrace_controller.service.paging import PageRequest
from headrace_controller.service.platform import Platform
from headrace_functions import charts
from headrace_functions.errors import HeadraceError, InvalidInput
from headrace_functions.names import VersionId

WHO = "somebody on the web page"
EXAMPLES = 5
LONGEST_NOTE = 2000
MOST_BUCKETS = 1000
"""Minutes that an incident's figures are made of; of a longer one, hours or days."""
RECENT = timedelta(minutes=30)
"""How long before something moved a change may have caused it."""
STATES = ("open", "resolved", "all")
WHAT = {
    "moved": "lies elsewhere than in training",
    "checks": "fails its checks",
    "errors": "requests fail",
    "latency": "answers take longer",
    "metric": "metric",
    "drift": "drift report",
    "performance": "performance report",
    "quality": "data-quality report",
    "silence": "no traffic",
    "build": "build",
    "service": "service",
    "job": "run",
}
_MARKS = {"opened": "severe", "grew": "medium", "reopened": "severe", "resolved": "resolved"}

Json = dict[str, Any]


def now() -> datetime:
    return datetime.now(UTC)


def open_incidents(platform: Platform) -> Sequence[Incident]:
    """Those that are not over, the worst first."""
    return sorted(platform.incidents.open(), key=lambda i: (-RANK[i.severity], i.opened))


def of_version(platform: Platform, version: VersionId) -> Incident | None:
    return next((i for i in open_incidents(platform) if str(version) in i.versions), None)


def summary(incident: Incident) -> Json:
    """What a call shows."""
    who = f"{incident.acknowledged_by} has it" if incident.acknowledged_by else "not acknowledged"
    more = [f"{len(incident.chain)} things moved"] if len(incident.chain) > 1 else []
    return {
        "number": incident.number,
        "severity": incident.severity,
        "sentence": incident.sentence,
        "where": ", ".join(incident.versions),
        "detail": " · ".join([", ".join(incident.versions), *more, who]),
    }


def lately(platform: Platform, count: int) -> list[Json]:
    """What happened, the newest first: incidents and reports."""
    found: list[Json] = []
    for incident in platform.incidents.lately(count):
        state = "resolved" if incident.state == "resolved" else incident.severity
        text = f"Incident {incident.number}, {', '.join(incident.versions)}: {incident.sentence}"
        found.append(
            {"at": clock.show(incident.updated), "state": state, "text": text, "href": f"/incidents/{incident.number}"}
        )
    for report in platform.reports.select(PageRequest(count)).items:
        if report.kind != "explain":
            version = report.version
            text = f"{report.kind.capitalize()} report of {version}" + (f": {report.verdict}" if report.verdict else "")
            link = f"/reports/{version.model}/{version.number}/{report.kind}/{report.name}"
            shown = {"none": "ok", "": "no data"}.get(report.severity, report.severity)
            found.append({"at": report.written, "state": shown, "text": text, "href": link})
    return sorted(found, key=lambda e: str(e["at"]), reverse=True)[:count]


def changes(platform: Platform, version: VersionId, since: datetime, until: datetime) -> list[Json]:
    """What changed around a version in a range, and incidents that began in it: ``at``, ``text``, ``bad``."""
    found = [
        {"at": clock.show(c.at), "text": c.sentence, "bad": False}
        for c in platform.incidents.changes_of(version, since, until)
    ]
    found += [
        {"at": clock.show(i.opened), "text": f"incident {i.number}", "bad": True}
        for i in platform.incidents.select()
        if str(version) in i.versions and since <= i.opened < until
    ]
    return found


def listing(platform: Platform, arguments: Mapping[str, str]) -> Json:
    state = arguments.get("state", "open")
    if state not in STATES:
        raise InvalidInput(f"state: {state!r} is not a state", field="state", expected=f"one of {', '.join(STATES)}")
    every = sorted(platform.incidents.select(), key=lambda i: -i.number)
    over = [i for i in every if i.state == "resolved"]
    chosen = {"open": [i for i in every if i.state != "resolved"], "resolved": over, "all": every}
    return {
        "incidents": [_row(i) for i in chosen[state][:200]],
        "open_count": len(chosen["open"]),
        "states": [{"state": s, "text": s.capitalize(), "count": len(chosen[s])} for s in STATES],
        "state": state,
    }


def one(platform: Platform, number: int) -> Json:
    """One incident: what moved in which order, since when, what was done, and the rows behind it."""
    incident = platform.incidents.get(number)
    chain = [_movement(platform, m) for m in incident.chain]
    version = VersionId.parse(incident.versions[0])
    until = incident.resolved or now()
    return {
        "incident": _head(incident),
        "figures": _figures(platform, incident, version, until),
        "chain": chain,
        "advice": _advice(incident),
        "timeline": _timeline(incident),
        "apart": [
            {**s, "href": f"{_requests(version, _began(incident), until)}&{urlencode({'where': s['where']})}"}
            for s in incident.segments
        ],
        "requests": _requests(version, _began(incident), until),
        "examples": _examples(platform, version, _began(incident), until),
        "rollback": _rollback(platform, incident, version),
    }


def actions(pages: DeclaredRoutes, platform: Platform, field: Callable[[str], str]) -> None:
    """Add the forms of an incident."""

    def back(number: int) -> Response:
        return flask.redirect(f"/incidents/{number}", 303)

    def acknowledge(number: int) -> Response:
        platform.incidents.acknowledge(number, WHO)
        return back(number)

    def resolve(number: int) -> Response:
        platform.incidents.resolve(number, WHO)
        return back(number)

    def silence(number: int) -> Response:
        until = now() + timedelta(seconds=parse_duration(field("for")))
        platform.incidents.silence(number, until, WHO, field("reason")[:LONGEST_NOTE])
        return back(number)

    def note(number: int) -> Response:
        text = field("text").strip()
        if not text or len(text) > LONGEST_NOTE:
            raise InvalidInput("text: a note must have 1 to 2000 characters", field="text")
        platform.incidents.note(number, text, WHO)
        return back(number)

    for name, view in (("acknowledge", acknowledge), ("resolve", resolve), ("silence", silence), ("note", note)):
        pages.serve(
            f"/incidents/<int:number>/{name}",
            f"incident_{name}",
            view,
            on("respond", "each model of the incident", of_incident),
            ["POST"],
        )


def _began(incident: Incident) -> datetime:
    """When the first thing moved: before the incident opened, for that takes some rows."""
    return min([incident.opened, *(m.first for m in incident.chain)])


def _row(incident: Incident) -> Json:
    return {
        "number": incident.number,
        "sentence": incident.sentence,
        "severity": incident.severity,
        "state": incident.state,
        "where": ", ".join(incident.versions),
        "opened": clock.show(incident.opened),
        "resolved": clock.show(incident.resolved) if incident.resolved else None,
    }


def _head(incident: Incident) -> Json:
    ended = incident.resolved or now()
    age = _age((ended - incident.opened).total_seconds())
    first = VersionId.parse(incident.versions[0])
    return {
        **_row(incident),
        "age": f"lasted {age}" if incident.resolved else f"open for {age}",
        "rule": incident.rule,
        "grew": sum(e.kind == "grew" for e in incident.events),
        "acknowledged": f"{incident.acknowledged_by} has it" if incident.acknowledged_by else "",
        "silenced": clock.show(incident.silenced_until) if incident.silenced_until else "",
        "where_href": f"/models/{first.model}?{urlencode({'version': first.number})}",
    }


def _age(seconds: float) -> str:
    for size, word in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {word}"
    return f"{seconds:.0f} s"


def _figures(platform: Platform, incident: Incident, version: VersionId, until: datetime) -> list[Json]:
    """What it is about, in numbers: requests since then, the share that is concerned, errors, latency before and since."""
    since = _began(incident).replace(second=0, microsecond=0)
    span = max(timedelta(minutes=1), until - since)
    step = next(s for s in (60, 3600, 86_400) if span.total_seconds() / s <= MOST_BUCKETS or s == 86_400)
    after = platform.health.series(version, since, since + span, step)
    before = platform.health.series(version, since - max(span, timedelta(hours=1)), since, step)
    requests, bad = (sum(b.requests for b in after), sum(b.requests - b.outcomes.get("ok", 0) for b in after))
    found = [
        {"name": "Requests since then", "value": f"{requests:,}", "unit": "", "sub": f"of {version}"},
        *_concerned(incident),
        {
            "name": "Errors",
            "value": f"{100 * bad / requests:.2f}" if requests else "–",
            "unit": "%" if requests else "",
            "sub": f"{bad:,} requests",
        },
    ]
    p95 = [_median([p for b in side if (p := b.latency.p95()) is not None]) for side in (before, after)]
    if p95[1] is not None:
        was = f"was {charts.number(p95[0])} ms" if p95[0] is not None else "no traffic before"
        found.append({"name": "p95", "value": charts.number(p95[1]), "unit": "ms", "sub": was})
    return found


def _concerned(incident: Incident) -> list[Json]:
    """The share that its sentence tells; nothing where it is not about a share."""
    first = incident.chain[0]
    if first.share is None:
        return []
    what = "requests" if first.what == "errors" else "rows"
    sub = f"of {what}, when it was last seen"
    return [{"name": "Concerned", "value": f"{first.share * 100:.1f}", "unit": "%", "sub": sub}]


def _median(values: Sequence[float]) -> float | None:
    return sorted(values)[len(values) // 2] if values else None


def _movement(platform: Platform, movement: Movement) -> Json:
    version = VersionId.parse(movement.version)
    side = f"{movement.side} of {version}" if movement.side else str(version)
    return {
        "at": clock.show(movement.first),
        "name": movement.field or WHAT.get(movement.what, movement.what),
        "what": side if movement.what == "moved" else f"{WHAT.get(movement.what, movement.what)}, {side}",
        "severity": movement.severity,
        "share": movement.share,
        "sentence": movement.sentence,
        "href": f"/models/{version.model}?{urlencode({'version': version.number, 'since': clock.show(movement.first - timedelta(hours=1)), 'until': clock.show(movement.first + timedelta(hours=2))})}",
        "picture": _picture(platform, version, movement),
    }


def _picture(platform: Platform, version: VersionId, movement: Movement) -> str:
    """Training as an outline and the rows since then as bars; nothing where the field has no bins."""
    if not movement.field:
        return ""
    since = movement.first.replace(second=0, microsecond=0)
    found: list[FieldHealth] = []
    for bucket in platform.health.series(version, since, since + timedelta(minutes=30), 60):
        health = bucket.fields.get(movement.field)
        if health is not None and health.bins and sum(health.bins):
            found.append(health)
    if not found:
        return ""
    total = sum(sum(h.bins) for h in found)
    window = [sum(h.bins[n] for h in found) / total for n in range(len(found[0].bins))]
    return charts.distribution(list(found[0].trained), window, [], f"{movement.field}: training, and since then")


def _advice(incident: Incident) -> list[str]:
    found = []
    recent = [c for c in incident.changes_before if _began(incident) - c.at < RECENT]
    if recent:
        said = "; ".join(c.sentence for c in recent)
        found.append(
            f"Changed shortly before: {said}. Rolling it back may help; the chain above shows whether it began with it."
        )
    elif incident.chain and incident.chain[0].side == "input":
        found.append("Nothing of yours changed before it: the cause came with the requests. Rolling back does not help; tell who sends them.")  # fmt: skip
    return found


def _timeline(incident: Incident) -> list[Json]:
    events = [_event(e) for e in incident.events]
    events += [
        {
            "at": clock.show(d.at),
            "state": "ok" if d.delivered else "medium",
            "text": f"{d.target} was told ({d.event})" if d.delivered else f"{d.target} could not be told ({d.event})",
            "more": d.text,
        }
        for d in incident.deliveries
    ]
    events += [
        {"at": clock.show(c.at), "state": "no data", "text": f"Before: {c.sentence}"} for c in incident.changes_before
    ]
    return _together(sorted(events, key=lambda e: str(e["at"]), reverse=True))


def _together(events: Sequence[Json]) -> list[Json]:
    """The same thing several times in a row is one line with its newest time."""
    found: list[Json] = []
    for event in events:
        if found and event["text"] == "Grew" and found[-1]["text"].startswith("Grew"):
            times = int(found[-1].get("times", 1)) + 1
            found[-1] = {**found[-1], "times": times, "text": f"Grew {times} times since {str(event['at'])[11:16]} UTC"}
        else:
            found.append(event)
    return found


def _event(event: Event) -> Json:
    said = {"opened": "Opened", "grew": "Grew", "reopened": "Opened again", "acknowledged": "Acknowledged", "silenced": "Silenced", "resolved": "Resolved", "note": "Note"}  # fmt: skip
    by = f" by {event.by}" if event.by else ""
    return {
        "at": clock.show(event.at),
        "state": _MARKS.get(event.kind, "no data"),
        "text": f"{said.get(event.kind, event.kind)}{by}",
        "more": event.text,
    }


def _requests(version: VersionId, since: datetime, until: datetime) -> str:
    members = {"version": str(version), "since": clock.show(since), "until": clock.show(until)}
    return f"/requests?{urlencode(members)}"


def _examples(platform: Platform, version: VersionId, since: datetime, until: datetime) -> list[Json]:
    """Some rows of that time, those that failed a check first; none for who may not read rows."""
    if not current.may("read", version.model):
        return []
    columns = ("received", "request_id", "row", "outcome", "checks")
    found: list[Json] = []
    for where in ("cardinality(checks) > 0 OR outcome <> 'ok'", ""):
        try:
            found += platform.logs.query(version, LogQuery(since, until, where, columns, EXAMPLES))
        except HeadraceError:
            return []
        if found:
            break
    return [{**r, "href": links.request(version, r["request_id"], r["row"], r["received"])} for r in found]


def _rollback(platform: Platform, incident: Incident, version: VersionId) -> Json | None:
    """Aliases of the version that may go back, with what that would and would not change."""
    choices = []
    for alias, number in platform.catalog.alias_positions(version.model).items():
        if number == version.number:
            history = [p.version for p in platform.aliases.history(version.model, alias) if p.version]
            earlier = next((n for n in reversed(history[:-1]) if n != number), None)
            if earlier is not None:
                choices.append(
                    {
                        "action": f"/models/{version.model}/aliases/{alias}",
                        "fields": {"to": earlier},
                        "text": f"Point @{alias} at {version.model}:{earlier} again",
                    }
                )
    if not choices:
        return None
    caused = any(_began(incident) - c.at < RECENT for c in incident.changes_before)
    return {
        "title": "Something changed shortly before" if caused else "Nothing of yours changed before it",
        "text": "Requests that are under way finish as they began. Rolling back helps where the version is the cause; "
        + (
            "the changes are in the timeline."
            if caused
            else "here the requests themselves changed first, so it may not."
        ),
        "choices": choices,
    }
