"""Data-quality rules: each kind passes and fails on the rows that it should, however they are spread over files."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures_jobs import CHURN, UNTIL, InProcess, category, given_log, given_version, number, objects
from headrace_functions.errors import InvalidInput
from headrace_functions.quality_rules import KEYS, QualityRule, check
from headrace_functions.signature import Field, Signature, dtype
from headrace_functions.storage.objects import ObjectStore
from headrace_jobs import inputs
from headrace_jobs.quality import counting
from headrace_jobs.quality.counting import Broken, Counted, merge_all
from headrace_jobs.quality.job import QualityRun
from headrace_jobs.report.models import QualityReport
from headrace_jobs.report.page import page
from headrace_jobs.report.report_store import encode

__all__ = ["objects"]

NAME = Field("name", dtype("string"), (), "text")
FIELDS = [number("age"), category("plan"), NAME]
ROWS: dict[str, Any] = {
    "age": [30.0, 41.0, -1.0, np.nan, 55.0, 55.0, 130.0, 30.0],
    "plan": ["a", "b", "a", "c", None, "b", "a", "a"],
    "name": ["ann", "bob", "c4t", "dan", "eve", "eve", "fay", "ann"],
    "score": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8],
}
"""Rows 0 and 7 are equal in all inputs, rows 4 and 5 in age and name."""


def given_rows(objects: ObjectStore, files: int = 2) -> None:
    version = given_version(objects, FIELDS, None)
    for part in range(files):
        rows = {name: values[part::files] for name, values in ROWS.items()}
        given_log(objects, version, rows, request=f"part{part}")


def run(objects: ObjectStore, *rules: QualityRule, length: str = "24h") -> QualityReport:
    window = inputs.window_of(objects, CHURN, length, f"{UNTIL:%FT%TZ}")
    report = QualityRun(CHURN, window, rules).report(objects, InProcess(), lambda *_: None)
    assert report.sentence.split(" ", maxsplit=1)[0] in page(report)
    encode(report)
    return report


@pytest.mark.parametrize(
    ("rule", "broken", "rows"),
    [
        (QualityRule("range", "age", min=0, max=120), 2, 7),
        (QualityRule("range", "age", max=55), 1, 7),
        (QualityRule("set", "plan", values=("a", "b")), 1, 7),
        (QualityRule("set", "in.age", values=(30, 41, 55, -1, 130)), 0, 7),
        (QualityRule("regex", "name", pattern="[a-z]{3}"), 1, 8),
        (QualityRule("missing", "age"), 1, 8),
        (QualityRule("missing", "plan"), 1, 8),
        (QualityRule("unique", "name"), 4, 8),
        (QualityRule("unique", "score"), 0, 8),
        (QualityRule("constant", "plan"), 4, 7),
        (QualityRule("duplicates"), 2, 8),
        (QualityRule("condition", where="out.score < 0.75"), 1, 8),
        (QualityRule("condition", where="in.age > 0 OR in.plan = 'c'"), 1, 8),
    ],
    ids=lambda r: r.title if isinstance(r, QualityRule) else None,
)
@pytest.mark.parametrize("files", [1, 3])
def test_a_rule_counts_the_rows_that_break_it_and_lets_missing_values_be(
    objects: ObjectStore, rule: QualityRule, broken: int, rows: int, files: int
) -> None:
    given_rows(objects, files)
    (found,) = run(objects, rule).rules
    assert (broken, rows) == (found.broken, found.rows)
    fails = broken / rows > (0.99 if rule.rule == "constant" else 0)
    assert ("fail" if fails else "pass") == found.verdict


def test_the_first_rows_that_break_a_rule_are_named_with_their_values(objects: ObjectStore) -> None:
    given_rows(objects, files=1)
    (found,) = run(objects, QualityRule("range", "age", min=0, max=120)).rules
    assert [("part0-2", 0, "-1.0"), ("part0-6", 0, "130.0")] == [(e.request_id, e.row, e.value) for e in found.examples]
    assert "`age` is outside 0 to 120 in 29 % of rows." == found.sentence


def test_a_share_that_is_allowed_breaks_no_rule(objects: ObjectStore) -> None:
    given_rows(objects)
    rules = [QualityRule("missing", "age", allow=allow) for allow in (0.125, 0.12)]
    assert ["pass", "fail"] == [run(objects, rule).verdict for rule in rules]
    constant = [QualityRule("constant", "plan", allow=allow) for allow in (0.6, 0.5)]
    assert ["pass", "fail"] == [run(objects, rule).verdict for rule in constant]


def test_the_report_is_as_severe_as_its_worst_rule_and_says_the_worst_first(objects: ObjectStore) -> None:
    given_rows(objects)
    report = run(
        objects,
        QualityRule("missing", "age", severity="low"),
        QualityRule("set", "plan", values=("a",), severity="severe"),
        QualityRule("range", "score", min=0),
    )
    assert ("fail", "severe") == (report.verdict, report.severity)
    assert report.sentence.startswith("2 of 3 rules fail. `plan` is none of a in 43 % of rows.")
    assert ["low", "severe", "none"] == [r.severity for r in report.rules]


def test_a_window_without_rows_fails_what_is_about_the_window_alone(objects: ObjectStore) -> None:
    given_version(objects, FIELDS, None)
    rules = (QualityRule("range", "age", min=0), QualityRule("rows", min=1), QualityRule("freshness", within="2h"))
    report = run(objects, *rules)
    assert ["no-rows", "fail", "fail"] == [r.verdict for r in report.rules]
    assert "not-enough-data" == run(objects, rules[0]).verdict


@pytest.mark.parametrize(("within", "verdict"), [("30m", "fail"), ("40m", "pass")])
def test_freshness_is_the_age_of_the_newest_row_at_the_end_of_the_window(
    objects: ObjectStore, within: str, verdict: str
) -> None:
    version = given_version(objects, FIELDS, None)
    given_log(objects, version, {k: v[:1] for k, v in ROWS.items()}, until=UNTIL, span=timedelta(minutes=35))
    assert verdict == run(objects, QualityRule("freshness", within=within)).verdict


@pytest.mark.parametrize(("ends", "verdict"), [((8, None), "pass"), ((9, None), "fail"), ((None, 7), "fail")])
def test_the_number_of_rows_is_held_between_its_ends(
    objects: ObjectStore, ends: tuple[float | None, float | None], verdict: str
) -> None:
    given_rows(objects)
    assert verdict == run(objects, QualityRule("rows", min=ends[0], max=ends[1])).verdict


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(parts=st.lists(st.lists(st.integers(0, 4), max_size=6), max_size=5))
def test_parts_add_up_to_the_whole_in_any_grouping(parts: list[list[int]]) -> None:
    def counted(part: list[int]) -> Counted:
        examples = tuple(counting.Example(k, "r", k, "") for k in sorted(part))[: counting.EXAMPLES]
        return Counted(len(part), 0, max(part, default=0), {0: Broken(len(part), sum(part), examples)})

    found = [counted(p) for p in parts]
    at_once = merge_all(*found)
    assert at_once == merge_all(*found[:2], merge_all(*found[2:]))
    assert (sum(map(len, parts)), sum(map(sum, parts))) == (
        at_once.rows,
        at_once.rules[0].broken if at_once.rules else 0,
    )


def test_more_values_than_are_kept_are_estimated_and_the_report_says_so(
    objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "KEPT", 500)
    version = given_version(objects, [number("x")], None)
    values = np.concatenate([np.arange(4000.0), np.arange(1000.0)])
    given_log(objects, version, {"x": values, "score": values})
    (found,) = run(objects, QualityRule("unique", "x")).rules
    assert found.estimated
    assert found.broken == pytest.approx(2000, rel=0.3)


SIGNATURE = Signature((number("x"), NAME, Field("v", dtype("float64"), (3,))), (number("score"),))


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"rule": "rnage"}, "rule: is not a rule: 'rnage'"),
        ({"rule": "range", "min": 0}, "field: is missing in"),
        ({"rule": "range", "field": "x"}, "min: None"),
        ({"rule": "range", "field": "x", "min": 2, "max": 1}, "min: 2"),
        ({"rule": "range", "field": "x", "min": float("nan")}, "min: nan"),
        ({"rule": "range", "field": "x", "min": 0, "pattern": "a"}, "pattern: is not for 'a'"),
        ({"rule": "missing", "field": "x", "allow": 1.0}, "allow: 1.0"),
        ({"rule": "missing", "field": "x", "severity": "bad"}, "severity: 'bad'"),
        ({"rule": "freshness", "within": "soon"}, "within: 'soon'"),
        ({"rule": "range", "field": "y", "min": 0}, "field: there is no 'y'"),
        ({"rule": "range", "field": "name", "min": 0}, "field: range cannot be about the text 'name'"),
        ({"rule": "regex", "field": "x", "pattern": "a"}, "field: regex cannot be about the number 'x'"),
        ({"rule": "unique", "field": "v"}, "field: unique cannot be about the list 'v'"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_by_its_key(document: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check([QualityRule.from_document(document)], SIGNATURE)
    assert f"monitoring.rules.{said}" in caught.value.message


def test_a_pattern_that_is_none_and_values_of_another_type_are_refused(objects: ObjectStore) -> None:
    given_rows(objects)
    with pytest.raises(InvalidInput, match="is not a regular expression"):
        run(objects, QualityRule("regex", "name", pattern="("))
    with pytest.raises(InvalidInput, match="values: not a number: 'a'"):
        run(objects, QualityRule("set", "age", values=("a",)))


def test_two_rules_of_one_name_are_refused_and_named_ones_are_not() -> None:
    twice = [QualityRule("missing", "x"), QualityRule("missing", "x", allow=0.1)]
    with pytest.raises(InvalidInput, match="is there twice: 'missing of x'"):
        check(twice, SIGNATURE)
    check([twice[0], QualityRule("missing", "x", allow=0.1, name="most have x")], SIGNATURE)


def test_a_version_without_rules_says_where_they_are_written(objects: ObjectStore) -> None:
    given_rows(objects)
    with pytest.raises(InvalidInput, match="has no data-quality rules") as caught:
        run(objects)
    assert "--rules" in caught.value.details()["expected"]


def test_a_rule_reads_back_as_it_was_written_whatever_its_kind() -> None:
    values = {"field": "x", "min": 0.0, "values": ("a", 1), "pattern": "a+", "where": "in.x > 0", "within": "2h"}
    for kind, (needed, known) in KEYS.items():
        keys = {*needed, *(known & {"min"})}
        rule = QualityRule(kind, **{k: values[k] for k in keys}, severity="low", name="n")  # type: ignore[arg-type]
        assert rule == QualityRule.from_document(rule.to_document())
