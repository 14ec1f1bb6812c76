"""Where pages get the health of versions from: the aggregates of the log, in the buckets that a page shows."""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta

from headrace_controller.catalog.catalog import ModelVersion
from headrace_controller.health import buckets as aggregated
from headrace_controller.pages.healthviews import Bucket, usual_failures
from headrace_controller.pages.ranges import Range
from headrace_controller.service.platform import Platform

MINUTE = 60


class Source:
    """Health in one range, cut into about ``count`` buckets of whole minutes, the newest one last."""

    def __init__(self, platform: Platform, span: Range, count: int) -> None:
        self._reader = platform.health
        self.step = max(MINUTE, round(span.seconds / count / MINUTE) * MINUTE)
        self.until = span.until
        self.since = span.until - timedelta(seconds=self.step * round(span.seconds / self.step))

    @property
    def words(self) -> str:
        return f"{self.step // MINUTE} minutes"

    def buckets(self, version: ModelVersion) -> list[Bucket]:
        if version.version is None:
            return []
        usual = self._usual(version)
        return [shown(bucket, usual) for bucket in self._reader.series(version.id, self.since, self.until, self.step)]

    def _usual(self, version: ModelVersion) -> Mapping[str, float]:
        plan = self._reader.plan(version.id)
        trained = [s.trained for s in plan.series if s.side == "input" and s.edges] if plan is not None else []
        return usual_failures(len(trained), min(trained, default=0))


def shown(bucket: aggregated.Bucket, usual: Mapping[str, float]) -> Bucket:
    """What pages draw of a bucket."""
    rows = bucket.rows
    checks: Counter[str] = Counter()
    for field in bucket.fields.values():
        checks.update(dict(field.checks))
    return Bucket(
        rows=rows,
        requests=bucket.requests,
        failed=bucket.requests - bucket.outcomes.get("ok", 0),
        p50=bucket.latency.p50(),
        p95=bucket.latency.p95(),
        moved={name: field.moved for name, field in bucket.fields.items() if field.bins},
        checks={name: min(count / rows, 1.0) for name, count in checks.items()} if rows else {},
        usual=usual,
        metrics={name: m.unhealthy / m.rows for name, m in bucket.metrics.items() if m.rows},
        means={n: f.mean for n, f in bucket.fields.items() if f.side == "output" and f.mean is not None},
    )
