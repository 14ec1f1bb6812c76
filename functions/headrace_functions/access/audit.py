"""The audit: who changed what and who was refused, in create-only documents of which each holds the SHA-256 of the one before.

Several processes write to one chain: a number is taken by the create that wins, and who loses reads the winner and tries the next. What
cannot be written while the store is away waits in memory (``WAITING``) and is written later, with the time at which it happened.

An entry that was altered or removed breaks the chain, and ``verify`` names the place. A chain that lost its *end* is still whole in
itself: that is seen by whoever knows its head, so each platform remembers it outside the store, and ``verify`` takes one.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from headrace_functions.errors import Conflict, DamagedDocument, HeadraceError, NotFound
from headrace_functions.loop_health import LoopHealth
from headrace_functions.names import clean
from headrace_functions.storage import layout
from headrace_functions.storage.documents import parse
from headrace_functions.storage.objects import ObjectStore

Outcome = Literal["done", "refused", "failed"]
WAITING = 10_000
"""Entries that wait for a store that is away; of more, the count alone is kept and written."""
REFUSALS = 1000
"""Different refusals that are told apart between two writes; of more, the count alone."""
EVERY = 10.0
"""Seconds between two writes of refusals: the same one again and again is one entry with its count."""
LARGEST = 16 * 1024
"""Bytes of a document before or after a change; of a larger one the digest is kept."""
MAX_TEXT = 500
_RACES = 1000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that somebody did or was refused."""

    at: str
    """RFC 3339, UTC."""
    who: str
    what: str
    """The operation, e.g. ``move_alias``; of the gateway ``call``."""
    on: str
    """What it was done to: the path of the request, or a name."""
    outcome: Outcome
    status: int
    request_id: str = ""
    origin: str = ""
    """The address that the request came from."""
    reason: str = ""
    times: int = 1
    changes: tuple[Mapping[str, Any], ...] = ()
    """``{"kind", "name", "before", "after"}`` of each document that was changed."""

    def to_document(self) -> dict[str, Any]:
        texts = {
            n: clean(getattr(self, n))[:MAX_TEXT] for n in ("at", "who", "what", "on", "request_id", "origin", "reason")
        }
        changes = [{**c, "before": _bounded(c["before"]), "after": _bounded(c["after"])} for c in self.changes]
        return {**texts, "outcome": self.outcome, "status": self.status, "times": self.times, "changes": changes}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Entry":
        texts = {n: str(document[n]) for n in ("at", "who", "what", "on", "request_id", "origin", "reason")}
        return cls(
            **texts,
            outcome=document["outcome"],
            status=int(document["status"]),
            times=int(document["times"]),
            changes=tuple(document["changes"]),
        )


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: the number of its last entry, 0 for none, and the SHA-256 of its bytes."""

    number: int = 0
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.number}:{self.digest}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What ``verify`` found. ``fault`` is empty for a chain that is whole."""

    head: Head
    fault: str = ""


class AuditChain:
    """The chain of one store. ``write`` may be called by any thread; ``remember`` is told of each new head."""

    def __init__(self, objects: ObjectStore, remember: Callable[[Head], None] = lambda _head: None) -> None:
        self._objects = objects
        self._remember = remember
        self._head: Head | None = None
        self._lock = threading.Lock()
        self._waiting: list[Entry] = []
        self._dropped = 0
        self._stop = threading.Event()
        self._health = LoopHealth("writing the audit", log)
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Begin to write what had to wait."""
        self._thread = threading.Thread(
            target=self._health.repeat, args=(self.flush, EVERY, self._stop), name="audit", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with self._health.guard():
            self.flush()

    @property
    def problems(self) -> list[str]:
        waiting = len(self._waiting)
        told = f"{waiting} entries of the audit wait for the store" if waiting else ""
        return [p for p in (self._health.problem, told) if p]

    def write(self, entry: Entry) -> None:
        """Write an entry now, or keep it until the store can be written. Raises nothing: what was done cannot be undone."""
        with self._lock:
            self._waiting.append(entry)
            if len(self._waiting) > WAITING:
                self._waiting.pop(0)
                self._dropped += 1
            with self._health.guard():
                self._write_waiting()

    def flush(self) -> None:
        with self._lock:
            self._write_waiting()

    def _write_waiting(self) -> None:
        if self._dropped:
            lost = f"{self._dropped} entries were lost while the store was away"
            self._append(Entry(_now(), "platform", "audit", "audit", "failed", 503, reason=lost))
            self._dropped = 0
        while self._waiting:
            self._append(self._waiting[0])
            self._waiting.pop(0)

    def _append(self, entry: Entry) -> None:
        head = self._head if self._head is not None else self.head()
        for _ in range(_RACES):
            body = _bytes(head.number + 1, head.digest, entry)
            try:
                self._objects.create(layout.audit_entry(head.number + 1), body)
            except Conflict:
                head = self._after(head)  # another process was faster: go on from its entry
                continue
            self._head = Head(head.number + 1, _digest(body))
            self._remember(self._head)
            return
        raise Conflict(f"could not append to the audit: {_RACES} other writers were faster")

    def _after(self, head: Head) -> Head:
        return Head(head.number + 1, _digest(self._objects.get(layout.audit_entry(head.number + 1))))

    def head(self) -> Head:
        """The end of the chain as it is in the store."""
        parts = self._objects.folders(layout.AUDIT)
        if not parts:
            return Head()
        number = max((_number(n) for n in self._objects.names(f"{layout.AUDIT}{parts[-1]}/")), default=0)
        return Head(number, _digest(self._objects.get(layout.audit_entry(number)))) if number else Head()

    def newest(self) -> Iterator[tuple[int, Entry]]:
        """Entries with their numbers, the newest first. One that cannot be read or is not there is left out: ``verify`` names it."""
        for number in range(self.head().number, 0, -1):
            try:
                yield number, self._entry(number)
            except (NotFound, DamagedDocument) as error:
                log.warning("%s", error.message)

    def verify(self, known: Head | None = None) -> Verdict:
        """Read the whole chain; the first fault there is, and its head. ``known`` is a head that it had before."""
        previous, number = "", 0
        for info in self._objects.walk(layout.AUDIT):
            number += 1
            if info.key != layout.audit_entry(number):
                return Verdict(Head(number - 1, previous), f"entry {number} is missing; {info.key} is in its place")
            body = self._objects.get(info.key)
            try:
                said = parse(info.key, body, lambda d: (int(d["number"]), str(d["previous"])))
            except DamagedDocument as error:
                return Verdict(Head(number - 1, previous), f"entry {number} was altered: {error.message}")
            if said != (number, previous):
                return Verdict(
                    Head(number - 1, previous),
                    f"entry {number} does not continue entry {number - 1}: one of them was altered or replaced",
                )
            previous = _digest(body)
            if known is not None and number == known.number and previous != known.digest:
                return Verdict(Head(number, previous), f"entry {number} was altered: it had the digest {known.digest}")
        if known is not None and number < known.number:
            return Verdict(
                Head(number, previous), f"the end is missing: there were {known.number} entries, now {number}"
            )
        return Verdict(Head(number, previous))

    def _entry(self, number: int) -> Entry:
        key = layout.audit_entry(number)
        return parse(key, self._objects.get(key), Entry.from_document)


@dataclass(slots=True)
class _Refusal:
    first: Entry
    times: int = 1


class Refusals:
    """Refusals on their way to the audit: the same one again within ``EVERY`` seconds adds to a count, so that nobody can flood it.

    ``note`` never waits and may be called from an event loop.
    """

    def __init__(self, chain: AuditChain) -> None:
        self._chain = chain
        self._noted: dict[tuple[str, str, str, str], _Refusal] = {}
        self._others = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._health = LoopHealth("writing refusals to the audit", log)
        self._thread = threading.Thread(
            target=self._health.repeat, args=(self.write, EVERY, self._stop), name="refusals", daemon=True
        )

    def open(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._health.guard():
            self.write()

    def note(self, entry: Entry) -> None:
        key = (entry.who, entry.what, entry.on[:MAX_TEXT], entry.origin)
        with self._lock:
            known = self._noted.get(key)
            if known is not None:
                known.times += 1
            elif len(self._noted) < REFUSALS:
                self._noted[key] = _Refusal(entry)
            else:
                self._others += 1

    def write(self) -> None:
        with self._lock:
            noted, others = list(self._noted.values()), self._others
            self._noted, self._others = {}, 0
        for refusal in noted:
            first = refusal.first
            self._chain.write(_repeated(first, refusal.times))
        if others:
            told = f"more than {REFUSALS} different refusals in {EVERY:g} s"
            self._chain.write(Entry(_now(), "", "several", "several", "refused", 403, reason=told, times=others))


def refusal(error: HeadraceError, who: str, what: str, on: str, origin: str, request_id: str, status: int) -> Entry:
    """The entry of a request that was refused."""
    return Entry(_now(), who, what, on, "refused", status, request_id, origin, error.message)


def _repeated(first: Entry, times: int) -> Entry:
    document = first.to_document()
    return Entry.from_document({**document, "times": times})


def _bytes(number: int, previous: str, entry: Entry) -> bytes:
    document = {"schema": 1, "number": number, "previous": previous, **entry.to_document()}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS, default=str)


def _bounded(document: Any) -> Any:
    if document is None:
        return None
    body = orjson.dumps(document, option=orjson.OPT_SORT_KEYS, default=str)
    return document if len(body) <= LARGEST else {"bytes": len(body), "sha256": _digest(body)}


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _number(name: str) -> int:
    stem = name.removesuffix(".json")
    return int(stem) if stem.isdigit() else 0


def _now() -> str:
    seconds = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03d}Z"
