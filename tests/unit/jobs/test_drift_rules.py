"""What a version's rules, and what no feature is, make of a drift report; over real Delta tables."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures_jobs import CHURN, UNTIL, InProcess, category, given_log, given_version, number, objects
from headrace_functions.drift_rules import DriftRules
from headrace_functions.errors import InvalidInput
from headrace_functions.signature import Field, Signature, dtype
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import Array
from headrace_jobs.detectors.alibi import AlibiDetect
from headrace_jobs.detectors.native import Native
from headrace_jobs.drift.job import CONCEPT, DriftRun
from headrace_jobs.report.models import DriftReport
from headrace_jobs.report.page import page
from headrace_jobs.report.report_store import keep
from headrace_jobs.window import Window

__all__ = ["objects"]

N = 600
WINDOW = Window.parse("1h", "2026-11-22T12:00:00Z")
NOTE = Field("note", dtype("string"), profile="text")


def drift(objects: ObjectStore, *settings: str) -> DriftReport:
    report = DriftRun(CHURN, WINDOW, Native(), settings=settings).report(objects, InProcess(), lambda *_: None)
    page(report)
    return report


def ruled(objects: ObjectStore, version: Version, rules: DriftRules) -> None:
    """The version as its definition's rules have it."""
    objects.delete(layout.version_document(version.id))
    Documents(objects).create(layout.version_document(version.id), replace(version, drift=rules).to_document())


def normal(seed: int, rows: int = N) -> Array:
    return np.random.default_rng(seed).normal(size=rows)


def names(prefix: str, rows: int = N) -> list[str]:
    return [f"{prefix}-{i}" for i in range(rows)]


def test_an_identifier_is_set_apart_by_name_and_raises_no_alarm(objects: ObjectStore) -> None:
    version = given_version(objects, [category("id"), number("x")], {"id": names("a"), "x": normal(1)})
    given_log(objects, version, {"id": names("b"), "x": normal(2)})

    report = drift(objects)

    (one,) = [f for f in report.fields if f.name == "id"]
    assert report.verdict == "no-drift"
    assert "identifier" in (one.apart or "")
    assert one.sentence.startswith("`id`: set apart, an identifier")
    assert [n.name for n in report.notes if "set apart" in n.reason] == ["id"]


def test_an_identifier_that_gets_lost_is_drift_of_missingness(objects: ObjectStore) -> None:
    version = given_version(objects, [category("id"), number("x")], {"id": names("a"), "x": normal(1)})
    given_log(objects, version, {"id": [*names("b", N // 2), *[None] * (N // 2)], "x": normal(2)})

    report = drift(objects)

    assert [(f.name, [t.test for t in f.tests]) for f in report.fields if f.verdict == "drift"] == [("id", ["missing"])]


def test_an_identifier_that_became_one_value_is_no_identifier_any_more(objects: ObjectStore) -> None:
    version = given_version(objects, [category("id"), number("x")], {"id": names("a"), "x": normal(1)})
    given_log(objects, version, {"id": ["unknown"] * N, "x": normal(2)})

    assert [f.name for f in drift(objects).fields if f.verdict == "drift"] == ["id"]


@pytest.mark.parametrize("unit", [1.0, 1e9])
def test_a_clock_is_set_apart_though_training_has_no_order(objects: ObjectStore, unit: float) -> None:
    ticks = np.cumsum(np.random.default_rng(0).integers(1, 60, 2 * N)) * unit + 1.7e9 * unit
    before = np.random.default_rng(1).permutation(ticks[:N])
    version = given_version(objects, [number("at"), number("x")], {"at": before, "x": normal(1)})
    given_log(objects, version, {"at": ticks[N:], "x": normal(2)})

    report = drift(objects)

    assert report.verdict == "no-drift"
    assert [f.name for f in report.fields if f.apart is not None] == ["at"]


def test_a_sensor_that_ramps_up_is_no_clock(objects: ObjectStore) -> None:
    version = given_version(objects, [number("heat"), number("x")], {"heat": normal(3), "x": normal(1)})
    given_log(objects, version, {"heat": np.linspace(0, 5, N) + normal(4) * 0.01, "x": normal(2)})

    assert [f.name for f in drift(objects).fields if f.verdict == "drift"] == ["heat"]


def test_repeated_rows_count_as_what_they_are_and_the_sentence_says_so(objects: ObjectStore) -> None:
    version = given_version(objects, [number("x"), number("y")], {"x": normal(1, 400), "y": normal(2, 400)})
    given_log(objects, version, {"x": np.repeat(normal(3, 80), 5), "y": np.repeat(normal(4, 80), 5)})

    report = drift(objects)

    assert (report.rows.effective_reference, report.rows.effective_window) == (None, 80)
    assert "the 400 rows of the window count as 80" in report.sentence


def test_rows_of_few_groups_give_no_verdict(objects: ObjectStore) -> None:
    shop, level = np.repeat(np.arange(20.0), 30), np.repeat(normal(5, 20), 30)
    version = given_version(objects, [number("shop"), number("x")], {"shop": shop, "x": level + normal(1)})
    given_log(objects, version, {"shop": shop, "x": level + 2 + normal(2)})
    assert drift(objects).verdict == "drift"

    grouped = drift(objects, "monitoring.grouping=shop")

    assert grouped.verdict == "not-enough-data"
    assert "20 rows that do not depend on each other" in grouped.sentence


def test_groups_that_differ_by_themselves_are_no_drift_once_they_are_named(objects: ObjectStore) -> None:
    """Sixty customers a side, each with ten rows that are alike."""
    random = np.random.default_rng(7)

    def side(first: int) -> dict[str, Array]:
        return {
            "who": np.repeat(np.arange(first, first + 60.0), 10),
            "x": np.repeat(random.normal(size=60), 10) + random.normal(0, 0.1, 600),
        }

    verdicts = {"": 0, "monitoring.grouping=who": 0}
    version = given_version(objects, [number("who"), number("x")], side(0))
    given_log(objects, version, side(100))
    for setting in verdicts:
        report = drift(objects, setting) if setting else drift(objects, "monitoring.exclude=who")
        verdicts[setting] = report.verdict == "drift"

    assert verdicts == {"": True, "monitoring.grouping=who": False}


def test_an_excluded_field_is_in_no_test(objects: ObjectStore) -> None:
    version = given_version(objects, [number("x"), number("y")], {"x": normal(1), "y": normal(2)})
    given_log(objects, version, {"x": normal(3) + 3, "y": normal(4)})
    ruled(objects, version, DriftRules(exclude=("x",)))

    report = drift(objects)

    assert (report.verdict, [f.name for f in report.fields]) == ("no-drift", ["y"])


def test_a_limit_of_a_field_is_that_fields_alone(objects: ObjectStore) -> None:
    version = given_version(objects, [number("x"), number("y")], {"x": normal(1), "y": normal(2)})
    given_log(objects, version, {"x": normal(3) + 0.6, "y": normal(4) + 0.6})
    ruled(objects, version, DriftRules(fields={"x": 0.5}))

    assert [f.name for f in drift(objects).fields if f.verdict == "drift"] == ["y"]


def test_a_setting_of_the_run_goes_before_the_versions_rule(objects: ObjectStore) -> None:
    version = given_version(objects, [number("x"), number("y")], {"x": normal(1), "y": normal(2)})
    given_log(objects, version, {"x": normal(3), "y": normal(4)})
    ruled(objects, version, DriftRules(alpha=0.2, effect=0.3))

    report = drift(objects, "monitoring.alpha=0.001")

    assert (report.thresholds.alpha, report.thresholds.moved) == (0.001, (0.3, 0.3, 0.3))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("monitoring.exclude=nobody", "there is no field 'nobody'"),
        ("monitoring.fields.nobody=0.1", "there is no field 'nobody'"),
        ("monitoring.grouping=score", "there is no input 'score'"),
        ("monitoring.grouping=note", "rows cannot be grouped by 'note'"),
        ("monitoring.alpha=0", "monitoring.alpha: 0.0"),
        ("monitoring.alpha=much", "monitoring.alpha: 'much'"),
        ("monitoring.effect=2", "monitoring.effect: 2.0"),
        ("monitoring.alfa=0.1", "no such key 'monitoring.alfa'"),
        ("alpha=0.1", "not a setting 'alpha=0.1'"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_what_can(objects: ObjectStore, setting: str, said: str) -> None:
    given_version(objects, [number("x"), NOTE], {"x": normal(1), "note": names("n")})

    with pytest.raises(InvalidInput) as caught:
        drift(objects, setting)

    assert said in caught.value.message
    assert caught.value.expected


@given(
    st.builds(
        DriftRules,
        st.floats(0.001, 0.5),
        st.floats(0, 1),
        st.lists(st.text(max_size=4), max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=4), st.floats(0, 1), max_size=3),
    )
)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_rules_are_kept_as_they_are(rules: DriftRules) -> None:
    assert DriftRules.from_document(rules.to_document()) == rules


def test_a_version_from_before_there_were_rules_has_the_usual_ones() -> None:
    made = Version(CHURN, "python", Signature((number("x"),), (number("y"),)), "0" * 64, "env", "content").to_document()
    del made["drift"]

    assert Version.from_document(made).drift == DriftRules()


def test_spam_in_a_tenth_of_the_texts_is_found_though_their_length_is_the_same(objects: ObjectStore) -> None:
    random = np.random.default_rng(8)
    usual, spam = (
        ["order", "late", "refund", "item", "broken", "delivery", "support", "account"],
        ["cash", "prize", "click", "bonus", "casino"],
    )

    def texts(share: float) -> list[str]:
        return [" ".join(random.choice(spam if random.random() < share else usual, 6)) for _ in range(N)]

    version = given_version(objects, [NOTE, number("x")], {"note": texts(0), "x": normal(1)})
    given_log(objects, version, {"note": texts(0.1), "x": normal(2)})

    report = drift(objects)

    assert report.fields[0].name == "note content"
    assert "what is in it is told from what was there" in report.fields[0].sentence


def test_the_guilty_input_comes_before_the_output_that_it_moved(objects: ObjectStore) -> None:
    x, y = normal(1), normal(2)
    version = given_version(objects, [number("x"), number("y")], {"x": x, "y": y}, answers={"score": 0.2 * x + y})
    now, other = normal(3) + 1, normal(4)
    given_log(objects, version, {"x": now, "y": other, "score": 0.2 * now + other + 3})

    assert [f.name for f in drift(objects).fields[:2]] == ["x", "score"]


def test_an_embedding_is_one_field(objects: ObjectStore) -> None:
    field = Field("e", dtype("float32"), (6,), profile="embedding")
    random = np.random.default_rng(9)
    version = given_version(objects, [field, number("x")], {"e": random.normal(size=(N, 6)).tolist(), "x": normal(1)})
    given_log(objects, version, {"e": random.normal(0.3, 1, (N, 6)).tolist(), "x": normal(2)})

    assert [(f.name, f.verdict) for f in drift(objects).fields] == [("e content", "drift"), ("x", "no-drift")]


def test_a_relation_that_changed_is_named_in_the_sentence(objects: ObjectStore) -> None:
    a, b, c = normal(1, 2000), normal(2, 2000), normal(3, 2000)
    version = given_version(objects, [number("a"), number("b"), number("c")], {"a": a, "b": b, "c": c})
    d, e = normal(4, 2000), normal(5, 2000)
    given_log(objects, version, {"a": d, "b": normal(6, 2000), "c": 0.5 * d + 0.75**0.5 * e})

    assert drift(objects).sentence.endswith("Most of all `a` with `c`.")


def test_refused_rows_are_said_beside_the_verdict(objects: ObjectStore) -> None:
    version = given_version(objects, [number("x"), number("y")], {"x": normal(1), "y": normal(2)})
    given_log(objects, version, {"x": normal(3), "y": normal(4)})
    given_log(objects, version, {"x": normal(5, 61), "y": normal(6, 61)}, outcome="refused")

    report = drift(objects)

    assert (report.verdict, report.rows.failed) == ("no-drift", 61)
    assert report.sentence.endswith(" 61 more rows were refused or failed, and not compared.")


def test_that_a_model_may_not_depend_on_an_input_is_not_said_of_one_that_its_answers_depend_on(
    objects: ObjectStore,
) -> None:
    x, z = normal(1), normal(2)
    version = given_version(objects, [number("x"), number("z")], {"x": x, "z": z}, answers={"score": x})
    now = normal(3) + 1
    given_log(objects, version, {"x": now, "z": normal(4), "score": np.random.default_rng(5).permutation(x)})

    assert not [sentence for sentence in drift(objects).advice if "may not depend" in sentence]


def earlier(objects: ObjectStore, version: Version, windows: int, move: float) -> None:
    """Reports of so many hours before the last one, in each of which x lies elsewhere than in training."""
    for i in range(windows, 0, -1):
        until = UNTIL - timedelta(hours=i)
        given_log(objects, version, {"x": normal(100 + i) + move, "y": normal(200 + i)}, until=until)
        run = DriftRun(CHURN, Window(until - timedelta(hours=1), until, "1h"), Native())
        report = run.report(objects, InProcess(), lambda *_: None)
        keep(objects, CHURN, run.window.slug, report, page(report))


def test_a_drift_that_the_windows_before_had_too_is_said_to_be_nothing_new(objects: ObjectStore) -> None:
    version = given_version(objects, [number("x"), number("y")], {"x": normal(1), "y": normal(2)})
    earlier(objects, version, 8, 0.8)
    given_log(objects, version, {"x": normal(3) + 0.8, "y": normal(4)})

    report = drift(objects)

    assert report.verdict == "drift"
    assert report.fields[0].sentence.endswith("; no further than in the 8 windows before")
    assert report.sentence.endswith(
        " All of it is no further from the reference than in the 8 windows before: not new."
    )


@pytest.mark.parametrize(("windows", "move"), [(8, 3.0), (7, 0.8)])
def test_a_drift_beyond_the_band_or_without_one_is_new(objects: ObjectStore, windows: int, move: float) -> None:
    version = given_version(objects, [number("x"), number("y")], {"x": normal(1), "y": normal(2)})
    earlier(objects, version, windows, 0.8)
    given_log(objects, version, {"x": normal(3) + move, "y": normal(4)})

    assert "not new" not in drift(objects).sentence


def test_each_engine_has_every_test_of_all_fields_that_a_run_takes_by_default() -> None:
    """Alibi Detect is not installed here: what it is asked for needs none of it."""
    theirs = AlibiDetect.__new__(AlibiDetect)
    wanted = [name for name in DriftRun(CHURN, WINDOW, Native()).together if name != CONCEPT]

    assert [engine.whole(name).name for engine in (theirs, Native()) for name in wanted] == [*wanted, *wanted]


@pytest.mark.parametrize("unit", ["id", "time"])
def test_rows_that_are_sent_again_under_another_number_or_time_count_once(objects: ObjectStore, unit: str) -> None:
    random = np.random.default_rng(9)

    def side(first: float) -> dict[str, Any]:
        rows = {name: np.repeat(random.normal(size=80), 5) for name in ("x", "y")}
        own = first + np.arange(400.0) * (1 if unit == "id" else 0.37)
        return {**rows, "own": [f"r{v:.0f}" for v in own] if unit == "id" else own}

    own = category("own") if unit == "id" else number("own")
    version = given_version(objects, [number("x"), number("y"), own], side(1.7e9))
    given_log(objects, version, side(1.8e9))

    report = drift(objects)

    assert (report.rows.effective_reference, report.rows.effective_window) == (80, 80)
    assert report.verdict == "no-drift"


def test_a_shift_is_found_in_groups_whose_rows_share_little(objects: ObjectStore) -> None:
    """By the number of groups alone (forty a side) it would not be: their rows are worth nearly as much as others."""
    random = np.random.default_rng(10)

    def side(first: int, move: float) -> dict[str, Any]:
        return {"who": [f"u{first + i % 40}" for i in range(800)], "x": random.normal(move, 1, 800)}

    version = given_version(objects, [category("who"), number("x")], side(0, 0.0))
    given_log(objects, version, side(100, 0.4))

    report = drift(objects, "monitoring.grouping=who")

    assert [field.name for field in report.fields if field.verdict == "drift"] == ["x"]
    assert {t.method for t in report.fields[0].tests if t.test == "distribution"} == {"block permutation"}
