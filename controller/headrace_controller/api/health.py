"""Health of versions: buckets of time, and counting anew."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from headrace_controller import clock
from headrace_controller.api import schemas
from headrace_controller.api.permissions import named
from headrace_controller.api.routing import Query, Resource
from headrace_controller.api.running import moment
from headrace_controller.health.buckets import Bucket, FieldHealth
from headrace_controller.health.reader import MOST_BUCKETS
from headrace_controller.health.selection import MOST_ROWS, health_of_rows, of_stage
from headrace_controller.health.writer import HealthWriter
from headrace_controller.service.platform import Platform
from headrace_functions.log_conditions import all_of
from headrace_functions.names import VersionId

_HEALTH = "/models/<model>/versions/<int:number>/health"
_STEPS = (60, 300, 900, 3600, 21_600, 86_400)
_SHOWN = 200
"""Buckets that a step is chosen for where none is given."""

resource = Resource("health")


class HealthQuery(Query):
    since: str = Field(default="3h", description="RFC 3339 time, or a duration back from now such as 1h")
    until: str | None = Field(default=None, description="as since; now where it is left out")
    step: int | None = Field(
        default=None,
        description=f"seconds of a bucket, a multiple of 60, for at most {MOST_BUCKETS} buckets; chosen by the range where it is left out",
    )
    where: str = Field(
        default="",
        description=f"only rows of the log that satisfy this condition, counted at once, at most {MOST_ROWS:,}",
    )
    sequence: str = Field(default="", description="only rows that came through this sequence")
    stage: int | None = Field(default=None, ge=1, description="of the sequence, from 1")
    variant: str = Field(default="", description="of the stage, e.g. churn:2")
    bins: bool = Field(default=False, description="the histogram of each field in each bucket too")


@resource.route("GET", _HEALTH, access=named("view"), answer=schemas.VersionHealthView, query=HealthQuery)
def show_health(platform: Platform, model: str, number: int, query: HealthQuery) -> schemas.VersionHealthView:
    """Show the health of a version: requests, latency, fields and metrics per time bucket, including empty buckets."""
    known = platform.versions.get(VersionId(model, number))
    version = known.id
    since = moment(query.since, "since")
    until = moment(query.until, "until") if query.until else clock.parse(clock.now(), field="until")
    step = query.step if query.step is not None else _step(since, until)
    plan = platform.health.plan(version)
    where = all_of(query.where, of_stage(query.sequence, query.stage, query.variant))
    found: Sequence[Bucket]
    if where and plan is not None and known.version is not None:
        found = health_of_rows(platform.logs, known.version, plan, where, since, until, step)
    else:
        found = platform.health.series(version, since, until, step)
    described = [
        schemas.HealthFieldView(
            name=s.name,
            side=s.side,
            field=s.field,
            kind=s.kind,
            edges=list(s.edges),
            labels=list(s.labels),
            trained=list(s.expected[1:]),
        )
        for s in (plan.series if plan is not None else ())
    ]
    return schemas.VersionHealthView(
        version=str(version), step=step, fields=described, buckets=[view(b, query.bins) for b in found]
    )


@resource.route("POST", f"{_HEALTH}/rebuild", access=named("operate"), answer=schemas.RebuiltView)
def rebuild_health(platform: Platform, model: str, number: int) -> schemas.RebuiltView:
    """Recompute the health of a version from its whole log; the previous figures are shown until that is done."""
    version = platform.versions.get(VersionId(model, number)).id
    return schemas.RebuiltView(rows=HealthWriter(platform.catalog.documents.objects).rebuild(version))


def view(bucket: Bucket, bins: bool) -> schemas.BucketView:
    return schemas.BucketView(
        start=clock.show(bucket.start),
        rows=bucket.rows,
        requests=bucket.requests,
        outcomes=dict(bucket.outcomes),
        p50_ms=bucket.latency.p50(),
        p95_ms=bucket.latency.p95(),
        fields={name: _field(found, bins) for name, found in bucket.fields.items() if found.rows},
        metrics={
            name: {"rows": m.rows, "unhealthy": m.unhealthy, "errors": m.errors} for name, m in bucket.metrics.items()
        },
    )


def _field(found: FieldHealth, bins: bool) -> dict[str, Any]:
    said: dict[str, Any] = {
        "rows": found.rows,
        "missing": found.missing,
        "checks": dict(found.checks),
        "moved": found.moved,
        "mean": found.mean,
        "min": found.low,
        "max": found.high,
    }
    return said | {"bins": list(found.bins)} if bins else said


def _step(since: datetime, until: datetime) -> int:
    seconds = (until - since).total_seconds()
    return next((step for step in _STEPS if seconds / step <= _SHOWN), _STEPS[-1])
