"""Replays: logged requests of one version sent to another, at a bounded rate, and both answers compared.

The questions are the platform's own: no log has them and health does not count them. A replay runs in a thread of the controller and is
kept in the store when it is over; one that a restart cuts short is ``interrupted``.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pyarrow as pa

from headrace_controller import clock
from headrace_controller.comparison.paired import Pair, compare
from headrace_controller.requestlog.model_requests import (
    AGAIN,
    Ask,
    answered_rows,
    columns_for_inputs,
    nobody_to_ask,
    request_of,
)
from headrace_controller.requestlog.reader import MAX_ROWS, LogQuery, LogReader
from headrace_controller.service.comparisons import Comparisons, as_document
from headrace_controller.service.kept_values import require_clear_inputs
from headrace_functions.errors import Conflict, HeadraceError, InvalidInput, NotFound
from headrace_functions.logtable import output_column
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.version import Version

log = logging.getLogger("headrace.replays")

MOST_AT_ONCE = 2
MAX_RATE = 500.0
ATTEMPTS = 5
"""Of a row that the version is too busy for, or that it is still starting for."""


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    source: VersionId
    """Whose logged requests are sent."""
    target: VersionId
    since: datetime | None = None
    until: datetime | None = None
    rows: int = 1000
    """At most, the newest ones."""
    rate: float = 50.0
    """Rows a second."""

    def __post_init__(self) -> None:
        if not 1 <= self.rows <= MAX_ROWS:
            raise InvalidInput(f"rows: {self.rows} is not allowed", field="rows", expected=f"1 to {MAX_ROWS}")
        if not 0 < self.rate <= MAX_RATE:
            raise InvalidInput(
                f"rate: {self.rate:g} is not allowed",
                field="rate",
                expected=f"more than 0, at most {MAX_RATE:g} rows a second",
            )


@dataclass(frozen=True, slots=True)
class Replay:
    id: str
    request: ReplayRequest
    state: str
    """``running``, ``done``, ``failed``, ``cancelled`` or ``interrupted``."""
    at: str
    total: int = 0
    asked: int = 0
    failed: int = 0
    """Rows that the target answered with an error."""
    reason: str = ""
    result: Mapping[str, Any] | None = None

    def to_document(self) -> dict[str, Any]:
        request = self.request
        return {
            "schema": 1,
            "id": self.id,
            "source": str(request.source),
            "target": str(request.target),
            "since": clock.show(request.since) if request.since else None,
            "until": clock.show(request.until) if request.until else None,
            "rows": request.rows,
            "rate": request.rate,
            **{name: getattr(self, name) for name in ("state", "at", "total", "asked", "failed", "reason", "result")},
        }


@dataclass(slots=True)
class Replays:
    documents: Documents
    comparisons: Comparisons
    logs: LogReader
    ask: Ask = nobody_to_ask
    """How the target is asked, unrecorded."""
    sleep: Callable[[float], None] = time.sleep
    _running: dict[str, Replay] = field(default_factory=dict)
    _cancelled: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, request: ReplayRequest) -> Replay:
        """Begin a replay. Raises as ``Comparisons`` does, ``NotFound`` where nothing is logged, ``Conflict`` where enough run already."""
        a, b = self.comparisons.versions(request.source, request.target)
        self.comparisons.outputs(a, b)
        require_clear_inputs(a, "replay")
        columns = columns_for_inputs(b, a)
        if isinstance(columns, str):
            raise InvalidInput(columns, field="target", expected=f"a version that accepts the inputs of {a.id}")
        table = self._rows(a, request)
        replay = Replay(uuid.uuid4().hex[:12], request, "running", clock.now(), total=table.num_rows)
        with self._lock:
            if len(self._running) >= MOST_AT_ONCE:
                raise Conflict(f"{MOST_AT_ONCE} replays are already running", hint="wait for one, or cancel it")
            self._running[replay.id] = replay
        self._keep(replay)
        arguments = (replay.id, a, b, columns, table)
        threading.Thread(target=self._run, args=arguments, name=f"replay {replay.id}", daemon=True).start()
        return replay

    def get(self, replay_id: str) -> Replay:
        """A replay as it is now."""
        with self._lock:
            if replay_id in self._running:
                return self._running[replay_id]
        found = self.documents.find(layout.replay(replay_id)) if replay_id.isalnum() else None
        if found is None:
            raise NotFound(f"there is no replay {replay_id!r}", field="id")
        kept = _from_document(found)
        over = self.documents.find(layout.replay_result(replay_id))
        return _from_document(over) if over is not None else replace(kept, state="interrupted")

    def cancel(self, replay_id: str) -> Replay:
        """End it after the row that is on; a replay that is over stays what it is."""
        found = self.get(replay_id)
        if found.state == "running":
            self._cancelled.add(replay_id)
        return found

    def _rows(self, version: Version, request: ReplayRequest) -> pa.Table:
        rows = self.logs.rows(version.id, LogQuery(request.since, request.until, "outcome = 'ok'", limit=request.rows))
        if not rows:
            raise NotFound(f"the log of {version.id} has no answered requests in this period", field="source")
        return pa.Table.from_pylist(rows)

    def _run(self, replay_id: str, a: Version, b: Version, columns: Mapping[str, str], table: pa.Table) -> None:
        try:
            pairs = self._ask_all(replay_id, a, b, columns, table)
            if not pairs:
                raise NotFound(f"{b.id} answered none of the {table.num_rows} rows")
            request = self._running[replay_id].request
            completed = self.comparisons.completed(a, b, pairs, request.since)
            found = compare(self.comparisons.outputs(a, b), completed, latency=False)
            state = "cancelled" if replay_id in self._cancelled else "done"
            self._end(replay_id, state=state, result=as_document(str(a.id), str(b.id), found))
        except Exception as error:  # whatever it is, it is the end of this replay alone, and is told
            log.exception("replay %s", replay_id)
            said = error.message if isinstance(error, HeadraceError) else f"{type(error).__name__}: {error}"
            self._end(replay_id, state="failed", reason=said)

    def _ask_all(
        self, replay_id: str, a: Version, b: Version, columns: Mapping[str, str], table: pa.Table
    ) -> list[Pair]:
        pairs: list[Pair] = []
        outputs = self.comparisons.outputs(a, b)
        pause = 1 / self._running[replay_id].request.rate
        for i in range(table.num_rows):
            if replay_id in self._cancelled:
                break
            begun = time.monotonic()
            row = table.slice(i, 1)
            answer = self._answer(b, columns, row)
            logged = row.to_pylist()[0]
            if answer is not None:
                first = {output_column(f): logged.get(output_column(f)) for f in outputs}
                pairs.append(Pair(logged["request_id"], logged["row"], first, answer))
            with self._lock:
                now = self._running[replay_id]
                self._running[replay_id] = replace(now, asked=now.asked + 1, failed=now.failed + (answer is None))
            self.sleep(max(0.0, pause - (time.monotonic() - begun)))
        return pairs

    def _answer(self, version: Version, columns: Mapping[str, str], row: pa.Table) -> dict[str, Any] | None:
        """The outputs of one row by log column; None where the version answers with an error."""
        body = request_of(version, columns, row)
        for attempt in range(ATTEMPTS):
            reply = self.ask(version.id, body)
            if reply.status not in AGAIN:
                break
            self.sleep(0.5 * 2**attempt)
        if reply.status != 200:
            return None
        return answered_rows(version, reply.body)[0]

    def _end(self, replay_id: str, **more: Any) -> None:
        with self._lock:
            over = replace(self._running[replay_id], **more)
        try:
            self.documents.create(layout.replay_result(replay_id), over.to_document())
        except HeadraceError:
            log.exception("the result of replay %s could not be kept", replay_id)
        with self._lock:
            self._running.pop(replay_id, None)
            self._cancelled.discard(replay_id)

    def _keep(self, replay: Replay) -> None:
        self.documents.create(layout.replay(replay.id), replay.to_document())


def _from_document(document: Mapping[str, Any]) -> Replay:
    since, until = (clock.parse(document[n], field=n) if document[n] else None for n in ("since", "until"))
    request = ReplayRequest(
        VersionId.parse(document["source"]),
        VersionId.parse(document["target"]),
        since,
        until,
        document["rows"],
        document["rate"],
    )
    names = ("state", "at", "total", "asked", "failed", "reason", "result")
    return Replay(document["id"], request, **{name: document[name] for name in names})
