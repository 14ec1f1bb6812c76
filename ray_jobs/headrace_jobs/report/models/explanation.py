"""Explanations of one row, one model a method."""

from typing import Literal

from pydantic import ConfigDict, Field, FiniteFloat

from headrace_jobs.report.models.parts import SCHEMA, Number, Part, Scalar


class Contribution(Part):
    """What one feature adds to the prediction, against the background."""

    name: str
    value: Scalar | None
    typical: Scalar | None = Field(description="median, or most frequent value, of the background")
    shap: FiniteFloat = Field(description="not rounded: base and all values sum to the prediction")
    error: Number = Field(description="standard error of sampling; 0 for exact values")


class Explanation(Part):
    kind: Literal["explain"] = "explain"
    version: Literal[1] = Field(default=SCHEMA, alias="schema")
    model: str
    request_id: str
    row: int
    received: str
    output: str = Field(description="what is explained, e.g. ``probabilities[malignant]``")
    reason: str = Field(description="why this output")
    method: Literal["exact", "permutation"]
    prediction: FiniteFloat
    base: FiniteFloat = Field(
        description="mean answer over the background; base and all contributions sum to prediction"
    )
    logged: FiniteFloat | None = Field(description="the answer in the log, if it holds one")
    background: int = Field(description="rows that stand for 'unknown'")
    asked: int = Field(description="rows that the endpoint was asked")
    sentence: str
    contributions: tuple[Contribution, ...] = Field(description="the largest first")
    sequence: str | None = Field(
        default=None, description="the sequence that is explained as a whole, with its revision"
    )
    source: Literal["training", "log"] = Field(default="training", description="where the background is from")

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


class RulePart(Part):
    """One condition of a rule: the feature, how it is held against what. ``is missing`` has no value, ``contains`` a word of a text."""

    name: str
    relation: Literal["=", "<=", ">", "contains", "is missing"]
    value: Scalar | None = None


class OfRow(Part):
    """An explanation of one logged row."""

    version: Literal[1] = Field(default=SCHEMA, alias="schema")
    model: str
    request_id: str
    row: int
    received: str
    asked: int = Field(description="rows that the endpoint was asked")
    sentence: str
    sequence: str | None = Field(
        default=None, description="the sequence that is explained as a whole, with its revision"
    )

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


class AnchorReport(OfRow):
    kind: Literal["anchors"] = "anchors"
    answer: str = Field(description="what the rule keeps, e.g. ``label = yes``")
    rule: tuple[RulePart, ...] = Field(description="all of which the row fulfils")
    precision: Number = Field(description="share of rows under the rule, not seen by the search, that have the answer")
    precision_low: Number | None = Field(
        description="its lower 95 % bound by independent real rows; null of parts of an image"
    )
    coverage: Number = Field(description="share of the training data that fulfils the rule")
    held_out: int = Field(description="rows that precision was measured on; 0 of parts of an image")
    real: int = Field(default=0, description="those of them that are real rows, each once; the others are perturbed")
    engine: Literal["native", "alibi"] = Field(default="native", description="who found the rule")
    licence: str | None = Field(default=None, description="a notice that goes with the report, or null")
    input: str | None = Field(default=None, description="the image of which parts are told instead of a rule")
    image: tuple[tuple[Number, ...], ...] = Field(default=(), description="brightness, 0 to 1, by row and column")
    held: tuple[tuple[int, ...], ...] = Field(
        default=(), description="1 where the pixel is of a part that holds the answer"
    )


class Change(Part):
    name: str
    before: Scalar | None
    after: Scalar | None


class CounterfactualRow(Part):
    source: Literal["training", "log"] = Field(default="training", description="where the neighbour was met")
    """A row with another answer: the explained row with these changes."""

    distance: Number = Field(description="mean over features; numbers in spreads of the training data, at most 3")
    changes: tuple[Change, ...]


class CounterfactualReport(OfRow):
    kind: Literal["counterfactual"] = "counterfactual"
    answer: str
    rows: tuple[CounterfactualRow, ...] = Field(description="the nearest first")
    compared: int = Field(description="rows with another answer that were compared")


class SaliencyReport(OfRow):
    kind: Literal["rise"] = "rise"
    input: str
    output: str
    prediction: Number
    image: tuple[tuple[Number, ...], ...] = Field(description="brightness, 0 to 1, by row and column")
    saliency: tuple[tuple[Number, ...], ...] = Field(
        description="mean output where the pixel is shown less that of all masks"
    )
