"""Reports of estimated and realised performance."""

from typing import Literal

from pydantic import ConfigDict, Field

from headrace_jobs.report.models.parts import SCHEMA, Note, Number, Part, Severity, Span


class MetricPerformance(Part):
    """One metric of a window."""

    name: str
    better: Literal["higher", "lower"]
    reference: Number | None = Field(description="of the reference rows, whose labels are known")
    band_low: Number | None = Field(default=None, description="band that windows without change lie in")
    band_high: Number | None = None
    estimated: Number | None = Field(default=None, description="without labels; null where it cannot be estimated")
    low: Number | None = Field(default=None, description="95 % interval that the realised value should lie in")
    high: Number | None = None
    realised: Number | None = Field(default=None, description="of the rows that have labels; null without any")
    severity: Severity


class PerformanceRows(Part):
    reference: int = Field(description="rows with label and answer")
    window: int
    failed: int
    unusable: int = Field(description="answered rows without a probability or number")
    labelled: int = Field(description="rows of the window whose label has come")
    strangers: int = Field(description="labels that are no class of the model, or no number")
    files: int


class ClassTable(Part):
    """Answers beside classes, of the reference, of the window as estimated, or of its rows with labels."""

    of: Literal["reference", "estimated", "realised"]
    confusion: tuple[tuple[Number, ...], ...] = Field(
        description="shares of all rows: a line a class, a column an answer, and a last one for answers that are no class"
    )
    given: tuple[Number, ...] = Field(
        description="share of probabilities in each of ten equal bins; of two classes of the second alone"
    )
    met: tuple[Number | None, ...] = Field(
        description="share of them that are of the class (reliability); null where there are none"
    )


class PerformanceReport(Part):
    kind: Literal["performance"] = "performance"
    version: Literal[1] = Field(default=SCHEMA, alias="schema")
    model: str
    window: Span
    problem: Literal["binary", "multiclass", "regression"]
    target: str
    output: str
    classes: tuple[str, ...] = Field(
        default=(), description="in the order of the probabilities; the last of two is positive"
    )
    method: str = Field(description="how the metrics without labels were estimated")
    rows: PerformanceRows
    verdict: Literal["degraded", "steady", "no-reference", "not-enough-data"]
    severity: Severity
    judged: Literal["estimated", "realised"] = Field(description="which figures the verdict is of")
    sentence: str
    metrics: tuple[MetricPerformance, ...]
    tables: tuple[ClassTable, ...] = Field(default=(), description="of classes; empty of numbers")
    notes: tuple[Note, ...] = ()

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)
