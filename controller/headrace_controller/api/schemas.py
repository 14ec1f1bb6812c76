"""What the management API answers, as pydantic models: the API fills them, the client reads them, OpenAPI is made of them.

Keys of answers are snake_case; definitions keep the kebab-case of their YAML.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Json = dict[str, Any]


class Answer(BaseModel):
    """Answers may grow members, so readers ignore those that they do not know."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class RuntimeView(Answer):
    """What a version runs in, fixed by its build, and why."""

    kind: Literal["environment", "image", "image and layer", "own image"]
    image: str | None = Field(description="exact reference; null for a version that was built on one machine")
    lock: str | None = Field(description="SHA-256 of the lock that the image was built from")
    layer: str | None = Field(description="SHA-256 of the archive of libraries that the image lacks")
    requirements: list[str] = Field(description="those of the definition, of the artifact and of the function server")
    lacking: list[str] = Field(description="requirements that the image does not satisfy, each with the reason")
    why: str


class VersionView(Answer):
    id: str = Field(description="MODEL:NUMBER")
    model: str
    number: int
    state: Literal["assembling", "released", "failed"]
    reason: str = Field(description="why the build failed")
    created: str = Field(description="RFC 3339 in UTC, when the version was applied")
    framework: str | None = Field(description="null until the build has determined it")
    signature: Json | None = Field(description="inputs and outputs of one row; null until the version is released")
    environment: str | None
    runtime: RuntimeView | None = Field(default=None, description="null until the version is released")
    artifact: str = Field(description="SHA-256 of the artifact archive")
    content: str = Field(description="digest of everything that was uploaded; the same content gives the same version")
    training: bool = Field(description="whether the version has training data")
    target: list[str]
    batch: bool
    options: Json
    scaling: Json
    limits: Json
    metadata: dict[str, str]
    monitoring: list[Json]
    aliases: list[str]


class VersionPage(Answer):
    items: list[VersionView]
    next: str | None = Field(default=None, description="token of the next page, null on the last one")


class SubmittedView(Answer):
    version: VersionView
    created: bool = Field(description="false if the same content already was a version")


class ModelView(Answer):
    name: str
    count: int = Field(description="number of versions, without deleted ones")
    latest: int
    state: str = Field(description="build state of the latest version")
    released: int | None = Field(description="the newest released version, which the name without a number refers to")
    created: str
    aliases: dict[str, int]


class ModelPage(Answer):
    items: list[ModelView]
    next: str | None = None


class LogPart(Answer):
    text: str
    offset: int = Field(description="byte at which the next part starts")
    done: bool


class AliasView(Answer):
    model: str
    name: str
    version: int | None = Field(description="null if the alias was deleted")
    at: str


class AliasList(Answer):
    items: list[AliasView]


class RevisionView(Answer):
    name: str
    revision: int
    at: str
    deleted: bool
    rolled_back_to: int | None = None
    stages: list[Json] = Field(description="variants with weights, and shadows, of each stage")
    signature: Json | None
    timeout: float | None = Field(description="seconds")
    metadata: dict[str, str]


class StreamView(Answer):
    name: str
    revision: int
    at: str
    definition: Json
    state: str = Field(description="starting, running, waiting, asleep, pausing, paused, failed or stopped")
    reason: str
    paused: bool
    group: str = Field(description="consumer group")
    resets: int
    lag: int | None = Field(description="messages that have not been processed; null if unknown")
    partitions: dict[str, int] = Field(description="lag by partition")
    answered: int = Field(
        description="messages since the counting process started: that of the streams, in a cluster the controller"
    )
    refused: int = Field(description="messages sent to the error topic since then")
    replicas: int | None = Field(description="pods that read it; null outside a cluster")


class StreamList(Answer):
    items: list[StreamView]


class StreamApplied(Answer):
    stream: StreamView
    changed: bool


class SequencePage(Answer):
    items: list[RevisionView]
    next: str | None = None


class RevisionList(Answer):
    items: list[RevisionView]


class SequenceApplied(Answer):
    sequence: RevisionView
    changed: bool = Field(description="false if the current revision already was the same")


class DeploymentView(Answer):
    name: str
    revision: int
    at: str
    definition: Json


class DeploymentList(Answer):
    items: list[DeploymentView]


class ServiceView(Answer):
    model_config = ConfigDict(extra="allow", frozen=True)

    name: str
    version: str
    state: str
    reason: str = ""
    replicas: int = 0


class ServiceLogView(Answer):
    text: str


class ServiceList(Answer):
    items: list[ServiceView]


class ManifestList(Answer):
    items: list[Json] = Field(description="Kubernetes manifests, one per version")


class LogRows(Answer):
    columns: list[str] = Field(description="all columns of the log; empty if nothing has been logged")
    rows: list[Json]


class LogTailView(Answer):
    rows: list[Json] = Field(description="in the order in which they were logged")
    next: str = Field(description="position to continue from")
    behind: bool = Field(description="whether more rows are available now")


class LabelsView(Answer):
    version: str
    number: int = Field(description="number of the stored file")
    rows: int = Field(description="number of labels in the file")
    logged: int = Field(description="labels whose rows are answered in the log")
    replaced: int = Field(default=0, description="labels that a later row of the same file replaced")
    repeated: int = Field(
        default=0, description="labels of rows that were answered several times; they apply to the newest"
    )
    assumed: int = Field(
        default=0, description="labels without 'row' of requests that have several rows, stored for row 0"
    )


class LabelFileView(Answer):
    number: int
    rows: int = Field(description="number of labels in the file; 0 if it cannot be read")
    columns: list[str]
    size: int = Field(description="bytes")
    pushed: str


class LabelFileList(Answer):
    items: list[LabelFileView]


class ReportView(Answer):
    id: str = Field(description="MODEL:NUMBER/KIND/NAME")
    version: str
    kind: str
    name: str
    written: str
    verdict: str
    severity: str
    engine: str


class ReportPage(Answer):
    items: list[ReportView]
    next: str | None = None


class JobView(Answer):
    id: str
    kind: str
    version: str
    engine: str
    arguments: dict[str, str]
    by: str
    state: Literal["queued", "running", "done", "failed"]
    reason: str
    created: str
    at: str
    report: str | None = Field(description="MODEL:NUMBER/KIND/NAME of the report that it wrote")
    result: Json


class JobPage(Answer):
    items: list[JobView]
    next: str | None = None


class JobLog(Answer):
    text: str


class ScheduleView(Answer):
    name: str
    kind: str
    cron: str
    model: str
    window: str
    engine: str
    every_rows: int = Field(default=0, description="0 for a schedule with cron")
    missed: str = Field(default="skip", description="what happens to ticks that were missed: skip or catch-up")
    options: dict[str, str] = Field(default_factory=dict, description="further options of the job")
    next: str | None = Field(description="time of the next run; null for a schedule with every-rows")


class RunView(Answer):
    slot: str = Field(description="the tick, or the row count")
    state: Literal["claimed", "starting", "running", "failed", "done", "given-up"]
    until: str = Field(description="end of the window")
    at: str
    attempt: int
    job: str
    reason: str
    retry: str | None = Field(description="time of the next attempt of a failed run")


class RunList(Answer):
    items: list[RunView]


class BackfillView(Answer):
    claimed: int = Field(description="windows that will run; those that already have a run are skipped")


class ScheduleList(Answer):
    items: list[ScheduleView]


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


class RequestView(Answer):
    rows: list[Json] = Field(description="by the columns of the log")
    metrics: list[Json] = Field(description="by the columns of the table of values")


class TrafficView(Answer):
    """Counters since the gateway started."""

    exchanges: int = Field(description="exchanges with services, shadows included")
    failed_exchanges: int = Field(description="of these, answered with a status of 500 or above")
    unlogged_records: int = Field(description="records that could be written neither to disk nor to the store")
    dropped_shadows: int = Field(description="copies for shadows that were not sent because too many were open")
    waiting_bytes: int = Field(description="bytes of records in transit to the log")


class StatusView(Answer):
    version: str
    url: str
    home: str
    storage: str
    started: str
    storage_error: str = Field(default="", description="why the store cannot be used now; the counts are then null")
    problems: list[str] = Field(default=[], description="problems of the platform itself, one sentence each")
    models: int | None
    sequences: int | None
    schedules: int | None
    traffic: TrafficView
    services: list[ServiceView]


class SegmentView(Answer):
    where: str = Field(description="the condition, in the syntax of log filters")
    share: float = Field(description="share of the selected rows that satisfy it")
    usual: float = Field(description="share of the other rows that satisfy it")
    rows: int = Field(description="selected rows that satisfy it")
    p: float = Field(description="probability of such a difference by chance, corrected for all conditions tried")


class SegmentsView(Answer):
    rows: int = Field(description="rows that were examined, the newest ones")
    selected: int = Field(description="rows of them that satisfy 'where'")
    segments: list[SegmentView] = Field(description="the most distinctive first; empty if nothing sets them apart")


class SampleView(Answer):
    rows: list[Json] = Field(description="rows of the training data, by input")


class RefusedView(Answer):
    key: str = Field(description="its name in the store below inbox-refused/")
    size: int = Field(description="bytes")
    reason: str
    at: str


class RefusedList(Answer):
    items: list[RefusedView]


class RetriedView(Answer):
    retried: int = Field(description="objects that were passed to the collector again")


class Problem(Answer):
    """RFC 9457 problem document."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str | None = None
    field: str | None = None
    expected: str | None = None
    got: str | None = None
    hint: str | None = None


def as_mapping(answer: Answer) -> Mapping[str, Any]:
    return answer.model_dump(mode="json")


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


class EstimateView(Answer):
    value: float
    low: float = Field(description="of the 95 % interval")
    high: float


class FigureView(Answer):
    name: str
    first: float
    second: float
    difference: EstimateView = Field(description="the second less the first")
    rows: int
    needed: int | None = Field(description="rows needed to detect a difference of this size, if it is not significant")
    better: str = Field(description="first, second, or empty if the difference is not significant")


class OutputComparisonView(Answer):
    name: str
    agreement: EstimateView
    mean_difference: EstimateView | None
    correlation: float | None
    means: tuple[float, float] | None


class ComparisonView(Answer):
    first: str
    second: str
    sentence: str
    rows: int = Field(description="rows that both have answered")
    outputs: list[OutputComparisonView]
    latency: FigureView | None = Field(
        description="median milliseconds; null for a replay, whose timing is not comparable"
    )
    metrics: list[FigureView] = Field(description="share of unhealthy rows, of metrics that both have")
    quality: FigureView | None = Field(description="accuracy, or mean absolute error, of the rows that have labels")
    differing: list[Json] = Field(
        description="rows that differ most: request_id, row, first, second by log column, label"
    )


class ReplayView(Answer):
    id: str
    source: str
    target: str
    state: Literal["running", "done", "failed", "cancelled", "interrupted"]
    at: str
    total: int
    asked: int
    failed: int = Field(description="rows for which the target returned an error")
    reason: str
    result: ComparisonView | None


class RequirementView(Answer):
    requirement: str
    value: float | None = Field(description="the figure of the version")
    limit: float | None = Field(description="the limit of the requirement")
    held: bool
    note: str = Field(description="why there is no value or no limit")


class EvaluationView(Answer):
    id: str
    version: str
    file: str
    baseline: str | None = Field(description="MODEL:NUMBER; null where there is none, or none yet")
    state: Literal["running", "done", "failed", "interrupted"]
    passed: bool | None = Field(description="whether every requirement is met; null until it is done")
    at: str
    rows: int
    asked: int
    refused: int = Field(description="rows for which the version returned an error")
    first_refused: list[Json] = Field(description="row (from 1), field and reason of the first twenty")
    figures: dict[str, float]
    baseline_figures: dict[str, float]
    requirements: list[RequirementView]
    reason: str = Field(description="one sentence for each requirement that is not met")


class EvaluationList(Answer):
    items: list[EvaluationView]


class ExchangesView(Answer):
    version: str
    accepted: int = Field(description="accepted for the log, in which each request id is logged once")
    refused: int
    first_refused: list[Json] = Field(description="row (from 1), field and reason of the first hundred")


class LimitsView(Answer):
    model: str
    rule: str
    field: str = Field(description="empty for every field")
    levels: dict[str, float] = Field(description="limits of low, medium and severe: a share, milliseconds or minutes")
    wanted: int
    looks: int
    off: bool


class LimitsList(Answer):
    items: list[LimitsView]


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


class LoginView(Answer):
    """The login provider for logins from a terminal; empty if there is none."""

    authentication: bool = Field(description="whether the platform authenticates its callers")
    issuer: str
    client_id: str
    scopes: str


class CallerView(Answer):
    subject: str = Field(description="key:NAME, user:NAME, machine:NAME; empty without authentication")
    owner: str
    groups: list[str]
    roles: list[str] = Field(description="ROLE:PATTERN, of the credential itself and by grants")
    authentication: bool = Field(description="whether the platform authenticates its callers")


class KeyView(Answer):
    name: str
    id: str = Field(description="the public part of the key, between hrk_ and the secret")
    owner: str
    roles: list[str] = Field(description="ROLE:PATTERN")
    state: Literal["active", "expired", "revoked"]
    created: str
    expires: str | None
    revoked: str | None
    last_used: str | None = Field(description="accurate to a minute; null for never")


class KeyList(Answer):
    items: list[KeyView]


class NewKeyView(KeyView):
    key: str = Field(description="the key; it is shown only this once")


class GrantView(Answer):
    name: str
    subjects: list[str]
    role: str
    names: list[str] = Field(description="names or patterns of names")


class GrantList(Answer):
    items: list[GrantView]


class GrantApplied(Answer):
    grant: GrantView
    changed: bool
    matches: int = Field(description="models and sequences that currently match the patterns")


class SubjectList(Answer):
    items: list[str]


class EndedView(Answer):
    ended: int = Field(description="sessions that were ended")


class AuditEntry(Answer):
    number: int
    at: str
    who: str = Field(description="key:NAME, user:NAME…; empty without authentication; hrk_… for an unknown key")
    what: str = Field(description="the operation, or the missing permission at the gateway")
    on: str = Field(description="the path of the request, or a name")
    outcome: Literal["done", "refused", "failed"]
    status: int
    request_id: str
    origin: str = Field(description="the address that the request came from")
    reason: str
    times: int = Field(description="how often the same request was refused within ten seconds")
    changes: list[Json] = Field(description="kind, name, before and after of each changed document")


class AuditList(Answer):
    items: list[AuditEntry]


class AuditVerdict(Answer):
    entries: int
    head: str = Field(
        description="NUMBER:DIGEST of the last entry; stored elsewhere, it proves that no entries were cut off at the end"
    )
    fault: str = Field(description="the first entry that was altered or removed; empty where there is none")


class RetentionView(Answer):
    name: str = Field(description="a model, or default")
    log: str | None = Field(default=None, description="a duration; null for unlimited, or for the default rule")
    metrics: str | None = None
    reports: str | None = None


class RetentionList(Answer):
    items: list[RetentionView]


class RetentionSet(Answer):
    rule: RetentionView
    warnings: list[str] = Field(description="schedules whose windows are longer than the retention of the log")


class RemovalView(Answer):
    version: str
    kind: str = Field(description="log, metrics or reports")
    before: str = Field(description="everything from this time on stays")
    rows: int = Field(description="rows, or objects of reports")
    bytes: int
    error: str = Field(description="why it could not be removed; removal is retried")


class RemovalList(Answer):
    removed: bool = Field(description="false for a dry run")
    items: list[RemovalView]


class ErasureCounts(Answer):
    log_rows: int
    refused_bodies: int = Field(description="refused requests: their bodies and messages")
    metric_values: int
    labels: int
    results: int = Field(description="reports, explanations and replays")
    deferred: int = Field(description="requests that are answered later, with their results")
    set_aside: int = Field(description="objects that the collector had set aside")
    documents: int = Field(description="incidents, notifications and analyses that contained the value")
    process_logs: int = Field(description="log files of processes of this home")
    old_files: int = Field(description="replaced files, and statistics of files, that still contained it")


class ErasurePlan(Answer):
    """What would be erased now."""

    field: str
    digest: str = Field(description="represents the value: a hash with the platform's hash key")
    model: str
    versions: int = Field(description="versions with the field")
    counts: ErasureCounts
    waits: list[str] = Field(description="what the erasure has to wait for, one sentence each")
    kept: list[str] = Field(description="keys of objects that contain the value and are not changed")


class ErasureView(Answer):
    id: str
    field: str
    digest: str
    model: str = Field(description="empty for all models")
    state: str = Field(description="running or done")
    created: str
    at: str
    counts: ErasureCounts
    waits: list[str]
    kept: list[str]


class ErasureList(Answer):
    items: list[ErasureView]


class RotatedSecret(Answer):
    old_taken_seconds: float = Field(description="seconds for which the old secret is still accepted; 0 for none")


class RotatedHashKey(Answer):
    versions: list[str] = Field(
        description="versions with hashed fields: equal values get different hashes from now on"
    )
