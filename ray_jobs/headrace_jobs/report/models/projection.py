"""Maps of a window over training."""

from typing import Literal

from pydantic import ConfigDict, Field

from headrace_jobs.report.models.parts import SCHEMA, Number, Part, Scalar, Span


class MapPoint(Part):
    """A row on the map."""

    side: Literal["training", "window"]
    at: tuple[float, ...] = Field(description="two or three numbers from -1 to 1")
    distance: float = Field(description="to the tenth nearest training row, in standard deviations over all inputs")
    request_id: str | None = None
    row: int | None = None
    output: Scalar | None = Field(default=None, description="the model's answer, of rows of the window")


class Neighbour(Part):
    point: int = Field(description="place among the points")
    side: Literal["training", "window"]
    distance: Number


class ProjectionReport(Part):
    kind: Literal["projection"] = "projection"
    version: Literal[1] = Field(default=SCHEMA, alias="schema")
    model: str
    window: Span
    method: Literal["tsne", "pca"]
    dimensions: int
    training: int = Field(description="rows of the training data")
    rows: int = Field(description="answered rows of the window")
    trustworthiness: Number = Field(description="0 to 1: how few neighbours on the map are none in the data")
    usual: Number = Field(description="distance from training that 99 % of training rows keep")
    beyond: Number = Field(description="share of the window's points that are farther")
    output: str | None = Field(description="the output that colours the map")
    sentence: str
    points: tuple[MapPoint, ...]
    request: str | None = Field(description="the request whose neighbours were asked for")
    neighbours: tuple[Neighbour, ...] = Field(default=(), description="the nearest first")

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)
