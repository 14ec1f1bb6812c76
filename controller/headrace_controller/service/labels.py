"""Labels that come after the answers: files of request ids, rows and target columns, kept as they were pushed."""

import io
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace_controller.catalog.catalog import Catalog
from headrace_controller.requestlog.reader import LogReader
from headrace_controller.training import label_values, tables
from headrace_functions.errors import Conflict, InvalidInput, NotFound, NotReady
from headrace_functions.names import VersionId
from headrace_functions.signature import DType, dtype
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectInfo, ObjectStore
from headrace_functions.version import Version

MAX_FILE = 256 * 1024**2
"""Bytes of a file of labels; more are pushed in several files."""
REQUEST, ROW = "request_id", "row"
MAX_ROW = 2**31 - 1
_RACES = 100  # attempts to win the next number; more means a bug, not bad luck


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did: ``number`` of the file, its ``rows``, and how many labels are of rows ``logged`` with an answer.

    Labels that a later row of the file ``replaced``, labels of rows that the log holds ``repeated`` (the newest answer gets the
    label), and labels ``assumed`` to be of row 0, whose request has several.
    """

    number: int
    rows: int
    logged: int
    replaced: int
    repeated: int
    assumed: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of labels that was pushed."""

    number: int
    rows: int
    columns: tuple[str, ...]
    size: int
    pushed: str
    """RFC 3339 time in UTC."""


class Labels:
    def __init__(self, catalog: Catalog, logs: LogReader) -> None:
        self._catalog = catalog
        self._logs = logs

    def push(self, version: VersionId, file: Path) -> Pushed:
        """Keep the labels of a CSV or Parquet file; of several labels of a row the last one pushed counts.

        Raises ``InvalidInput`` for columns that are none of ``request_id``, ``row`` and the version's targets, for values that
        are missing, and for labels that are no class of the version (or no number where it predicts one), naming the row;
        ``NotReady`` for a version that is not released.
        """
        found = self._labelled(version)
        words = self._catalog.get(version).missing_values
        given = tables.read(file, field="labels", declared=_declared(found.target), missing=words)
        columns = checked(given, found.target)
        allowed = label_values.kinds(self._catalog.documents.objects, found)
        columns |= {name: label_values.spelled(name, columns[name], allowed[name]) for name in found.target}
        number = self._keep(version, columns)
        keys = set(zip(columns[REQUEST].tolist(), columns[ROW].tolist(), strict=True))
        answered = self._logs.count_answered(version, keys)
        several = 0 if ROW in given else sum(answered.rows[request] > 1 for request, _ in keys)
        rows = len(columns[ROW])
        return Pushed(number, rows, answered.known, rows - len(keys), answered.repeated, several)

    def files(self, version: VersionId) -> list[Kept]:
        """The files of labels of a version, the first one pushed first."""
        self._catalog.get(version)
        objects = self._catalog.documents.objects
        return [_described(objects, info) for info in objects.walk(layout.labels(version)) if _number(info.key)]

    def remove(self, version: VersionId, number: int) -> None:
        """Remove a label file; labels that were pushed earlier for its rows apply again. ``NotFound`` where there is none."""
        self._catalog.get(version)
        key, objects = layout.label_file(version, number), self._catalog.documents.objects
        if number < 1 or not objects.exists(key):
            raise NotFound(
                f"{version} has no file {number} of labels", field="number", hint=f"see headrace labels list {version}"
            )
        objects.delete(key)

    def _labelled(self, version: VersionId) -> Version:
        found = self._catalog.get(version)
        if found.version is None:
            raise NotReady(f"{version} is {found.state}, so it has no requests to label")
        if not found.version.target:
            raise InvalidInput(
                f"{version} has no target",
                field="target",
                hint="name the label column as 'target' in its definition and apply again",
            )
        return found.version

    def _keep(self, version: VersionId, columns: Mapping[str, tables.Array]) -> int:
        objects = self._catalog.documents.objects
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "labels.parquet"
            tables.write(columns, file)
            body = file.read_bytes()
        number = _last(objects, version) + 1
        for _ in range(_RACES):
            try:
                objects.create(layout.label_file(version, number), body)
            except Conflict:
                number += 1
                continue
            return number
        raise Conflict(f"labels of {version} could not be stored: {_RACES} other writers were faster")


def _declared(target: Sequence[str]) -> Mapping[str, DType]:
    """The types of the columns of a CSV file: ids and labels are text, even where every value looks like a number."""
    return {**dict.fromkeys((REQUEST, *target), dtype("string")), ROW: dtype("int64")}


def checked(columns: tables.Columns, target: tuple[str, ...]) -> tables.Columns:
    """The columns of a file of labels, complete: ``row`` is 0 where it is left out. Raises ``InvalidInput`` naming the column."""
    expected = f"{REQUEST}, {', '.join(target)} and, where requests have more than one row, {ROW}"
    unknown = [name for name in columns if name not in (REQUEST, ROW, *target)]
    if unknown:
        listed = ", ".join(map(repr, unknown))
        raise InvalidInput(f"labels: unknown columns {listed}", field=unknown[0], expected=expected)
    for name in (REQUEST, *target):
        if name not in columns:
            raise InvalidInput(f"labels: there is no column {name!r}", field=name, expected=expected)
        if columns[name].ndim > 1 or any(isinstance(v, np.ndarray) for v in columns[name][:1]):
            raise InvalidInput(f"labels: {name!r} contains lists", field=name, expected="one value in each row")
        missing = _missing(columns[name])
        if len(missing):
            said = f"labels: {len(missing)} rows of {name!r} are empty, the first is row {missing[0] + 1:,}"
            raise InvalidInput(said, field=name, hint="leave these rows out")
    requests = _requests(columns[REQUEST])
    rows = _rows(columns[ROW]) if ROW in columns else _first_rows(requests)
    return {REQUEST: requests, ROW: rows, **{name: columns[name] for name in target}}


def _requests(column: tables.Array) -> tables.Array:
    """Request ids as text; whole numbers are ids, too, as they are in a CSV file."""
    if column.dtype.kind in "iu":
        return np.array([str(value) for value in column.tolist()], object)
    if column.dtype != object:
        said = f"labels: {REQUEST!r} is neither text nor a whole number"
        raise InvalidInput(said, field=REQUEST, expected="the x-request-id of each response", got=str(column.dtype))
    return column


def _rows(column: tables.Array) -> tables.Array:
    whole = column.dtype.kind in "iuf"
    wrong = (
        ~((column >= 0) & (column <= MAX_ROW) & (column == np.floor(column))) if whole else np.ones(len(column), bool)
    )
    if wrong.any():
        at = int(np.argmax(wrong))
        raise InvalidInput(
            f"labels: row {at + 1:,}: {ROW!r} is {str(column[at])!r}, which is not a row of a request",
            field=ROW,
            expected="whole numbers, starting at 0",
            got=str(column[at]),
        )
    return np.asarray(column.astype(np.int32))


def _first_rows(requests: tables.Array) -> tables.Array:
    """Row 0 of each request. Of a request that is there twice nothing says which of its rows a label is for."""
    seen: dict[str, int] = {}
    for at, request in enumerate(requests.tolist()):
        before = seen.setdefault(request, at)
        if before != at:
            raise InvalidInput(
                f"labels: row {at + 1:,}: request {request!r} is in row {before + 1:,} too, and there is no column {ROW!r}",
                field=ROW,
                expected=f"a column {ROW!r} with the place of each label in its request, starting at 0",
            )
    return np.zeros(len(requests), np.int32)


def _missing(column: tables.Array) -> tables.Array:
    if column.dtype.kind == "f":
        return np.flatnonzero(np.isnan(column))
    empty = [value is None for value in column.tolist()] if column.dtype == object else []
    return np.flatnonzero(np.array(empty, bool))


def _described(objects: ObjectStore, info: ObjectInfo) -> Kept:
    """What a file of labels holds; one that cannot be read has no rows and no columns, so that it can be seen and removed."""
    moment = datetime.fromtimestamp(info.modified, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        found = pq.ParquetFile(io.BytesIO(objects.get(info.key)))
        rows, columns = found.metadata.num_rows, tuple(found.schema_arrow.names)
    except (pa.ArrowInvalid, OSError):
        rows, columns = 0, ()
    return Kept(_number(info.key), rows, columns, info.size, moment)


def _number(key: str) -> int:
    """The number of a file of labels, 0 for what is none."""
    stem = key.rsplit("/", 1)[-1].removesuffix(".parquet")
    return int(stem) if stem.isdigit() else 0


def _last(objects: ObjectStore, version: VersionId) -> int:
    return max(map(_number, objects.names(layout.labels(version))), default=0)
