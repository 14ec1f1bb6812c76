"""Incidents: what is wrong with the versions, and what people do about it."""

from pydantic import Field

from headrace_controller import clock
from headrace_controller.api import schemas
from headrace_controller.api.permissions import of_incident, on, somewhere
from headrace_controller.api.routing import Body, Query, Resource
from headrace_controller.definitions.fields import parse_duration
from headrace_controller.incidents.model import Incident
from headrace_controller.service.incidents import MAX_BY, MAX_TEXT
from headrace_controller.service.platform import Platform
from headrace_functions.errors import InvalidInput

_INCIDENT = "/incidents/<int:number>"

resource = Resource("incidents")


class IncidentQuery(Query):
    state: str = Field(default="", description="open, acknowledged, silenced or resolved; all where it is empty")
    version: str = Field(default="", description="MODEL:NUMBER")
    limit: int = Field(default=100, ge=1, le=1000, description="incidents, the newest first")


class WordBody(Body):
    by: str = Field(default="", max_length=MAX_BY, description="who says so")
    text: str = Field(default="", max_length=MAX_TEXT, description="in words")


class SilenceBody(WordBody):
    until: str = Field(description="RFC 3339 time, or a duration from now such as 2h")


@resource.route("GET", "/incidents", access=somewhere("view"), answer=schemas.IncidentList, query=IncidentQuery)
def list_incidents(platform: Platform, query: IncidentQuery) -> schemas.IncidentList:
    """List incidents, the newest first."""
    found = platform.incidents.select(query.state, query.version)[: query.limit]
    return schemas.IncidentList(items=[view(i) for i in found])


@resource.route(
    "GET", _INCIDENT, access=on("view", "each model of the incident", of_incident), answer=schemas.IncidentView
)
def show_incident(platform: Platform, number: int) -> schemas.IncidentView:
    """Show an incident: what changed in which order, what was deployed before, and what was done about it."""
    return view(platform.incidents.get(number))


@resource.route(
    "POST",
    f"{_INCIDENT}/acknowledge",
    access=on("respond", "each model of the incident", of_incident),
    answer=schemas.IncidentView,
    body=WordBody,
)
def acknowledge_incident(platform: Platform, number: int, body: WordBody) -> schemas.IncidentView:
    """Acknowledge an incident."""
    return view(platform.incidents.acknowledge(number, body.by, body.text))


@resource.route(
    "POST",
    f"{_INCIDENT}/silence",
    access=on("respond", "each model of the incident", of_incident),
    answer=schemas.IncidentView,
    body=SilenceBody,
)
def silence_incident(platform: Platform, number: int, body: SilenceBody) -> schemas.IncidentView:
    """Send no notifications about an incident until a given time."""
    try:
        until = clock.ago(-parse_duration(body.until))
    except InvalidInput:
        until = clock.parse(body.until, field="until")
    return view(platform.incidents.silence(number, until, body.by, body.text))


@resource.route(
    "POST",
    f"{_INCIDENT}/resolve",
    access=on("respond", "each model of the incident", of_incident),
    answer=schemas.IncidentView,
    body=WordBody,
)
def resolve_incident(platform: Platform, number: int, body: WordBody) -> schemas.IncidentView:
    """Mark an incident as resolved; it reopens if its cause returns after it had disappeared."""
    return view(platform.incidents.resolve(number, body.by, body.text))


@resource.route(
    "POST",
    f"{_INCIDENT}/notes",
    access=on("respond", "each model of the incident", of_incident),
    answer=schemas.IncidentView,
    body=WordBody,
)
def note_incident(platform: Platform, number: int, body: WordBody) -> schemas.IncidentView:
    """Add a note to an incident."""
    return view(platform.incidents.note(number, body.text, body.by))


def view(found: Incident) -> schemas.IncidentView:
    return schemas.IncidentView(
        number=found.number,
        identity=found.identity,
        state=found.state,
        severity=found.severity,
        rule=found.rule,
        versions=list(found.versions),
        sentence=found.sentence,
        short=found.short,
        opened=clock.show(found.opened),
        updated=clock.show(found.updated),
        resolved=clock.show(found.resolved) if found.resolved else None,
        silenced_until=clock.show(found.silenced_until) if found.silenced_until else None,
        acknowledged_by=found.acknowledged_by,
        chain=[m.to_document() for m in found.chain],
        changes_before=[c.to_document() for c in found.changes_before],
        segments=[dict(s) for s in found.segments],
        events=[{"at": clock.show(e.at), "kind": e.kind, "by": e.by, "text": e.text} for e in found.events],
        deliveries=[
            {"at": clock.show(d.at), "target": d.target, "event": d.event, "delivered": d.delivered, "text": d.text}
            for d in found.deliveries
        ],
    )
