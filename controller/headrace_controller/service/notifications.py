"""Telling targets of incidents and changes: each word once, tried again until it is taken, over restarts and beside other controllers."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from headrace_controller import clock
from headrace_controller.catalog import noting
from headrace_controller.incidents.model import Event, Incident, Movement, entry, folded, opening
from headrace_controller.notify.changes import Change
from headrace_controller.notify.sending import NotTold, send, send_change
from headrace_controller.notify.targets import Target
from headrace_controller.service.incidents import Incidents
from headrace_functions.errors import Conflict, NotFound
from headrace_functions.loop_health import LoopHealth
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents, interpret

log = logging.getLogger("headrace.incidents")

EVERY = 5.0
TOLD_OF = ("opened", "reopened", "resolved")
FIRST_PAUSE, LAST_PAUSE = timedelta(seconds=5), timedelta(minutes=10)
GIVEN_UP = timedelta(hours=24)
"""Age of an event from which a target that takes nothing is told of it no more."""
ABANDONED = timedelta(minutes=2)
"""After which an attempt without a result was cut short."""

RECENT_CHANGES = 20
"""Changes that are looked at for the newest that a target was told of."""

Send = Callable[[Target, Incident, Event, str], str]
Recent = Callable[[datetime], Iterable[Change]]


@dataclass(frozen=True, slots=True)
class TargetState:
    target: Target
    since: datetime
    """When it was added: it is told of what happens from then on."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to tell a target of something, by now ended."""

    at: datetime
    about: str
    delivered: bool
    text: str
    """What the target answered, or why it could not be told."""


class Notifications:
    """``step`` tells what is due; ``open`` starts the thread that repeats it."""

    def __init__(
        self,
        documents: Documents,
        incidents: Incidents,
        endpoint: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        send: Send = send,
        changes: Recent = lambda _since: (),
    ) -> None:
        """``changes`` gives the changes of versions, aliases and sequences from a moment on."""
        self._changes = changes
        self._documents = documents
        self._incidents = incidents
        self._endpoint = endpoint
        self._now = now
        self._send = send
        self._stopping = threading.Event()
        self._done: set[str] = set()
        self._waits: dict[str, datetime] = {}
        self.health = LoopHealth("telling of incidents", log)

    @property
    def problems(self) -> list[str]:
        return [self.health.problem] if self.health.problem else []

    # Targets

    def select(self) -> list[TargetState]:
        """The targets by name."""
        found = []
        for name in self._documents.objects.folders(layout.TARGETS):
            state = self._documents.last(layout.target(name))
            if state is not None and not state.get("deleted"):
                read = interpret(layout.target(name), state, lambda s: Target.from_document(s["target"]))
                found.append(TargetState(read, clock.parse(state["since"], field="since")))
        return found

    def get(self, name: str) -> TargetState:
        for state in self.select():
            if state.target.name == name:
                return state
        raise NotFound(f"there is no target {name!r}", field="name", hint="headrace target list")

    def put(self, target: Target) -> TargetState:
        """Add or change a target; the same again changes nothing."""
        for state in self.select():
            if state.target == target:
                return state
        before = next((s.target for s in self.select() if s.target.name == target.name), None)
        noting.note("target", target.name, _shown(before), _shown(target))
        since = clock.show(self._now())
        self._documents.append(
            layout.target(target.name), {"schema": 1, "target": target.to_document(), "since": since}
        )
        return self.get(target.name)

    def remove(self, name: str) -> None:
        before = self.get(name)
        self._documents.append(layout.target(name), {"schema": 1, "deleted": True})
        noting.note("target", name, _shown(before.target), None)

    def test(self, name: str) -> str:
        """Send an example; what the target answered. Raises ``Conflict`` where it was not taken."""
        now = self._now()
        example = Movement("example:1", "moved", "example", "input", now, "low", 1.0, "This is a test.", "test")
        incident = folded(0, [opening([example], now)], now)
        try:
            return self._send(self.get(name).target, incident, incident.events[0], self._endpoint)
        except NotTold as error:
            raise Conflict(f"{name} did not receive the message: {error}", field="address") from error

    def last_change(self, target: Target) -> Attempt | None:
        """The attempt to tell it of the newest change, of the last ``RECENT_CHANGES`` that are young enough to be told."""
        wanted = [c for c in self._changes(self._now() - GIVEN_UP) if target.wants_change(c)]
        for change in sorted(wanted, key=lambda c: c.at, reverse=True)[:RECENT_CHANGES]:
            state = self._documents.last(layout.told_change(target.name, change.key))
            if state is not None and state["state"] != "begun":
                at = clock.parse(state["at"], field="at")
                return Attempt(at, change.sentence, state["state"] == "delivered", str(state["text"]))
        return None

    # Telling

    def open(self) -> None:
        threading.Thread(target=self._run, name="notifications", daemon=True).start()

    def close(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        self.health.repeat(self.step, EVERY, self._stopping)

    def step(self) -> int:
        """Tell what is due; the number of attempts."""
        targets = self.select()
        if not targets:
            return 0
        attempts = 0
        for incident in self._incidents.store.all(self._now()):
            for event in self._events(incident):
                for state in targets:
                    if state.since <= event.at and state.target.wants(incident):
                        attempts += self._tell(state.target, incident, event)
        return attempts + self._tell_of_changes(targets)

    def _tell_of_changes(self, targets: list[TargetState]) -> int:
        told = [s for s in targets if set(s.target.events) - {"incident"}]
        if not told:
            return 0
        horizon = max(min(s.since for s in told), self._now() - GIVEN_UP)
        attempts = 0
        for change in self._changes(horizon):
            for state in told:
                if state.since <= change.at and state.target.wants_change(change):
                    folder = layout.told_change(state.target.name, change.key)
                    said = partial(send_change, state.target, change, self._endpoint)
                    attempts += self._attempt(folder, said, f"{change.sentence}: {state.target.name}") is not None
        return attempts

    def _events(self, incident: Incident) -> Iterator[Event]:
        """What is to be told of an incident; nothing while it is silenced."""
        if incident.state == "silenced":
            return
        for event in incident.events:
            if event.kind in TOLD_OF and self._now() - event.at < GIVEN_UP:
                yield event

    def _tell(self, target: Target, incident: Incident, event: Event) -> bool:
        """Whether an attempt was made."""
        folder = layout.notification(incident.number, target.name, f"{event.kind}-{clock.show(event.at)}")
        send = partial(self._send, target, incident, event, self._endpoint)
        outcome = self._attempt(folder, send, f"incident {incident.number}: {target.name}")
        if outcome is None:
            return False
        self._record(incident, target, event, *outcome)
        return True

    def _attempt(self, folder: str, send: Callable[[], str], what: str) -> tuple[bool, str] | None:
        """Whether it was delivered and what was answered; None where no attempt was due."""
        now = self._now()
        if folder in self._done or now < self._waits.get(folder, now):
            return None
        if self._claimed(folder, now) is None:
            return None
        try:
            text, delivered = send(), True
        except NotTold as error:
            text, delivered = str(error), False
            log.warning("%s did not receive the message: %s", what, error)
        state = {"schema": 1, "state": "delivered" if delivered else "failed", "at": clock.show(self._now())}
        self._documents.append(folder, {**state, "text": text})
        if delivered:
            self._done.add(folder)
        return delivered, text

    def _claimed(self, folder: str, now: datetime) -> int | None:
        """Number of the attempt that is ours to make; None where it was delivered, waits, or somebody else is at it."""
        last = self._documents.last_number(folder) or 0
        if last:
            state = self._documents.get(f"{folder}{last}.json")
            due = clock.parse(state["at"], field="at") + self._pause(state, last)
            if state["state"] == "delivered":
                self._done.add(folder)
                return None
            if now < due:
                self._waits[folder] = due
                return None
        try:
            self._documents.create(
                f"{folder}{last + 1}.json", {"schema": 1, "state": "begun", "at": clock.show(now), "text": ""}
            )
        except Conflict:
            return None
        return last + 1

    @staticmethod
    def _pause(state: dict[str, Any], number: int) -> timedelta:
        if state["state"] == "begun":
            return ABANDONED
        return min(LAST_PAUSE, FIRST_PAUSE * 2.0 ** min(number // 2 - 1, 20))

    def _record(self, incident: Incident, target: Target, event: Event, delivered: bool, text: str) -> None:
        """Show it with the incident; of failures the first and each other text."""
        shown = [d for d in incident.deliveries if (d.target, d.event) == (target.name, event.kind)]
        if not delivered and shown and (shown[-1].delivered, shown[-1].text) == (False, text):
            return
        more: dict[str, Any] = {"target": target.name, "event": event.kind, "delivered": delivered}
        self._incidents.store.append(incident.number, entry("delivery", self._now(), text=text, **more))


def _shown(target: Target | None) -> dict[str, Any] | None:
    """A target without the parts of its address that may be secret."""
    return None if target is None else {**target.to_document(), "address": target.shown}
