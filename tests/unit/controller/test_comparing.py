"""Two reports: what they say differently, and what cannot be compared."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_controller.cli.report_diff import differences
from headrace_functions.errors import InvalidInput


def drift(verdict: str, rows: int, **severities: str) -> dict[str, Any]:
    fields = [{"name": name, "severity": severity} for name, severity in severities.items()]
    return {"kind": "drift", "verdict": verdict, "rows": {"window": rows}, "fields": fields}


def test_only_what_differs_is_shown_in_the_order_of_the_reports() -> None:
    found = differences(drift("no-drift", 10, age="none", plan="none"), drift("drift", 12, age="low", plan="none"))

    assert [(d["name"], d["member"], d["before"], d["after"]) for d in found] == [
        ("", "verdict", "no-drift", "drift"),
        ("", "rows.window", 10, 12),
        ("age", "severity", "none", "low"),
    ]


def test_a_field_that_one_report_has_not_differs_from_nothing() -> None:
    found = differences(drift("drift", 1, old="low"), drift("drift", 1, new="severe"))

    assert {(d["name"], d["before"], d["after"]) for d in found} == {("old", "low", None), ("new", None, "severe")}


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.sampled_from(["none", "low", "severe"]), max_size=5))
def test_a_report_does_not_differ_from_itself(severities: dict[str, str]) -> None:
    fields = [{"name": name, "severity": severity} for name, severity in severities.items()]
    report = {"kind": "drift", "verdict": "drift", "rows": {"window": 3}, "fields": fields}

    assert differences(report, report) == []


def test_reports_of_two_kinds_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no fields in common"):
        differences(drift("drift", 1), {"kind": "performance"})
