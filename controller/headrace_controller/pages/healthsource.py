"""Where pages get the health of versions from: the aggregates of the log, in the buckets that a page shows."""

from datetime import timedelta

import numpy as np

from headrace_controller import clock
from headrace_controller.catalog.catalog import ModelVersion
from headrace_controller.pages.healthviews import Bucket
from headrace_controller.pages.ranges import Range
from headrace_controller.requestlog.reader import LogQuery
from headrace_controller.service.platform import Platform


class Source:
    """Health in one range, ``count`` buckets of it."""

    def __init__(self, platform: Platform, span: Range, count: int) -> None:
        self._platform = platform
        self._span = span
        self._count = count
        self.step = round(span.seconds / count)

    @property
    def words(self) -> str:
        return f"{self.step / 60:g} minutes"

    def buckets(self, version: ModelVersion) -> list[Bucket]:
        if version.version is None:
            return [Bucket()] * self._count
        columns = ("received", "outcome", "latency_ms", "row", "checks")
        if not self._platform.logs.columns(version.id):
            return [Bucket()] * self._count
        rows = self._platform.logs.query(version.id, LogQuery(self._span.since, self._span.until, "", columns, 10_000))
        profile = self._platform.versions.profile(version.id)
        found = []
        for n in range(self._count):
            since = clock.show(self._span.since + timedelta(seconds=n * self.step), "microseconds")
            until = clock.show(self._span.since + timedelta(seconds=(n + 1) * self.step), "microseconds")
            mine = [r for r in rows if since <= r["received"] < until]
            if not mine:
                found.append(Bucket())
                continue
            heads = [r for r in mine if r["row"] == 0]
            latencies = [r["latency_ms"] for r in heads]
            checks: dict[str, float] = {}
            for r in mine:
                for c in {c.split(":", 1)[1] for c in r["checks"] or ()}:
                    checks[c] = checks.get(c, 0) + 1 / len(mine)
            moved = {}
            for f in version.version.signature.inputs if profile else ():
                moved[f.name] = sum(any(c.startswith(f.name + ":") for c in r["checks"] or ()) for r in mine) / len(
                    mine
                )
            found.append(
                Bucket(
                    len(mine),
                    len(heads),
                    sum(r["outcome"] != "ok" for r in heads),
                    float(np.percentile(latencies, 50)),
                    float(np.percentile(latencies, 95)),
                    moved,
                    checks,
                )
            )
        return found
