"""Reports of data-quality rules."""

from typing import Literal

from pydantic import ConfigDict, Field

from headrace_jobs.report.models.parts import SCHEMA, Note, Number, Part, Severity, Span


class BrokenRow(Part):
    """A row that breaks a rule."""

    request_id: str
    row: int
    value: str = Field(description="of the field; empty where the rule is about several, or the value is missing")


class QualityResult(Part):
    """What became of one rule."""

    name: str
    rule: str = Field(
        description="range, set, regex, missing, unique, constant, condition, duplicates, rows or freshness"
    )
    field: str = Field(description="empty where the rule is about rows as a whole")
    verdict: Literal["pass", "fail", "no-rows"]
    severity: Severity = Field(description="none unless the rule fails")
    rows: int = Field(description="rows that the rule looked at: those with a value")
    broken: int = Field(description="rows that break it; of constant, those with the most frequent value")
    share: Number | None = Field(description="broken of rows; null without rows")
    allowed: Number = Field(description="share of rows that may break it")
    estimated: bool = Field(description="whether broken is worked out from a sample of the values")
    sentence: str
    examples: tuple[BrokenRow, ...] = Field(description="the first rows that break it, at most five")


class QualityReport(Part):
    kind: Literal["quality"] = "quality"
    version: Literal[1] = Field(default=SCHEMA, alias="schema")
    model: str
    window: Span
    rows: int = Field(description="answered rows of the window")
    failed: int
    files: int
    verdict: Literal["pass", "fail", "not-enough-data"]
    severity: Severity = Field(description="of the worst rule that fails")
    sentence: str
    rules: tuple[QualityResult, ...] = Field(description="in the order of the definition")
    notes: tuple[Note, ...] = ()

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)
