"""Following a log: its rows in the order in which the collector committed them, from a position on; none missed, none twice.

A position is ``COMMIT.ROWS``: every commit of the table up to ``COMMIT`` is through, and ``ROWS`` rows of the next one. It needs no state
here, and an answer holds a page of rows whatever the size of a commit.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headrace_controller.requestlog import commits
from headrace_controller.requestlog.local_table import POSITION, local_table
from headrace_controller.requestlog.plain_types import as_logged
from headrace_controller.requestlog.reader import LogQuery, LogReader, execute, plain, select
from headrace_functions.errors import InvalidInput, NotFound
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore

PAGE = 1000
"""Rows that one answer looks at."""

_POSITION = re.compile(r"(-1|\d{1,18})\.(\d{1,18})")


@dataclass(frozen=True, slots=True)
class Position:
    commit: int
    rows: int

    @classmethod
    def parse(cls, text: str) -> "Position":
        found = _POSITION.fullmatch(text)
        if found is None:
            raise InvalidInput(
                f"after: {text!r} is not a position",
                field="after",
                expected="'next' of a response, or nothing to start now",
            )
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.commit}.{self.rows}"


@dataclass(frozen=True, slots=True)
class Tail:
    """``rows`` of the page that satisfy the condition; ``behind`` says that there is more right now."""

    rows: list[dict[str, Any]]
    next: Position
    behind: bool


class LogTail:
    def __init__(self, objects: ObjectStore, reader: LogReader) -> None:
        self._objects = objects
        self._reader = reader

    def now(self, version: VersionId, where: str = "") -> Position:
        """The position after the last row; raises ``InvalidInput`` for a ``where`` that could not be followed."""
        self._reader.check(version, where)
        return Position(self._reader.newest(version), 0)

    def follow(self, version: VersionId, after: Position, where: str = "") -> Tail:
        """The next page of rows.

        Raises ``InvalidInput`` for a ``where`` that is not one boolean expression, and where rows after the position are in the table, but
        no longer in the order in which they came: after a day they may have been compacted.
        """
        parts: list[pa.Table] = []
        position, room = after, PAGE
        while room:
            files = commits.added(self._objects, layout.log_table(version), position.commit + 1)
            if files is None:
                self._refuse_lost(version, position)
                break
            taken, whole = 0, True
            for part in self._rows(version, files, position.rows, room):
                parts.append(part)
                taken += part.num_rows
                whole = taken < room
            room -= taken
            position = Position(position.commit + 1, 0) if whole else Position(position.commit, position.rows + taken)
        rows = pa.concat_tables(parts, promote_options="default") if parts else None
        return Tail(self._chosen(rows, where) if rows is not None else [], position, behind=not room)

    def _rows(self, version: VersionId, files: list[commits.Added], skip: int, room: int) -> Iterator[pa.Table]:
        """At most ``room`` rows of a commit, the first ``skip`` left out."""
        for file in files:
            parquet = self._open(version, file)
            count = parquet.metadata.num_rows
            if skip >= count:
                skip -= count
                continue
            for batch in parquet.iter_batches(PAGE, use_threads=False):
                part = pa.Table.from_batches([batch]).slice(skip, room)
                skip = max(0, skip - batch.num_rows)
                if part.num_rows:
                    room -= part.num_rows
                    yield _with_partition(part, file)
                if not room:
                    return

    def _open(self, version: VersionId, file: commits.Added) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(io.BytesIO(self._objects.get(file.key)))
        except NotFound as error:
            raise _lost(version) from error

    def _refuse_lost(self, version: VersionId, position: Position) -> None:
        if commits.checkpoint(self._objects, layout.log_table(version)) > position.commit:
            raise _lost(version)

    def _chosen(self, rows: pa.Table, where: str) -> list[dict[str, Any]]:
        if where.strip():
            rows = _where(rows, where)
        return [plain(row) for row in as_logged(rows).to_pylist()]


def _with_partition(rows: pa.Table, file: commits.Added) -> pa.Table:
    for name, value in file.partition.items():
        rows = rows.append_column(name, pa.array([value] * rows.num_rows, pa.string()))
    return rows


def _where(rows: pa.Table, where: str) -> pa.Table:
    """The rows that satisfy the condition, by the same engine as a query: a page is a table of its own for it."""
    with local_table(rows) as table:
        sql = select(table, LogQuery(where=where, columns=(POSITION,)))
        places = sorted(number for batch in execute(table, sql, where) for number in batch.column(0).to_pylist())
    return rows.take(pa.array(places, pa.int64()))


def _lost(version: VersionId) -> InvalidInput:
    return InvalidInput(
        f"after: rows of {version} after this position have been compacted since then",
        field="after",
        hint="follow from now on, and read the rows in between with: headrace log query",
    )
