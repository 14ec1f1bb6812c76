"""Which rows of a window a run looks at: those that satisfy a condition, and those of a time of their own."""

import html
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures_jobs import CHURN, UNTIL, InProcess, category, given_log, given_version, number, objects
from headrace_functions.drift_rules import DriftRules
from headrace_functions.errors import InvalidInput
from headrace_functions.signature import Field, Signature, dtype
from headrace_functions.storage.objects import ObjectStore
from headrace_jobs import inputs
from headrace_jobs.baseline import against_of
from headrace_jobs.detectors.native import Native
from headrace_jobs.drift.job import DriftRun
from headrace_jobs.event_time import event_times
from headrace_jobs.report.models import DriftReport
from headrace_jobs.report.page import page

__all__ = ["objects"]

END = "2026-11-22T12:00:00Z"
TEXT = Field("at", dtype("string"), (), "text")


def normal(mean: float = 0.0, rows: int = 600, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1, rows)


def given_two_regions(objects: ObjectStore) -> None:
    """Training about 0; in the log the rows of region ``b`` are about 3, those of ``a`` as ever; some of ``b`` were refused."""
    regions = {"region": ["a", "b"] * 300}
    version = given_version(objects, [number("x"), category("region")], {"x": normal(), **regions})
    moved = np.where(np.array(regions["region"]) == "b", 3.0, 0.0)
    given_log(objects, version, {"x": normal(seed=1) + moved, **regions, "score": normal(seed=5)})
    refused = {"x": normal(rows=10), "region": ["b"] * 10, "score": normal(rows=10)}
    given_log(objects, version, refused, outcome="refused", request="no")


def run(objects: ObjectStore, where: str = "", length: str = "24h", against: str = "training") -> DriftReport:
    window = inputs.window_of(objects, CHURN, length, END, where)
    reference = against_of(objects, CHURN, against, window)
    report = DriftRun(CHURN, window, Native(), against=reference).report(objects, InProcess(), lambda *_: None)
    assert where in html.unescape(page(report))
    return report


def test_only_rows_that_satisfy_the_condition_are_analysed_and_the_report_says_it(objects: ObjectStore) -> None:
    given_two_regions(objects)
    a, b = (run(objects, f"in.region = '{region}'") for region in "ab")
    x = {r.window.where: next(f for f in r.fields if f.name == "x") for r in (a, b)}
    assert ("in.region = 'a'", 300, 0) == (a.window.where, a.rows.window, a.rows.failed)
    assert ("in.region = 'b'", 300, 10) == (b.window.where, b.rows.window, b.rows.failed)
    assert ["no-drift", "drift"] == [x[f"in.region = '{region}'"].verdict for region in "ab"]


def test_a_condition_over_inputs_holds_for_the_training_data_too(objects: ObjectStore) -> None:
    """In training the rows of ``b`` are about 3 as they are in the log; beside all of training they would seem to have moved."""
    regions = {"region": ["a", "b"] * 300}
    moved = np.where(np.array(regions["region"]) == "b", 3.0, 0.0)
    fields = [number("x"), category("region")]
    version = given_version(objects, fields, {"x": normal() + moved, **regions}, answers={"score": normal(seed=9)})
    given_log(objects, version, {"x": normal(seed=1) + moved, **regions, "score": normal(seed=5)})
    report = run(objects, "in.region = 'b'")
    assert ("no-drift", 300, 300) == (report.verdict, report.rows.reference, report.rows.window)
    assert [] == [n for n in report.notes if n.name == "training data"]
    other = run(objects, "in.region = 'b' AND latency_ms > 0")
    assert ("drift", 600, 300) == (other.verdict, other.rows.reference, other.rows.window)
    assert ["training data"] == [n.name for n in other.notes]


def test_the_window_before_and_a_number_of_rows_are_of_the_condition_too(objects: ObjectStore) -> None:
    given_two_regions(objects)
    report = run(objects, "in.region = 'b' and in.x > 0", "100rows", "previous")
    assert (100, 100) == (report.rows.window, report.rows.reference)
    assert "no-drift" == next(f for f in report.fields if f.name == "x").verdict


def test_a_condition_may_name_the_date_and_meets_missing_values(objects: ObjectStore) -> None:
    version = given_version(objects, [number("x")], {"x": normal()})
    values = np.where(np.arange(100) % 4 == 0, np.nan, 1.0)
    given_log(objects, version, {"x": values, "score": normal(rows=100)})
    assert 75 == run(objects, "date >= '2026-11-22' AND in.x < 5").rows.window
    assert 25 == run(objects, "isnan(in.x)").rows.window
    assert 0 == run(objects, "date < '2026-11-22'").rows.window


def test_a_condition_may_name_a_column_that_older_files_lack(objects: ObjectStore) -> None:
    version = given_version(objects, [number("x")], {"x": normal()})
    given_log(objects, version, {"x": normal(rows=50), "score": normal(rows=50)})
    assert (50, 0) == tuple(run(objects, w).rows.window for w in ("caller IS NULL", "caller = 'ann'"))


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("in.region", "boolean"),
        ("in.size > 1", "'in.size'"),
        ("true; drop table log", "';'"),
        ("in.x >", "ends where a value"),
    ],
)
def test_what_is_no_condition_over_the_log_is_refused(objects: ObjectStore, where: str, said: str) -> None:
    given_two_regions(objects)
    with pytest.raises(InvalidInput, match=r"^where: ") as caught:
        run(objects, where)
    assert said in caught.value.message + caught.value.details()["expected"]


def test_rows_count_when_their_caller_says_that_they_happened(objects: ObjectStore) -> None:
    """A back-fill of ten days that was sent within an hour is read as ten days; a row without such a time counts when it was received."""
    version = given_version(objects, [TEXT, number("x")], {"x": normal(), "at": ["2026-01-01"] * 600})
    days = [f"2026-11-{12 + i // 60:02}T10:00:00+00:00" for i in range(590)] + ["soon"] * 10
    given_log(objects, version, {"x": normal(seed=1), "at": days, "score": normal(seed=2)})
    by_receipt = inputs.window_of(objects, CHURN, "2d", END)
    by_caller = inputs.window_of(objects, CHURN, "2d", END, time="in.at")
    rows = {w.time: _rows(objects, w) for w in (by_receipt, by_caller)}
    assert {"received": 600, "in.at": 50 + 10} == rows
    assert 60 == _rows(objects, inputs.window_of(objects, CHURN, "60rows", END, time="in.at"))


def _rows(objects: ObjectStore, window: inputs.Window) -> int:
    files = inputs.log_files(objects, CHURN, window)
    return sum(inputs.answered(inputs.open_parquet(objects, f.key), window).rows for f in files)


@given(st.integers(126_230_400, 7_258_118_400), st.sampled_from([1, 10**3, 10**6, 10**9]))
def test_a_number_since_the_epoch_is_read_in_its_own_unit(seconds: int, unit: int) -> None:
    """From 1974 to 2200."""
    at = datetime.fromtimestamp(seconds, UTC)
    column = pa.chunked_array([pa.array([seconds * unit], pa.int64())])
    assert [at] == event_times(column, received(1)).to_pylist()


@pytest.mark.parametrize("text", ["2026-11-22T12:00:00Z", "2026-11-22T13:00:00+01:00", "2026-11-22 12:00:00"])
def test_text_is_read_as_rfc_3339_and_as_utc_without_an_offset(text: str) -> None:
    column = pa.chunked_array([pa.array([text, None, "never"])])
    assert [UNTIL, UNTIL - timedelta(days=1), UNTIL - timedelta(days=1)] == event_times(column, received(3)).to_pylist()


def test_a_column_of_words_says_no_time() -> None:
    column = pa.chunked_array([pa.array(["monday", None] * 10)])
    with pytest.raises(InvalidInput, match=r"time: none of 10 values is a time, e\.g\. 'monday'"):
        event_times(column, received(20))


def test_numbers_that_are_no_time_count_as_missing() -> None:
    column = pa.chunked_array([pa.array([float("nan"), float("inf"), -1e300, None])])
    assert [UNTIL - timedelta(days=1)] * 4 == event_times(column, received(4)).to_pylist()


def received(rows: int) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array([UNTIL - timedelta(days=1)] * rows, pa.timestamp("us", "UTC"))])


def test_the_version_says_which_window_and_which_time_count_unless_the_run_does() -> None:
    signature = Signature((TEXT, number("x"), Field("on", dtype("bool"), ())), (number("score"),))
    rules = DriftRules(time="at", window="10000rows")
    assert rules == DriftRules.from_document(rules.to_document())
    assert "in.at" == rules.time_column(signature)
    assert "caller_time" == rules.with_settings(["monitoring.time=caller_time"]).time_column(signature)
    assert "7d" == rules.with_settings(["monitoring.window=7d"]).window
    for time, said in (("when", "there is no field 'when'"), ("on", "it says no time: 'on'")):
        with pytest.raises(InvalidInput, match=f"monitoring.time: {said}"):
            DriftRules(time=time).check(signature)
    with pytest.raises(InvalidInput, match=r"monitoring\.window: 'a week'"):
        DriftRules(window="a week")
