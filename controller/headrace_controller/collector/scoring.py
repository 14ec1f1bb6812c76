"""Metrics after the append: each commit of a log table is scored by the version's metric models and formulas, into a table of its own.

The cursor is the app transaction ``log.<metric>`` of that table: the version of the log table that is scored through. So a
crash anywhere is redone with the same result, and a value is there once. A metric that fails holds up nothing but itself:
it is asked again after a growing pause, and rows that a model refuses or fails on are written with its words.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace_controller.collector.rows import arrow_type
from headrace_controller.collector.tables import LogTables
from headrace_controller.monitoring.attached import metrics_of
from headrace_controller.monitoring.specs import MetricSpec
from headrace_controller.monitoring.values import METRIC_COLUMNS
from headrace_controller.requestlog import commits
from headrace_controller.requestlog.formulas import evaluate
from headrace_controller.requestlog.model_requests import AGAIN, Ask, Refused, Reply, Unanswered, ask_rows, columns_for
from headrace_controller.requestlog.plain_types import as_logged
from headrace_functions.errors import DamagedDocument, InvalidInput, NotFound
from headrace_functions.loop_health import LoopHealth
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents, interpret
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version

log = logging.getLogger("headrace.collector")

ROWS = 10_000
"""Rows after which a part is committed, so that a crash repeats little."""
FIRST_PAUSE, LAST_PAUSE = 0.5, 60.0
ATTEMPTS = 5
"""Answers of a failing model (500) after which its rows are written without a value; one that cannot be reached is asked for ever."""
LOOK_EVERY = 30.0
"""Seconds between two looks for metrics that were attached meanwhile."""
_SCHEMA = pa.schema([(name, arrow_type(kind)) for name, kind in METRIC_COLUMNS.items()])


@dataclass(slots=True)
class _Pace:
    """When a metric may be asked again."""

    failures: int = 0
    not_before: float = 0.0
    reached: int = -1
    """Log version that needs no commit: nothing to score up to it."""

    def failed(self, now: float) -> None:
        self.not_before = now + min(LAST_PAUSE, FIRST_PAUSE * 2.0**self.failures)
        self.failures += 1

    def worked(self) -> None:
        self.failures, self.not_before = 0, 0.0


class Scoring:
    """``ask`` calls a metric model; ``scored`` is told of each version that has new values. One thread runs ``round``; ``note`` may
    come from another."""

    def __init__(
        self,
        objects: ObjectStore,
        ask: Ask,
        clock: Callable[[], float] = time.monotonic,
        scored: Callable[[VersionId], None] = lambda _version: None,
    ) -> None:
        self._scored = scored
        self._objects = objects
        self._ask = ask
        self._clock = clock
        self._documents = Documents(objects)
        self._logs = LogTables(objects)
        self._values = LogTables(objects, layout.metric_table)
        self._grown: set[VersionId] = set()
        self._paces: dict[tuple[VersionId, str], _Pace] = {}
        self._health: dict[VersionId, LoopHealth] = {}
        self._seen: dict[VersionId, Version | None] = {}
        self._metrics: dict[VersionId, list[MetricSpec]] = {}
        self._looked: float | None = None
        self._stopping = False
        self.answered = 0
        """Requests that metric models have answered or refused: whoever waits sees by it that work goes on."""

    def forget(self) -> None:
        """Metrics may have been attached: the next round looks for them."""
        self._looked = None

    def stop(self) -> None:
        """End the round that is on before its next question; what is not committed is scored by the next process."""
        self._stopping = True

    def note(self, version: VersionId) -> None:
        """The log of a version has grown."""
        self._grown.add(version)

    @property
    def problems(self) -> list[str]:
        """What keeps versions from being scored."""
        return [health.problem for health in self._health.values() if health.failures]

    def round(self) -> float | None:
        """Score what may be scored now; seconds until some metric may be asked again, None where none lags.

        Raises ``StorageFailed`` where the store is away while metrics are looked for; the next round tries again. A version that
        cannot be scored, for whatever reason, waits by itself and keeps no other.
        """
        self._look()
        waits: list[float] = []
        for version_id in sorted(self._grown):
            self._grown.discard(version_id)  # before the look at its log: what is noted from here on is seen next time
            health = self._health.setdefault(version_id, LoopHealth(f"scoring {version_id}", log))
            found: list[float | None] = []
            with health.guard():
                found = self._score_all(version_id)
            if health.failures:
                found = [health.pause]
            if any(wait is not None for wait in found):
                self._grown.add(version_id)
                waits += [wait for wait in found if wait is not None]
        return min(waits) if waits else None

    def _look(self) -> None:
        """Find versions with a log, and the metrics that they have now."""
        now = self._clock()
        if self._looked is not None and now - self._looked < LOOK_EVERY:
            for version_id in self._grown - self._metrics.keys():
                self._read(version_id)
            return
        self._looked = now
        for model in self._objects.folders(layout.LOGS):
            for folder in self._objects.folders(f"{layout.LOGS}{model}/"):
                try:
                    self._read(VersionId.of_service(f"{model}-{folder}"))
                except (InvalidInput, DamagedDocument) as error:
                    log.error("the log %s/%s is not scored: %s", model, folder, error.message)
        self._grown |= {version_id for version_id, specs in self._metrics.items() if specs}

    def _read(self, version_id: VersionId) -> None:
        version = self._version(version_id)
        self._metrics[version_id] = metrics_of(self._documents, version) if version is not None else []

    def _version(self, version_id: VersionId) -> Version | None:
        if self._seen.get(version_id) is None:
            key = layout.version_document(version_id)
            document = self._documents.find(key)
            self._seen[version_id] = interpret(key, document, Version.from_document) if document is not None else None
        return self._seen[version_id]

    def _score_all(self, version_id: VersionId) -> list[float | None]:
        version = self._version(version_id)
        return [self._score(version, spec) for spec in self._metrics.get(version_id) or []] if version else []

    def _score(self, version: Version, spec: MetricSpec) -> float | None:
        """Bring one metric up to its log; None when it is, else the seconds until it may be asked again."""
        pace = self._paces.setdefault((version.id, spec.name), _Pace())
        wait = pace.not_before - self._clock()
        if wait > 0:
            return wait
        metric = self._version(spec.model) if spec.model is not None else None
        cursor = max(self._values.committed(version.id, f"log.{spec.name}"), pace.reached)
        try:
            for number, rows in self._commits(version, cursor):
                if rows.num_rows and self._values.committed(version.id, f"log.{spec.name}") < number:
                    self._append(version, spec, metric, rows, number, pace)
                pace.reached = number
                pace.worked()
        except Unanswered as error:
            pace.failed(self._clock())
            log.warning("metric %s of %s waits: %s", spec.name, version.id, error)
            return max(pace.not_before - self._clock(), 0.0)
        return None

    def _append(
        self, version: Version, spec: MetricSpec, metric: Version | None, rows: pa.Table, number: int, pace: _Pace
    ) -> None:
        parts = []
        for start in range(0, rows.num_rows, ROWS):
            part = rows.slice(start, ROWS)
            try:
                answers = self._answers(spec, metric, version, part)
            except Refused as error:
                if pace.failures + 1 < ATTEMPTS:
                    raise Unanswered(str(error)) from error
                answers = [(None, str(error))] * part.num_rows
            parts.append(_table(spec, part, answers))
        self._values.append(version.id, pa.concat_tables(parts), {f"log.{spec.name}": number})
        self._scored(version.id)

    def _answers(
        self, spec: MetricSpec, metric: Version | None, version: Version, rows: pa.Table
    ) -> list[tuple[float | None, str | None]]:
        """Value or error of each row."""
        if spec.expression:
            return evaluate(spec.expression, version.signature, rows)
        if metric is None:
            raise Unanswered(f"{spec.model} is not released")
        columns = columns_for(metric, version)
        if isinstance(columns, str):
            return [(None, columns)] * rows.num_rows
        return ask_rows(self._asked, metric, columns, rows)

    def _asked(self, version: VersionId, body: bytes) -> Reply:
        if self._stopping:
            raise Unanswered("the collector ends")
        reply = self._ask(version, body)
        self.answered += reply.status < 500 and reply.status not in AGAIN
        return reply

    def _commits(self, version: Version, cursor: int) -> Iterator[tuple[int, pa.Table]]:
        """The answered rows that each commit after ``cursor`` brought, with the commit's number."""
        for number in range(cursor + 1, self._logs.newest(version.id) + 1):
            tables = []
            # A commit that is older than what the table's own log keeps has no files here.
            for file in commits.added(self._objects, layout.log_table(version.id), number) or ():
                try:
                    data = self._objects.get(file.key)
                except NotFound:
                    # Compacted, and vacuumed a day later: the metric was away for that long.
                    log.warning("%s is gone, its rows are not scored", file.key)
                    continue
                table = as_logged(pq.read_table(pa.BufferReader(data)))
                tables.append(table.filter(pc.fill_null(pc.equal(table["outcome"], "ok"), False)))
            yield number, pa.concat_tables(tables, promote_options="default") if tables else _SCHEMA.empty_table()


def _table(spec: MetricSpec, rows: pa.Table, answers: list[tuple[float | None, str | None]]) -> pa.Table:
    """Rows of the table of values."""
    count = rows.num_rows
    values = [value for value, _ in answers]
    received = rows["received"].cast(arrow_type("timestamp"))
    columns = {
        "request_id": rows["request_id"],
        "row": rows["row"],
        "received": received,
        "date": pc.strftime(received, format="%Y-%m-%d"),
        "metric": pa.array([spec.name] * count),
        "model": pa.array([str(spec.model) if spec.model else None] * count, pa.string()),
        "value": pa.array(values, pa.float64()),
        "healthy": pa.array([None if v is None else spec.healthy(v) for v in values], pa.bool_()),
        "operator": pa.array([spec.operator] * count),
        "threshold": pa.array([spec.threshold] * count, pa.float64()),
        "error": pa.array([error for _, error in answers], pa.string()),
    }
    return pa.table([columns[name] for name in _SCHEMA.names], names=_SCHEMA.names).cast(_SCHEMA)
