"""When a finding counts: both gates, and the correction for many tests."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from headrace_jobs.detectors.base import Finding
from headrace_jobs.verdict import DEFAULT, adjust, judge


def finding(p: float, effect_low: float, scale: str = "moved") -> Finding:
    return Finding("distribution", "a test", 0.0, p, effect_low, effect_low, scale)  # type: ignore[arg-type]


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_adjusted_p_values_are_scipys(p_values: list[float]) -> None:
    assert adjust(p_values) == pytest.approx(stats.false_discovery_control(p_values).tolist(), abs=1e-12)


def test_a_p_value_that_is_nan_is_a_bug_and_not_a_verdict() -> None:
    with pytest.raises(ValueError, match="NaN"):
        adjust([0.1, float("nan")])


def test_a_big_effect_that_chance_explains_does_not_count() -> None:
    assert judge([finding(0.06, 0.9)], DEFAULT)[0].severity == "none"


def test_a_proven_effect_that_nobody_notices_does_not_count() -> None:
    assert judge([finding(1e-30, 0.001)], DEFAULT)[0].severity == "none"


def test_one_test_of_many_needs_a_smaller_p_value_than_one_alone() -> None:
    alone, among = judge([finding(0.04, 0.5)], DEFAULT), judge([finding(0.04, 0.5), *[finding(0.9, 0.0)] * 9], DEFAULT)

    assert (alone[0].severity, among[0].severity) == ("severe", "none")


@pytest.mark.parametrize(
    ("scale", "effect", "severity"),
    [
        ("moved", 0.019, "none"),
        ("moved", 0.02, "low"),
        ("moved", 0.1, "medium"),
        ("moved", 0.25, "severe"),
        ("defect", 0.009, "none"),
        ("defect", 0.01, "low"),
        ("defect", 0.05, "medium"),
        ("defect", 0.2, "severe"),
    ],
)
def test_severity_is_what_the_lower_bound_reaches(scale: str, effect: float, severity: str) -> None:
    assert judge([finding(0.0, effect, scale)], DEFAULT)[0].severity == severity


def test_nothing_tested_is_nothing_judged() -> None:
    assert judge([], DEFAULT) == []
