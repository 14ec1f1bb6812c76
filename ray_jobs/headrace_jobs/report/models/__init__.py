"""The schema of reports, version 1. Times are RFC 3339 in UTC; shares and p-values are 0 to 1.

One file a kind; this front has them all and their union ``Report``.
"""

from headrace_jobs.report.models.attribution import AttributedField, AttributedRow, AttributionReport, RowPart
from headrace_jobs.report.models.drift import Against, Chunk, DriftReport, FieldDrift, Moved, Side, Test, Thresholds
from headrace_jobs.report.models.explanation import (
    AnchorReport,
    Change,
    Contribution,
    CounterfactualReport,
    CounterfactualRow,
    Explanation,
    OfRow,
    RulePart,
    SaliencyReport,
)
from headrace_jobs.report.models.fairness import FairnessReport, Group, ShareOf
from headrace_jobs.report.models.outliers import (
    DetectorChoice,
    FieldShare,
    OutlierReport,
    OutlierRow,
    OutlierStep,
    OutlierTime,
)
from headrace_jobs.report.models.parts import SCHEMA, Bar, Note, Number, Part, Rows, Scalar, Severity, Span, Step
from headrace_jobs.report.models.performance import ClassTable, MetricPerformance, PerformanceReport, PerformanceRows
from headrace_jobs.report.models.profile import FieldProfile, ProfileReport, ProfileRows, SideProfile
from headrace_jobs.report.models.projection import MapPoint, Neighbour, ProjectionReport
from headrace_jobs.report.models.quality import BrokenRow, QualityReport, QualityResult

Report = ProfileReport | (
    AttributionReport
    | ProjectionReport
    | FairnessReport
    | QualityReport
    | AnchorReport
    | CounterfactualReport
    | SaliencyReport
    | OutlierReport
    | DriftReport
    | Explanation
    | PerformanceReport
)

__all__ = [
    "SCHEMA",
    "Against",
    "AnchorReport",
    "AttributedField",
    "AttributedRow",
    "AttributionReport",
    "Bar",
    "BrokenRow",
    "Change",
    "Chunk",
    "ClassTable",
    "Contribution",
    "CounterfactualReport",
    "CounterfactualRow",
    "DetectorChoice",
    "DriftReport",
    "Explanation",
    "FairnessReport",
    "FieldDrift",
    "FieldProfile",
    "FieldShare",
    "Group",
    "MapPoint",
    "MetricPerformance",
    "Moved",
    "Neighbour",
    "Note",
    "Number",
    "OfRow",
    "OutlierReport",
    "OutlierRow",
    "OutlierStep",
    "OutlierTime",
    "Part",
    "PerformanceReport",
    "PerformanceRows",
    "ProfileReport",
    "ProfileRows",
    "ProjectionReport",
    "QualityReport",
    "QualityResult",
    "Report",
    "RowPart",
    "Rows",
    "RulePart",
    "SaliencyReport",
    "Scalar",
    "Severity",
    "ShareOf",
    "Side",
    "SideProfile",
    "Span",
    "Step",
    "Test",
    "Thresholds",
]
