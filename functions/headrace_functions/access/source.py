"""A policy that follows the store: keys, grants and blocks are series of documents, of which the last counts.

One listing of ``access/`` tells what changed, so a look costs a listing and the documents that are new. While the store is away the
last policy holds on; before the first look has succeeded nobody is let in (``StorageFailed``).
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from headrace_functions.access.keys import Key
from headrace_functions.access.policy import Policy
from headrace_functions.access.roles import Grant
from headrace_functions.errors import DamagedDocument, HeadraceError, StorageFailed
from headrace_functions.loop_health import LoopHealth
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents, interpret

EVERY = 2.0
"""Seconds between two looks: so soon a revocation holds everywhere."""

log = logging.getLogger(__name__)


class PolicySource:
    """``policy`` may be asked by any thread; ``refresh`` looks at once, ``open`` starts a thread that looks every ``EVERY`` seconds."""

    def __init__(self, documents: Documents, clock: Callable[[], float] = time.time) -> None:
        self._documents = documents
        self.clock = clock
        self._policy: Policy | None = None
        self._read: dict[str, Mapping[str, Any] | None] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._health = LoopHealth("reading who may do what", log)
        self._thread = threading.Thread(target=self._follow, name="access policy", daemon=True)

    @property
    def policy(self) -> Policy:
        """The newest policy; ``StorageFailed`` where the store could not be read yet."""
        found = self._policy
        if found is None:
            raise StorageFailed(
                "the store could not be read yet, so credentials cannot be checked", hint="try again in a moment"
            )
        return found

    @property
    def problems(self) -> list[str]:
        unreadable = self._policy.unreadable if self._policy is not None else ()
        return [p for p in (self._health.problem, *(f"{u}; what it allows is not allowed" for u in unreadable)) if p]

    def open(self) -> None:
        with self._health.guard():
            self.refresh()
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def refresh(self) -> Policy:
        """Look at the store now. Raises ``StorageFailed``, and keeps what was known."""
        with self._lock:
            last = _last_states(info.key for info in self._documents.objects.walk(layout.ACCESS))
            unreadable: list[str] = []
            found = {key: self._document(key, unreadable) for key in last.values()}
            if self._policy is None or found != self._read or tuple(unreadable) != self._policy.unreadable:
                self._policy = _policy(found, unreadable)
                self._read = found
            return self._policy

    def _document(self, key: str, unreadable: list[str]) -> Mapping[str, Any] | None:
        held = self._read.get(key)
        if held is not None:
            return held  # documents never change once written
        try:
            return self._documents.find(key)
        except DamagedDocument as error:
            unreadable.append(error.message)
            return None

    def _follow(self) -> None:
        self._health.repeat(self.refresh, EVERY, self._stop)


def _last_states(keys: Any) -> dict[str, str]:
    """By folder, the key of its last state."""
    last: dict[str, tuple[int, str]] = {}
    for key in keys:
        folder, _, name = key.rpartition("/")
        number = name.removesuffix(".json")
        if number.isdigit() and int(number) > last.get(folder, (0, ""))[0]:
            last[folder] = int(number), key
    return {folder: key for folder, (_, key) in last.items()}


def _policy(documents: Mapping[str, Mapping[str, Any] | None], unreadable: list[str]) -> Policy:
    keys: dict[str, Key] = {}
    grants: dict[str, Grant] = {}
    blocked: set[str] = set()
    bad = list(unreadable)
    for place, document in documents.items():
        if document is None or document.get("deleted"):
            continue
        try:
            if place.startswith(layout.ACCESS_KEYS):
                key = interpret(place, dict(document), Key.from_document)
                keys[key.name] = key
            elif place.startswith(layout.ACCESS_GRANTS):
                grant = interpret(place, dict(document), Grant.from_document)
                grants[grant.name] = grant
            elif place.startswith(layout.ACCESS_BLOCKS):
                blocked.add(str(document["subject"]))
        except (HeadraceError, KeyError) as error:
            bad.append(str(error))
    return Policy(keys, grants, frozenset(blocked), tuple(bad))
