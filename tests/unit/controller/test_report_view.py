"""A report on a terminal: what it says first, at which width, and what it leaves to its page."""

from typing import Any

import pytest

from headrace_controller.cli.report_view import MAX_LINES, show_document

DRIFT: dict[str, Any] = {
    "kind": "drift",
    "schema": 1,
    "model": "churn:1",
    "engine": "native",
    "verdict": "drift",
    "severity": "severe",
    "sentence": "1 of 2 fields differs from the training data: `age`.",
    "window": {
        "since": "2026-11-21T12:00:00.5Z",
        "until": "2026-11-22T12:00:00.512721Z",
        "length": "24h",
        "where": "in.age > 3",
        "time": "received",
    },
    "ranking": "shap",
    "rows": {"window": 20},
    "fields": [
        {"name": "age", "severity": "severe", "score": 0.5, "sentence": "`age`: mean 3 → 4", "reference": {"rows": 5}}
    ],
    "notes": [{"name": "plan", "reason": "it has no `x`"}],
}


def shown(document: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> list[str]:
    show_document(document)
    return capsys.readouterr().out.splitlines()


def test_the_verdict_and_its_sentence_come_first_and_each_field_says_what_moved(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert [
        "churn:1 drift, 24h until 2026-11-22T12:00:00Z, where in.age > 3",
        "drift, severe",
        "1 of 2 fields differs from the training data: age.",
        "",
        "ranking  shap",
        "",
        "NAME  SEVERITY  SCORE  FOUND",
        "age   severe    0.5    mean 3 → 4",
        "note: plan: it has no x",
    ] == [line.rstrip() for line in shown(DRIFT, capsys)]


def test_a_long_table_is_cut_and_says_how_to_see_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown({**DRIFT, "fields": DRIFT["fields"] * (MAX_LINES + 3)}, capsys)
    assert "and 3 more fields: --json, or headrace report open" in lines


def test_a_report_of_an_unknown_kind_or_without_members_is_shown_as_far_as_it_goes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ["m:1 new", "", "figure  3"] == shown({"kind": "new", "model": "m:1", "figure": 3}, capsys)


def test_intervals_are_shown_by_their_value(capsys: pytest.CaptureFixture[str]) -> None:
    groups = [{"name": "a", "severity": "none", "rows": 5, "selection": {"value": 0.25, "low": 0.1, "high": 0.4}}]
    assert "a     none      5     0.25" in shown({"kind": "fairness", "model": "m:1", "groups": groups}, capsys)
