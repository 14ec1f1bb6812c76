"""Incidents in the store: what happened to each, append-only. Two controllers that see the same thing make one incident of it."""

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from headrace_controller.incidents.model import Change, Incident, Movement, folded, opening
from headrace_functions.errors import Conflict, DamagedDocument, NotFound
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents, interpret

SETTLED = timedelta(hours=2)
"""Time after its last event from which a resolved incident is not looked at again, but when it is asked for."""

Document = dict[str, Any]


class IncidentStore:
    """Any thread may call it."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._lock = threading.Lock()
        self._known: dict[int, list[Document]] = {}
        self._settled: set[int] = set()
        self._last = 0
        self.damaged: dict[int, str] = {}
        """Incidents that cannot be read, and why."""

    def all(self, now: datetime) -> list[Incident]:
        """All incidents, the newest first. One that cannot be read is set aside in ``damaged``."""
        with self._lock:
            found, numbers = [], self._numbers()
            self._last = max(numbers, default=0)
            for number in numbers:
                try:
                    incident = self._read(number, now, again=number not in self._settled)
                except DamagedDocument as error:
                    self.damaged[number] = error.message
                    continue
                if incident is None:
                    continue
                self.damaged.pop(number, None)
                if incident.state == "resolved" and now - incident.updated > SETTLED:
                    self._settled.add(number)
                found.append(incident)
            return sorted(found, key=lambda i: i.number, reverse=True)

    def get(self, number: int, now: datetime) -> Incident:
        with self._lock:
            self._settled.discard(number)
            incident = self._read(number, now, again=True)
        if incident is None:
            raise NotFound(f"there is no incident {number}", field="incident", hint="headrace incident list")
        return incident

    def open(
        self,
        chain: Sequence[Movement],
        at: datetime,
        changes: Sequence[Change] = (),
        segments: Sequence[dict[str, Any]] = (),
    ) -> int | None:
        """Open an incident and return its number; None where somebody else has opened one since ``all``: look again.

        It takes the number after those that ``all`` saw, so that of two who decided from the same state one wins.
        """
        with self._lock:
            if not self._create(self._last + 1, 1, opening(chain, at, changes, segments)):
                return None
            self._last += 1
            return self._last

    def add(self, incident: Incident, document: Document) -> bool:
        """Write what happened next; False where something else has happened to it meanwhile: look again."""
        with self._lock:
            return self._create(incident.number, incident.entries + 1, document)

    def append(self, number: int, document: Document) -> None:
        """Write what happened, whatever else did meanwhile."""
        self._documents.append(layout.incident(number), document)

    def _create(self, number: int, entry: int, document: Document) -> bool:
        try:
            self._documents.create(f"{layout.incident(number)}{entry}.json", document)
        except Conflict:
            return False
        return True

    def _numbers(self) -> list[int]:
        return sorted(int(name) for name in self._documents.objects.folders(layout.INCIDENTS) if name.isdigit())

    def _read(self, number: int, now: datetime, *, again: bool) -> Incident | None:
        folder, known = layout.incident(number), self._known.setdefault(number, [])
        if again or not known:
            for entry in range(len(known) + 1, (self._documents.last_number(folder) or 0) + 1):
                known.append(self._documents.get(f"{folder}{entry}.json"))
        if not known:
            return None
        return interpret(folder, {"documents": known}, lambda d: folded(number, d["documents"], now))
