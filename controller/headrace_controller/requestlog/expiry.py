"""Taking old days out of Delta tables of the store: by partition, so nothing is rewritten and whoever follows the commits meets no row twice.

Readers that hold an older version of a table read on: files that a deletion left go ``KEEP_HOURS`` later, with the next deletion or compaction.
"""

from dataclasses import dataclass
from datetime import date

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from headrace_functions.errors import StorageFailed
from headrace_functions.logtable import PARTITION
from headrace_functions.storage.objects import ObjectStore

KEEP_HOURS = 24


@dataclass(frozen=True, slots=True)
class Expired:
    """What of a table is older than a day."""

    days: int = 0
    rows: int = 0
    size: int = 0
    """Bytes of its files."""


def expired(objects: ObjectStore, key: str, before: date) -> Expired:
    """What the table at ``key`` has of days before ``before``; nothing where there is no table."""
    table = _open(objects, key)
    if table is None:
        return Expired()
    days: set[str] = set()
    rows = size = 0
    for action in pa.table(table.get_add_actions(flatten=True)).to_pylist():
        day = str(action[f"partition.{PARTITION}"])
        if day < before.isoformat():
            days.add(day)
            rows += int(action["num_records"] or 0)
            size += int(action["size_bytes"])
    return Expired(len(days), rows, size)


def remove(objects: ObjectStore, key: str, before: date) -> None:
    """Take the days before ``before`` out of the table. Twice is once. Raises ``StorageFailed`` where another writer was faster."""
    table = _open(objects, key)
    if table is None:
        return
    try:
        table.delete(f"{PARTITION} < '{before.isoformat()}'")
        table.vacuum(retention_hours=KEEP_HOURS, dry_run=False, enforce_retention_duration=False)
    except (DeltaError, OSError) as error:
        raise StorageFailed(f"cannot remove old days of {key}: {error}") from error


def _open(objects: ObjectStore, key: str) -> DeltaTable | None:
    try:
        return DeltaTable(objects.table_url(key), storage_options=objects.table_options())
    except TableNotFoundError:
        return None
    except (DeltaError, OSError) as error:
        raise StorageFailed(f"cannot read {key}: {error}") from error
