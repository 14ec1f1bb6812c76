"""Health, metrics, incidents and notification targets, as the API answers them."""

from typing import Literal

from pydantic import Field

from headrace_controller.api.schemas.answers import Answer, Json


class HealthView(Answer):
    """Counts of scored rows, of an hour or of the newest."""

    start: str = Field(description="start of the hour, RFC 3339; empty for the newest rows together")
    rows: int
    unhealthy: int
    errors: int = Field(description="rows without a value")
    share: float | None = Field(description="unhealthy share of the rows with a value; null without any")


class MetricView(Answer):
    name: str
    model: str | None = Field(description="MODEL:NUMBER of the version that scores; null for a formula")
    expression: str = Field(default="", description="the formula, empty where a model scores")
    condition: str = Field(default="", description="what a healthy row satisfies")
    operator: str
    threshold: float | None = Field(description="null for a formula that is true or false")
    health: HealthView = Field(description="of the seven days before the last value")
    last: Json | None


class MetricDetail(MetricView):
    values: list[Json] = Field(description="the newest first, by the columns of the table of values")
    history: list[HealthView]


class MetricList(Answer):
    items: list[MetricView]


class TrafficView(Answer):
    """Counters since the gateway started."""

    exchanges: int = Field(description="exchanges with services, shadows included")
    failed_exchanges: int = Field(description="of these, answered with a status of 500 or above")
    unlogged_records: int = Field(description="records that could be written neither to disk nor to the store")
    dropped_shadows: int = Field(description="copies for shadows that were not sent because too many were open")
    waiting_bytes: int = Field(description="bytes of records in transit to the log")


class HealthFieldView(Answer):
    """One view of an input or output, as counted in every bucket."""

    name: str = Field(description="such as amount, p[yes] or comment length")
    side: Literal["input", "output"]
    field: str
    kind: Literal["number", "category"]
    edges: list[float] = Field(description="bins of numbers: below the first, between two, above the last")
    labels: list[str | int | float | bool] = Field(
        description="bins of categories: one each, then the rarer known ones, then those absent from training"
    )
    trained: list[float] = Field(description="shares of the training rows by bin; empty without training data")


class BucketView(Answer):
    start: str
    rows: int
    requests: int
    outcomes: dict[str, int]
    p50_ms: float | None
    p95_ms: float | None
    fields: dict[str, Json] = Field(
        description="by name: rows, missing, checks (failed rows by check), moved (share of the rows that lie elsewhere than in "
        "training, null below 30 rows), mean, min, max, and bins where they were asked for"
    )
    metrics: dict[str, Json] = Field(description="by name: rows, unhealthy, errors")


class VersionHealthView(Answer):
    version: str
    step: int = Field(description="seconds of a bucket")
    fields: list[HealthFieldView]
    buckets: list[BucketView]


class RebuiltView(Answer):
    rows: int = Field(description="rows of the log that were counted")


class IncidentView(Answer):
    number: int
    identity: str = Field(description="VERSION/RULE/FIELD of what began first")
    state: Literal["open", "acknowledged", "silenced", "resolved"]
    severity: Literal["low", "medium", "severe"]
    rule: str
    versions: list[str]
    sentence: str
    short: str
    opened: str
    updated: str
    resolved: str | None
    silenced_until: str | None
    acknowledged_by: str
    chain: list[Json] = Field(
        description="findings in the order in which they began: version, what, field, side, first, severity, share, sentence"
    )
    changes_before: list[Json] = Field(description="changes in the two hours before: at, kind, subject, sentence")
    segments: list[Json] = Field(
        description="what distinguished its rows when it opened: where, share, usual (of the others), rows"
    )
    events: list[Json] = Field(description="at, kind, by (empty for the platform), text")
    deliveries: list[Json] = Field(description="at, target, event, delivered, text")


class IncidentList(Answer):
    items: list[IncidentView]


class TargetView(Answer):
    name: str
    way: Literal["webhook", "slack", "alertmanager", "email"]
    address: str = Field(description="without its path and user name, which may be secret")
    severity: Literal["low", "medium", "severe"]
    models: list[str]
    to: list[str]
    sender: str
    events: list[str] = Field(default=["incident"], description="incident, version, alias, sequence")
    since: str


class TargetList(Answer):
    items: list[TargetView]


class TestedView(Answer):
    answer: str = Field(description="what the target answered")
