"""The documentation of reports names what reports have and what decides."""

import json
import re
from pathlib import Path

import pytest

from headrace_jobs.commands import _parser
from headrace_jobs.detectors import domain_classifier
from headrace_jobs.performance import counting, families, judging, problem
from headrace_jobs.report import schema
from headrace_jobs.report.models import (
    Contribution,
    DriftReport,
    Explanation,
    FieldDrift,
    MetricPerformance,
    PerformanceReport,
    PerformanceRows,
    ProfileReport,
    ProjectionReport,
    Side,
    SideProfile,
    Test,
)
from headrace_jobs.statistics import history, numbers
from headrace_jobs.verdict import DEFAULT

ROOT = Path(__file__).parents[3]
REPORTS = (ROOT / "docs" / "reports.md").read_text()
README = (ROOT / "ray_jobs" / "README.md").read_text()


@pytest.mark.parametrize(
    "model",
    [
        DriftReport,
        FieldDrift,
        Test,
        Side,
        Explanation,
        Contribution,
        PerformanceReport,
        MetricPerformance,
        PerformanceRows,
        ProfileReport,
        SideProfile,
        ProjectionReport,
    ],
)
def test_each_member_of_a_report_is_documented(model: type) -> None:
    members = {f.alias or name for name, f in model.model_fields.items()}  # type: ignore[attr-defined]

    assert {m for m in members if f"`{m}`" not in REPORTS} == set()


def test_the_thresholds_are_the_documented_ones() -> None:
    for severity, moved, defect in zip(("low", "medium", "severe"), DEFAULT.moved, DEFAULT.defect, strict=True):
        assert f"| {severity} | {moved:.0%} | {defect:.0%} |".replace("%", " %") in REPORTS
    assert f"fewer than {DEFAULT.min_rows} rows" in REPORTS
    assert f"at most {DEFAULT.alpha}" in REPORTS
    assert f"up to {numbers.GRID} values" in REPORTS
    assert f"of {history.STEPS} equal steps" in REPORTS
    assert f"at most {domain_classifier.ROWS} rows a side" in REPORTS
    assert f"It takes {domain_classifier.MIN_ROWS} rows a side" in REPORTS


def test_the_limits_of_performance_are_the_documented_ones() -> None:
    assert f"{judging.MIN_REFERENCE} reference rows" in REPORTS
    assert f"{judging.MIN_ROWS} rows" in REPORTS
    assert f"{judging.TOLERANCE} of a metric up to 1" in REPORTS
    assert f"{judging.LOSS_TOLERANCE:.0%} of a loss".replace("%", " %") in REPORTS
    assert f"at most {problem.MAX_CLASSES} classes" in REPORTS
    assert f"{families.ENOUGH} rows of the class" in REPORTS
    assert f"{counting.SAMPLE:,} rows" in REPORTS


@pytest.mark.parametrize("kind", [DriftReport, Explanation, PerformanceReport])
def test_the_published_schema_has_every_kind_and_requires_what_it_always_says(kind: type) -> None:
    found = json.loads(schema.text())
    (described,) = (d for name, d in found["$defs"].items() if name == kind.__name__)

    assert found["discriminator"]["mapping"][kind.model_fields["kind"].default] == f"#/$defs/{kind.__name__}"  # type: ignore[attr-defined]
    assert {"kind", "schema", "model"} <= set(described["properties"])
    assert described["additionalProperties"] is False


def test_each_option_of_each_job_is_in_the_readme() -> None:
    (kinds,) = (action for action in _parser()._actions if action.choices)
    for kind, parser in kinds.choices.items():  # type: ignore[union-attr]
        (line,) = re.findall(rf"^python -m headrace_jobs {kind} .*$", README, re.MULTILINE)
        options = {o for action in parser._actions for o in action.option_strings if o.startswith("--")}  # type: ignore[attr-defined]
        assert {o for o in options - {"--help", "--id"} if o not in line} == set(), kind
