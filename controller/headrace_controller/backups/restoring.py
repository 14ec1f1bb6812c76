"""Making a platform's store from a backup: only where nothing is, whole or not at all.

Until everything is there the store has a mark, and no platform starts on it. A run that is cut short is finished by the same command.
"""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson

from headrace_controller import clock
from headrace_controller.backups.copying import Copy, copy, digest_of, each
from headrace_controller.backups.manifest import CONTENT, HOME, Item, Manifest, read_manifest
from headrace_functions.access.audit import AuditChain, Entry, Head
from headrace_functions.errors import Conflict, DamagedDocument, NotFound
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class Restored:
    manifest: Manifest
    copied: int
    """Objects that this run copied; the others were there from an earlier one."""
    head: Head
    """The end of the audit, which says that the store was restored."""


def restore(
    backup: ObjectStore, target: ObjectStore, remember: Callable[[Head], None] = lambda _head: None
) -> Restored:
    """Copy a backup to ``target``, each object checked before it is written.

    Raises ``Conflict`` where the target is not empty, naming what is there, and ``DamagedDocument`` where an object of the backup is not
    what the manifest says; then the target stays marked as unfinished.
    """
    manifest, digest = read_manifest(backup)
    _claim(target, manifest, digest)
    there = {info.key: info.size for info in target.walk("")}
    # An earlier run may have been cut short within an object, so that its size alone says nothing.
    missing = [
        item
        for item in manifest.items
        if there.get(item.key) != item.size or digest_of(target, item.key, item.size) != item.sha256
    ]

    def one(item: Item) -> None:
        copy(backup, target, Copy(CONTENT + item.key, item.key, item.size), lambda got: _check(item, got))

    for _ in each(one, missing):
        pass
    target.delete(layout.RESTORING)
    chain = AuditChain(target, remember)
    reason = f"the state of {manifest.cut} of {manifest.source}"
    chain.write(Entry(clock.now(), "owner of the store", "restore", backup.url, "done", 201, reason=reason))
    chain.flush()
    return Restored(manifest, len(missing), chain.head())


def put_hash_keys(backup: ObjectStore, manifest: Manifest, home: Path) -> bool:
    """Put the keys of sensitive fields that the backup has into a home; whether it has any.

    Raises ``Conflict`` where the home has other keys: values were hashed by them.
    """
    files = []
    for item in manifest.hash_keys:
        data, file = backup.get(item.key), home / item.key.removeprefix(HOME)
        _check(item, Item(item.key, len(data), hashlib.sha256(data).hexdigest()))
        if file.is_file() and file.read_bytes().strip() != data.strip():
            raise Conflict(
                f"{file} differs from the hash key of the backup",
                field="home",
                hint="restore to a new home, or move that file away if no values were hashed with it",
            )
        files.append((file, data))
    for file, data in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.new")
        temporary.touch(mode=0o600)
        temporary.write_bytes(data)
        temporary.replace(file)
    return bool(files)


def _claim(target: ObjectStore, manifest: Manifest, digest: str) -> None:
    mark = _mark(target)
    if mark == digest:
        return
    if mark is not None:
        raise Conflict(
            f"{target.url} contains an unfinished restore of another backup",
            field="storage",
            hint="choose an empty store",
        )
    counts = Counter(info.key.split("/")[0] for info in target.walk(""))
    if counts:
        shown = ", ".join(f"{name} ({count})" for name, count in sorted(counts.items())[:8])
        raise Conflict(
            f"{target.url} is not empty; it has {shown}",
            field="storage",
            expected="an empty store",
            hint="choose another --storage or --home",
        )
    target.create(layout.RESTORING, orjson.dumps({"schema": 1, "manifest": digest, "cut": manifest.cut}))


def _mark(target: ObjectStore) -> str | None:
    try:
        return str(orjson.loads(target.get(layout.RESTORING)).get("manifest"))
    except NotFound:
        return None


def _check(item: Item, got: Item) -> None:
    if (got.size, got.sha256) != (item.size, item.sha256):
        raise DamagedDocument(
            f"{item.key} of the backup differs from its manifest", field=item.key, hint="headrace backup verify"
        )
