"""What a job reads from the store: the version, its training data, and the files of its log. The only user of deltalake."""

import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from headrace_functions.errors import InvalidInput, NotFound, StorageFailed
from headrace_functions.logtable import PARTITION
from headrace_functions.names import VersionId
from headrace_functions.statistics.sample import logged_priorities
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import Array
from headrace_jobs.conditions import satisfied
from headrace_jobs.event_time import RECEIVED, event_times
from headrace_jobs.window import EPOCH, MAX_LENGTH, Window, end_of, rows_of

_STORED_UINT64 = pa.decimal128(20, 0)
"""How log tables hold uint64, which Delta does not have."""

FILTER_COLUMNS = ("received", "outcome")
TIME_WORDS = "received, caller_time, or an input or output as in.NAME or out.NAME"


@dataclass(frozen=True, slots=True)
class LogFile:
    """One Parquet file of a log table: the store's URL and the file's key in it."""

    storage: str
    key: str
    size: int = field(default=0, compare=False)
    """Bytes, where that is known."""


def read_version(objects: ObjectStore, version: VersionId) -> Version:
    """The released version; ``NotFound`` if it is none."""
    document = Documents(objects).find(layout.version_document(version))
    if document is None:
        raise NotFound(f"there is no released version {version}", field="model", hint="see headrace version list")
    return Version.from_document(document)


def log_files(objects: ObjectStore, version: VersionId, window: Window) -> tuple[LogFile, ...]:
    """The files whose partition touches the window, in the order of their keys; none where nothing was logged yet.

    All files where another time than that of receipt counts, for the partitions say nothing of it.
    """
    first, last = window.dates()
    table = open_log(objects, version)
    if table is None:
        return ()
    days = [(PARTITION, ">=", first), (PARTITION, "<=", last)] if window.time == RECEIVED else None
    uris = table.file_uris(file_pruning_predicate=days)
    added = table.get_add_actions(flatten=True)
    sizes = dict(zip(added.column("path").to_pylist(), added.column("size_bytes").to_pylist(), strict=True))
    keys = sorted(_key(version, uri) for uri in uris)
    folder = f"{layout.log_table(version)}/"
    return tuple(LogFile(objects.url, key, sizes.get(key.removeprefix(folder), 0)) for key in keys)


def open_log(objects: ObjectStore, version: VersionId) -> DeltaTable | None:
    """The log table, or None where nothing was logged yet."""
    try:
        return DeltaTable(objects.table_url(layout.log_table(version)), storage_options=objects.table_options())
    except TableNotFoundError:
        return None
    except DeltaError as error:
        raise StorageFailed(f"the log of {version} cannot be opened: {error}") from error


def open_parquet(objects: ObjectStore, key: str, encoded: Sequence[str] = ()) -> pq.ParquetFile:
    """A Parquet file of the store; from a directory only what is asked for is read.

    Columns of strings named in ``encoded`` come as dictionaries with codes, as they stand in the file.
    """
    if objects.directory is not None:
        try:
            return pq.ParquetFile(objects.directory / key, memory_map=True, read_dictionary=encoded)
        except FileNotFoundError as error:
            raise NotFound(f"no object {key}") from error
        except (OSError, pa.ArrowInvalid) as error:
            raise StorageFailed(f"{key} cannot be read: {error}") from error
    return pq.ParquetFile(io.BytesIO(objects.get(key)), read_dictionary=encoded)


def read_training(objects: ObjectStore, version: Version) -> pq.ParquetFile | None:
    """The training data (columns bear field names), or None where the version came without.

    From a bucket it comes to a file on this machine that goes with its reader: it may be bigger than memory.
    """
    if version.training is None:
        return None
    if objects.directory is not None:
        return open_parquet(objects, version.training)
    with tempfile.NamedTemporaryFile(prefix="training-", suffix=".parquet") as file:
        objects.download(version.training, Path(file.name))
        return pq.ParquetFile(file.name, memory_map=True)  # what is mapped outlives its name


def read_answers(objects: ObjectStore, version: VersionId) -> pq.ParquetFile | None:
    """The model's own answers on its training rows (columns ``out.<column>``), or None where the build kept none."""
    key = layout.reference(version)
    return open_parquet(objects, key) if objects.exists(key) else None


def read_reference_data(objects: ObjectStore, version: VersionId) -> pq.ParquetFile | None:
    """Rows that the model has not learnt from, with labels and its answers (``out.<column>``), or None where the definition named none."""
    key = layout.reference_data(version)
    return open_parquet(objects, key) if objects.exists(key) else None


def column(file: pq.ParquetFile, name: str) -> Any | None:
    """One column of a file as a chunked array, or None where the file has no such column."""
    if name not in _names(file):
        return None
    found = file.read(columns=[name], use_threads=False).column(name)
    if found.type == _STORED_UINT64:
        return found.cast(pa.uint64())
    if pa.types.is_list(found.type) and found.type.value_type == _STORED_UINT64:
        return found.cast(pa.list_(pa.uint64()))
    return found


_known: WeakKeyDictionary[pq.ParquetFile, frozenset[str]] = WeakKeyDictionary()


def _names(file: pq.ParquetFile) -> frozenset[str]:
    """Names of a file's columns, made once: of a file with a thousand columns that takes as long as reading one of them."""
    found = _known.get(file)
    if found is None:
        found = _known[file] = frozenset(file.schema_arrow.names)
    return found


@dataclass(frozen=True, slots=True)
class Answered:
    """The rows of a log file that are in a window and were answered; ``failed`` others are in the window too."""

    file: pq.ParquetFile
    keep: Any
    """Arrow mask, or None where all rows are kept."""
    received: Any
    rows: int
    failed: int

    def column(self, name: str) -> Any | None:
        """These rows of a column, or None where the file has no such column."""
        found = column(self.file, name)
        if found is None:
            return None
        return found if self.keep is None else found.filter(self.keep)

    def times(self) -> Array:
        """When each was received, microseconds since the epoch, int64 ``(rows,)``."""
        return np.asarray(self.received.cast(pa.int64()).to_numpy(zero_copy_only=False))

    def numbers(self) -> Array:
        """The number of each row in its request, int64 ``(rows,)``; 0 in logs that have none."""
        found = self.column("row")
        return np.zeros(self.rows, np.int64) if found is None else np.asarray(found.cast(pa.int64()).to_numpy())

    def priorities(self) -> Array:
        """The priority of each in samples, uint64 ``(rows,)``: the same in whatever file it is."""
        return logged_priorities(self.times(), self.numbers())


def answered(file: pq.ParquetFile, window: Window) -> Answered:
    """Which rows of a log file an analysis looks at."""
    received, outcome = file.read(columns=list(FILTER_COLUMNS), use_threads=False).columns
    if window.time != RECEIVED:
        received = event_times(_time_column(file, window.time), received)
    inside = in_window(received, window)
    if window.where:
        inside = pc.and_(inside, satisfied(file, window.where))
    mask = pc.and_(inside, pc.fill_null(pc.equal(outcome, "ok"), False))
    rows, seen = (int(pc.sum(m).as_py() or 0) for m in (mask, inside))
    keep = None if rows == len(mask) else mask
    return Answered(file, keep, received if keep is None else received.filter(keep), rows, seen - rows)


def _time_column(file: pq.ParquetFile, name: str) -> Any:
    found = column(file, name)
    if found is None:
        raise InvalidInput(f"time: the log has no column {name!r}", field="time", expected=TIME_WORDS, got=name)
    return found


def in_window(received: Any, window: Window) -> Any:
    """Rows of ``received`` (timestamps) in the half-open window, as an Arrow mask without nulls."""
    since, until = (pa.scalar(us, pa.timestamp("us", "UTC")) for us in window.microseconds())
    moment = received.cast(pa.timestamp("us", "UTC"))
    inside = pc.and_(pc.greater_equal(moment, since), pc.less(moment, until))
    return pc.fill_null(inside, False)


def _key(version: VersionId, uri: str) -> str:
    table = layout.log_table(version) + "/"
    return table + unquote(uri[uri.rindex(table) + len(table) :])


def window_of(
    objects: ObjectStore,
    version: VersionId,
    length: str,
    until: str | None,
    where: str = "",
    time: str = RECEIVED,
) -> Window:
    """The window that a user asks for: a length of time, or the newest so many answered rows (``10000rows``)."""
    count = rows_of(length)
    if count is None:
        return replace(Window.parse(length, until), where=where, time=time)
    end = end_of(until)
    return last_rows(objects, version, count, Window(end, end, length, where, time))


def last_rows(objects: ObjectStore, version: VersionId, count: int, end: Window) -> Window:
    """The window that holds the newest ``count`` rows answered before ``end`` begins, and others of the time of the first of them.

    It has the condition and the time of ``end``. With fewer rows than that it holds them all; without any it is empty. Dates are read from
    the newest on, all of them where another time than that of receipt counts.
    """
    until = end.since
    before = replace(end, since=until - MAX_LENGTH, until=until, length=f"{count}rows")
    table = open_log(objects, version)
    found: Array = np.empty(0, np.int64)
    for date, keys in groupby(newest_first(table, version) if table else [], key=lambda key: key.rsplit("/", 1)[0]):
        if before.time == RECEIVED and date.rsplit("=", 1)[-1] > before.dates()[1]:
            continue
        for key in keys:
            received = answered(open_parquet(objects, key), before).received
            found = np.sort(np.concatenate((found, received.cast(pa.int64()).to_numpy())))[-count:]
        if len(found) >= count and before.time == RECEIVED:
            break
    since = EPOCH + timedelta(microseconds=int(found[0])) if len(found) else until - timedelta(microseconds=1)
    return replace(before, since=since)


def newest_first(table: DeltaTable, version: VersionId) -> list[str]:
    """Keys of all files of a log, those of the newest date first."""
    return sorted((_key(version, uri) for uri in table.file_uris()), reverse=True)
