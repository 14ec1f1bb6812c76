"""Reports of how groups are treated."""

from typing import Literal

from pydantic import ConfigDict, Field

from headrace_jobs.report.models.parts import SCHEMA, Note, Number, Part, Severity, Span


class ShareOf(Part):
    """A share, ratio or difference with its 95 % interval."""

    value: Number
    low: Number
    high: Number


class Group(Part):
    """One group; ``impact`` and ``difference`` are against the largest, null for itself and with too few rows."""

    name: str
    rows: int
    deserving: int = Field(description="rows whose label is the good answer")
    selection: ShareOf = Field(description="share of rows with the good answer")
    opportunity: ShareOf | None = Field(description="share of good answers among the deserving; null without any")
    impact: ShareOf | None = Field(default=None, description="ratio of selection rates")
    difference: ShareOf | None = Field(default=None, description="difference of opportunity")
    severity: Severity


class FairnessReport(Part):
    kind: Literal["fairness"] = "fairness"
    version: Literal[1] = Field(default=SCHEMA, alias="schema")
    model: str
    window: Span
    group: str
    output: str
    positive: str
    rows: int = Field(description="answered rows with an answer that can be read")
    labelled: int
    failed: int
    unusable: int
    files: int
    reference: str | None = Field(description="the largest group, which the others are compared with")
    verdict: Literal["disparity", "no-disparity", "not-enough-data"]
    severity: Severity
    sentence: str
    groups: tuple[Group, ...] = Field(description="the largest first")
    notes: tuple[Note, ...] = ()

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)
