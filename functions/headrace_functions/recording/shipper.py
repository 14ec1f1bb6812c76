"""Moves sealed segments from the spools of this machine to the inbox of the store, in order, each exactly once.

A folder whose lock is free belongs to a dead process: its open segment is cut to whole frames and shipped with the rest.
Only one sweep runs at a time on a spool root, whichever process does it.
"""

import contextlib
import errno
import fcntl
import logging
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from headrace_functions.errors import Conflict, StorageFailed
from headrace_functions.record import whole_length
from headrace_functions.recording.spool import LOCK, NEW, OPEN, SEALED
from headrace_functions.storage import layout

_SWEEP_LOCK = ".sweep"
_ABANDONED = 60.0  # seconds after which an unfinished new folder is rubbish

log = logging.getLogger(__name__)


class Inbox(Protocol):
    """The store, as far as shipping needs it."""

    @property
    def directory(self) -> Path | None:
        """The folder behind a store that is one."""

    def create(self, key: str, data: bytes) -> None:
        """Durable when it returns; ``Conflict`` where the key is taken."""


class Shipper:
    """Ships below ``root`` (``<home>/spool``), a folder a service, a folder in it a spool."""

    def __init__(self, root: Path, objects: Inbox) -> None:
        self._root = root
        self._objects = objects

    def sweep(self) -> int:
        """Ship everything that is sealed or orphaned and return the number of segments that arrived.

        Raises ``StorageFailed`` when the store refuses; what was not shipped stays and goes with a later sweep.
        While another process sweeps the same root, nothing is done and 0 returned. If the process dies between arrival
        and removal here, the segment is offered again under the same key; the collector knows it by its number.
        """
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with _held(self._root / _SWEEP_LOCK) as held:
                return sum(self._ship_service(service) for service in _folders(self._root)) if held else 0
        except OSError as error:
            raise StorageFailed(f"cannot deliver records from {self._root}: {error}") from error

    def _ship_service(self, service: Path) -> int:
        shipped = 0
        for spool in _folders(service, hidden=True):
            if spool.name.startswith(NEW):
                _remove_abandoned(spool)
            elif not spool.name.startswith("."):
                shipped += self._ship_spool(service.name, spool)
        return shipped

    def _ship_spool(self, service: str, spool: Path) -> int:
        with _held(spool / LOCK, create=False) as orphaned:
            if orphaned:
                for path in sorted(spool.glob(f"*{OPEN}")):
                    _seal_orphan(path)
            shipped = sum(self._ship(service, path) for path in _sealed(spool))
            if orphaned:
                _remove(spool)
        return shipped

    def _ship(self, service: str, path: Path) -> bool:
        key = layout.inbox_segment(service, path.parent.name, int(path.name.removesuffix(SEALED)))
        directory = self._objects.directory
        if directory is not None and _renamed(path, directory / key):
            return True
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return False
        try:
            self._objects.create(key, data)
        except Conflict:
            log.info("%s has arrived before", key)
        path.unlink(missing_ok=True)
        return True


def _sealed(spool: Path) -> list[Path]:
    """Sealed segments without a gap. A listing of a folder that is written to may miss a name older than one it shows;

    what was there when the first listing ended is in the second one for certain.
    """
    newest = max(spool.glob(f"*{SEALED}"), default=None)
    return [] if newest is None else sorted(p for p in spool.glob(f"*{SEALED}") if p <= newest)


def _renamed(path: Path, target: Path) -> bool:
    """Move within one file system; False where it is two, ``StorageFailed`` where the store refuses."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    except OSError as error:
        if error.errno == errno.EXDEV:
            return False
        raise StorageFailed(f"cannot move a segment to {target.parent}: {error.strerror}") from error
    return True


def _seal_orphan(path: Path) -> None:
    whole = whole_length(path.read_bytes())
    if whole == 0:
        path.unlink()
        return
    if whole < path.stat().st_size:
        log.warning("cut a torn record from %s", path)
        os.truncate(path, whole)
    path.rename(path.with_suffix(SEALED))


def _remove(spool: Path) -> None:
    (spool / LOCK).unlink(missing_ok=True)
    try:
        spool.rmdir()
    except OSError as error:
        log.warning("cannot remove the empty spool %s: %s", spool, error.strerror)


def _remove_abandoned(young: Path) -> None:
    """A folder that its process did not finish to make holds no records."""
    try:
        old = time.time() - young.stat().st_mtime > _ABANDONED
    except FileNotFoundError:
        return
    if old:
        shutil.rmtree(young, ignore_errors=True)


def _folders(folder: Path, *, hidden: bool = False) -> list[Path]:
    try:
        found = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    return [p for p in found if p.is_dir() and (hidden or not p.name.startswith("."))]


@contextlib.contextmanager
def _held(path: Path, *, create: bool = True) -> Iterator[bool]:
    """True while this process holds the lock file exclusively; False at once if another one does or it is gone."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o640)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield os.fstat(fd).st_nlink > 0
    finally:
        os.close(fd)
