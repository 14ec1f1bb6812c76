"""Log tables that are open: a page asks the same log several times, and opening one reads the table's own log anew."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from headrace_functions.storage.objects import ObjectStore

KEPT = 32
"""Tables that stay open."""
SURE = 5.0
"""Seconds after which a table is opened anew though its next commit is not there: somebody may have put another one in its place."""


@dataclass(frozen=True, slots=True)
class _Open:
    table: DeltaTable
    at: float


class LogTables:
    """Any thread may call it. Tables are never changed once they are open, so several threads may read one."""

    def __init__(self, objects: ObjectStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._objects = objects
        self._clock = clock
        self._lock = threading.Lock()
        self._open: OrderedDict[str, _Open] = OrderedDict()

    def get(self, key: str) -> DeltaTable | None:
        """The table below ``key`` with all its commits; None where there is none. Raises ``DeltaError`` or ``OSError``."""
        with self._lock:
            held = self._open.get(key)
        if held is not None and self._is_newest(key, held):
            return held.table
        try:
            found = DeltaTable(self._objects.table_url(key), storage_options=self._objects.table_options())
        except TableNotFoundError:
            found = None
        with self._lock:
            self._open.pop(key, None)
            if found is not None:
                self._open[key] = _Open(found, self._clock())
            while len(self._open) > KEPT:
                self._open.popitem(last=False)
        return found

    def _is_newest(self, key: str, held: _Open) -> bool:
        """Whether there is no later commit, which costs a small part of opening the table."""
        following = f"{key}/_delta_log/{held.table.version() + 1:020d}.json"
        return self._clock() - held.at < SURE and not self._objects.exists(following)
