"""Which objects of a store belong to a backup. Pure.

Documents are written once and refer only to what was there before them. So everything that was written up to one moment of the store's
own clock, listed after that moment, is consistent: whatever a document refers to is older and thus listed too. Delta tables are not
taken file by file but in one state each (``tables``).
"""

from collections.abc import Collection, Iterable

from headrace_functions.errors import InvalidInput
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectInfo

TABLES = (layout.HEALTH, layout.METRICS, layout.LOGS)
"""Folders of Delta tables in the order in which they are taken: each is counted from those after it, and says up to which commit."""

PARTS = {
    "logs": (layout.LOGS, layout.INBOX, layout.REFUSED),
    "metrics": (layout.METRICS,),
    "health": (layout.HEALTH,),
    "reports": (layout.REPORTS, layout.EXPLANATIONS),
}
"""What can be left out, and its folders."""

_COUNTED_FROM = {"logs": ("metrics", "health"), "metrics": ("health",)}
"""What is left out along with a part: it says how far that part was counted, and would skip what a restored platform logs."""

NEVER = (layout.SESSIONS, layout.BUILDS, layout.CHANGES, layout.PURPOSE, layout.RESTORING)
"""Not in a backup: sessions of browsers, questions to build Jobs on their way, a hint, the platform's secret, the mark of a restore."""


def left_out(asked: Iterable[str]) -> tuple[str, ...]:
    """The parts that are left out where ``asked`` are. ``InvalidInput`` for what is no part."""
    found: set[str] = set()
    for part in asked:
        if part not in PARTS:
            raise InvalidInput(f"without: there is no part {part!r}", field="without", expected=", ".join(PARTS))
        found |= {part, *_COUNTED_FROM.get(part, ())}
    return tuple(part for part in PARTS if part in found)


def belongs(key: str, without: Collection[str]) -> bool:
    folders = NEVER + tuple(folder for part in without for folder in PARTS[part])
    return not key.startswith(folders)


def first_objects(listed: Iterable[ObjectInfo], cut: float, without: Collection[str]) -> list[ObjectInfo]:
    """What is copied object by object: all up to ``cut`` (of the store's clock) but the tables. What waits in the inbox comes first,
    for the collector takes it away: what is gone until it is copied is in the log by then."""
    found = [i for i in listed if i.modified <= cut and belongs(i.key, without) and not in_table(i.key)]
    return sorted(found, key=lambda i: (not i.key.startswith(layout.INBOX), i.key))


def in_table(key: str) -> bool:
    """Whether an object is part of a Delta table; of health the plans are documents."""
    if key.startswith(layout.HEALTH):
        return key.split("/")[3:4] != ["plans"]
    return key.startswith((layout.METRICS, layout.LOGS))
