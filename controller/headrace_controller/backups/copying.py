"""Objects from one store to another, many at once, with the SHA-256 of each taken on the way."""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from headrace_controller.backups.manifest import Item
from headrace_functions.storage.objects import ObjectStore

Given = TypeVar("Given")
Done = TypeVar("Done")

THREADS = 8
IN_MEMORY = 4 * 1024 * 1024
"""Bytes of an object up to which it is not kept in a file meanwhile."""


@dataclass(frozen=True, slots=True)
class Copy:
    """What to copy: from a key of one store to a key of the other; the size is known to choose the way."""

    source: str
    target: str
    size: int


def copy(source: ObjectStore, target: ObjectStore, what: Copy, check: Callable[[Item], None] | None = None) -> Item:
    """Copy one object; its source key, size and digest. ``check`` raises before anything is written. ``NotFound`` where it is gone."""
    if what.size <= IN_MEMORY:
        data = source.get(what.source)
        item = Item(what.source, len(data), hashlib.sha256(data).hexdigest())
        if check is not None:
            check(item)
        target.put(what.target, data)
        return item
    with tempfile.NamedTemporaryFile(prefix="headrace-backup-") as file:
        path = Path(file.name)
        digest = source.download(what.source, path)
        item = Item(what.source, path.stat().st_size, digest)
        if check is not None:
            check(item)
        target.put(what.target, path)
    return item


def each(work: Callable[[Given], Done], given: Iterable[Given]) -> Iterator[Done]:
    """``work`` of each, ``THREADS`` at once, in the order in which they are done. The first error ends it."""
    todo = iter(given)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="backup") as pool:
        running: set[Future[Done]] = {pool.submit(work, one) for one in islice(todo, 2 * THREADS)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
            running |= {pool.submit(work, one) for one in islice(todo, len(done))}


def digest_of(store: ObjectStore, key: str, size: int) -> str:
    """The SHA-256 of an object of about ``size`` bytes, hexadecimal; ``NotFound`` where it is not there."""
    if size <= IN_MEMORY:
        return hashlib.sha256(store.get(key)).hexdigest()
    with tempfile.NamedTemporaryFile(prefix="headrace-backup-") as file:
        return store.download(key, Path(file.name))
