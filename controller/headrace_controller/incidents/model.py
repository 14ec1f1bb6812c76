"""An incident: one cause, everything that moved with it, and all that was done about it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from headrace_controller import clock

Severity = Literal["low", "medium", "severe"]
State = Literal["open", "acknowledged", "silenced", "resolved"]
RANK: Mapping[str, int] = {"low": 1, "medium": 2, "severe": 3}
STATES: tuple[State, ...] = ("open", "acknowledged", "silenced", "resolved")
TOLD = ("opened", "grew", "reopened")
"""Events that say anew what the incident is."""


@dataclass(frozen=True, slots=True)
class Movement:
    """One thing that went out of order."""

    version: str
    what: str
    """``moved``, ``checks``, ``errors``, ``latency``, ``metric``, ``drift``, ``performance``, ``quality``, ``silence``, ``build``, ``job``."""
    field: str
    """The field or metric; empty where it is the version as a whole."""
    side: str
    """``input`` or ``output`` of a field, else empty."""
    first: datetime
    severity: Severity
    share: float | None
    """Of the rows or requests, where it is about a share."""
    sentence: str
    short: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is about. A field that lies elsewhere and fails checks is one thing."""
        return (self.version, "field" if self.what in ("moved", "checks") else self.what, self.field)

    def to_document(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name) for name in ("version", "what", "field", "side", "severity", "share")},
            "first": clock.show(self.first),
            "sentence": self.sentence,
            "short": self.short,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Movement":
        return cls(**{**document, "first": clock.parse(document["first"], field="first")})


@dataclass(frozen=True, slots=True)
class Change:
    """Something that people did to what runs."""

    at: datetime
    kind: str
    """``alias``, ``sequence``, ``version`` or ``incident``."""
    subject: str
    sentence: str

    def to_document(self) -> dict[str, Any]:
        return {"at": clock.show(self.at), "kind": self.kind, "subject": self.subject, "sentence": self.sentence}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Change":
        return cls(**{**document, "at": clock.parse(document["at"], field="at")})


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an incident; ``by`` is empty for the platform itself."""

    at: datetime
    kind: str
    """``opened``, ``grew``, ``reopened``, ``acknowledged``, ``silenced``, ``resolved`` or ``note``."""
    by: str
    text: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to tell a target of it."""

    at: datetime
    target: str
    event: str
    """What it was told of: ``opened``, ``resolved``, …"""
    delivered: bool
    text: str


@dataclass(frozen=True, slots=True)
class Incident:
    number: int
    identity: str
    """Version, what and field of the first movement, e.g. ``churn:3/moved/monthly_charges``."""
    versions: tuple[str, ...]
    severity: Severity
    state: State
    rule: str
    opened: datetime
    updated: datetime
    resolved: datetime | None
    sentence: str
    short: str
    chain: tuple[Movement, ...]
    """In the order in which they began."""
    events: tuple[Event, ...] = ()
    changes_before: tuple[Change, ...] = ()
    segments: tuple[Mapping[str, Any], ...] = ()
    """What set its rows apart from the others when it opened: ``where``, ``share``, ``usual`` and ``rows``; the most telling first."""
    deliveries: tuple[Delivery, ...] = ()
    silenced_until: datetime | None = None
    acknowledged_by: str = ""
    entries: int = 0
    """Documents it was told from; the next one has the next number."""

    @property
    def notes(self) -> tuple[Event, ...]:
        return tuple(e for e in self.events if e.kind == "note")

    @property
    def keys(self) -> frozenset[tuple[str, str, str]]:
        return frozenset(m.key for m in self.chain)

    @property
    def resolved_by(self) -> str:
        """The person who resolved it last, empty where the platform did."""
        return next((e.by for e in reversed(self.events) if e.kind == "resolved"), "")

    def at(self, now: datetime) -> "Incident":
        """As it is at a moment: a silence that is over leaves it open or acknowledged."""
        if self.state == "silenced" and self.silenced_until is not None and self.silenced_until <= now:
            return replace(self, state="acknowledged" if self.acknowledged_by else "open", silenced_until=None)
        return self


def told(chain: Sequence[Movement]) -> dict[str, Any]:
    """The members of an event that say what an incident is, from its chain."""
    first = chain[0]
    return {
        "chain": [m.to_document() for m in chain],
        "versions": list(dict.fromkeys(m.version for m in chain)),
        "severity": max((m.severity for m in chain), key=RANK.__getitem__),
        "sentence": first.sentence,
        "short": first.short + (f" and {len(chain) - 1} more" if len(chain) > 1 else ""),
    }


def opening(
    chain: Sequence[Movement],
    at: datetime,
    changes: Sequence[Change] = (),
    segments: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The first document of an incident."""
    first = chain[0]
    return {
        **entry("opened", at),
        **told(chain),
        "identity": f"{first.version}/{first.what}/{first.field}".rstrip("/"),
        "rule": first.what,
        "changes_before": [c.to_document() for c in changes],
        "segments": [dict(s) for s in segments],
    }


def entry(kind: str, at: datetime, by: str = "", text: str = "", **more: Any) -> dict[str, Any]:
    return {"schema": 1, "kind": kind, "at": clock.show(at), "by": by, "text": text, **more}


def folded(number: int, documents: Sequence[Mapping[str, Any]], now: datetime) -> Incident:
    """The incident that its documents, the opening one first, say."""
    first = documents[0]
    found = Incident(
        number=number,
        identity=first["identity"],
        versions=(),
        severity="low",
        state="open",
        rule=first["rule"],
        opened=_at(first),
        updated=_at(first),
        resolved=None,
        sentence="",
        short="",
        chain=(),
        changes_before=tuple(Change.from_document(c) for c in first.get("changes_before", ())),
        segments=tuple(first.get("segments", ())),
    )
    for document in documents:
        found = _with(found, document)
    return replace(found, entries=len(documents)).at(now)


def _with(found: Incident, document: Mapping[str, Any]) -> Incident:
    kind, at = document["kind"], _at(document)
    if kind == "delivery":
        said = {name: document[name] for name in ("target", "event", "delivered", "text")}
        return replace(found, deliveries=(*found.deliveries, Delivery(at, **said)))
    event = Event(at, kind, document.get("by", ""), document.get("text", ""))
    found = replace(found, events=(*found.events, event), updated=at)
    if kind in TOLD:
        found = replace(
            found,
            versions=tuple(document["versions"]),
            severity=document["severity"],
            sentence=document["sentence"],
            short=document["short"],
            chain=tuple(Movement.from_document(m) for m in document["chain"]),
        )
    return replace(found, **_state(kind, at, document))


def _state(kind: str, at: datetime, document: Mapping[str, Any]) -> dict[str, Any]:
    """What an event changes of the state."""
    if kind == "acknowledged":
        return {"state": "acknowledged", "acknowledged_by": document["by"] or "somebody", "silenced_until": None}
    if kind == "silenced":
        return {"state": "silenced", "silenced_until": clock.parse(document["until"], field="until")}
    if kind == "resolved":
        return {"state": "resolved", "resolved": at, "silenced_until": None}
    if kind == "reopened":
        return {"state": "open", "resolved": None, "acknowledged_by": ""}
    return {}


def _at(document: Mapping[str, Any]) -> datetime:
    return clock.parse(document["at"], field="at")
