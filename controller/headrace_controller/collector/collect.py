"""The collector's loop: ship what was spooled, read the inbox, append, delete.

A crash anywhere is redone with the same result: segments are deleted only after every table they touch has them, and a
table that has a segment already is skipped. One collector a store at a time; the home's lock sees to that.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from headrace_controller.collector.rows import to_table
from headrace_controller.collector.tables import LogTables
from headrace_functions.names import VersionId
from headrace_functions.profile import Profile
from headrace_functions.record import Record, decode
from headrace_functions.recording.shipper import Shipper
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectInfo, ObjectStore
from headrace_functions.version import Version

log = logging.getLogger("headrace.collector")

BATCH_BYTES = 32 * 1024 * 1024
"""Bytes of segments that one round takes, so that memory does not grow with the backlog."""
REMEMBER_DAYS = 30
"""A segment that is in a table and in the inbox, because a collector was ended between the two, is told for so long."""


@dataclass(frozen=True, slots=True)
class Segment:
    key: str
    spool: str
    number: int
    records: list[Record]


class Collector:
    def __init__(
        self, objects: ObjectStore, shipper: Shipper, grown: Callable[[VersionId], None] = lambda _version: None
    ) -> None:
        """``grown`` is told of each version whose log has new rows."""
        self._grown = grown
        self._objects = objects
        self._documents = Documents(objects)
        self._shipper = shipper
        self._tables = LogTables(objects, remember=REMEMBER_DAYS)
        self._versions: dict[VersionId, Version | None] = {}
        self._profiles: dict[VersionId, Profile | None] = {}

    def round(self) -> int:
        """Bring what waits into the log tables; returns the number of records, 0 if nothing waited.

        Raises ``StorageFailed`` when the store is away; nothing is lost by that and the next round tries again.
        """
        self._shipper.sweep()
        taken = 0
        for batch in self._batches():
            segments = [self._read(info) for info in batch]
            for version, of_version in _by_version(segments).items():
                self._append(version, of_version)
            for segment in segments:
                self._objects.delete(segment.key)
            taken += sum(len(s.records) for s in segments)
        return taken

    def _batches(self) -> Iterator[list[ObjectInfo]]:
        batch: list[ObjectInfo] = []
        size = 0
        for info in self._waiting():
            if batch and size + info.size > BATCH_BYTES:
                yield batch
                batch, size = [], 0
            batch.append(info)
            size += info.size
        if batch:
            yield batch

    def _waiting(self) -> list[ObjectInfo]:
        """The inbox without gaps, in the order of each spool.

        A listing is no snapshot: it may show a spool's fifth segment and miss the fourth that arrived meanwhile, which would
        then be taken for committed. Shippers send in order, so what a first listing shows had its forerunners in place
        before, and a second listing shows those too.
        """
        last: dict[str, int] = {}
        for info in self._objects.walk(layout.INBOX):
            spool, number = _place(info)
            last[spool] = max(number, last.get(spool, -1))
        if not last:
            return []
        return [i for i in self._objects.walk(layout.INBOX) if _place(i)[1] <= last.get(_place(i)[0], -1)]

    def _read(self, info: ObjectInfo) -> Segment:
        return Segment(info.key, *_place(info), list(decode(self._objects.get(info.key))))

    def _append(self, version_id: VersionId, segments: list[Segment]) -> None:
        version = self._version(version_id)
        if version is None:
            log.warning("records of %s dropped: the version is not in the catalogue", version_id)
            return
        last: dict[str, int] = {}
        records: list[Record] = []
        done: dict[str, int] = {}
        for segment in segments:
            if segment.spool not in done:
                done[segment.spool] = self._tables.committed(version_id, segment.spool)
            if segment.number > done[segment.spool]:
                records += segment.records
                last[segment.spool] = segment.number
        if records:
            self._tables.append(version_id, to_table(version, records, self._profile(version_id)), last)
            self._grown(version_id)

    def _version(self, version: VersionId) -> Version | None:
        if version not in self._versions:
            document = self._documents.find(layout.version_document(version))
            if document is None:
                return None
            self._versions[version] = Version.from_document(document)
        return self._versions[version]

    def _profile(self, version: VersionId) -> Profile | None:
        if version not in self._profiles:
            document = self._documents.find(layout.profile(version))
            self._profiles[version] = Profile.from_document(document) if document else None
        return self._profiles[version]


def _place(info: ObjectInfo) -> tuple[str, int]:
    """Spool and number of a segment in the inbox."""
    _, _, spool, name = info.key.split("/")
    return spool, int(name.removesuffix(".seg"))


def _by_version(segments: list[Segment]) -> dict[VersionId, list[Segment]]:
    """The segments each version has records in, cut to those records, in the order of the inbox."""
    found: dict[VersionId, list[Segment]] = defaultdict(list)
    for segment in segments:
        parts: dict[VersionId, list[Record]] = defaultdict(list)
        for record in segment.records:
            parts[VersionId(record.header.model, record.header.version)].append(record)
        for version, records in parts.items():
            found[version].append(Segment(segment.key, segment.spool, segment.number, records))
    return found
