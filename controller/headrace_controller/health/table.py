"""Where counts are kept: a Delta table a version and plan, in which each commit says how far log and metric values are counted.

The only module that writes these tables. What follows a table's commits is its cursor, an app transaction: ``log`` and ``metric``
are the numbers of the commits that are counted through, ``rollup`` the last day that was rolled up.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError

from headrace_controller.health.frame import SCHEMA, Frame, joined
from headrace_controller.health.plan import Plan
from headrace_controller.health.rollup import files
from headrace_functions.errors import NotFound, StorageFailed
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents, interpret
from headrace_functions.storage.objects import ObjectStore

LOG, METRIC, ROLLUP = "log", "metric", "rollup"
PARTITION = "date"
COMPACT_EVERY = 50
"""Commits between two compactions: a busy version commits every few seconds, and readers pay for every file."""
KEEP_HOURS = 24
SURE = 60.0
"""Seconds after which a table's log is read though its next commit is not there."""

_IN_GROUPS = WriterProperties(max_row_group_size=240)
"""Lines of minutes: a page of three hours need not read a whole day."""


class HealthTables:
    """The tables of one store. One process writes them at a time; a second one that tries is refused, not counted twice."""

    def __init__(self, objects: ObjectStore, now: Callable[[], float] = time.time) -> None:
        self._objects = objects
        self._now = now
        self._documents = Documents(objects)
        self._tables: dict[tuple[VersionId, int], DeltaTable] = {}
        self._plans: dict[tuple[VersionId, int], Plan] = {}
        self._looked: dict[tuple[VersionId, int], float] = {}
        """When the log of each table was read."""

    def plans(self, version: VersionId) -> list[int]:
        """The numbers of a version's plans, ascending."""
        return self._documents.numbers(layout.health_plans(version))

    def plan(self, version: VersionId, number: int) -> Plan:
        if (version, number) not in self._plans:
            key = f"{layout.health_plans(version)}{number}.json"
            self._plans[version, number] = interpret(key, self._documents.get(key), Plan.from_document)
        return self._plans[version, number]

    def begin(self, version: VersionId, plan: Plan) -> int:
        """Count a version anew, by ``plan``; what was counted before is shown until the first commit of the new count."""
        return self._documents.append(layout.health_plans(version), plan.to_document())

    def cursor(self, version: VersionId, number: int, name: str) -> int:
        """How far ``name`` is counted; -1 for not at all."""
        table = self.open(version, number)
        found = None if table is None else table.transaction_version(name)
        return -1 if found is None else int(found)

    def append(self, version: VersionId, number: int, frame: Frame, cursors: Mapping[str, int]) -> None:
        """Add counts and set ``cursors`` in one commit, on the state that ``cursor`` was read from.

        Raises ``StorageFailed`` where another writer was faster; nothing is written then.
        """
        self._write(version, number, frame.to_table(), cursors, "append")

    def replace(self, version: VersionId, number: int, date: str, frame: Frame, cursors: Mapping[str, int]) -> None:
        """Put ``frame`` in the place of all lines of one ``date``, in one commit."""
        self._write(version, number, frame.to_table(), cursors, "overwrite", f"{PARTITION} = '{date}'")

    def open(self, version: VersionId, number: int) -> DeltaTable | None:
        """The table as it is now; None where there is none."""
        try:
            table = self._tables.get((version, number))
            if table is None:
                url = self._objects.table_url(layout.health_table(version, number))
                table = self._tables[version, number] = DeltaTable(url, storage_options=self._objects.table_options())
                self._looked[version, number] = self._now()
            elif self._may_be_newer(version, number, table):
                table.update_incremental()
                self._looked[version, number] = self._now()
        except TableNotFoundError:
            return None
        except (DeltaError, OSError) as error:
            self._tables.pop((version, number), None)
            raise StorageFailed(f"cannot read the health of {version}: {error}") from error
        return table

    def _may_be_newer(self, version: VersionId, number: int, table: DeltaTable) -> bool:
        """Whether the next commit is there, which costs a tenth of reading the table's log on.

        Old commits are removed in time, the next one of a table that was not read for weeks too: so a look at the log now and then.
        """
        commit = f"{layout.health_table(version, number)}/_delta_log/{table.version() + 1:020d}.json"
        return self._now() - self._looked.get((version, number), 0.0) > SURE or self._objects.exists(commit)

    def of_date(self, version: VersionId, number: int, date: str) -> Frame:
        """All lines of one date, of the table as ``cursor`` or ``open`` read it last."""
        plan, table = self.plan(version, number), self._tables[version, number]
        folder = layout.health_table(version, number)
        parts = [read_frame(self._objects, f"{folder}/{f.path}") for f in files(table) if f.date == date]
        return joined(parts, Frame.empty(plan.width, len(plan.series)))

    def rows(self, version: VersionId, number: int) -> int:
        """Rows of the log that are counted, of the table as ``cursor`` or ``open`` read it last."""
        folder = layout.health_table(version, number)
        parts = [read_frame(self._objects, f"{folder}/{f.path}") for f in files(self._tables[version, number])]
        return sum(int(part.rows.sum()) for part in parts)

    def _write(
        self,
        version: VersionId,
        number: int,
        rows: pa.Table,
        cursors: Mapping[str, int],
        mode: str,
        predicate: str | None = None,
    ) -> None:
        table = self._tables.get((version, number)) or self._create(version, number)
        moment = int(self._now() * 1000)
        transactions = [Transaction(name, at, moment) for name, at in sorted(cursors.items())]
        try:
            write_deltalake(  # type: ignore[call-overload]
                table,
                rows,
                mode=mode,
                predicate=predicate,
                commit_properties=CommitProperties(app_transactions=transactions, max_commit_retries=0),
                writer_properties=_IN_GROUPS,
            )
            table.update_incremental()
            if table.version() % COMPACT_EVERY == COMPACT_EVERY - 1:
                _compact(table)
        except (DeltaError, OSError) as error:
            self._tables.pop((version, number), None)
            raise StorageFailed(f"cannot write the health of {version}: {error}") from error

    def _create(self, version: VersionId, number: int) -> DeltaTable:
        """An empty table, so that all that is ever added is added to a state that is known."""
        url, options = self._objects.table_url(layout.health_table(version, number)), self._objects.table_options()
        try:
            DeltaTable.create(url, SCHEMA, mode="error", partition_by=[PARTITION], storage_options=options)
        except (DeltaError, OSError) as error:
            raise StorageFailed(f"cannot create the health table of {version}: {error}") from error
        table = self.open(version, number)
        if table is None:
            raise StorageFailed(f"the health table of {version} was removed")
        return table


def _compact(table: DeltaTable) -> None:
    table.optimize.compact(writer_properties=_IN_GROUPS)
    table.create_checkpoint()
    table.vacuum(retention_hours=KEEP_HOURS, dry_run=False, enforce_retention_duration=False)


def read_frame(objects: ObjectStore, key: str) -> Frame:
    """The lines of one file of a health table. ``NotFound`` if it is gone."""
    return Frame.from_table(pq.read_table(pa.BufferReader(objects.get(key))))


class FrameFile:
    """One file of a health table, of which the groups of lines are read that somebody asks for."""

    def __init__(self, objects: ObjectStore, key: str) -> None:
        """``NotFound`` if it is gone."""
        self._file = pq.ParquetFile(pa.BufferReader(objects.get(key)))

    def groups(self, first: int, last: int) -> tuple[int, ...]:
        """The groups that may have lines which begin from ``first`` until before ``last``, seconds since the epoch."""
        metadata = self._file.metadata
        place = metadata.schema.names.index("start")
        return tuple(
            g for g in range(metadata.num_row_groups) if _meets(metadata.row_group(g).column(place), first, last)
        )

    def whole(self, groups: tuple[int, ...]) -> bool:
        """Whether these are all that it has."""
        return len(groups) == int(self._file.metadata.num_row_groups)

    def read(self, groups: tuple[int, ...]) -> Frame:
        return Frame.from_table(self._file.read_row_groups(list(groups)))


def _meets(column: Any, first: int, last: int) -> bool:
    statistics = column.statistics
    if statistics is None or not statistics.has_min_max:
        return True
    return bool(statistics.min.timestamp() < last and statistics.max.timestamp() >= first)


def batches(objects: ObjectStore, key: str, rows: int = 50_000) -> Iterator[pa.Table]:
    """A Parquet file of the store in parts of at most ``rows``. ``NotFound`` if it is gone."""
    for batch in pq.ParquetFile(pa.BufferReader(objects.get(key))).iter_batches(batch_size=rows):
        yield pa.Table.from_batches([batch])


def snapshot(objects: ObjectStore, folder: str) -> tuple[int, list[str]]:
    """The number of a table's last commit and the keys of its files then; -1 and none where there is no table."""
    try:
        table = DeltaTable(objects.table_url(folder), storage_options=objects.table_options())
        paths = pa.table(table.get_add_actions(flatten=True))["path"].to_pylist()
    except (TableNotFoundError, NotFound):
        return -1, []
    except (DeltaError, OSError) as error:
        raise StorageFailed(f"cannot read {folder}: {error}") from error
    return int(table.version()), [f"{folder}/{path}" for path in sorted(paths)]
