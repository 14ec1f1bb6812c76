"""What reports of several kinds are made of: numbers, windows, bars, notes."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat

from headrace_jobs.window import Window, text

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
    where: str = Field(default="", description="the condition that its rows satisfy; empty for all rows")
    time: str = Field(default="received", description="the column that says when a row happened")

    @classmethod
    def of(cls, window: Window) -> "Span":
        return cls(
            since=text(window.since),
            until=text(window.until),
            length=window.length,
            where=window.where,
            time=window.time,
        )


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
