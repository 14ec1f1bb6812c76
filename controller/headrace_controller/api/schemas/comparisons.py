"""Comparisons of versions, replays and evaluations, as the API answers them."""

from typing import Literal

from pydantic import Field

from headrace_controller.api.schemas.answers import Answer, Json


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
