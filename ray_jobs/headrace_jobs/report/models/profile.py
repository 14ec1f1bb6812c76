"""Profiles of a window beside the training data."""

from typing import Literal

from pydantic import ConfigDict, Field

from headrace_jobs.report.models.parts import SCHEMA, Bar, Note, Number, Part, Span


class SideProfile(Part):
    """What one side of a field looks like. Figures of numbers are of finite ones."""

    rows: int
    missing: int
    infinite: int
    distinct: int = Field(description="exact for up to 10,000 categories, else within about 2 % (HyperLogLog)")
    mean: Number | None = None
    std: Number | None = None
    variance: Number | None = None
    skewness: Number | None = None
    kurtosis: Number | None = None
    min: Number | None = None
    max: Number | None = None
    quantiles: dict[str, Number] | None = Field(default=None, description="of at most 50,000 rows")
    rare: int | None = Field(default=None, description="categories that occur once")


class FieldProfile(Part):
    """One view of a field on both sides; null where a side has none."""

    name: str
    side: Literal["input", "output"]
    kind: Literal["number", "category"]
    training: SideProfile | None = None
    window: SideProfile | None = None
    bars: tuple[Bar, ...] = Field(
        default=(), description="of a tensor's variance: its share along principal directions"
    )


class ProfileRows(Part):
    training: int
    window: int
    failed: int
    files: int


class ProfileReport(Part):
    kind: Literal["profile"] = "profile"
    version: Literal[1] = Field(default=SCHEMA, alias="schema")
    model: str
    window: Span
    rows: ProfileRows
    fields: tuple[FieldProfile, ...] = Field(description="inputs, then outputs")
    notes: tuple[Note, ...] = ()

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)
