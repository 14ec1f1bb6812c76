"""What is kept, removed and erased, as the API answers it."""

from pydantic import Field

from headrace_controller.api.schemas.answers import Answer


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
