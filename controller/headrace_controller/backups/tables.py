"""One state of a Delta table as the keys of its files: the commits up to it, the checkpoint they begin with, and the data they name.

The numbers of commits stay as they are, because metrics and health say by them how far they have come.
"""

import re
from dataclasses import dataclass

import orjson
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from headrace_functions.errors import NotFound, StorageFailed
from headrace_functions.storage.objects import ObjectStore

_LOG = "_delta_log/"
_POINTER = "_last_checkpoint"
_NUMBERED = re.compile(r"(\d{20})\.(json|checkpoint.*\.parquet)")
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class State:
    number: int
    """Of the last commit in it."""
    keys: tuple[str, ...]
    """Of its objects; the pointer to the checkpoint comes first, where there is one."""


def state_of(objects: ObjectStore, folder: str) -> State | None:
    """The state of the table at ``folder`` now; None where there is no table. Raises ``StorageFailed`` where it cannot be read."""
    for _ in range(_ATTEMPTS):
        try:
            table = DeltaTable(objects.table_url(folder), storage_options=objects.table_options())
            number = int(table.version())
            data = pa.table(table.get_add_actions(flatten=True))["path"].to_pylist()
        except TableNotFoundError:
            return None
        except (DeltaError, OSError) as error:
            raise StorageFailed(f"cannot read the table {folder}: {error}") from error
        names = objects.names(f"{folder}/{_LOG}")
        numbered = [n for n in names if (m := _NUMBERED.fullmatch(n)) and int(m[1]) <= number]
        pointer = _checkpoint(objects, folder)
        if pointer is not None and pointer > number:
            continue  # it was written meanwhile, so it is no part of the state: take a newer one
        pointers = [_POINTER] if pointer is not None else []
        keys = [f"{folder}/{_LOG}{name}" for name in (*pointers, *numbered)]
        return State(number, (*keys, *(f"{folder}/{path}" for path in sorted(data))))
    raise StorageFailed(f"the table {folder} changes faster than it can be read")


def _checkpoint(objects: ObjectStore, folder: str) -> int | None:
    try:
        return int(orjson.loads(objects.get(f"{folder}/{_LOG}{_POINTER}"))["version"])
    except NotFound:
        return None
