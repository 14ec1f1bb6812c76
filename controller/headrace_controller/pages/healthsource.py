"""Where pages get the health of versions from: the aggregates of the log, in the buckets that a page shows."""

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
from headrace_functions.names import VersionId

MINUTE = 60
LATE = 60.0
"""Seconds after which all buckets of a page are looked at again, for rows that came late; the newest ones are whenever something is new."""
NEWEST = 2
KEPT = 1000
"""Versions and steps whose buckets are kept as pages draw them."""


class Source:
    """Health in one range, cut into about ``count`` buckets of whole minutes, the newest one last."""

    def __init__(self, drawn: "DrawnBuckets", span: Range, count: int) -> None:
        self._drawn = drawn
        self.step = max(MINUTE, round(span.seconds / count / MINUTE) * MINUTE)
        self.until = span.until
        self.since = span.until - timedelta(seconds=self.step * round(span.seconds / self.step))

    @property
    def words(self) -> str:
        return f"{self.step // MINUTE} minutes"

    def buckets(self, version: ModelVersion) -> list[Bucket]:
        if version.version is None:
            return []
        return self._drawn.buckets(version.id, self.since, self.until, self.step)


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

    def __init__(self, reader: HealthReader, clock: Callable[[], float] = time.monotonic) -> None:
        self._reader = reader
        self._clock = clock
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[VersionId, int], _Held] = OrderedDict()

    def buckets(self, version: VersionId, since: datetime, until: datetime, step: int) -> list[Bucket]:
        """Those from ``since`` to ``until``, both cut to whole steps."""
        first, last = (int(moment.timestamp()) // step * step for moment in (since, until))
        starts = range(first, last + (step if last < until.timestamp() else 0), step)
        with self._lock:
            held = self._current((version, step), starts)
            missing = [start for start in starts if start not in held.buckets]
            if missing:
                begin, end = (datetime.fromtimestamp(at, UTC) for at in (missing[0], missing[-1] + step))
                usual = self._usual(version)
                for bucket in self._reader.series(version, begin, end, step):
                    held.buckets[int(bucket.start.timestamp())] = shown(bucket, usual)
            return [held.buckets[start] for start in starts]

    def _current(self, key: tuple[VersionId, int], starts: range) -> _Held:
        """What is held of a version, without what has to be looked at again."""
        stamp, now = self._reader.stamp(key[0]), self._clock()
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
        trained = [s.trained for s in plan.series if s.side == "input" and s.edges] if plan is not None else []
        return usual_failures(len(trained), min(trained, default=0))


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
        means={n: one.mean for n, one in bucket.fields.items() if one.side == "output" and one.mean is not None},
    )
