"""Exactly-once appends to log tables. The only module that writes Delta tables of the store."""

import time
from collections.abc import Callable, Mapping, Set
from datetime import UTC, date, datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, QueryBuilder, Transaction, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError

from headrace_controller.requestlog.plain_types import STORED_UINT64
from headrace_functions import logtable
from headrace_functions.errors import StorageFailed
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore

_COMPACT_EVERY = 100
"""Commits between two compactions: each commit is a file a day, and readers pay for every file."""
_KEEP_HOURS = 24
"""Files that a compaction replaced stay this long for readers that still hold the older table."""

_UINT64 = (STORED_UINT64, pa.list_(STORED_UINT64))
_TRANSACTIONS = "delta.setTransactionRetentionDuration"


class Exchange(NamedTuple):
    """What tells one exchange of a request that is answered later from all others."""

    request_id: str
    received: int
    """Microseconds since the epoch."""
    stage: int | None
    shadow: bool


_EXCHANGE = pa.schema(
    [
        ("request_id", pa.string()),
        ("received", pa.timestamp("us", tz="UTC")),
        ("stage", pa.int32()),
        ("shadow", pa.bool_()),
    ]
)


class LogTables:
    """The tables of one store, a version's at ``place``: its log, or its metric values.

    ``remember`` is for how many days a spool's transaction is remembered, None for ever. Every process that records has a spool
    of its own, so a log would carry a transaction a wake-up in each checkpoint for good; a metric's cursor must stay.
    Each commit carries, for every spool whose segments are in it, the number of the last one. The library does not refuse
    a repeated transaction by itself, so ``committed`` is asked before; between the two only one collector may write.
    """

    def __init__(
        self,
        objects: ObjectStore,
        place: Callable[[VersionId], str] = layout.log_table,
        remember: int | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._objects = objects
        self._now = now
        self._place = place
        self._properties = {} if remember is None else {_TRANSACTIONS: f"interval {remember} days"}
        self._tables: dict[VersionId, DeltaTable] = {}

    def committed(self, version: VersionId, spool: str) -> int:
        """Number of the spool's last segment that the table holds; -1 for none."""
        table = self._table(version)
        if table is None:
            return -1
        number = table.transaction_version(spool)
        return -1 if number is None else int(number)

    def append(self, version: VersionId, rows: pa.Table, segments: Mapping[str, int]) -> None:
        """Append rows and note ``segments`` (spool id -> last segment) in one commit.

        Raises ``StorageFailed`` where somebody else has written them meanwhile, too.
        """
        if version not in self._tables:  # it may have been made since ``committed`` found none
            self._refuse_repeated(version, segments)
        moment = int(self._now() * 1000)  # without it a transaction is kept whatever its age
        properties = CommitProperties(
            app_transactions=[Transaction(spool, number, moment) for spool, number in sorted(segments.items())]
        )
        held = self._tables.get(version)
        # A column that came with a newer release is added to tables that began without it; else the schema is held.
        newer = held is not None and not set(rows.schema.names) <= {f.name for f in held.schema().fields}
        try:
            write_deltalake(
                held or self._objects.table_url(self._place(version)),
                rows if held is None else _in_types_of(held, rows),
                mode="append",
                schema_mode="merge" if newer else None,
                partition_by=[logtable.PARTITION],
                commit_properties=properties,
                storage_options=self._objects.table_options(),
            )
        except (DeltaError, OSError) as error:
            self._tables.pop(version, None)
            raise StorageFailed(f"cannot append to the log of {version}: {error}") from error
        table = self._table(version)
        if table is not None and table.version() % _COMPACT_EVERY == _COMPACT_EVERY - 1:
            self._compact(version, table)

    def _refuse_repeated(self, version: VersionId, segments: Mapping[str, int]) -> None:
        for spool, number in segments.items():
            if self.committed(version, spool) >= number:
                raise StorageFailed(f"another collector has written to the log of {version}")

    def logged(self, version: VersionId, ids: Set[str], since: date) -> set[str]:
        """Those of some request ids that the table has from a day on."""
        table = self._table(version)
        if table is None or not ids:
            return set()
        wanted, found = pa.array(sorted(ids), pa.string()), set()
        sql = f"SELECT request_id FROM log WHERE {logtable.PARTITION} >= '{since.isoformat()}'"  # noqa: S608 - all ours
        try:
            for batch in pa.RecordBatchReader.from_stream(QueryBuilder().register("log", table).execute(sql)):
                named = batch.column(0).cast(pa.string())
                found |= set(named.filter(pc.is_in(named, wanted)).to_pylist())
        except (DeltaError, OSError) as error:
            raise StorageFailed(f"cannot read the log of {version}: {error}") from error
        return found

    def logged_exchanges(self, version: VersionId, exchanges: Set[Exchange]) -> set[Exchange]:
        """Those of some exchanges that the table has, on the days that they were received."""
        table = self._table(version)
        if table is None or not exchanges:
            return set()
        days = ", ".join(sorted({f"'{datetime.fromtimestamp(e.received / 1e6, UTC):%Y-%m-%d}'" for e in exchanges}))
        wanted, found = pa.array(sorted({e.request_id for e in exchanges}), pa.string()), set()
        columns = ", ".join(Exchange._fields)
        sql = f"SELECT {columns} FROM log WHERE {logtable.PARTITION} IN ({days})"  # noqa: S608 - all ours
        try:
            for batch in pa.RecordBatchReader.from_stream(QueryBuilder().register("log", table).execute(sql)):
                rows = pa.table(batch).cast(_EXCHANGE)  # DataFusion's views of text cannot be filtered
                rows = rows.filter(pc.is_in(rows["request_id"], wanted))
                rows = rows.set_column(1, "received", rows["received"].cast(pa.int64()))
                found |= {Exchange(**row) for row in rows.to_pylist()}
        except (DeltaError, OSError) as error:
            raise StorageFailed(f"cannot read the log of {version}: {error}") from error
        return found & exchanges

    def logged_rows(self, version: VersionId, first: str, last: str, since: date) -> list[tuple[object, ...]]:
        """``row_keys`` of the rows from a day on whose request id is from ``first`` to ``last``."""
        table = self._table(version)
        if table is None:
            return []
        columns = ", ".join(_KEY)
        sql = (
            f"SELECT {columns} FROM log WHERE {logtable.PARTITION} >= '{since.isoformat()}'"  # noqa: S608 - all ours
            f" AND request_id >= {_quoted(first)} AND request_id <= {_quoted(last)}"
        )
        found: list[tuple[object, ...]] = []
        try:
            for batch in pa.RecordBatchReader.from_stream(QueryBuilder().register("log", table).execute(sql)):
                found += row_keys(pa.table(batch))
        except (DeltaError, OSError) as error:
            raise StorageFailed(f"cannot read the log of {version}: {error}") from error
        return found

    def newest(self, version: VersionId) -> int:
        """Version of the table itself, which each commit makes one more; -1 where there is none."""
        table = self._table(version)
        return -1 if table is None else int(table.version())

    def forget(self) -> None:
        """Read the tables anew: somebody else may have written."""
        self._tables.clear()

    def _table(self, version: VersionId) -> DeltaTable | None:
        try:
            table = self._tables.get(version)
            if table is None:
                url = self._objects.table_url(self._place(version))
                table = self._tables[version] = DeltaTable(url, storage_options=self._objects.table_options())
            else:
                table.update_incremental()
        except TableNotFoundError:
            return None
        except (DeltaError, OSError) as error:
            self._tables.pop(version, None)
            raise StorageFailed(f"cannot read the log of {version}: {error}") from error
        return table

    def _compact(self, version: VersionId, table: DeltaTable) -> None:
        try:
            if not self._properties.items() <= table.metadata().configuration.items():
                table.alter.set_table_properties(self._properties)
            table.optimize.compact()
            table.create_checkpoint()
            table.vacuum(retention_hours=_KEEP_HOURS, dry_run=False, enforce_retention_duration=False)
        except (DeltaError, OSError) as error:
            self._tables.pop(version, None)
            raise StorageFailed(f"cannot compact the log of {version}: {error}") from error


_KEY = ("request_id", "row", "stage", "shadow")


def row_keys(rows: pa.Table) -> list[tuple[object, ...]]:
    """What tells one row of a log from all others: a request may pass a version at two stages, or as variant and as shadow."""
    return list(zip(*(rows[name].to_pylist() for name in _KEY), strict=True))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _in_types_of(table: DeltaTable, rows: pa.Table) -> pa.Table:
    """The rows in the types that the table began with: earlier releases wrote float64 where uint64 is stored as decimals now."""
    began = pa.schema(table.schema().to_arrow())
    for place, column in enumerate(rows.schema):
        stored = began.field(column.name).type if column.name in began.names else column.type
        if column.type in _UINT64 and stored != column.type:
            rows = rows.set_column(place, pa.field(column.name, stored), rows.column(place).cast(stored))
    return rows
