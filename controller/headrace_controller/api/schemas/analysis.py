"""Jobs, schedules and reports, as the API answers them."""

from typing import Literal

from pydantic import Field

from headrace_controller.api.schemas.answers import Answer, Json


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
