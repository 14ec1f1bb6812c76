"""What targets are told, in the form that each understands. Pure."""

from collections.abc import Mapping
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

from headrace_controller import clock
from headrace_controller.incidents.model import Event, Incident
from headrace_controller.notify.targets import Target

KEPT_FIRING = timedelta(days=7)
"""How long AlertManager takes an incident for firing without another word; the end of one is told."""
_COLOURS: Mapping[str, str] = {"low": "#c9a227", "medium": "#d9822b", "severe": "#c23030"}
_WELL = "#2e7d32"


def subject(incident: Incident, event: Event) -> str:
    said = "resolved" if event.kind == "resolved" else incident.severity
    return f"[{said}] {', '.join(incident.versions)}: {incident.short}"


def link(incident: Incident, endpoint: str) -> str:
    return f"{endpoint}/incidents/{incident.number}"


def cloud_event(incident: Incident, event: Event, endpoint: str) -> dict[str, Any]:
    """A CloudEvent 1.0 in its JSON form; its id is the same each time the same thing is told."""
    return {
        "specversion": "1.0",
        "id": f"incident-{incident.number}-{event.kind}-{clock.show(event.at)}",
        "source": endpoint,
        "type": f"org.headrace.incident.{event.kind}",
        "subject": f"incidents/{incident.number}",
        "time": clock.show(event.at),
        "datacontenttype": "application/json",
        "data": {
            "number": incident.number,
            "identity": incident.identity,
            "severity": incident.severity,
            "state": incident.state,
            "versions": list(incident.versions),
            "sentence": incident.sentence,
            "opened": clock.show(incident.opened),
            "resolved": clock.show(incident.resolved) if incident.resolved else None,
            "chain": [m.to_document() for m in incident.chain],
            "changes_before": [c.to_document() for c in incident.changes_before],
            "url": link(incident, endpoint),
        },
    }


def slack(incident: Incident, event: Event, endpoint: str) -> dict[str, Any]:
    """An incoming webhook's message, as Slack, Mattermost and others read it."""
    well = event.kind == "resolved"
    return {
        "text": _escaped(subject(incident, event)),
        "attachments": [
            {
                "color": _WELL if well else _COLOURS[incident.severity],
                "title": _escaped(incident.short),
                "title_link": link(incident, endpoint),
                "text": _escaped(incident.sentence),
                "fallback": _escaped(incident.sentence),
            }
        ],
    }


def alerts(incident: Incident, event: Event, endpoint: str) -> list[dict[str, Any]]:
    """AlertManager's ``POST /api/v2/alerts``: firing for ``KEPT_FIRING``, or ended."""
    ends = event.at if event.kind == "resolved" else event.at + KEPT_FIRING
    version = incident.versions[0]
    model, _, number = version.partition(":")
    return [
        {
            "labels": {
                "alertname": "HeadraceIncident",
                "incident": str(incident.number),
                "severity": incident.severity,
                "rule": incident.rule,
                "model": model,
                "version": number,
                "field": incident.chain[0].field,
            },
            "annotations": {"summary": incident.sentence, "description": _listed(incident)},
            "startsAt": clock.show(incident.opened),
            "endsAt": clock.show(ends),
            "generatorURL": link(incident, endpoint),
        }
    ]


def mail(target: Target, incident: Incident, event: Event, endpoint: str) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = " ".join(subject(incident, event).split())  # a name cannot begin another header
    message["From"] = target.sender
    message["To"] = ", ".join(target.to)
    identity = f"incident-{incident.number}-{event.kind}-{event.at.timestamp():.3f}"
    message["Message-ID"] = f"<{identity}@headrace.invalid>"
    over = f"\nIt was resolved at {clock.show(event.at)}.\n" if event.kind == "resolved" else ""
    message.set_content(f"{incident.sentence}\n{over}\n{_listed(incident)}\n\n{link(incident, endpoint)}\n")
    return message


def _listed(incident: Incident) -> str:
    """What moved, and what was changed before."""
    moved = [f"- {m.version}: {m.sentence}" for m in incident.chain]
    changed = [f"- {clock.show(c.at)}: {c.sentence}" for c in incident.changes_before]
    return "\n".join([*moved, *(["Changed before:", *changed] if changed else [])])


def _escaped(text: str) -> str:
    """Slack reads these three characters as markup; no name may make a link or call everybody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
