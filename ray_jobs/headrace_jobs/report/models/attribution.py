"""Reports of what a window's answers depend on."""

from typing import Literal

from pydantic import ConfigDict, Field

from headrace_jobs.report.models.parts import SCHEMA, Note, Number, Part, Scalar, Span


class AttributedField(Part):
    """One feature, over all rows that were explained."""

    name: str
    importance: Number = Field(description="mean of |SHAP|, in units of the explained answer")
    share: Number = Field(description="of the sum over all features")
    mean: Number = Field(description="mean of SHAP: whether it raised or lowered the answers")
    top: int = Field(description="rows in which no other feature moved the answer as much")
    trained: Number | None = Field(
        default=None,
        description="its share on training data; null where that was never worked out, or of training data itself",
    )
    shift: Number | None = Field(
        default=None, description="share less trained: how much more the answers depend on it now"
    )
    told: bool = Field(default=False, description="whether the shift is beyond what rows by chance show (99 %)")


class RowPart(Part):
    name: str
    value: Scalar | None
    shap: Number


class AttributedRow(Part):
    """One row, with the features that moved its answer most."""

    request_id: str
    row: int
    received: str
    prediction: Number = Field(description="the explained answer, in units of the SHAP values")
    why: Number | None = Field(
        description="the outlier's score, or how little it looks like training; null in a sample"
    )
    parts: tuple[RowPart, ...]


class AttributionReport(Part):
    kind: Literal["attribution"] = "attribution"
    version: Literal[1] = Field(default=SCHEMA, alias="schema")
    model: str
    window: Span
    chosen: Literal["sample", "outliers", "drifted", "training"] = Field(
        description="which rows of the window are explained, or those of the training data"
    )
    method: Literal["trees", "exact", "permutation"]
    output: str
    reason: str = Field(description="why this output")
    unit: str = Field(description="of the SHAP values, e.g. log odds")
    base: Number = Field(description="the average that the values start from")
    explained: int = Field(description="rows")
    asked: int = Field(description="rows that the endpoint was asked")
    residual: Number = Field(description="largest difference of a row's answer and base plus SHAP values")
    sentence: str
    fields: tuple[AttributedField, ...] = Field(description="the most important first")
    rows: tuple[AttributedRow, ...] = Field(description="at most 50; none of the training data")
    notes: tuple[Note, ...] = ()

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)
