"""Where pages get the health of versions from: the aggregates of the log, in the buckets that a page shows.

The first look of a process at a version reads its files, some tens of milliseconds. A page of hundreds of versions does not wait for them: what is not
read within its budget is shown as not read yet, and is read by a thread, which tells the page's viewers.
"""

import logging
import math
import queue
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from headrace_controller.catalog.catalog import ModelVersion
from headrace_controller.health import buckets as aggregated
from headrace_controller.health.reader import HealthReader
from headrace_controller.pages.healthviews import Bucket, usual_failures
from headrace_controller.pages.ranges import Range
from headrace_functions.errors import HeadraceError
from headrace_functions.names import VersionId

MINUTE = 60
LATE = 60.0
"""Seconds after which all buckets of a page are looked at again, for rows that came late; the newest ones are whenever something is new."""
FRESH = 1.0
"""Seconds for which a page of many versions does not ask again whether something of a version is new: it costs two looks at the store each."""
NEWEST = 2
BUDGET = 0.1
"""Seconds that a page of many versions reads for; of the others it shows what is held."""
WAITING = 2000
"""Versions that wait to be read; further ones are asked for by the next page that shows them."""
KEPT = 1000
"""Versions and steps whose buckets are kept as pages draw them."""


log = logging.getLogger(__name__)


class Source:
    """Health in one range, cut into about ``count`` buckets of whole minutes, the newest one last."""

    def __init__(self, drawn: "DrawnBuckets", span: Range, count: int, budget: float | None = None) -> None:
        """``budget`` bounds the seconds that this page reads for, from now on; None reads all that it asks for."""
        self._drawn = drawn
        self._ends = None if budget is None else drawn.clock() + budget
        self.step = max(MINUTE, round(span.seconds / count / MINUTE) * MINUTE)
        self.until = span.until
        self.since = span.until - timedelta(seconds=self.step * round(span.seconds / self.step))

    @property
    def words(self) -> str:
        return f"{self.step // MINUTE} minutes"

    def seen(self) -> list[VersionId]:
        """Versions that may have had traffic in the range, without a look at the store."""
        return self._drawn.seen(self.since)

    def buckets(self, version: ModelVersion) -> list[Bucket]:
        if version.version is None:
            return []
        return self._drawn.buckets(version.id, self.since, self.until, self.step, 0.0 if self._ends is None else FRESH)

    def buckets_in_time(self, version: ModelVersion) -> list[Bucket] | None:
        """As ``buckets``; once the budget is spent what is held of them, and None where nothing is, which is read soon."""
        if self._ends is None or self._drawn.clock() < self._ends or version.version is None:
            return self.buckets(version)
        return self._drawn.held(version.id, self.since, self.until, self.step)


@dataclass(frozen=True, slots=True)
class _Wanted:
    version: VersionId
    since: datetime
    until: datetime
    step: int

    @property
    def key(self) -> tuple[VersionId, int]:
        return self.version, self.step


@dataclass(slots=True)
class _Held:
    stamp: tuple[int, int]
    looked: float
    """When all of them were looked at."""
    partly: bool = False
    """Whether something came since then, for which only the newest were looked at."""
    buckets: dict[int, Bucket] = field(default_factory=dict)


class DrawnBuckets:
    """Buckets as pages draw them, kept by their start: of a version with traffic only the newest ones are made anew. Any thread may call it."""

    def __init__(
        self,
        reader: HealthReader,
        clock: Callable[[], float] = time.monotonic,
        announce: Callable[[], object] = lambda: None,
    ) -> None:
        """``announce`` is called when something new was read that a page did not wait for."""
        self._reader = reader
        self.clock = clock
        self._announce = announce
        self._lock = threading.Lock()
        """Held for moments alone, never while something is read."""
        self._held: OrderedDict[tuple[VersionId, int], _Held] = OrderedDict()
        self._waiting: queue.Queue[_Wanted] = queue.Queue(WAITING)
        self._asked: set[tuple[VersionId, int]] = set()
        self._stamps: dict[VersionId, tuple[float, tuple[int, int]]] = {}
        self._reading: threading.Thread | None = None

    def seen(self, since: datetime) -> list[VersionId]:
        return self._reader.seen(since)

    def buckets(
        self, version: VersionId, since: datetime, until: datetime, step: int, age: float = 0.0
    ) -> list[Bucket]:
        """Those from ``since`` to ``until``, both cut to whole steps, as they were at most ``age`` seconds ago."""
        return self._filled(_Wanted(version, since, until, step), age)[0]

    def _filled(self, wanted: "_Wanted", age: float) -> tuple[list[Bucket], bool]:
        """The buckets, and whether any of them had to be read."""
        version, step = wanted.key
        starts = _starts(wanted.since, wanted.until, step)
        stamp = self._stamp(version, age)
        with self._lock:
            held = self._current((version, step), starts, stamp)
            known = {start: held.buckets[start] for start in starts if start in held.buckets}
        missing = [start for start in starts if start not in known]
        if missing:
            begin, end = (datetime.fromtimestamp(at, UTC) for at in (missing[0], missing[-1] + step))
            usual = self._usual(version)
            read = self._reader.series(version, begin, end, step)
            found = {int(bucket.start.timestamp()): shown(bucket, usual) for bucket in read}
            known |= found
            with self._lock:
                if self._held.get((version, step)) is held and held.stamp == stamp:
                    held.buckets |= found
        return [known[start] for start in starts], bool(missing)

    def _stamp(self, version: VersionId, age: float) -> tuple[int, int]:
        """What tells whether something is new, as it was at most ``age`` seconds ago."""
        now, (at, stamp) = self.clock(), self._stamps.get(version, (-math.inf, (0, -1)))
        if now - at >= age:
            stamp = self._reader.stamp(version)
            self._stamps[version] = (now, stamp)
        return stamp

    def held(self, version: VersionId, since: datetime, until: datetime, step: int) -> list[Bucket] | None:
        """What is held of them, though newer ones may lack; None where nothing is. It reads nothing, and has it read soon."""
        starts = _starts(since, until, step)
        with self._lock:
            held = self._held.get((version, step))
            known = {} if held is None else {start: held.buckets[start] for start in starts if start in held.buckets}
        self._want(
            _Wanted(version, since, until, step)
        )  # after the look, so that what is returned does not depend on the thread's pace
        return [known.get(start) or Bucket() for start in starts] if known else None

    def _want(self, wanted: "_Wanted") -> None:
        with self._lock:
            if wanted.key in self._asked:
                return
            try:
                self._waiting.put_nowait(wanted)
            except queue.Full:
                return
            self._asked.add(wanted.key)
            if self._reading is None:
                self._reading = threading.Thread(target=self._read, name="read health", daemon=True)
                self._reading.start()

    def _read(self) -> None:
        """Read what pages did not wait for, until nothing is left, and say so if any of it was new."""
        new = False
        while True:
            try:
                wanted = self._waiting.get_nowait()
            except queue.Empty:
                with self._lock:
                    if self._waiting.empty():
                        self._reading = None
                        break
                continue
            try:
                new |= self._filled(wanted, 0.0)[1]
            except HeadraceError as error:  # the page says so when it asks itself
                log.info("the health of %s cannot be read: %s", wanted.version, error.message)
            finally:
                with self._lock:
                    self._asked.discard(wanted.key)
        if new:
            self._announce()

    def _current(self, key: tuple[VersionId, int], starts: range, stamp: tuple[int, int]) -> _Held:
        """What is held of a version, without what has to be looked at again."""
        now = self.clock()
        held = self._held.get(key)
        changed = held is not None and (held.partly or held.stamp != stamp)
        if held is None or stamp[0] != held.stamp[0] or (changed and now - held.looked >= LATE):
            held = self._held[key] = _Held(stamp, now)
        elif held.stamp != stamp:
            held.stamp, held.partly = stamp, True
            for start in starts[-NEWEST:]:
                held.buckets.pop(start, None)
        if len(held.buckets) > 2 * len(starts) + 100:
            held.buckets = {start: held.buckets[start] for start in starts if start in held.buckets}
        self._held.move_to_end(key)
        while len(self._held) > KEPT:
            self._held.popitem(last=False)
        return held

    def _usual(self, version: VersionId) -> Mapping[str, float]:
        plan = self._reader.plan(version)
        inputs = [s for s in plan.series if s.side == "input" and s.trained] if plan is not None else []
        trained = [s.trained for s in inputs if s.edges]
        return usual_failures(len(trained), min(trained, default=0)) if inputs else {}


def _starts(since: datetime, until: datetime, step: int) -> range:
    first, last = (int(moment.timestamp()) // step * step for moment in (since, until))
    return range(first, last + (step if last < until.timestamp() else 0), step)


def shown(bucket: aggregated.Bucket, usual: Mapping[str, float]) -> Bucket:
    """What pages draw of a bucket."""
    rows = bucket.rows
    checks: Counter[str] = Counter()
    for one in bucket.fields.values():
        checks.update(dict(one.checks))
    return Bucket(
        rows=rows,
        requests=bucket.requests,
        failed=bucket.requests - bucket.outcomes.get("ok", 0),
        p50=bucket.latency.p50(),
        p95=bucket.latency.p95(),
        moved={name: one.moved for name, one in bucket.fields.items() if one.bins},
        checks={name: min(count / rows, 1.0) for name, count in checks.items()} if rows else {},
        usual=usual,
        metrics={name: m.unhealthy / m.rows for name, m in bucket.metrics.items() if m.rows},
        stages=bucket.stages,
        means={n: one.mean for n, one in bucket.fields.items() if one.side == "output" and one.mean is not None},
    )
