"""One pass over everything: what it erased, what has to wait, and what it may not touch.

First all requests with the value are found and noted, because their metric values, labels and reports are known by them alone; then what is
kept of them goes. A pass that was cut short is done again by its notes.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace_controller.erasure import objects as others
from headrace_controller.erasure import tables, waiting
from headrace_controller.erasure.subject import Requests, Subject
from headrace_controller.erasure.tables import Changed
from headrace_functions.errors import InvalidInput, NotFound
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents, interpret
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.wording import counted

_KEPT_SHOWN = 50
_SAYING = ("raw", "error")
"""Columns of a log that may say the value of a request that was not read into rows."""

Busy = Callable[[VersionId], float]
"""Since when an analysis reads a version, seconds since the epoch; infinite where none does."""


@dataclass(slots=True)
class Counts:
    """What was erased, or would be."""

    log_rows: int = 0
    refused_bodies: int = 0
    """Requests that were not read into rows: their bodies and messages."""
    metric_values: int = 0
    labels: int = 0
    results: int = 0
    """Reports, explanations and replays."""
    deferred: int = 0
    set_aside: int = 0
    """Objects that the collector had set aside."""
    documents: int = 0
    """Incidents, notifications and analyses that said the value."""
    process_logs: int = 0
    old_files: int = 0
    """Replaced files and figures of files that still held it."""

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(**{name: value + getattr(other, name) for name, value in asdict(self).items()})

    def to_document(self) -> dict[str, int]:
        return asdict(self)

    @property
    def total(self) -> int:
        """All but what processes have written to their own logs: a function may print the value again and again."""
        return int(sum(asdict(self).values())) - self.process_logs


@dataclass(frozen=True, slots=True)
class Pass:
    counts: Counts
    waits: list[str] = field(default_factory=list)
    """What has to go away first, a sentence each."""
    kept: list[str] = field(default_factory=list)
    """Keys of what says the value and is not touched."""
    versions: int = 0
    """Versions with the field."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look."""

    objects: ObjectStore
    spool: Path
    logs: Path
    busy: Busy = lambda _version: float("inf")


def run(place: Place, subject: Subject, notes: str, *, apply: bool) -> Pass:
    """Erase what is there now; without ``apply`` only look. ``notes`` is the key of the noted requests.

    Raises ``StorageFailed`` where the store fails; the same pass goes on then.
    """
    objects = place.objects
    versions = dict(_versions(objects, subject.model))
    with_field = {v: d for v, d in versions.items() if subject.fields(d)}
    counts = Counts()
    requests = _noted(objects, notes)
    for version, description in with_field.items():
        _find(objects, version, description, subject, requests)
    if apply and len(requests):
        _note(objects, notes, requests)
    waits: list[str] = []
    for version, description in versions.items():
        counts += _erase_of(place, version, description, subject, requests, waits, apply=apply)
    bodies = waiting.Bodies(subject, with_field)
    counts.set_aside += waiting.refused(objects, bodies, apply=apply)
    counts.labels += others.labels(objects, requests, apply=apply)
    counts.results += others.results(objects, subject, requests, apply=apply)
    counts.documents += others.words(objects, subject, apply=apply)
    counts.process_logs += others.process_logs(place.logs, subject, apply=apply)
    gone, unanswered = others.deferred(objects, bodies, requests, apply=apply)
    counts.deferred += gone
    waits += (
        [
            counted(unanswered, "request that is answered later has", "requests that are answered later have")
            + " no answer yet"
        ]
        if unanswered
        else []
    )
    segments = waiting.segments(objects, place.spool, bodies)
    waits += (
        [counted(segments, "segment of records is", "segments of records are") + " not in the log yet"]
        if segments
        else []
    )
    kept = list(others.kept(objects, subject))
    more = [f"and {len(kept) - _KEPT_SHOWN} more"] if len(kept) > _KEPT_SHOWN else []
    return Pass(counts, waits, kept[:_KEPT_SHOWN] + more, len(with_field))


def field_names(objects: ObjectStore, model: str) -> set[str]:
    """Inputs and outputs of every version of a model that there ever was, of all models where it is empty."""
    signatures = (described.signature for _, described in _versions(objects, model))
    return {f.name for signature in signatures for f in (*signature.inputs, *signature.outputs)}


def _versions(objects: ObjectStore, model: str) -> Iterator[tuple[VersionId, Version]]:
    """Every version that there ever was: logs of deleted ones stay, too."""
    documents = Documents(objects)
    for name in [model] if model else objects.folders(layout.MODELS):
        for number in objects.folders(layout.versions(name)):
            version = VersionId(name, int(number)) if number.isdigit() else None
            found = documents.find(layout.version_document(version)) if version is not None else None
            if version is not None and found is not None:
                yield version, interpret(layout.version_document(version), found, Version.from_document)


def _find(objects: ObjectStore, version: VersionId, described: Version, subject: Subject, found: Requests) -> None:
    columns = ["request_id", "row", "received", *(c for c, _ in subject.fields(described))]

    def look(table: pa.Table) -> None:
        found.add_all(table.filter(subject.rows(described, table)))

    tables.change_rows(objects, layout.log_table(version), columns, look, apply=False)


def _erase_of(
    place: Place,
    version: VersionId,
    described: Version,
    subject: Subject,
    requests: Requests,
    waits: list[str],
    *,
    apply: bool,
) -> Counts:
    """What is kept of one version in tables."""
    objects, log = place.objects, layout.log_table(version)
    said_in = [*_SAYING, *(c for c, _ in subject.fields(described))]
    columns = ["request_id", "row", "received", *said_in]

    def of_log(table: pa.Table) -> Changed | None:
        return _changed(table, pc.or_(subject.rows(described, table), requests.rows(table)), subject)

    def of_metrics(table: pa.Table) -> Changed | None:
        return _changed(table, requests.rows(table), None)

    done = tables.change_rows(objects, log, columns, of_log, apply=apply)
    counts = Counts(log_rows=done.removed, refused_bodies=done.silenced)
    metrics = layout.metric_table(version)
    of_request = ["request_id", "row"]
    counts.metric_values = tables.change_rows(objects, metrics, of_request, of_metrics, apply=apply).removed
    for folder, change in ((log, of_log), (metrics, of_metrics)):
        left = tables.remove_leftovers(objects, folder, columns, change, place.busy(version), apply=apply)
        counts.old_files += left.deleted + tables.scrub_log(objects, folder, said_in, subject, apply=apply)
        waits += [f"{counted(left.waiting, 'replaced file')} of {folder} may still be read"] if left.waiting else []
    return counts


def _changed(table: pa.Table, gone: pa.BooleanArray, subject: Subject | None) -> Changed | None:
    """The table without the rows that are gone; with a subject also without texts of others that say its value."""
    removed = int(pc.sum(gone).as_py() or 0)
    rest = table.filter(pc.invert(gone)) if removed else table
    silenced = 0
    if subject is not None:
        rest, silenced = _silenced(rest, subject)
    return Changed(rest, removed, silenced) if removed or silenced else None


def _silenced(table: pa.Table, subject: Subject) -> tuple[pa.Table, int]:
    """The table without bodies and messages that say the value, and how many rows had some."""
    changed = np.zeros(table.num_rows, bool)
    for name in _SAYING:
        if name in table.column_names and table.num_rows:
            said = pc.and_(subject.said_in_strings(table[name]), subject.in_time(table))
            place = table.schema.get_field_index(name)
            kept = pc.if_else(said, pa.scalar(None, table.schema.field(name).type), table[name])
            table = table.set_column(place, table.schema.field(name), kept)
            changed |= np.asarray(said)
    return table, int(changed.sum())


def _note(objects: ObjectStore, key: str, requests: Requests) -> None:
    pairs = requests.pairs()
    sink = io.BytesIO()
    pq.write_table(
        pa.table({"request_id": [p[0] for p in pairs], "row": pa.array([p[1] for p in pairs], pa.int32())}), sink
    )
    objects.put(key, sink.getvalue())


def _noted(objects: ObjectStore, key: str) -> Requests:
    found = Requests()
    try:
        found.add_all(pq.ParquetFile(io.BytesIO(objects.get(key))).read())
    except NotFound:
        return found
    except pa.ArrowException as error:
        raise InvalidInput(f"{key} cannot be read: {error}") from error
    return found
