"""Who is told of incidents and changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parseaddr
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from headrace_controller.incidents.model import RANK, Incident, Severity
from headrace_controller.notify.changes import Change
from headrace_functions.errors import InvalidInput
from headrace_functions.names import check_name

Way = Literal["webhook", "slack", "alertmanager", "email"]
WAYS: tuple[Way, ...] = get_args(Way)
EVENTS = ("incident", "version", "alias", "sequence")
"""What a target may be told of; of all but incidents by ``webhook`` alone."""
MAX_URL = 2000


@dataclass(frozen=True, slots=True)
class Target:
    """``address`` is a URL; of ``email`` it is ``smtp://HOST:PORT`` or ``smtps://…``, with ``to`` and ``sender`` beside it."""

    name: str
    way: Way
    address: str
    severity: Severity = "low"
    """The least severity it is told of."""
    models: tuple[str, ...] = ()
    """Models it is told of; all where it is empty."""
    to: tuple[str, ...] = ()
    sender: str = ""
    events: tuple[str, ...] = ("incident",)
    """What it is told of, see ``EVENTS``."""

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.way not in WAYS:
            raise InvalidInput(
                f"way: {self.way!r} is not a valid way", field="way", expected=f"one of {', '.join(WAYS)}"
            )
        if self.severity not in RANK:
            raise InvalidInput(
                f"severity: {self.severity!r} is not a valid severity", field="severity", expected=", ".join(RANK)
            )
        self._check_events()
        schemes = ("smtp", "smtps") if self.way == "email" else ("http", "https")
        _check_url(self.address, schemes)
        for model in self.models:
            check_name(model, field="models")
        if self.way == "email":
            for field, addresses in (("to", self.to or ("",)), ("sender", (self.sender,))):
                for address in addresses:
                    _check_mail(address, field)

    def _check_events(self) -> None:
        for event in self.events or ("",):
            if event not in EVENTS:
                raise InvalidInput(
                    f"events: {event!r} is not an event", field="events", expected=f"some of {', '.join(EVENTS)}"
                )
        if self.way != "webhook" and self.events != ("incident",):
            raise InvalidInput(
                f"events: {self.way} receives only incidents",
                field="events",
                expected="way: webhook for other events",
            )

    def wants_change(self, change: Change) -> bool:
        return change.kind in self.events and (not self.models or change.name in self.models)

    def wants(self, incident: Incident) -> bool:
        if "incident" not in self.events:
            return False
        models = {v.partition(":")[0] for v in incident.versions}
        return RANK[incident.severity] >= RANK[self.severity] and (not self.models or bool(models & set(self.models)))

    @property
    def shown(self) -> str:
        """The address without what may be a secret: its path and who logs in."""
        parts = urlsplit(self.address)
        host = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{host}" + ("/…" if parts.path.strip("/") or parts.query else "")

    def to_document(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name) for name in ("name", "way", "address", "severity", "sender")},
            "models": list(self.models),
            "to": list(self.to),
            "events": list(self.events),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Target":
        lists = {n: tuple(document[n]) for n in ("models", "to")}
        return cls(**{**document, **lists, "events": tuple(document.get("events", ("incident",)))})


def _check_url(address: str, schemes: tuple[str, ...]) -> None:
    expected = f"a URL that begins with {' or '.join(f'{s}://' for s in schemes)}"
    try:
        parts = urlsplit(address)
        usable = parts.scheme in schemes and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or len(address) > MAX_URL or any(c.isspace() for c in address):
        raise InvalidInput("address: it is not a URL of this kind", field="address", expected=expected)


def _check_mail(address: str, field: str) -> None:
    if parseaddr(address)[1] != address or "@" not in address or any(c.isspace() for c in address):
        raise InvalidInput(
            f"{field}: {address!r} is not an email address", field=field, expected="e.g. team@example.org"
        )
