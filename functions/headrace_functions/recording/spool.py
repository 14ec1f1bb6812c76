"""A process's own folder of log segments: one write per record, sealed by size, age or close.

Folder ``<folder>/<spool id>/``: ``lock`` (held with ``flock`` while the process lives), ``<seq:012d>.open`` (being
written) and ``<seq:012d>.seg`` (sealed, to be taken by the shipper at any time). A frame is in the kernel's hands when
``append`` returns True, so it survives the death of the process, though not of the machine. Only one segment is
open, and a new one begins after the old one was sealed: segments are complete in the order of their numbers, which have no gaps.
"""

import contextlib
import fcntl
import logging
import os
import time
import uuid
from pathlib import Path

from headrace_functions.record import Record, encode

CAP_BYTES = 256 * 1024 * 1024
SEGMENT_BYTES = 8 * 1024 * 1024
SEGMENT_AGE = 2.0
LOCK = "lock"
OPEN = ".open"
SEALED = ".seg"
NEW = ".new-"

_RECOUNT_EVERY = 0.1  # seconds between looks at the disk while the cap is reached
_REOPEN_EVERY = 1.0  # seconds between attempts to make the folder after one failed

log = logging.getLogger(__name__)


class Spool:
    """Appends records for one process. Not for several threads at once; make it after a fork, not before.

    ``folder`` is ``spool/<service>``; ``cap_bytes`` bounds all that lies there and was not shipped yet, of every process
    of the service. Nothing here raises: a record that cannot be kept is counted in ``dropped``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        cap_bytes: int = CAP_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
        segment_age: float = SEGMENT_AGE,
    ) -> None:
        self.id = uuid.uuid4().hex
        self.path = folder / self.id
        self.dropped = 0
        self.appended = 0
        self.segment_age = segment_age
        self._folder = folder
        self._cap = cap_bytes
        self._segment_bytes = segment_bytes
        self._lock = -1
        self._fd = -1
        self._seq = 0
        self._size = 0
        self._torn = False
        self._opened = 0.0
        self._stored = 0
        self._recount_at = 0.0
        self._reopen_at = 0.0
        self._closed = False
        self._prepare()

    def append(self, record: Record) -> bool:
        """Keep a record: True once it is written, False if it was dropped (cap reached, disk full or read-only, closed)."""
        try:
            kept = self._append(encode(record))
        except (OSError, TypeError, ValueError) as error:
            self._note(error)
            if isinstance(error, FileNotFoundError):
                self._let_go()  # somebody removed the folder: the next record makes a new one
            kept = False
        if kept:
            self.appended += 1
        else:
            self.dropped += 1
        return kept

    def seal_if_old(self) -> float | None:
        """Seal the open segment if its time is over; the seconds until it will be, None if there is none to wait for."""
        if self._size == 0:
            return None
        left = self._opened + self.segment_age - time.monotonic()
        if left > 0:
            return left
        try:
            self._seal()
        except OSError as error:
            self._note(error)
            return self.segment_age
        return None

    def close(self) -> None:
        """Seal what is open and let go of the folder; the shipper takes the rest. Closing again is nothing."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):  # what cannot be sealed is adopted by the shipper once the lock is free
            if self._size:
                self._seal()
        self._let_go()

    def _let_go(self) -> None:
        for fd in (self._fd, self._lock):
            if fd >= 0:
                os.close(fd)
        self._fd = self._lock = -1
        self._size = 0

    def _append(self, frame: bytes) -> bool:
        if self._closed or not self._ready():
            return False
        if self._stored + len(frame) > self._cap and not self._fits(len(frame)):
            return False
        if self._fd < 0:
            self._fd = os.open(self._segment(OPEN), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
            self._size = 0
        elif self._torn:
            self._mend()
        if not self._write(frame):
            return False
        if self._size == 0:
            self._opened = time.monotonic()
        self._size += len(frame)
        self._stored += len(frame)
        if self._size >= self._segment_bytes:
            try:
                self._seal()
            except OSError as error:
                self._note(error)  # the record is kept; the next append or the timer tries again
        return True

    def _write(self, frame: bytes) -> bool:
        """Write the whole frame or nothing of it."""
        try:
            written = os.write(self._fd, frame)
        except OSError as error:
            self._note(error)
            written = 0
        if written == len(frame):
            return True
        self._torn = True
        self._mend()
        return False

    def _mend(self) -> None:
        """Cut what is left of a write that failed; readers stop at a torn frame, so nothing may follow one."""
        os.ftruncate(self._fd, self._size)
        os.lseek(self._fd, self._size, os.SEEK_SET)
        self._torn = False

    def _seal(self) -> None:
        Path(self._segment(OPEN)).rename(self._segment(SEALED))
        fd, self._fd = self._fd, -1
        self._seq += 1
        self._size = 0
        os.close(fd)

    def _segment(self, state: str) -> str:
        return f"{self.path}/{self._seq:012d}{state}"

    def _ready(self) -> bool:
        return self._lock >= 0 or (time.monotonic() >= self._reopen_at and self._prepare())

    def _prepare(self) -> bool:
        """Make the folder and hold its lock. It appears under its name with the lock held, so nobody takes it for a dead one."""
        self._reopen_at = time.monotonic() + _REOPEN_EVERY
        young = self._folder / (NEW + self.id)
        try:
            young.mkdir(parents=True, exist_ok=True)
            lock = os.open(young / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                young.rename(self.path)
            except OSError:
                os.close(lock)
                raise
        except OSError as error:
            self._note(error)
            return False
        self._lock = lock
        self._recount()
        return True

    def _fits(self, more: int) -> bool:
        """Look again at what lies on the disk: the shipper may have taken some."""
        if time.monotonic() >= self._recount_at:
            self._recount()
        return self._stored + more <= self._cap

    def _recount(self) -> None:
        self._recount_at = time.monotonic() + _RECOUNT_EVERY
        self._stored = stored_bytes(self._folder)

    def _note(self, error: Exception) -> None:
        if self.dropped == 0:
            log.warning("cannot keep request records in %s: %s", self._folder, error)


def stored_bytes(folder: Path) -> int:
    """Bytes of the segments of a service that were not shipped yet."""
    total = 0
    for pattern in (f"*/*{OPEN}", f"*/*{SEALED}"):
        for path in folder.glob(pattern):
            with contextlib.suppress(OSError):  # the shipper took it between the two looks
                total += path.stat().st_size
    return total
