"""Verdicts of whole runs over real Delta tables, with the plan executed in this process."""

import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from fixtures_jobs import CHURN, SCORE, UNTIL, InProcess, Table, category, given_log, given_version, number, objects
from headrace_functions.errors import InvalidInput, NotFound
from headrace_functions.signature import Field, Signature, dtype
from headrace_functions.storage.objects import ObjectStore
from headrace_jobs.detectors.native import Native
from headrace_jobs.drift.job import DriftRun
from headrace_jobs.report.models import DriftReport, FieldDrift
from headrace_jobs.report.page import page
from headrace_jobs.report.report_store import encode, keep
from headrace_jobs.window import Window

__all__ = ["objects"]

N = 1000


def normal(mean: float = 0.0, rows: int = N, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1, rows)


def drift(objects: ObjectStore, length: str = "1h", until: str = "2026-11-22T12:00:00Z") -> DriftReport:
    report = DriftRun(CHURN, Window.parse(length, until), Native()).report(objects, InProcess(), lambda *_: None)
    json.loads(encode(report))  # plain JSON without NaN, or this raises
    page(report)
    return report


def of(report: DriftReport, name: str) -> FieldDrift:
    return next(f for f in report.fields if f.name == name)


def compare(
    objects: ObjectStore, before: np.ndarray | list, now: np.ndarray | list, field: Field | None = None
) -> FieldDrift:
    """The verdict on one field ``x``."""
    field = field or number("x")
    version = given_version(objects, [field], {"x": before})
    given_log(objects, version, {"x": now})
    return of(drift(objects), "x")


def test_the_same_distribution_is_no_drift(objects: ObjectStore) -> None:
    found = compare(objects, normal(seed=1), normal(seed=2))

    assert (found.verdict, found.severity) == ("no-drift", "none")


@pytest.mark.parametrize(("move", "severity"), [(0.15, "low"), (0.5, "medium"), (2.0, "severe")])
def test_severity_grows_with_the_share_of_rows_that_moved(objects: ObjectStore, move: float, severity: str) -> None:
    found = compare(objects, normal(rows=20_000, seed=1), normal(move, rows=20_000, seed=2))

    assert found.severity == severity


def test_a_shift_that_nobody_needs_to_know_of_is_not_drift_however_many_rows_prove_it(objects: ObjectStore) -> None:
    found = compare(objects, normal(rows=300_000, seed=1), normal(0.02, rows=300_000, seed=2))

    assert of_test(found, "distribution").p_adjusted < 0.05
    assert found.severity == "none"


def of_test(found: FieldDrift, name: str):
    return next(t for t in found.tests if t.test == name)


# The twelve hard cases.


def test_half_nan_is_drift_of_missingness(objects: ObjectStore) -> None:
    now = normal(seed=2)
    now[::2] = np.nan

    found = compare(objects, normal(seed=1), now)

    assert found.severity == "severe"
    assert found.sentence == "`x`: missing 0 % → 50 %"


def test_one_percent_nan_hides_no_shift(objects: ObjectStore) -> None:
    now = normal(1.0, seed=2)
    now[::100] = np.nan

    assert of_test(compare(objects, normal(seed=1), now), "distribution").severity == "severe"


def test_all_nan_is_drift_of_missingness_and_has_no_distribution(objects: ObjectStore) -> None:
    found = compare(objects, normal(seed=1), np.full(N, np.nan))

    assert found.severity == "severe"
    assert [t.test for t in found.tests] == ["missing"]


def test_a_column_that_was_all_nan_in_training_gains_values(objects: ObjectStore) -> None:
    assert of_test(compare(objects, np.full(N, np.nan), normal()), "missing").severity == "severe"


def test_a_constant_column_that_stays_is_no_drift(objects: ObjectStore) -> None:
    assert compare(objects, np.full(N, 3.0), np.full(N, 3.0)).verdict == "no-drift"


def test_a_constant_column_that_changes_is_drift(objects: ObjectStore) -> None:
    assert compare(objects, np.full(N, 3.0), np.full(N, 4.0)).severity == "severe"


def test_an_unseen_category_is_named(objects: ObjectStore) -> None:
    found = compare(objects, ["a", "b"] * 500, ["a", "b"] * 400 + ["zebra"] * 200, category("x"))

    assert of_test(found, "new-category").severity == "medium"
    assert "zebra (20 % of rows)" in found.sentence


def test_training_data_of_another_type_is_skipped_with_a_note(objects: ObjectStore) -> None:
    version = given_version(objects, [number("x"), number("y")], {"x": ["one", "two"] * 500, "y": normal()})
    given_log(objects, version, {"x": normal(), "y": normal()})

    report = drift(objects)

    assert [f.name for f in report.fields] == ["y"]
    assert "cannot be read as float64" in report.notes[0].reason


def test_a_number_that_became_words_is_drift_of_missingness_with_a_note(objects: ObjectStore) -> None:
    numbers = given_version(objects, [number("x"), number("y")], {"x": normal(), "y": normal()})
    words = replace(numbers, signature=Signature((category("x"), number("y")), numbers.signature.outputs))
    given_log(objects, words, {"x": ["one", "two"] * 500, "y": normal()})

    report = drift(objects)

    assert of(report, "x").severity == "severe"
    assert [(n.name, "cannot be read as float64" in n.reason) for n in report.notes][-1] == ("x", True)
    assert of(report, "y").verdict == "no-drift"


def test_a_column_that_is_lost_counts_as_missing(objects: ObjectStore) -> None:
    version = given_version(objects, [number("x"), number("y")], {"x": normal(), "y": normal()})
    given_log(objects, version, {"y": normal()})

    found = of(drift(objects), "x")

    assert found.severity == "severe"
    assert found.window is not None
    assert (found.window.rows, found.window.missing) == (N, N)


def test_a_column_that_training_has_not_is_noted(objects: ObjectStore) -> None:
    version = given_version(objects, [number("x"), number("y")], {"x": normal()})
    given_log(objects, version, {"x": normal(), "y": normal()})

    report = drift(objects)

    assert report.verdict == "no-drift"
    assert ("y", "the training data has no such column, so there is nothing to compare with") in [
        (n.name, n.reason) for n in report.notes
    ]


@pytest.mark.parametrize("rows", [0, 1, 29])
def test_too_few_rows_are_not_enough_data_and_never_all_well(objects: ObjectStore, rows: int) -> None:
    version = given_version(objects, [number("x")], {"x": normal()})
    given_log(objects, version, {"x": normal(100, rows)})

    report = drift(objects)

    assert (report.verdict, report.severity) == ("not-enough-data", "none")
    assert f"the window has {rows} row" in report.sentence


def test_a_version_that_never_logged_has_not_enough_data(objects: ObjectStore) -> None:
    given_version(objects, [number("x")], {"x": normal()})

    assert drift(objects).verdict == "not-enough-data"


def test_a_change_of_unit_is_severe_and_guessed(objects: ObjectStore) -> None:
    version = given_version(objects, [number("x")], {"x": 10 + normal(seed=1)})
    given_log(objects, version, {"x": (10 + normal(seed=2)) * 1000})

    report = drift(objects)

    assert report.severity == "severe"
    assert "1,000 times" in report.advice[0]


def test_time_stamps_are_compared_as_numbers(objects: ObjectStore) -> None:
    moments = (1.7e15 + normal(seed=1) * 1e12).astype("int64")
    field = Field("x", dtype("int64"), profile="numerical")

    found = compare(objects, moments.astype("datetime64[us]"), moments + 10**13, field)

    assert found.severity == "severe"


# What counts, and what the report says.


def test_a_tail_beyond_the_training_range_is_found_though_the_distribution_hardly_moves(objects: ObjectStore) -> None:
    now = normal(rows=2000, seed=2)
    now[:80] = 50

    found = compare(objects, normal(rows=2000, seed=1), now)

    assert of_test(found, "range").severity == "low"
    assert "share above the training maximum 4 %" in found.sentence


def test_infinities_are_values_beyond_the_range(objects: ObjectStore) -> None:
    now = normal(seed=2)
    now[:100] = np.inf
    now[100:200] = -np.inf

    assert of_test(compare(objects, normal(seed=1), now), "range").severity == "medium"


def test_score_drift_is_found_where_answers_on_training_were_kept(objects: ObjectStore) -> None:
    version = given_version(objects, [number("x")], {"x": normal()}, answers={"score": normal(seed=5)})
    given_log(objects, version, {"x": normal(seed=1), "score": normal(1.0, seed=6)})

    report = drift(objects)

    assert of(report, "score").severity == "severe"
    assert of(report, "score").side == "output"


def test_outputs_without_kept_answers_are_noted(objects: ObjectStore) -> None:
    version = given_version(objects, [number("x")], {"x": normal()})
    given_log(objects, version, {"x": normal(), "score": normal()})

    assert "no answers on the training data" in next(n.reason for n in drift(objects).notes if n.name == SCORE.name)


def test_vectors_texts_flags_and_codes_are_compared_by_what_they_show(objects: ObjectStore) -> None:
    fields = [
        Field("pair", dtype("float32"), (2,), columns=("no", "yes")),
        Field("note", dtype("string"), profile="text"),
        Field("flag", dtype("bool"), profile="categorical"),
        Field("code", dtype("int32"), profile="categorical"),
        Field("many", dtype("float64"), (-1,), profile="embedding"),
    ]

    def rows(seed: int, move: float) -> Table:
        random = np.random.default_rng(seed)
        return {
            "pair": random.normal([0, move], 1, (N, 2)).tolist(),
            "note": ["x" * int(n) for n in random.integers(1, 50 + int(50 * move), N)],
            "flag": (random.random(N) < 0.3 + 0.5 * move).tolist(),
            "code": random.integers(0, 5 + int(5 * move), N).tolist(),
            "many": [(random.normal(move, 1, 40)).tolist() for _ in range(N)],
        }

    version = given_version(objects, fields, rows(1, 0.0))
    given_log(objects, version, rows(2, 1.0))

    report = drift(objects)
    assert ["false", "true"] == sorted(bar.label for bar in of(report, "flag").bars)
    severities = {f.name: f.severity for f in report.fields}

    assert severities.pop("pair[no]") == "none"
    assert set(severities) == {"pair[yes]", "note length", "note content", "flag", "code", "many mean", "many norm"}
    assert "none" not in severities.values()


def test_failed_rows_and_rows_outside_the_window_do_not_count(objects: ObjectStore) -> None:
    version = given_version(objects, [number("x")], {"x": normal()})
    given_log(objects, version, {"x": normal(seed=1)})
    given_log(objects, version, {"x": normal(50, 300)}, outcome="failed")
    given_log(objects, version, {"x": normal(50, 300)}, until=UNTIL - timedelta(hours=1))
    given_log(objects, version, {"x": normal(50, 300)}, until=UNTIL + timedelta(hours=1))

    report = drift(objects)

    assert report.verdict == "no-drift"
    assert (report.rows.window, report.rows.failed) == (N, 300)


def test_the_report_says_since_when(objects: ObjectStore) -> None:
    version = given_version(objects, [number("x")], {"x": normal(rows=5000)})
    given_log(
        objects, version, {"x": normal(rows=3000, seed=1)}, until=UNTIL - timedelta(hours=6), span=timedelta(hours=18)
    )
    given_log(objects, version, {"x": normal(2, rows=1000, seed=2)}, span=timedelta(hours=6))

    assert of(drift(objects, "24h"), "x").since == "2026-11-22T06:00:00Z"


def test_the_most_drifted_field_comes_first(objects: ObjectStore) -> None:
    version = given_version(objects, [number(n) for n in "abc"], {n: normal(seed=i) for i, n in enumerate("abc")})
    given_log(objects, version, {"a": normal(seed=7), "b": normal(3, seed=8), "c": normal(0.6, seed=9)})

    report = drift(objects)

    assert [f.name for f in report.fields] == ["b", "c", "a"]
    assert report.sentence == "2 of 3 fields differ from the training data: `b`, `c`."


def test_the_same_run_gives_the_same_bytes_under_the_same_key(objects: ObjectStore) -> None:
    version = given_version(objects, [number("x")], {"x": normal()})
    for i in range(20):  # more files than one merge takes
        given_log(objects, version, {"x": normal(0.5, 50, seed=i)}, request=f"r{i}")

    reports = [drift(objects) for _ in range(2)]

    assert encode(reports[0]) == encode(reports[1])
    keys = [keep(objects, CHURN, "1h", r, page(r)) for r in reports]
    assert keys[0] == keys[1]
    assert objects.get(keys[0]) == encode(reports[0])
    assert objects.exists(keys[0].replace(".json", ".html"))


def test_the_page_is_self_contained_small_and_readable_for_a_thousand_fields(objects: ObjectStore) -> None:
    fields = [number(f"f{i}") for i in range(1000)]
    random = np.random.default_rng(0)
    version = given_version(objects, fields, {f.name: random.normal(size=100) for f in fields})
    given_log(objects, version, {f.name: random.normal(0.8, 1, 100) for f in fields})

    text = page(drift(objects))

    assert len(text.encode()) < 1_000_000
    assert "http://" not in text
    assert "https://" not in text
    assert "<script" not in text


def test_names_and_categories_cannot_break_the_page(objects: ObjectStore) -> None:
    version = given_version(
        objects, [category("<b>x</b>")], {"<b>x</b>": ["<script>alert(1)</script>", "{{ 7*7 }}"] * 100}
    )
    given_log(objects, version, {"<b>x</b>": ["<img src=x>", "b"] * 100})

    text = page(drift(objects))

    assert "<script" not in text
    assert "<img" not in text
    assert "<b>x</b>" not in text


def test_an_unknown_version_is_not_found(objects: ObjectStore) -> None:
    with pytest.raises(NotFound, match="no released version churn:1"):
        drift(objects)


def test_a_version_without_training_data_is_refused_with_what_to_do(objects: ObjectStore) -> None:
    given_version(objects, [number("x")], None)

    with pytest.raises(InvalidInput, match="no training data") as caught:
        drift(objects)

    assert "training-data" in (caught.value.hint or "")


@pytest.mark.parametrize("length", ["", "24", "0h", "-1h", "1y", "999999999w", "24H", "1.5h"])
def test_a_length_that_is_none_is_refused(length: str) -> None:
    with pytest.raises(InvalidInput, match="window"):
        Window.parse(length)


@pytest.mark.parametrize("until", ["yesterday", "2026-11-22T12:00:00", "2026-13-01T00:00:00Z"])
def test_an_end_without_offset_is_refused(until: str) -> None:
    with pytest.raises(InvalidInput, match="until"):
        Window.parse("1h", until)


def test_a_window_before_the_first_year_is_refused() -> None:
    with pytest.raises(InvalidInput, match="until"):
        Window.parse("3000d", "0001-01-02T00:00:00Z")


def test_a_changed_correlation_is_drift_of_the_whole_model_where_no_field_moved(objects: ObjectStore) -> None:
    random = np.random.default_rng(4)
    a, b, c, d = random.normal(size=(4, 2000))
    version = given_version(objects, [number("a"), number("b")], {"a": a, "b": b})
    given_log(objects, version, {"a": c, "b": 0.6 * c + 0.8 * d})

    report = drift(objects)

    assert {f.verdict for f in report.fields} == {"no-drift"}
    assert (report.verdict, report.severity) == ("drift", report.whole[0].severity)
    assert report.sentence.startswith("No field has moved by itself, but their combinations have: at least ")
    assert "relations between fields changed" in page(report)
