"""Reports of outliers and of the detector that was chosen."""

from typing import Literal

from pydantic import ConfigDict, Field

from headrace_jobs.report.models.parts import SCHEMA, Note, Number, Part, Scalar, Severity, Span


class FieldShare(Part):
    """What part of a row's score a field explains."""

    name: str
    value: Scalar | None
    share: Number = Field(description="of what typical values in place of the row's would take away")


class OutlierRow(Part):
    """One unusual row, to be looked up in the log."""

    request_id: str
    row: int
    received: str
    value: Number = Field(description="share of training rows that are less unusual, 0 to 1")
    score: Number = Field(description="the detector's own; more is more unusual")
    fields: tuple[FieldShare, ...] = Field(description="the fields that explain most first")


class OutlierStep(Part):
    """One step of the window's time."""

    start: str
    rows: int
    outliers: int


class DetectorChoice(Part):
    """The detector that was taken, and how well each candidate found anomalies planted in training rows held out."""

    method: Literal["tails", "mahalanobis", "forest", "neighbours", "density", "online-mahalanobis", "iforest"]
    candidates: dict[str, Number] = Field(description="mean area under the ROC curve")
    fitted: int
    held_out: int


class OutlierTime(Part):
    """A piece of the window's time whose number of rows stands out."""

    start: str
    rows: int
    score: Number = Field(description="spectral residual: how far it is above those near it, in their mean")


class OutlierReport(Part):
    kind: Literal["outliers"] = "outliers"
    version: Literal[1] = Field(default=SCHEMA, alias="schema")
    model: str
    window: Span
    engine: Literal["native", "alibi"] = Field(default="native", description="whose detectors")
    licence: str | None = Field(default=None, description="a notice that goes with the report, or null")
    rows: int
    failed: int = Field(description="lines of exchanges that were refused or failed; they are not analysed")
    files: int
    verdict: Literal["more-outliers", "as-expected", "not-enough-data"]
    severity: Severity
    sentence: str
    detector: DetectorChoice
    threshold: Number = Field(description="a row is an outlier iff its value is above")
    outliers: int
    expected: Number = Field(description="rate of outliers among rows like the training data")
    expected_high: Number = Field(description="upper end of its 95 % interval, for it is set on rows held out")
    rate: Number
    low: Number = Field(description="95 % interval of the rate")
    high: Number
    worst: tuple[OutlierRow, ...] = Field(description="the most unusual first")
    history: tuple[OutlierStep, ...]
    times: tuple[OutlierTime, ...] = Field(
        default=(), description="of 240 pieces of the window, the most unusual first"
    )
    notes: tuple[Note, ...] = ()

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)
