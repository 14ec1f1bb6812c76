"""What reports of several kinds are made of: numbers, windows, bars, notes."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat

SCHEMA: Literal[1] = 1

Severity = Literal["none", "low", "medium", "severe"]
Scalar = str | int | float | bool


def _rounded(value: float) -> float:
    # Ten digits are more than anybody reads and fewer than summation in another order can change.
    return float(f"{value:.10g}")


Number = Annotated[FiniteFloat, AfterValidator(_rounded)]


class Part(BaseModel):
    """Parts refuse unknown members and NaN, and cannot change."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class Span(Part):
    """The half-open window ``[since, until)``."""

    since: str
    until: str
    length: str


class Bar(Part):
    """Shares of both sides in one bin or category."""

    label: str
    reference: Number
    window: Number
    outside: bool = Field(default=False, description="beyond the values of the reference")


class Step(Part):
    """One step of the window's time."""

    start: str
    rows: int
    moved: Number | None = Field(
        description="share of rows that moved, beyond what so few rows show by chance; null with too few"
    )


class Note(Part):
    """A field that was not tested, and why."""

    name: str
    reason: str


class Rows(Part):
    reference: int
    window: int
    effective_reference: int | None = Field(
        default=None, description="independent rows of the reference, where rows are repeated or grouped; drift alone"
    )
    effective_window: int | None = Field(default=None, description="the same of the window")
    failed: int = Field(description="lines of exchanges that were refused or failed; they are not analysed")
    files: int
