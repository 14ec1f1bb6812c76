"""The collector's loop: ship what was spooled, read the inbox, append, delete.

A crash anywhere is redone with the same result: segments are deleted only after every table they touch has them, and a
table that has a segment already is skipped. One collector a store at a time; the home's lock sees to that.

One bad item is one bad item: what cannot be read or logged is set aside (``quarantine``), and a version whose log cannot be
written keeps its segments in the inbox while those of all others are collected.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from headrace_controller.collector.quarantine import Quarantine
from headrace_controller.collector.rows import of_stream, received, to_table
from headrace_controller.collector.tables import Exchange, LogTables, row_keys
from headrace_functions.errors import DamagedDocument, NotFound, StorageFailed
from headrace_functions.names import VersionId
from headrace_functions.profile import Profile
from headrace_functions.record import EXTERNAL_SPOOL, Record, Unreadable, encode, read
from headrace_functions.recording.shipper import Shipper
from headrace_functions.sources import accepted_at
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents, interpret
from headrace_functions.storage.objects import ObjectInfo, ObjectStore
from headrace_functions.version import Version

log = logging.getLogger("headrace.collector")

BATCH_BYTES = 32 * 1024 * 1024
"""Bytes of segments that one round takes, so that memory does not grow with the backlog."""
GATEWAY = "gateway"
"""The folder of the inbox with what never reached a function; alone it has records of many versions."""
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
        self._versions: dict[VersionId, Version] = {}
        self._profiles: dict[VersionId, Profile | None] = {}
        self._waiting = _Waiting()
        self.quarantine = Quarantine(objects)

    def round(self) -> int:
        """Bring what waits into the log tables; returns the number of records, 0 if nothing waited.

        Raises ``StorageFailed`` when the store is away, and after the round when the log of some version could not be written;
        nothing is lost by that and the next round tries again.
        """
        self._shipper.sweep()
        self._waiting = _Waiting()
        taken = 0
        for batch in self._batches():
            segments = [s for info in batch if (s := self._read(info)) is not None]
            held: set[str] = set()
            for version, of_version in _by_version(segments).items():
                if not self._append_or_hold(version, of_version):
                    held |= {s.key for s in of_version}
            for segment in segments:
                if segment.key not in held:
                    self._objects.delete(segment.key)
            taken += sum(len(s.records) for s in segments if s.key not in held)
        if self._waiting.error is not None:
            raise self._waiting.error
        return taken

    def _batches(self) -> Iterator[list[ObjectInfo]]:
        batch: list[ObjectInfo] = []
        size = 0
        for info in self._inbox():
            if batch and size + info.size > BATCH_BYTES:
                yield batch
                batch, size = [], 0
            batch.append(info)
            size += info.size
        if batch:
            yield batch

    def _inbox(self) -> list[ObjectInfo]:
        """The inbox without gaps, in the order of each spool; what is no segment is set aside.

        A listing is no snapshot: it may show a spool's fifth segment and miss the fourth that arrived meanwhile, which would
        then be taken for committed. Shippers send in order, so what a first listing shows had its forerunners in place
        before, and a second listing shows those too.
        """
        last: dict[str, int] = {}
        for info in self._objects.walk(layout.INBOX):
            place = _place(info.key)
            if place is None:
                self._refuse_object(info.key, "its key is not that of a segment: inbox/SERVICE/SPOOL/NUMBER.seg")
            else:
                last[place[0]] = max(place[1], last.get(place[0], -1))
        if not last:
            return []
        found = ((info, _place(info.key)) for info in self._objects.walk(layout.INBOX))
        return [info for info, place in found if place is not None and place[1] <= last.get(place[0], -1)]

    def _refuse_object(self, key: str, reason: str) -> None:
        try:
            data = self._objects.get(key)
        except NotFound:
            return
        self.quarantine.refuse(key, data, reason)
        self._objects.delete(key)

    def _read(self, info: ObjectInfo) -> Segment | None:
        """A segment with the records that can be read; None where it has to wait, or is gone.

        Where one segment cannot be fetched, later ones of its spool wait too: they must not be logged before it.
        """
        place = _place(info.key)
        if place is None or place[0] in self._waiting.spools:
            return None
        try:
            data = self._objects.get(info.key)
        except NotFound:
            return None
        except StorageFailed as error:
            self._hold(error)
            self._waiting.spools.add(place[0])
            return None
        found = list(read(data))
        unreadable = [f for f in found if isinstance(f, Unreadable)]
        if unreadable:
            reasons = "; ".join(u.reason for u in unreadable[:3])
            count = f"{len(unreadable)} of {len(found)} parts are unreadable: {reasons}"
            self.quarantine.refuse(info.key, b"".join(u.data for u in unreadable), count)
        elif not found:
            self.quarantine.refuse(info.key, data, "it is empty")
        records = [f for f in found if isinstance(f, Record)]
        return self._of_its_own(Segment(info.key, *place, records))

    def _of_its_own(self, segment: Segment) -> Segment:
        """The segment without records that it may not have: a function writes what it likes into its own folder, so it speaks of
        itself alone."""
        own = _service(segment.key)
        named = {VersionId(r.header.model, r.header.version) for r in segment.records}
        foreign = {version for version in named if version.service != own} if own != GATEWAY else set()
        if not foreign:
            return segment
        for part_of, (part,) in _by_version([segment]).items():
            if part_of in foreign:
                self._refuse_records(
                    part_of, part, part.records, f"they came from {own}, which may not speak for others"
                )
        kept = [r for r in segment.records if VersionId(r.header.model, r.header.version) not in foreign]
        return replace(segment, records=kept)

    def _append_or_hold(self, version: VersionId, segments: list[Segment]) -> bool:
        """Whether the records are logged or set aside; False where they have to wait in the inbox."""
        if version in self._waiting.versions:
            return False  # an earlier segment of this version waits, and its log follows the order of each spool
        try:
            self._append(version, segments)
        except StorageFailed as error:
            self._hold(error)
            self._waiting.versions.add(version)
            return False
        return True

    def _hold(self, error: StorageFailed) -> None:
        """One object or table failed. Raises where the whole store is away, so that nothing else is tried in vain."""
        self._objects.exists(layout.CHANGES)
        log.error("%s; its records wait in the inbox", error.message)
        self._waiting.error = error

    def _append(self, version_id: VersionId, segments: list[Segment]) -> None:
        last: dict[str, int] = {}
        fresh: list[Segment] = []
        done: dict[str, int] = {}
        for segment in segments:
            if segment.spool not in done:
                done[segment.spool] = self._tables.committed(version_id, segment.spool)
            if segment.number > done[segment.spool]:
                fresh.append(segment)
                last[segment.spool] = segment.number
        if not fresh:
            return
        try:
            version, profile = self._version(version_id), self._profile(version_id)
        except (NotFound, DamagedDocument) as error:
            for segment in fresh:
                self._refuse_records(version_id, segment, segment.records, error.message)
            return
        rows = self._rows(version, profile, self._once(version_id, fresh))
        if rows is not None and any(r.header.source for s in fresh for r in s.records):
            rows = self._each_message_once(version_id, rows)
        if rows is not None:
            self._tables.append(version_id, rows, last)
            self._grown(version_id)

    def _once(self, version: VersionId, segments: list[Segment]) -> list[Segment]:
        """The segments without exchanges that may be sent or asked twice and that the log, or an earlier one, has.

        Those of elsewhere are known by their id in the last ``REMEMBER_DAYS``, those of requests that are answered later by the time of acceptance, too.
        """
        ids = {r.header.request_id for s in segments if s.spool.startswith(EXTERNAL_SPOOL) for r in s.records}
        later = {e for s in segments for r in s.records if (e := _deferred(r)) is not None}
        if not ids and not later:
            return segments
        oldest = datetime.now(UTC).date() - timedelta(days=REMEMBER_DAYS)
        known_ids, known = self._tables.logged(version, ids, oldest), self._tables.logged_exchanges(version, later)
        return [
            _unknown(s, known_ids) if s.spool.startswith(EXTERNAL_SPOOL) else _each_once(s, known) for s in segments
        ]

    def _each_message_once(self, version: VersionId, rows: pa.Table) -> pa.Table:
        """The rows without those of messages that the log has from the last ``REMEMBER_DAYS``, or an earlier row has.

        A stream that was killed asks again what it cannot know to be answered; so does one whose transaction was given up.
        """
        streamed = of_stream(rows)
        ids = rows["request_id"].filter(streamed)
        if not len(ids):
            return rows
        bounds = pc.min_max(ids).as_py()
        oldest = datetime.now(UTC).date() - timedelta(days=REMEMBER_DAYS)
        known = set(self._tables.logged_rows(version, bounds["min"], bounds["max"], oldest))
        kept = []
        for place, (key, from_stream) in enumerate(zip(row_keys(rows), streamed.to_pylist(), strict=True)):
            if from_stream and key in known:
                continue
            if from_stream:
                known.add(key)
            kept.append(place)
        return rows.take(pa.array(kept, pa.int64())) if len(kept) < len(rows) else rows

    def _rows(self, version: Version, profile: Profile | None, segments: list[Segment]) -> pa.Table | None:
        """The rows of all records; a record that has none for a reason that nobody foresaw is set aside."""
        try:
            return to_table(version, [r for s in segments for r in s.records], profile)
        except Exception:
            log.exception("records of %s cannot be logged together; trying them one by one", version.id)
        tables = []
        for segment in segments:
            for record in segment.records:
                try:
                    tables.append(to_table(version, [record], profile))
                except Exception as error:  # noqa: BLE001 -- whatever it is, it is the fault of this record alone
                    self._refuse_records(version.id, segment, [record], f"{type(error).__name__}: {error}")
        return pa.concat_tables(tables) if tables else None

    def _refuse_records(self, version: VersionId, segment: Segment, records: list[Record], reason: str) -> None:
        """Set records of one version aside, below a name of their own: the segment may have others."""
        ids = records[0].header.request_id if len(records) == 1 else ""
        key = layout.refused_records(segment.key, version, ids)
        self.quarantine.refuse(key, b"".join(map(encode, records)), f"records of {version}: {reason}")

    def _version(self, version: VersionId) -> Version:
        if version not in self._versions:
            key = layout.version_document(version)
            document = self._documents.find(key)
            if document is None:
                raise NotFound("the version is not in the catalog")
            self._versions[version] = interpret(key, document, Version.from_document)
        return self._versions[version]

    def _profile(self, version: VersionId) -> Profile | None:
        if version not in self._profiles:
            key = layout.profile(version)
            document = self._documents.find(key)
            self._profiles[version] = interpret(key, document, Profile.from_document) if document is not None else None
        return self._profiles[version]


class _Waiting:
    """What has to wait for a later round, so that nothing after it is logged before it."""

    def __init__(self) -> None:
        self.versions: set[VersionId] = set()
        self.spools: set[str] = set()
        self.error: StorageFailed | None = None


def _service(key: str) -> str:
    """Whose folder of the inbox a segment is in."""
    return key.removeprefix(layout.INBOX).partition("/")[0]


def _place(key: str) -> tuple[str, int] | None:
    """Spool and number of a segment in the inbox; None for a key that is not that of one."""
    parts = key.removeprefix(layout.INBOX).split("/")
    if len(parts) != 3 or not all(parts):
        return None
    stem = parts[2].removesuffix(".seg")
    return (parts[1], int(stem)) if stem != parts[2] and stem.isascii() and stem.isdigit() else None


def _unknown(segment: Segment, known: set[str]) -> Segment:
    """The segment without records whose id is ``known``; those of the others are from now on."""
    kept = []
    for record in segment.records:
        if record.header.request_id not in known:
            known.add(record.header.request_id)
            kept.append(record)
    return replace(segment, records=kept)


def _deferred(record: Record) -> Exchange | None:
    """What an exchange of a request that is answered later is known by; None for others."""
    header = record.header
    if accepted_at(header.source) is None:
        return None
    return Exchange(header.request_id, received(record), header.stage if header.stage >= 0 else None, header.shadow)


def _each_once(segment: Segment, known: set[Exchange]) -> Segment:
    """The segment without exchanges that are ``known``; those of the others are from now on."""
    kept = []
    for record in segment.records:
        exchange = _deferred(record)
        if exchange is None or exchange not in known:
            kept.append(record)
        if exchange is not None:
            known.add(exchange)
    return replace(segment, records=kept) if len(kept) < len(segment.records) else segment


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
