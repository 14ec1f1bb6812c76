"""The gateway's own records: exchanges that never reached a function."""

import asyncio

from headrace_functions.record import Record
from headrace_functions.recording.spool import Spool


class SealedInTime:
    """A spool whose open segment is sealed when it is old, by a timer that runs only while there is one."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._timer: asyncio.TimerHandle | None = None

    def append(self, record: Record) -> bool:
        kept = self._spool.append(record)
        if self._timer is None:
            self._look()
        return kept

    def _look(self) -> None:
        left = self._spool.seal_if_old()
        self._timer = None if left is None else asyncio.get_running_loop().call_later(left, self._look)
