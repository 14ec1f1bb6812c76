"""Queries over the log tables: SQL of DataFusion on Delta. With ``tables`` the only reader of ``deltalake`` in the controller's API process."""

import math
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable, QueryBuilder
from deltalake.exceptions import DeltaError

from headrace_controller import clock
from headrace_controller.requestlog.literals import literal
from headrace_controller.requestlog.plain_types import batches_as_logged, plain_batch, plain_schema
from headrace_controller.requestlog.tables import LogTables
from headrace_functions.errors import InvalidInput, StorageFailed
from headrace_functions.log_conditions import boolean_expression, refusal
from headrace_functions.logtable import PARTITION
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore

MAX_ROWS = 10_000
"""Rows of one answer; ``export`` has no limit."""
TABLE = "log"
"""Name of the table in a query."""
_EVERY_ROW = 2**62
_FIRST, _LONGEST = timedelta(minutes=5), timedelta(days=14)
"""Time of the first piece that a search reads, and of one after which it reads all the rest."""
_EARLIEST = datetime.min.replace(tzinfo=UTC)
_LEAST_GROWTH, _MOST_GROWTH, _SLACK = 0.25, 8.0, 1.2


@dataclass(frozen=True, slots=True)
class Answered:
    """Of some rows those with an answer in the log, those with several, and the rows that their requests have."""

    known: int = 0
    repeated: int = 0
    rows: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which rows of a log: half-open in time, ``since <= received < until``; the newest first unless ``ascending``."""

    since: datetime | None = None
    until: datetime | None = None
    where: str = ""
    columns: tuple[str, ...] = ()
    limit: int = 100
    ascending: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MAX_ROWS:
            raise InvalidInput(f"limit: {self.limit} is not allowed", field="limit", expected=f"1 to {MAX_ROWS}")
        if self.since is not None and self.until is not None and self.since > self.until:
            raise InvalidInput(
                f"since: {clock.show(self.since)} is after until, {clock.show(self.until)}",
                field="since",
                expected="a time before until",
            )


@dataclass(frozen=True, slots=True)
class Found:
    """The newest rows of a query. ``searched`` is how far back it was searched where time ran out, None where that was far enough."""

    rows: list[dict[str, Any]]
    searched: datetime | None = None


def backwards(query: LogQuery, top: datetime) -> Generator[LogQuery, float, None]:
    """Pieces of the query's time, the newest first, which have no moment in common and together are all of it.

    Sent is how many times as long the next piece is. The newest rows are asked for most and lie at the end: whoever has enough of them
    need not read the rest of a month. ``top`` is its end, or now.
    """
    end, length, until = top, _FIRST, query.until
    while _has_before(query, end, length):
        since = end - length
        growth = yield replace(query, since=since, until=until)
        end = until = since
        length *= growth
    yield replace(query, until=until)


def _has_before(query: LogQuery, end: datetime, length: timedelta) -> bool:
    """Whether there is time of the query before a piece that is so long."""
    if query.since is None:
        return length <= _LONGEST and end - _EARLIEST > length
    return end - length > query.since


def _growth(found: int, limit: int, searched: float, left: float) -> float:
    """How many times as long the next piece is: as long as the rows that lack should take, and as the time that is left lets it be.

    ``searched`` is the time of the log that was searched, in times of the last piece, and ``left`` the time to search in times of what that
    piece took.
    """
    wanted = _SLACK * (limit - found) * searched / found if found else _MOST_GROWTH
    return max(_LEAST_GROWTH, min(wanted, left, _MOST_GROWTH))


class LogReader:
    def __init__(
        self,
        objects: ObjectStore,
        place: Callable[[VersionId], str] = layout.log_table,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``place`` is the key of a version's table: its log, or its metric values."""
        self._tables = LogTables(objects)
        self._place = place
        self._now = now

    def query(self, version: VersionId, query: LogQuery) -> list[dict[str, Any]]:
        """The rows as mappings by column, times as RFC 3339; none where nothing was logged yet.

        Raises ``InvalidInput`` for a column that is not there or a ``where`` that is not one boolean expression.
        """
        return [plain(row) for row in self.rows(version, query)]

    def rows(self, version: VersionId, query: LogQuery) -> list[dict[str, Any]]:
        """As ``query``, with values as they are."""
        if not query.ascending:
            return self.search(version, query).rows
        table = self._table(version)
        return [] if table is None else _rows(table, query)

    def search(self, version: VersionId, query: LogQuery, seconds: float = math.inf) -> Found:
        """As ``rows``, the newest first; after so many ``seconds`` those that were found by then, with how far back that is."""
        table = self._table(version)
        found: list[dict[str, Any]] = []
        if table is None:
            return Found(found)
        top, began = query.until or self._now(), time.monotonic()
        pieces, last = backwards(query, top), began
        piece = next(pieces)
        while True:
            found += _rows(table, replace(piece, limit=query.limit - len(found)))
            if len(found) >= query.limit or piece.since is None or piece.since == query.since:
                return Found(found)
            now = time.monotonic()
            if now - began >= seconds:
                return Found(found, piece.since)
            searched, length = ((end - piece.since).total_seconds() for end in (top, piece.until or top))
            left = (began + seconds - now) / max(now - last, 1e-6)
            piece, last = pieces.send(_growth(len(found), query.limit, searched / length, left)), now

    def count(self, version: VersionId) -> int:
        """Lines of the log."""
        table = self._table(version)
        if table is None:
            return 0
        return sum(batch.column(0)[0].as_py() for batch in execute(table, f"SELECT count(*) FROM {TABLE}"))  # noqa: S608 - all ours

    def newest(self, version: VersionId) -> int:
        """The number of the table's last commit, -1 where nothing was logged yet."""
        table = self._table(version)
        return -1 if table is None else int(table.version())

    def check(self, version: VersionId, where: str) -> None:
        """Raises ``InvalidInput`` for a ``where`` that is not one boolean expression over the log."""
        table = self._table(version)
        if table is None:
            boolean_expression(where, ())
        else:
            execute(table, f"{select(table, LogQuery(where=where))} LIMIT 0", where)

    def hourly(self, version: VersionId, metric: str, since: datetime) -> list[dict[str, Any]]:
        """Of a table of metric values, ``start``, ``rows``, ``unhealthy`` and ``errors`` of each hour from ``since`` on, the first hour first."""
        table = self._table(version)
        if table is None:
            return []
        times = " AND ".join(_in_time(LogQuery(since=since)))
        sql = (
            "SELECT date_trunc('hour', received) AS start, count(*) AS rows, "  # noqa: S608 - a quoted name, times are ours
            "sum(CASE WHEN healthy = false THEN 1 ELSE 0 END) AS unhealthy, "
            "sum(CASE WHEN healthy IS NULL THEN 1 ELSE 0 END) AS errors "
            f"FROM {TABLE} WHERE metric = {literal(metric)} AND {times} GROUP BY start ORDER BY start"
        )
        return [row for batch in execute(table, sql) for row in batch.to_pylist()]

    def paired(
        self,
        first: VersionId,
        second: VersionId,
        columns: Sequence[str],
        since: datetime | None,
        until: datetime | None,
    ) -> list[dict[str, Any]]:
        """The newest answered rows that two logs have in common (request, row, sequence and stage), at most ``MAX_ROWS``.

        ``columns`` are those of both logs, named ``a.COLUMN`` and ``b.COLUMN`` in the answer, beside ``request_id`` and ``row``.
        """
        tables = self._table(first), self._table(second)
        if tables[0] is None or tables[1] is None:
            return []
        chosen = ", ".join(f'{t}."{c}" AS "{t}.{c}"' for t in ("a", "b") for c in columns)
        times = " AND ".join(_in_time(LogQuery(since=since, until=until))) or "true"
        place = [c for c in ("sequence", "stage") if all(c in _columns(t) for t in tables if t is not None)]
        same = " AND ".join(f"a.{c} = b.{c}" for c in ("request_id", "row", *place))
        sides = (f"(SELECT * FROM {name} WHERE {times} AND outcome = 'ok')" for name in ("first", "second"))  # noqa: S608 - times are ours
        sql = (
            f"SELECT a.request_id, a.row, {chosen} FROM {next(sides)} AS a JOIN {next(sides)} AS b "  # noqa: S608 - names are known columns
            f"ON {same} ORDER BY a.received DESC, a.request_id, a.row LIMIT {MAX_ROWS}"
        )
        builder = QueryBuilder().register("first", tables[0]).register("second", tables[1])
        try:
            found = batches_as_logged(pa.RecordBatchReader.from_stream(builder.execute(sql)))
            return [row for batch in found for row in batch.to_pylist()]
        except (DeltaError, OSError) as error:
            raise StorageFailed(f"the logs of {first} and {second} cannot be read: {first_line(error)}") from error

    def batches(self, version: VersionId, columns: tuple[str, ...], since: datetime | None) -> Iterator[pa.RecordBatch]:
        """Columns of all rows from a moment on, batch by batch."""
        table = self._table(version)
        if table is not None:
            yield from execute(table, select(table, LogQuery(since=since, columns=columns)))

    def table_of(self, version: VersionId, query: LogQuery, limit: int) -> pa.Table | None:
        """At most ``limit`` rows of the query in plain types, in no order; None where nothing was logged yet."""
        table = self._table(version)
        if table is None:
            return None
        reader = execute(table, f"{select(table, query)} LIMIT {limit}", query.where)
        schema = plain_schema(pa.schema(reader.schema))
        return pa.Table.from_batches([plain_batch(pa.record_batch(batch), schema) for batch in reader], schema)

    def columns(self, version: VersionId) -> list[str]:
        """Columns of the log table, none where nothing was logged yet."""
        table = self._table(version)
        return [] if table is None else _columns(table)

    def export(self, version: VersionId, query: LogQuery, target: Path) -> int:
        """Write all rows of the query as Parquet, batch by batch, and return their number; ``limit`` does not count."""
        table = self._table(version)
        if table is None:
            raise InvalidInput(f"{version} has no log yet", field="version", hint="send a request to it first")
        reader = execute(table, select(table, query), query.where)
        rows = 0
        schema = plain_schema(pa.schema(reader.schema))
        with pq.ParquetWriter(target, schema, compression="zstd") as writer:
            for batch in reader:
                writer.write_batch(plain_batch(pa.record_batch(batch), schema))
                rows += batch.num_rows
        return rows

    def count_answered(self, version: VersionId, rows: Set[tuple[str, int]]) -> Answered:
        """Which of ``rows`` (request id and row) the log has answers for."""
        table = self._table(version)
        if table is None or not rows:
            return Answered()
        wanted = pa.array(sorted({request for request, _ in rows}), pa.string())
        found: Counter[tuple[str, int]] = Counter()
        for batch in execute(table, f"SELECT request_id, row FROM {TABLE} WHERE outcome = 'ok'"):  # noqa: S608 - all ours
            requests = batch.column(0).cast(pa.string())
            known = pc.is_in(requests, wanted)
            found.update(
                zip(requests.filter(known).to_pylist(), batch.column(1).filter(known).to_pylist(), strict=True)
            )
        known_rows = [found[row] for row in rows if row in found]
        return Answered(
            len(known_rows), sum(times > 1 for times in known_rows), Counter(request for request, _ in found)
        )

    def _table(self, version: VersionId) -> DeltaTable | None:
        try:
            return self._tables.get(self._place(version))
        except (DeltaError, OSError) as error:
            raise StorageFailed(f"the log of {version} cannot be read: {first_line(error)}") from error


def _rows(table: DeltaTable, query: LogQuery) -> list[dict[str, Any]]:
    order = "ASC" if query.ascending else "DESC"
    sql = f"{select(table, query)} ORDER BY received {order}, request_id, row LIMIT {query.limit}"
    return [row for batch in execute(table, sql, query.where) for row in batch.to_pylist()]


def select(table: DeltaTable, query: LogQuery) -> str:
    known = _columns(table)
    for column in query.columns:
        if column not in known:
            raise InvalidInput(
                f"columns: the log has no column {column!r}", field="columns", expected=f"some of {', '.join(known)}"
            )
    chosen = ", ".join(f'"{c}"' for c in query.columns or known)
    times = " AND ".join(_in_time(query)) or "true"
    if not query.where.strip():
        return f"SELECT {chosen} FROM {TABLE} WHERE {times}"  # noqa: S608 - names are known columns, times are ours
    # Parquet's minima and maxima leave NaN out, and DataFusion trusts them: pushed down to the files, a condition loses rows
    # with NaN or reads NaN as the column's only other value. The limit keeps the condition above the scan.
    condition = boolean_expression(query.where, known)
    return f"SELECT {chosen} FROM (SELECT * FROM {TABLE} WHERE {times} LIMIT {_EVERY_ROW}) AS rows WHERE ({condition})"  # noqa: S608 - one checked expression


def _in_time(query: LogQuery) -> Iterator[str]:
    # The partition column as well: it spares the files of other days.
    if query.since is not None:
        yield f"received >= {literal(query.since)} AND {PARTITION} >= '{_day(query.since)}'"
    if query.until is not None:
        yield f"received < {literal(query.until)} AND {PARTITION} <= '{_day(query.until)}'"


def _day(moment: datetime) -> str:
    return clock.show(moment)[:10]


def _columns(table: DeltaTable) -> list[str]:
    return [field.name for field in table.schema().fields]


def execute(table: DeltaTable, sql: str, where: str = "") -> pa.RecordBatchReader:
    """What the table ``log`` answers; raises ``InvalidInput`` in the words that people can use where the engine refuses.

    It may refuse while it answers, too: what divides by zero is seen in the row that does. ``where`` is the condition as it was written.
    """
    try:
        found = batches_as_logged(pa.RecordBatchReader.from_stream(QueryBuilder().register(TABLE, table).execute(sql)))
    except (DeltaError, ValueError, RuntimeError) as error:
        raise refusal(str(error), sql, where, _columns(table)) from error
    return pa.RecordBatchReader.from_batches(found.schema, _answered(found))


def _answered(found: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    try:
        yield from found
    except pa.ArrowException as error:
        if "Arrow error" in str(error):  # of the values of a row, not of the files that hold them
            raise refusal(str(error), "", "", ()) from error
        raise


def plain(row: dict[str, Any]) -> dict[str, Any]:
    return {
        key: clock.show(value, "microseconds") if isinstance(value, datetime) else value for key, value in row.items()
    }


def first_line(error: BaseException) -> str:
    """The first line of what it says, or its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
