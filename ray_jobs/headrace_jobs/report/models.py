"""The schema of reports, version 1. Times are RFC 3339 in UTC; shares and p-values are 0 to 1."""

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

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Span(Part):
    """The half-open window ``[since, until)``."""

    since: str
    until: str
    length: str


class Test(Part):
    """One test of a field."""

    __test__ = False  # not a test case, whatever its name

    test: Literal[
        "distribution",
        "missing",
        "range",
        "new-category",
        "column",
        "joint",
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


class FieldDrift(Part):
    """One view of a field: the field itself, one element, or a number derived from it."""

    name: str
    side: Literal["input", "output"]
    kind: Literal["number", "category"]
    verdict: Literal["drift", "no-drift", "not-enough-data"]
    severity: Severity
    score: Number = Field(description="the largest lower bound of a finding that counts")
    importance: Number | None = Field(
        default=None, description="share of the answers' variance that the input explains by itself; null where unknown"
    )
    impact: Number = Field(
        default=0.0, description="score times importance (1 for an output, or where none is known); the ranking"
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


class Note(Part):
    """A field that was not tested, and why."""

    name: str
    reason: str


class Rows(Part):
    reference: int
    window: int
    failed: int = Field(description="lines of exchanges that were refused or failed; they are not analysed")
    files: int


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
    whole: tuple[Test, ...] = Field(default=(), description="tests of all inputs together; none with too few rows")
    chunks: tuple[Chunk, ...] = Field(default=(), description="the window cut by time, where that was asked for")
    notes: tuple[Note, ...] = ()
    thresholds: Thresholds

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


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
    background: int = Field(description="rows of the training data that stand for 'unknown'")
    asked: int = Field(description="rows that the endpoint was asked")
    sentence: str
    contributions: tuple[Contribution, ...] = Field(description="the largest first")

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


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
    reference: int = Field(description="training rows with label and answer")
    window: int
    failed: int
    unusable: int = Field(description="answered rows without a probability or number")
    labelled: int = Field(description="rows of the window whose label has come")
    strangers: int = Field(description="labels that are no class of the model, or no number")
    files: int


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
    verdict: Literal["degraded", "steady", "not-enough-data"]
    severity: Severity
    judged: Literal["estimated", "realised"] = Field(description="which figures the verdict is of")
    sentence: str
    metrics: tuple[MetricPerformance, ...]
    notes: tuple[Note, ...] = ()

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


class ShareOf(Part):
    """A share, ratio or difference with its 95 % interval."""

    value: Number
    low: Number
    high: Number


class Group(Part):
    """One group; ``impact`` and ``difference`` are against the largest, null for itself and with too few rows."""

    name: str
    rows: int
    deserving: int = Field(description="rows whose label is the good answer")
    selection: ShareOf = Field(description="share of rows with the good answer")
    opportunity: ShareOf | None = Field(description="share of good answers among the deserving; null without any")
    impact: ShareOf | None = Field(default=None, description="ratio of selection rates")
    difference: ShareOf | None = Field(default=None, description="difference of opportunity")
    severity: Severity


class FairnessReport(Part):
    kind: Literal["fairness"] = "fairness"
    version: Literal[1] = Field(default=SCHEMA, alias="schema")
    model: str
    window: Span
    group: str
    output: str
    positive: str
    rows: int = Field(description="answered rows with an answer that can be read")
    labelled: int
    failed: int
    unusable: int
    files: int
    reference: str | None = Field(description="the largest group, which the others are compared with")
    verdict: Literal["disparity", "no-disparity", "not-enough-data"]
    severity: Severity
    sentence: str
    groups: tuple[Group, ...] = Field(description="the largest first")
    notes: tuple[Note, ...] = ()

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


class RulePart(Part):
    """One condition of a rule: the feature, ``=``, ``<=`` or ``>``, and with what."""

    name: str
    relation: Literal["=", "<=", ">"]
    value: Scalar


class OfRow(Part):
    """An explanation of one logged row."""

    version: Literal[1] = Field(default=SCHEMA, alias="schema")
    model: str
    request_id: str
    row: int
    received: str
    asked: int = Field(description="rows that the endpoint was asked")
    sentence: str

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


class AnchorReport(OfRow):
    kind: Literal["anchors"] = "anchors"
    answer: str = Field(description="what the rule keeps, e.g. ``label = yes``")
    rule: tuple[RulePart, ...] = Field(description="all of which the row fulfils")
    precision: Number = Field(description="share of perturbed rows under the rule that have the answer")
    precision_low: Number = Field(description="its lower 90 % bound")
    coverage: Number = Field(description="share of the training data that fulfils the rule")
    held_out: int = Field(description="perturbed rows that precision was measured on")


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

    method: Literal["tails", "mahalanobis", "forest"]
    candidates: dict[str, Number] = Field(description="mean area under the ROC curve")
    fitted: int
    held_out: int


class OutlierReport(Part):
    kind: Literal["outliers"] = "outliers"
    version: Literal[1] = Field(default=SCHEMA, alias="schema")
    model: str
    window: Span
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
    notes: tuple[Note, ...] = ()

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


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


class AttributedField(Part):
    """One feature, over all rows that were explained."""

    name: str
    importance: Number = Field(description="mean of |SHAP|, in units of the explained answer")
    share: Number = Field(description="of the sum over all features")
    mean: Number = Field(description="mean of SHAP: whether it raised or lowered the answers")
    top: int = Field(description="rows in which no other feature moved the answer as much")


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
    chosen: Literal["sample", "outliers", "drifted"] = Field(description="which rows of the window are explained")
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
    rows: tuple[AttributedRow, ...] = Field(description="at most 50")
    notes: tuple[Note, ...] = ()

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


Report = ProfileReport | (
    AttributionReport
    | ProjectionReport
    | FairnessReport
    | AnchorReport
    | CounterfactualReport
    | SaliencyReport
    | OutlierReport
    | DriftReport
    | Explanation
    | PerformanceReport
)
