"""When each API key was last used: each process tells it once a minute, so it costs requests nothing and the store little."""

import logging
import threading
import time
from collections.abc import Callable

import orjson

from headrace_functions.errors import DamagedDocument, HeadraceError
from headrace_functions.loop_health import LoopHealth
from headrace_functions.storage import layout
from headrace_functions.storage.documents import parse
from headrace_functions.storage.objects import ObjectStore

EVERY = 60.0
"""Seconds between two writes; so much of what was used may be lost with a process that is killed."""

log = logging.getLogger(__name__)


class KeyUses:
    """What was written by every process, and ``note`` for this one after ``open``."""

    def __init__(self, objects: ObjectStore, clock: Callable[[], float] = time.time) -> None:
        self._objects = objects
        self._clock = clock
        self._process = ""
        self._mine: dict[str, float] = {}
        self._written: dict[str, float] = {}
        self._stop = threading.Event()
        self._health = LoopHealth("noting when keys were used", log)
        self._thread: threading.Thread | None = None

    def note(self, name: str) -> None:
        """A key of this name was shown now; never waits."""
        self._mine[name] = self._clock()

    def open(self, process: str) -> None:
        """Begin to write as a process, whose name is the same after a restart."""
        self._process = process
        self._mine = {**self._of(layout.key_uses(process)), **self._mine}
        self._thread = threading.Thread(
            target=self._health.repeat, args=(self.write, EVERY, self._stop), name="key uses", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            with self._health.guard():
                self.write()

    def write(self) -> None:
        mine = dict(self._mine)
        if mine != self._written and self._process:
            self._objects.put(layout.key_uses(self._process), orjson.dumps({"schema": 1, "used": mine}))
            self._written = mine

    def last(self) -> dict[str, float]:
        """By key, when it was last used as far as is written, seconds since the epoch."""
        found = dict(self._mine)
        for info in self._objects.walk(layout.KEY_USES):
            for name, at in self._of(info.key).items():
                found[name] = max(at, found.get(name, 0.0))
        return found

    def _of(self, key: str) -> dict[str, float]:
        try:
            return parse(key, self._objects.get(key), lambda d: {str(n): float(at) for n, at in d["used"].items()})
        except DamagedDocument as error:
            log.warning("%s", error.message)
            return {}
        except HeadraceError:
            return {}  # nothing was written yet
