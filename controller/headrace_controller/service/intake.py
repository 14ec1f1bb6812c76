"""What is on its way into the logs: segments that wait in the inbox, and what the collector set aside."""

import contextlib
import hashlib
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from headrace_functions.errors import Conflict, DamagedDocument
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore

LATE = 120.0
"""Seconds that a segment may lie in the inbox before the log counts as behind."""
LOOK_EVERY = 5.0
"""Seconds for which a count of the inbox is kept, so that status pages do not list it each time."""
_SPOOLS = uuid.UUID("6f1d6ff2-4c0e-4f0e-9a55-1f6f3f1b7a10")


@dataclass(frozen=True, slots=True)
class Backlog:
    """Segments in the inbox: how many, of how many bytes, and for how many seconds the oldest has waited (0 for none)."""

    segments: int
    size: int
    oldest: float


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that the collector set aside. ``key`` is its name in the store below ``inbox-refused/``."""

    key: str
    size: int
    reason: str
    at: str


class Intake:
    def __init__(self, objects: ObjectStore, now: Callable[[], float] = time.time) -> None:
        self._objects = objects
        self._documents = Documents(objects)
        self._now = now
        self._looked = 0.0
        self._seen = (Backlog(0, 0, 0.0), 0)

    def backlog(self) -> Backlog:
        return self._look()[0]

    def refused_count(self) -> int:
        return self._look()[1]

    def refused(self) -> list[Refused]:
        """Everything that was set aside, in the order of keys."""
        found = []
        for info in self._objects.walk(layout.REFUSED):
            if info.key.endswith(".reason.json"):
                continue
            try:
                document = self._documents.find(layout.refused_reason(info.key)) or {}
            except DamagedDocument:
                document = {}
            key = info.key.removeprefix(layout.REFUSED)
            found.append(Refused(key, info.size, str(document.get("reason", "")), str(document.get("at", ""))))
        return found

    def retry(self) -> int:
        """Offer everything that was set aside to the collector again; how many objects there were.

        Each goes into the inbox as the one segment of a spool of its own, named after its content: offered twice it is logged once.
        """
        items = self.refused()
        for item in items:
            aside = layout.REFUSED + item.key
            data = self._objects.get(aside)
            spool = uuid.uuid5(_SPOOLS, item.key + hashlib.sha256(data).hexdigest()).hex
            with contextlib.suppress(Conflict):  # a retry that was cut short has offered it already
                self._objects.create(layout.inbox_segment(item.key.split("/", 1)[0], spool, 0), data)
            self._objects.delete(layout.refused_reason(aside))
            self._objects.delete(aside)
        self._looked = 0.0
        return len(items)

    def problems(self) -> list[str]:
        """What keeps records out of the log, in words for people. Raises ``StorageFailed`` where the store is away."""
        backlog, refused = self._look()
        found = []
        if backlog.oldest > LATE:
            found.append(
                f"the log is {backlog.oldest:.0f} s behind: {backlog.segments} segments ({backlog.size} bytes) wait in the inbox;"
                " the collector's log says why"
            )
        if refused:
            found.append(f"{refused} objects could not be logged and were set aside; 'headrace log refused' lists them")
        return found

    def _look(self) -> tuple[Backlog, int]:
        now = self._now()
        if now - self._looked >= LOOK_EVERY:
            waiting = list(self._objects.walk(layout.INBOX))
            oldest = max((now - info.modified for info in waiting), default=0.0)
            refused = sum(not info.key.endswith(".reason.json") for info in self._objects.walk(layout.REFUSED))
            self._seen = Backlog(len(waiting), sum(info.size for info in waiting), max(oldest, 0.0)), refused
            self._looked = now
        return self._seen
