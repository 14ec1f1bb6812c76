"""Labels that come after the answers: files of request ids, rows and target columns, kept as they were pushed."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headrace_controller.catalog.catalog import Catalog
from headrace_controller.requestlog.reader import LogReader
from headrace_controller.training import tables
from headrace_functions.errors import Conflict, InvalidInput, NotReady
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore

MAX_FILE = 256 * 1024**2
"""Bytes of a file of labels; more are pushed in several files."""
REQUEST, ROW = "request_id", "row"
MAX_ROW = 2**31 - 1
_RACES = 100  # attempts to win the next number; more means a bug, not bad luck


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did: ``number`` of the file, its ``rows``, and how many of these are answered rows of the log."""

    number: int
    rows: int
    logged: int


class Labels:
    def __init__(self, catalog: Catalog, logs: LogReader) -> None:
        self._catalog = catalog
        self._logs = logs

    def push(self, version: VersionId, file: Path) -> Pushed:
        """Keep the labels of a CSV or Parquet file; of several labels of a row the last one pushed counts.

        Raises ``InvalidInput`` for columns that are none of ``request_id``, ``row`` and the version's targets, and for
        values that are missing; ``NotReady`` for a version that is not released.
        """
        found = self._catalog.get(version)
        if found.version is None:
            raise NotReady(f"{version} is {found.state}, so it has no request to label")
        if not found.version.target:
            raise InvalidInput(
                f"{version} has no target",
                field="target",
                hint="name the label column as 'target' in its definition and apply again",
            )
        columns = checked(tables.read(file, field="labels", text=(REQUEST,)), found.version.target)
        number = self._keep(version, columns)
        keys = zip(columns[REQUEST].tolist(), columns[ROW].tolist(), strict=True)
        return Pushed(number, len(columns[ROW]), self._logs.count_answered(version, set(keys)))

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
        raise Conflict(f"labels of {version} could not be kept: {_RACES} other writers were faster")


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
        missing = _missing(columns[name])
        if missing:
            raise InvalidInput(f"labels: {missing} rows of {name!r} are empty", field=name, hint="leave these rows out")
    if columns[REQUEST].dtype != object:
        raise InvalidInput(f"labels: {REQUEST!r} is not text", field=REQUEST, expected="the x-request-id of each reply")
    rows = columns.get(ROW, np.zeros(len(columns[REQUEST]), np.int64))
    if rows.dtype.kind not in "iu" or rows.min() < 0 or rows.max() > MAX_ROW:
        raise InvalidInput(f"labels: {ROW!r} is no row of a request", field=ROW, expected="whole numbers from 0 on")
    return {REQUEST: columns[REQUEST], ROW: rows.astype(np.int32), **{name: columns[name] for name in target}}


def _missing(column: tables.Array) -> int:
    if column.dtype.kind == "f":
        return int(np.isnan(column).sum())
    return sum(value is None for value in column.tolist()) if column.dtype == object else 0


def _last(objects: ObjectStore, version: VersionId) -> int:
    stems = (name.removesuffix(".parquet") for name in objects.names(layout.labels(version)))
    return max((int(stem) for stem in stems if stem.isdigit()), default=0)
