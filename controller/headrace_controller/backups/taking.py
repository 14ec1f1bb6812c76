"""Taking a backup. A run that is cut short leaves no manifest, and the same command goes on with what is there.

What was copied is noted in ``unfinished/<n>.json`` as it goes; the next run takes a cut of its own, copies only what it lacks, and removes
what is no longer in it. The store is only read, but for one entry of its audit.
"""

import hashlib
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import orjson

from headrace_controller import clock
from headrace_controller.backups.copying import Copy, copy, each
from headrace_controller.backups.cut import TABLES, belongs, first_objects
from headrace_controller.backups.manifest import CONTENT, HASH_KEYS, HOME, MANIFEST, Item, Manifest
from headrace_controller.backups.tables import state_of
from headrace_functions.access.audit import AuditChain, Entry, Head
from headrace_functions.errors import Conflict, InvalidInput, NotFound, StorageFailed
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectInfo, ObjectStore

SETTLES = 1.1
"""Seconds between the moment of the cut and the listing: the clocks of buckets count whole seconds."""
_NOTES = "unfinished/"
_BEGUN = _NOTES + "begun.json"
_NOTE_EVERY = 200
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for."""

    without: tuple[str, ...] = ()
    """Parts to leave out, with all that goes with them (``cut.left_out``)."""
    home: Path | None = None
    """The home whose keys of sensitive fields are to be in the backup too; None leaves them out."""
    head: Callable[[Head], None] = lambda _head: None
    """Told of the end of the audit after the entry about this backup."""


@dataclass(frozen=True, slots=True)
class Taken:
    manifest: Manifest
    digest: str
    """SHA-256 of the manifest's bytes: kept elsewhere it proves later that nothing was changed."""
    copied: int
    """Objects that this run copied; the others were there from an earlier one."""


@dataclass(slots=True)
class _Known:
    """What earlier runs copied: by key, the item and the time of the object in the store."""

    items: dict[str, tuple[Item, float]] = field(default_factory=dict)
    notes: int = 0


def take(source: ObjectStore, backup: ObjectStore, order: Order, pause: Callable[[float], None] = time.sleep) -> Taken:
    """Bring a consistent cut of ``source`` to ``backup``, which is empty or an unfinished backup of the same store.

    Raises ``InvalidInput`` or ``Conflict`` before anything is written where that cannot be, ``StorageFailed`` where either store fails.
    """
    _check_places(source, backup)
    known = _begin(source, backup)
    head, cut = _audited(source, backup, order)
    pause(SETTLES)
    taking = _Taking(source, backup, known)
    listed = list(source.walk(""))
    items = taking.objects(first_objects(listed, cut, order.without))
    versions = {i.key.removesuffix("/definition.json") for i in items if i.key.endswith("/definition.json")}
    for folder in TABLES:
        if belongs(folder, order.without):
            items += taking.tables(folder, versions)
    hash_keys = _take_hash_keys(backup, order.home)
    manifest = Manifest(
        clock.show(clock.from_seconds(cut)),
        source.url,
        metadata.version("headrace"),
        order.without,
        str(head),
        hash_keys,
        tuple(sorted(items, key=lambda i: i.key)),
    )
    body = manifest.to_bytes()
    _finish(backup, manifest, body)
    return Taken(manifest, hashlib.sha256(body).hexdigest(), taking.copied)


def _check_places(source: ObjectStore, backup: ObjectStore) -> None:
    inner, outer = backup.url.rstrip("/") + "/", source.url.rstrip("/") + "/"
    if inner.startswith(outer) or outer.startswith(inner):
        raise InvalidInput(
            f"to: {backup.url} and the store {source.url} overlap: one contains the other",
            field="to",
            expected="another directory, or another bucket or prefix",
        )


def _begin(source: ObjectStore, backup: ObjectStore) -> _Known:
    """Claim an empty place, or take up an unfinished backup."""
    if not any(source.folders("")):
        raise NotFound(
            f"there is nothing to back up at {source.url}", field="storage", hint="name the store: --storage"
        )
    first = next(iter(backup.walk("")), None)
    if first is None:
        backup.put(_BEGUN, orjson.dumps({"source": source.url}))
        return _Known()
    if backup.exists(MANIFEST):
        raise Conflict(
            f"there is a backup at {backup.url} already",
            field="to",
            hint="choose another place; each backup needs its own",
        )
    try:
        begun = orjson.loads(backup.get(_BEGUN))
    except (NotFound, orjson.JSONDecodeError):
        raise Conflict(
            f"{backup.url} is not empty: it has {first.key}", field="to", hint="choose an empty place"
        ) from None
    if begun.get("source") != source.url:
        raise Conflict(
            f"{backup.url} has an unfinished backup of {begun.get('source')}", field="to", hint="choose another place"
        )
    return _known(backup)


def _known(backup: ObjectStore) -> _Known:
    found = _Known()
    for name in backup.names(_NOTES):
        if f"{_NOTES}{name}" == _BEGUN:
            continue
        found.notes += 1
        for key, size, digest, modified in orjson.loads(backup.get(f"{_NOTES}{name}")):
            found.items[key] = (Item(key, size, digest), modified)
    return found


def _audited(source: ObjectStore, backup: ObjectStore, order: Order) -> tuple[Head, float]:
    """Write the entry about this backup; the audit's end, and the time of the store's clock at which it was written."""
    left = ", ".join(order.without)
    reason = f"without {left}" if left else "everything"
    chain = AuditChain(source, order.head)
    chain.write(Entry(clock.now(), "owner of the store", "backup", backup.url, "done", 200, reason=reason))
    chain.flush()  # raises where it could not be written
    head = chain.head()
    part = layout.audit_part(head.number)
    return head, max(i.modified for i in source.walk(part))


class _Taking:
    """Copies what an earlier run has not, and keeps the notes."""

    def __init__(self, source: ObjectStore, backup: ObjectStore, known: _Known) -> None:
        self._source = source
        self._backup = backup
        self._known = known
        self._notes: list[list[Any]] = []
        self.copied = 0

    def objects(self, infos: Collection[ObjectInfo]) -> list[Item]:
        """What was deleted since it was listed is left out, as it was meant to be."""
        found, missing = [], []
        for info in infos:
            item, modified = self._known.items.get(info.key, (None, 0.0))
            if item is not None and (item.size, modified) == (info.size, info.modified):
                found.append(item)
            else:
                missing.append(info)
        for copied in each(self._copy_if_there, missing):
            if copied is None:
                continue
            item, modified = copied
            found.append(item)
            self.copied += 1
            self._notes.append([item.key, item.size, item.sha256, modified])
            if len(self._notes) >= _NOTE_EVERY:
                self._write_notes()
        self._write_notes()
        return found

    def tables(self, folder: str, versions: Collection[str]) -> Iterator[Item]:
        """The tables below a folder, of the versions (by the key of their folder) that are in the backup."""
        for table in self._tables(folder):
            model, number = table.removeprefix(folder).split("/")[:2]
            if f"{layout.versions(model)}{number.removeprefix('v')}" in versions:
                yield from self._table(table)

    def _tables(self, folder: str) -> Iterator[str]:
        for model in self._source.folders(folder):
            for number in self._source.folders(f"{folder}{model}/"):
                place = f"{folder}{model}/{number}"
                if folder != layout.HEALTH:
                    yield place
                    continue
                plans = {int(n.removesuffix(".json")) for n in self._source.names(f"{place}/plans/")}
                for plan in self._source.folders(f"{place}/"):
                    if plan.isdigit() and int(plan) in plans:
                        yield f"{place}/{plan}"

    def _table(self, table: str) -> list[Item]:
        """One state of a table. Where a file of it is gone (values were erased), another state is taken."""
        for _ in range(_TRIES):
            state = state_of(self._source, table)
            if state is None:
                return []
            there = {i.key: i for i in self._source.walk(f"{table}/")}
            infos = [there[key] for key in state.keys if key in there]
            items = self.objects(infos) if len(infos) == len(state.keys) else []
            if len(items) == len(state.keys):
                return items
        raise StorageFailed(
            f"files of the table {table} disappeared while it was being copied", hint="run the same command again"
        )

    def _copy_if_there(self, info: ObjectInfo) -> tuple[Item, float] | None:
        try:
            return copy(self._source, self._backup, Copy(info.key, CONTENT + info.key, info.size)), info.modified
        except NotFound:
            return None

    def _write_notes(self) -> None:
        if self._notes:
            self._known.notes += 1
            self._backup.put(f"{_NOTES}{self._known.notes:06d}.json", orjson.dumps(self._notes))
            self._notes = []


def _take_hash_keys(backup: ObjectStore, home: Path | None) -> tuple[Item, ...]:
    found = []
    for name in HASH_KEYS if home is not None else ():
        assert home is not None
        try:
            data = (home / name).read_bytes()
        except OSError as error:
            if name != HASH_KEYS[0]:
                continue  # there is none before the key was ever rotated
            raise InvalidInput(
                f"with-hash-key: {home / name} cannot be read: {error.strerror}",
                field="with-hash-key",
                hint="name the home that contains it: --home",
            ) from error
        backup.put(HOME + name, data)
        found.append(Item(HOME + name, len(data), hashlib.sha256(data).hexdigest()))
    return tuple(found)


def _finish(backup: ObjectStore, manifest: Manifest, body: bytes) -> None:
    """Remove what earlier runs left that is not in the cut, then write the manifest, then remove the notes."""
    wanted = {CONTENT + item.key for item in manifest.items} | {item.key for item in manifest.hash_keys}
    for info in backup.walk(""):
        if info.key not in wanted and not info.key.startswith(_NOTES):
            backup.delete(info.key)
    backup.put(MANIFEST, body)
    for name in backup.names(_NOTES):
        backup.delete(f"{_NOTES}{name}")
