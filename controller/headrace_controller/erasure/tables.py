"""Rows out of a Delta table of the store, beside whoever appends to it, until no byte of them is left.

A file that has such rows is written again without them, and one commit puts the new files in the place of the old. The new rows are all
among the old ones, so their files are marked as no new data: whoever follows the table's commits meets no row twice. An append by another
writer loses nothing and hinders nobody; where a compaction or an expiry was faster, the files are looked at anew.

What is left then is erased too: replaced files once nobody reads them, and figures of files (the least and the greatest value of each
column) in the table's own log.
"""

import contextlib
import io
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from headrace_controller.erasure.subject import Subject
from headrace_functions.errors import Conflict, NotFound, StorageFailed
from headrace_functions.logtable import PARTITION
from headrace_functions.storage.objects import ObjectInfo, ObjectStore


@dataclass(frozen=True, slots=True)
class Changed:
    """What is to stay of some rows, how many were taken out, and how many of those that stay were changed."""

    rows: pa.Table
    removed: int
    silenced: int = 0


Change = Callable[[pa.Table], Changed | None]
"""None where everything stays as it is."""
_LOG = "_delta_log/"
_ATTEMPTS, _RACES = 5, 50
GRACE = 5.0
"""Seconds for which a replaced file stays for queries that read it."""
ABANDONED = 900.0
"""Seconds after which a file that no commit knows belongs to a writer that has died."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    removed: int = 0
    silenced: int = 0
    files: int = 0


def change_rows(objects: ObjectStore, folder: str, columns: Sequence[str], change: Change, *, apply: bool) -> Rewritten:
    """Put changed files in the place of those that ``change`` changes; without ``apply`` only count.

    ``change`` is asked with ``columns`` alone first, as far as a file has them, and with all of them where it wants to change something.
    """
    for _ in range(_ATTEMPTS):
        table = open_table(objects, folder)
        if table is None:
            return Rewritten()
        found = _Commit()
        for action in pa.table(table.get_add_actions(flatten=True)).to_pylist():
            before = _changed_file(objects, f"{folder}/{unquote(action['path'])}", columns, change)
            if before is None:
                continue
            after = change(before)
            assert after is not None
            found.removed += after.removed
            found.silenced += after.silenced
            found.removes.append(action)
            if apply and after.rows.num_rows:
                found.adds.append(_write(objects, folder, action, after.rows))
        if not apply or not found.removes or _committed(objects, folder, found):
            return Rewritten(found.removed, found.silenced, len(found.removes))
        for add in found.adds:
            objects.delete(f"{folder}/{unquote(str(add['path']))}")
    raise StorageFailed(f"{folder} is being compacted faster than it can be rewritten")


@dataclass(slots=True)
class _Commit:
    removed: int = 0
    silenced: int = 0
    adds: list[dict[str, Any]] = field(default_factory=list)
    removes: list[dict[str, Any]] = field(default_factory=list)


def _committed(objects: ObjectStore, folder: str, found: _Commit) -> bool:
    """Commit after whatever others have appended meanwhile; False where they have taken away a file that is to be replaced."""
    for _ in range(_RACES):
        table = open_table(objects, folder)
        active = set(pa.table(table.get_add_actions(flatten=True))["path"].to_pylist()) if table is not None else set()
        if table is None or not {a["path"] for a in found.removes} <= active:
            return False
        with contextlib.suppress(Conflict):
            key = f"{folder}/{_LOG}{int(table.version()) + 1:020d}.json"
            objects.create(key, _commit(found.adds, found.removes))
            return True
    raise StorageFailed(f"{folder} is being written to faster than a change can be committed")


def _changed_file(objects: ObjectStore, key: str, columns: Sequence[str], change: Change) -> pa.Table | None:
    """All rows of a file that is to be changed; None for one that is not, or is gone."""
    part = _read(objects, key, columns)
    return None if part is None or change(part) is None else _read(objects, key)


def open_table(objects: ObjectStore, folder: str) -> DeltaTable | None:
    try:
        return DeltaTable(objects.table_url(folder), storage_options=objects.table_options())
    except TableNotFoundError:
        return None
    except (DeltaError, OSError) as error:
        raise StorageFailed(f"cannot read the table {folder}: {error}") from error


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Files that hold erased rows and are no part of the table any more."""

    deleted: int = 0
    waiting: int = 0
    """Those that somebody may still read or write."""


def remove_leftovers(
    objects: ObjectStore, folder: str, columns: Sequence[str], change: Change, oldest_reader: float, *, apply: bool
) -> Leftovers:
    """Delete replaced files that hold what is erased. ``oldest_reader`` is since when an analysis reads the table, seconds since the
    epoch, infinite where none does: a file that was replaced after that waits."""
    table = open_table(objects, folder)
    if table is None:
        return Leftovers()
    active = {unquote(p) for p in pa.table(table.get_add_actions(flatten=True))["path"].to_pylist()}
    replaced = _replaced(objects, folder)
    deleted = waiting = 0
    for info in objects.walk(f"{folder}/"):
        path = info.key.removeprefix(f"{folder}/")
        if path in active or path.startswith(_LOG) or not path.endswith(".parquet"):
            continue
        if _changed_file(objects, info.key, columns, change) is None:
            continue
        if _is_free(info, replaced.get(path), oldest_reader):
            if apply:
                objects.delete(info.key)
            deleted += 1
        else:
            waiting += 1
    return Leftovers(deleted, waiting)


def _is_free(info: ObjectInfo, replaced: float | None, oldest_reader: float) -> bool:
    now = time.time()
    if replaced is None:
        return now - info.modified > ABANDONED
    return now - replaced > GRACE and replaced < oldest_reader


def scrub_log(objects: ObjectStore, folder: str, columns: Sequence[str], subject: Subject, *, apply: bool) -> int:
    """Take figures of columns that say the value out of the table's own log; how many of its files said it. Commits stay what they are."""
    found, checkpoints = 0, []
    for info in objects.walk(f"{folder}/{_LOG}"):
        if info.key.endswith(".json"):
            found += _scrub_commit(objects, info.key, columns, subject, apply=apply)
        elif info.key.endswith(".parquet"):
            table = _read(objects, info.key, ["add"])
            adds = table["add"].to_pylist() if table is not None and "add" in table.column_names else []
            if any(add is not None and _figures_say(add.get("stats"), columns, subject) for add in adds):
                checkpoints.append(info.key)
    if checkpoints and apply:
        _replace_checkpoints(objects, folder, checkpoints)
    return found + len(checkpoints)


def _scrub_commit(objects: ObjectStore, key: str, columns: Sequence[str], subject: Subject, *, apply: bool) -> bool:
    try:
        lines = [line for line in objects.get(key).splitlines() if line.strip()]
    except NotFound:
        return False
    scrubbed = [_scrubbed(line, columns, subject) for line in lines]
    if scrubbed == lines:
        return False
    if apply:
        objects.put(key, b"\n".join(scrubbed) + b"\n")
    return True


def _scrubbed(line: bytes, columns: Sequence[str], subject: Subject) -> bytes:
    """An action without the figures of its file, where these say the value."""
    action = orjson.loads(line)
    add = action.get("add")
    if add is None or not _figures_say(add.get("stats"), columns, subject):
        return line
    add["stats"] = orjson.dumps({"numRecords": orjson.loads(add["stats"]).get("numRecords")}).decode()
    return orjson.dumps(action)


def _figures_say(stats: str | None, columns: Sequence[str], subject: Subject) -> bool:
    """Whether the least or the greatest value of a column says the value; long ones are kept by their beginning alone."""
    found = orjson.loads(stats) if stats else {}
    bounds = [found.get(side, {}).get(column) for side in ("minValues", "maxValues") for column in columns]
    return any(bound is not None and subject.begins_with(str(bound)) for bound in bounds)


def _replace_checkpoints(objects: ObjectStore, folder: str, said: list[str]) -> None:
    """Write a checkpoint of the table as it is, then delete those that say the value."""
    table = open_table(objects, folder)
    if table is None:
        return
    try:
        table.create_checkpoint()
    except (DeltaError, OSError) as error:
        raise StorageFailed(f"cannot write a checkpoint of {folder}: {error}") from error
    newest = f"{folder}/{_LOG}{table.version():020d}.checkpoint"
    for key in said:
        if not key.startswith(newest):
            objects.delete(key)


def _replaced(objects: ObjectStore, folder: str) -> dict[str, float]:
    """Files that commits have taken out of the table, and when (seconds since the epoch)."""
    found: dict[str, float] = {}
    for name in objects.names(f"{folder}/{_LOG}"):
        if not name.endswith(".json"):
            continue
        try:
            lines = objects.get(f"{folder}/{_LOG}{name}").splitlines()
        except NotFound:
            continue
        for line in lines:
            remove = orjson.loads(line).get("remove") if line.strip() else None
            if remove is not None:
                found[unquote(remove["path"])] = float(remove.get("deletionTimestamp") or 0) / 1000
    return found


def _read(objects: ObjectStore, key: str, columns: Sequence[str] | None = None) -> pa.Table | None:
    """The rows of a file, None where it is gone."""
    try:
        file = pq.ParquetFile(io.BytesIO(objects.get(key)))
    except NotFound:
        return None
    names = file.schema_arrow.names
    return file.read(None if columns is None else [c for c in columns if c in names])


def _write(objects: ObjectStore, folder: str, replaced: dict[str, Any], rows: pa.Table) -> dict[str, Any]:
    """Write a data file and return its action."""
    day = str(replaced[f"partition.{PARTITION}"])
    path = f"{PARTITION}={day}/part-{uuid.uuid4()}-c000.zstd.parquet"
    sink = io.BytesIO()
    pq.write_table(rows, sink, compression="zstd")
    body = sink.getvalue()
    objects.put(f"{folder}/{path}", body)
    bounds = (
        pc.min_max(rows["received"].cast(pa.timestamp("us", tz="UTC"))).as_py()
        if "received" in rows.column_names
        else {}
    )
    shown = {k: v.strftime("%Y-%m-%dT%H:%M:%S.%fZ") for k, v in bounds.items() if v is not None}
    stats: dict[str, Any] = {"numRecords": rows.num_rows}
    if shown:
        stats |= {"minValues": {"received": shown["min"]}, "maxValues": {"received": shown["max"]}, "nullCount": {}}
    return {
        "path": quote(path, safe="/="),
        "partitionValues": {PARTITION: day},
        "size": len(body),
        "modificationTime": int(time.time() * 1000),
        "dataChange": False,
        "stats": orjson.dumps(stats).decode(),
    }


def _commit(adds: list[dict[str, Any]], replaced: list[dict[str, Any]]) -> bytes:
    now = int(time.time() * 1000)
    actions: list[dict[str, Any]] = [
        {"commitInfo": {"timestamp": now, "operation": "ERASE", "operationParameters": {}}}
    ]
    actions += [
        {
            "remove": {
                "path": action["path"],
                "deletionTimestamp": now,
                "dataChange": True,
                "extendedFileMetadata": True,
                "partitionValues": {PARTITION: action[f"partition.{PARTITION}"]},
                "size": action["size_bytes"],
            }
        }
        for action in replaced
    ]
    actions += [{"add": add} for add in adds]
    return b"\n".join(orjson.dumps(action) for action in actions) + b"\n"
