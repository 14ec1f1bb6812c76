"""From log tables to health tables, commit by commit.

A version that was never counted, or whose commits are gone, is counted whole from its log as it is now; from there on each commit
is counted once. A crash anywhere is redone with the same result, because counts and cursor are one commit.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from headrace_controller.health.aggregate import MINUTE, columns_seen, of_log, of_metrics
from headrace_controller.health.frame import Frame, merge
from headrace_controller.health.plan import Plan, plan_of
from headrace_controller.health.rollup import DAY, coarsened, due
from headrace_controller.health.table import LOG, METRIC, ROLLUP, HealthTables, batches, snapshot
from headrace_controller.requestlog import commits
from headrace_functions.errors import InvalidInput, NotFound, StorageFailed
from headrace_functions.logtable import output_column
from headrace_functions.loop_health import LoopHealth
from headrace_functions.names import VersionId
from headrace_functions.profile import Profile, view_profile
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents, interpret
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version

log = logging.getLogger("headrace.health")

COMMITS = 200
"""Commits of a log that are counted in one commit of the health table at most."""


class Gone(Exception):
    """A commit that was not counted no longer exists to count."""


@dataclass(frozen=True, slots=True)
class _Counted:
    """A version, and the count of it that goes on."""

    version: Version
    number: int
    plan: Plan


class HealthWriter:
    """One thread runs ``round``; ``note`` may come from others."""

    def __init__(self, objects: ObjectStore, now: Callable[[], float] = time.time) -> None:
        self._objects = objects
        self._now = now
        self._documents = Documents(objects)
        self._tables = HealthTables(objects, now)
        self._grown: set[VersionId] = set()
        self._versions: dict[VersionId, Version] = {}
        self._reached: dict[tuple[VersionId, int, str], int] = {}
        self._health: dict[VersionId, LoopHealth] = {}
        self._rolled: dict[VersionId, int] = {}

    def note(self, version: VersionId) -> None:
        """The log or the metric values of a version have grown."""
        self._grown.add(version)

    def look(self) -> None:
        """Note every version that has a log: somebody else may have written it."""
        for model in self._objects.folders(layout.LOGS):
            for folder in self._objects.folders(f"{layout.LOGS}{model}/"):
                try:
                    self.note(VersionId.of_service(f"{model}-{folder}"))
                except InvalidInput as error:
                    log.error("the log %s/%s is not counted: %s", model, folder, error.message)

    @property
    def problems(self) -> list[str]:
        """What keeps versions from being counted."""
        return [health.problem for health in list(self._health.values()) if health.failures]

    def round(self) -> float | None:
        """Count what is new; seconds until a version that failed should be tried again, None where none did.

        A version that cannot be counted, for whatever reason, waits by itself and keeps no other.
        """
        waits: list[float] = []
        for version_id in sorted(self._grown):
            self._grown.discard(version_id)  # before the look at its log: what is noted from here on is seen next time
            health = self._health.setdefault(version_id, LoopHealth(f"counting {version_id}", log))
            with health.guard():
                self.count(version_id)
            if health.failures:
                self._grown.add(version_id)
                waits.append(health.pause)
        return min(waits) if waits else None

    def count(self, version_id: VersionId) -> None:
        """Bring the health of one version up to its log and its metric values."""
        version = self._version(version_id)
        if version is None:
            return
        counted = self._counting(version)
        if self._tables.cursor(version_id, counted.number, LOG) < 0:
            self._whole(counted)
        try:
            self._follow(counted, LOG)
            self._follow(counted, METRIC)
        except Gone as error:
            log.warning("%s; its log is counted anew", error)
            self._whole(self._anew(version))
        self._roll_up(counted)

    def rebuild(self, version_id: VersionId) -> int:
        """Count a version anew from its whole log; the number of rows counted."""
        version = self._version(version_id)
        if version is None:
            raise NotFound(f"{version_id} is not released", field="version")
        counted = self._anew(version)
        try:
            return self._whole(counted)
        except StorageFailed:
            if self._tables.cursor(version_id, counted.number, LOG) < 0:
                raise
            # The collector has found the new plan meanwhile and counted by it.
            return self._tables.rows(version_id, counted.number)

    def _counting(self, version: Version) -> _Counted:
        numbers = self._tables.plans(version.id)
        if not numbers:
            return self._anew(version)
        return _Counted(version, numbers[-1], self._tables.plan(version.id, numbers[-1]))

    def _anew(self, version: Version) -> _Counted:
        key = layout.profile(version.id)
        document = self._documents.find(key)
        inputs = interpret(key, document, Profile.from_document) if document is not None else None
        plan = plan_of(version, inputs, self._answers(version))
        return _Counted(version, self._tables.begin(version.id, plan), plan)

    def _answers(self, version: Version) -> Profile | None:
        """Profile of the model's own answers on its training data."""
        try:
            table = pq.read_table(pa.BufferReader(self._objects.get(layout.reference(version.id))))
        except NotFound:
            return None
        found = {
            f.name: tuple(view_profile(v) for v in columns_seen(f, table[output_column(f)]))
            for f in version.signature.outputs
            if output_column(f) in table.column_names
        }
        return Profile(table.num_rows, found)

    def _version(self, version_id: VersionId) -> Version | None:
        if version_id not in self._versions:
            key = layout.version_document(version_id)
            document = self._documents.find(key)
            if document is None:
                return None
            self._versions[version_id] = interpret(key, document, Version.from_document)
        return self._versions[version_id]

    def _whole(self, counted: _Counted) -> int:
        """Count all that is there now, in one commit."""
        version, total = counted.version.id, self._empty(counted)
        newest, files = snapshot(self._objects, layout.log_table(version))
        if newest < 0:
            return 0
        scored, values = snapshot(self._objects, layout.metric_table(version))
        for name, key in [*((LOG, key) for key in files), *((METRIC, key) for key in values)]:
            for rows in batches(self._objects, key):
                total = self._added(total, _counts(counted, name, rows))
        cursors = {LOG: newest} | ({METRIC: scored} if scored >= 0 else {})
        self._tables.append(version, counted.number, total, cursors)
        return int(total.rows.sum())

    def _added(self, total: Frame, part: Frame) -> Frame:
        """The sum, by minutes where they are young enough and by hours or days else, so that it stays small."""
        return merge(total, coarsened(part, self._now()), MINUTE)

    def _follow(self, counted: _Counted, name: str) -> None:
        """Count the commits of a table, ``name`` of the cursor, that are not counted yet."""
        version = counted.version.id
        folder = layout.log_table(version) if name == LOG else layout.metric_table(version)
        place = (version, counted.number, name)
        cursor = max(self._tables.cursor(version, counted.number, name), self._reached.get(place, -1))
        reached, total = cursor, self._empty(counted)
        for number, rows in self._commits(folder, cursor):
            reached = number
            total = self._added(total, _counts(counted, name, rows)) if rows.num_rows else total
        if len(total):
            self._tables.append(version, counted.number, total, {name: reached})
        self._reached[place] = reached
        if reached - cursor >= COMMITS:
            self._follow(counted, name)

    def _commits(self, folder: str, cursor: int) -> Iterator[tuple[int, pa.Table]]:
        """What each commit after ``cursor`` brought, ``COMMITS`` of them at most; ``Gone`` where one was cut off or its files were."""
        for number in range(cursor + 1, cursor + 1 + COMMITS):
            files = commits.added(self._objects, folder, number)
            if files is None:
                if number <= commits.checkpoint(self._objects, folder):
                    raise Gone(f"commit {number} of {folder} no longer exists")
                return
            try:
                tables = [rows for file in files for rows in batches(self._objects, file.key)]
            except NotFound as error:
                raise Gone(f"a file of commit {number} of {folder} no longer exists") from error
            yield number, pa.concat_tables(tables, promote_options="default") if tables else pa.table({})

    def _roll_up(self, counted: _Counted) -> None:
        """Put hours in the place of minutes that are old, and days in the place of old hours; once a day."""
        version, today = counted.version.id, int(self._now() // DAY)
        if self._rolled.get(version) == today:
            return
        if self._tables.cursor(version, counted.number, ROLLUP) < today:
            table = self._tables.open(version, counted.number)
            for date, step in due(table, self._now()) if table is not None else ():
                frame = self._tables.of_date(version, counted.number, date)
                self._tables.replace(version, counted.number, date, frame.by(step), {})
            self._tables.append(version, counted.number, self._empty(counted), {ROLLUP: today})
        self._rolled[version] = today

    @staticmethod
    def _empty(counted: _Counted) -> Frame:
        return Frame.empty(counted.plan.width, len(counted.plan.series))


def _counts(counted: _Counted, name: str, rows: pa.Table) -> Frame:
    """Counts of rows of the log, or of the metric values."""
    return of_log(counted.plan, counted.version.signature, rows) if name == LOG else of_metrics(counted.plan, rows)
