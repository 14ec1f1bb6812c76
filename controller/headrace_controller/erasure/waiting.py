"""What is on its way into the logs: whether it holds the value, and what was set aside, without the value.

Segments that wait are left to the collector, which logs them within seconds; the next pass finds their rows in the log.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from headrace_controller.collector.rows import to_table
from headrace_controller.erasure.subject import Subject
from headrace_functions.errors import HeadraceError, NotFound
from headrace_functions.names import VersionId
from headrace_functions.record import Record, RecordHeader, Unreadable, encode, read
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version


@dataclass(frozen=True, slots=True)
class Bodies:
    """Decides of records whether they hold the value; ``versions`` are those that were made with the field."""

    subject: Subject
    versions: Mapping[VersionId, Version]

    def holds(self, record: Record) -> bool:
        """By its decoded values where it can be read, by its bytes in any case; not one that came too late to be erased."""
        if not self.subject.came_in_time(record.header.received):
            return False
        said = (record.request, record.response, record.header.error.encode("utf-8", "replace"))
        if any(self.subject.said_in(part) for part in said):
            return True
        version = self.versions.get(VersionId(record.header.model, record.header.version))
        if version is None:
            return False
        try:
            return bool(pc.any(self.subject.rows(version, to_table(version, [record], None))).as_py())
        except (HeadraceError, ValueError):
            return False

    def segment_holds(self, data: bytes) -> bool:
        return any(self.part_holds(part) for part in read(data))

    def part_holds(self, part: Record | Unreadable) -> bool:
        return self.holds(part) if isinstance(part, Record) else self.subject.said_in(part.data)

    def request_holds(self, model: str, body: bytes, content_type: str, json_length: int | None, protocol: str) -> bool:
        """Whether a request to a name holds the value, read as each version of that model would read it."""
        if self.subject.said_in(body):
            return True
        for version in self.versions:
            if version.model == model:
                header = RecordHeader(
                    "", model, version.number, 0, 0.0, "ok", 200, "v1" if protocol == "v1" else "v2", content_type, json_length
                )  # fmt: skip
                if self.holds(Record(header, body, b"")):
                    return True
        return False


def segments(objects: ObjectStore, spool: Path, bodies: Bodies) -> int:
    """Segments with the value that the collector has not taken in yet, in the inbox and the spools of this machine."""
    return sum(bodies.segment_holds(data) for data in _waiting(objects, spool))


def _waiting(objects: ObjectStore, spool: Path) -> Iterator[bytes]:
    # The spools first: what leaves them meanwhile is in the inbox then, and what leaves that is in the log.
    for pattern in ("*/*/*.open", "*/*/*.seg"):
        for file in sorted(spool.glob(pattern)):
            with contextlib.suppress(FileNotFoundError):
                yield file.read_bytes()
    for info in objects.walk(layout.INBOX):
        with contextlib.suppress(NotFound):
            yield objects.get(info.key)


def refused(objects: ObjectStore, bodies: Bodies, *, apply: bool) -> int:
    """Take records with the value out of what the collector set aside; how many objects had some."""
    found = 0
    for info in objects.walk(layout.REFUSED):
        if info.key.endswith(".reason.json"):
            continue
        with contextlib.suppress(NotFound):
            found += _refused(objects, info.key, bodies, apply=apply)
    return found


def _refused(objects: ObjectStore, key: str, bodies: Bodies, *, apply: bool) -> bool:
    parts = list(read(objects.get(key)))
    kept = [part for part in parts if not bodies.part_holds(part)]
    if len(kept) == len(parts):
        return False
    if apply and kept:
        objects.put(key, b"".join(encode(p) if isinstance(p, Record) else p.data for p in kept))
    elif apply:
        objects.delete(layout.refused_reason(key))
        objects.delete(key)
    return True
