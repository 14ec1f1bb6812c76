"""Reports of drift."""

from typing import Literal

from pydantic import ConfigDict, Field

from headrace_jobs.report.models.parts import SCHEMA, Bar, Note, Number, Part, Rows, Severity, Span, Step


class Test(Part):
    """One test of a field."""

    __test__ = False  # not a test case, whatever its name

    test: Literal[
        "distribution",
        "missing",
        "range",
        "new-category",
        "column",
        "content",
        "joint",
        "relations",
        "mmd",
        "reconstruction",
        "uncertainty",
        "concept",
        "classifier",
        "tabular",
        "lsdd",
    ]
    method: str
    statistic: Number
    p: Number
    p_adjusted: Number = Field(description="adjusted over all tests of the report (Benjamini and Hochberg 1995)")
    effect: Number = Field(description="share of rows concerned")
    effect_low: Number = Field(description="one-sided 95 % lower confidence bound of the effect")
    severity: Severity
    about: tuple[str, ...] = Field(default=(), description="views that a test of all fields is about most")


class Side(Part):
    """What one side of a comparison looks like. Moments and extremes are of finite numbers."""

    rows: int
    missing: int
    mean: Number | None = None
    std: Number | None = None
    min: Number | None = None
    max: Number | None = None
    quantiles: dict[str, Number] | None = None
    infinite: int = 0
    distinct: int | None = None


class FieldDrift(Part):
    """One view of a field: the field itself, one element, or a number derived from it."""

    name: str
    side: Literal["input", "output"]
    kind: Literal["number", "category"]
    verdict: Literal["drift", "no-drift", "not-enough-data"]
    severity: Severity
    apart: str | None = Field(
        default=None,
        description="why a field is set apart, with its missing values alone compared; null for one that is not",
    )
    score: Number = Field(description="the largest lower bound of a finding that counts")
    importance: Number | None = Field(
        default=None, description="share of what the answers depend on, see ranking; null where unknown"
    )
    impact: Number = Field(
        default=0.0,
        description="score times importance (1 for an output, or where none is known); the ranking of inputs that drifted, and of outputs after them",
    )
    usual: Number | None = Field(
        default=None, description="effect up to which the field went in the windows before; null with too few of them"
    )
    sentence: str
    since: str | None = Field(default=None, description="start of the first step from which on the field stays moved")
    tests: tuple[Test, ...] = ()
    distances: dict[str, Number] = Field(
        default_factory=dict,
        description="wasserstein (units of the field), wasserstein_sd (standard deviations of the reference), "
        "jensen_shannon (0 to 1), psi, total_variation (0 to 1)",
    )
    reference: Side | None = None
    window: Side | None = None
    bars: tuple[Bar, ...] = ()
    history: tuple[Step, ...] = ()


class Thresholds(Part):
    alpha: float
    min_rows: int
    moved: tuple[float, float, float]
    defect: tuple[float, float, float]


class Against(Part):
    """The reference: training data, or a window of the log."""

    kind: Literal["training", "previous", "fixed"]
    since: str | None = None
    until: str | None = None


class Moved(Part):
    """A view that drifted in a chunk."""

    name: str
    severity: Severity
    effect: Number = Field(description="the largest effect of a test that counts")


class Chunk(Part):
    """A piece of the window, compared by itself; p-values are adjusted over all chunks together."""

    since: str
    until: str
    rows: int
    verdict: Literal["drift", "no-drift", "not-enough-data"]
    severity: Severity
    drifted: int = Field(description="views that drifted")
    fields: tuple[Moved, ...] = Field(description="the most drifted of them first, 20 at most")


class DriftReport(Part):
    kind: Literal["drift"] = "drift"
    version: Literal[1] = Field(default=SCHEMA, alias="schema")
    model: str
    engine: Literal["native", "alibi"]
    licence: str | None = Field(description="a notice that goes with the report, or null")
    against: Against = Field(description="what the window is compared with")
    window: Span
    rows: Rows
    verdict: Literal["drift", "no-drift", "not-enough-data"]
    severity: Severity
    sentence: str
    advice: tuple[str, ...] = Field(default=(), description="what to look at next, a sentence each")
    fields: tuple[FieldDrift, ...] = Field(description="the most drifted first")
    ranking: Literal["shap", "variance", "severity"] = Field(
        default="variance",
        description="importance is a share of mean |SHAP| on training rows, or of the answers' variance there; without either, by severity",
    )
    whole: tuple[Test, ...] = Field(default=(), description="tests of all inputs together; none with too few rows")
    chunks: tuple[Chunk, ...] = Field(default=(), description="the window cut by time, where that was asked for")
    notes: tuple[Note, ...] = ()
    thresholds: Thresholds

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)
