"""The commits of a Delta table one by one, from its own log: which files each brought as new data.

A compaction rewrites files without bringing data, so who follows the commits meets every row once. No library is needed for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

import orjson

from headrace_functions.errors import NotFound
from headrace_functions.storage.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class Added:
    """A file by its key in the store, and the values of its rows in the columns that the table is partitioned by."""

    key: str
    partition: Mapping[str, str | None]


def added(objects: ObjectStore, folder: str, number: int) -> list[Added] | None:
    """The new files of commit ``number`` of the table at key ``folder``; None where the table's log has no such commit (yet, or any more)."""
    try:
        commit = objects.get(f"{folder}/_delta_log/{number:020d}.json")
    except NotFound:
        return None
    actions = (orjson.loads(line) for line in commit.splitlines() if line.strip())
    found = [action["add"] for action in actions if "add" in action]
    return [
        Added(f"{folder}/{unquote(a['path'])}", a.get("partitionValues") or {})
        for a in found
        if a.get("dataChange", True)
    ]


def checkpoint(objects: ObjectStore, folder: str) -> int:
    """The commit up to which the table's log may have been cut off, -1 for none."""
    try:
        return int(orjson.loads(objects.get(f"{folder}/_delta_log/_last_checkpoint"))["version"])
    except NotFound:
        return -1
