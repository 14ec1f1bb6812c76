"""Which rows a run looks at: windows by rows, other windows as the reference, and chunks of a window."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures_jobs import CHURN, UNTIL, InProcess, category, given_log, given_version, number, objects
from headrace_functions.errors import InvalidInput
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.views import ViewName
from headrace_jobs import inputs
from headrace_jobs.baseline import against_of
from headrace_jobs.columns import Column, Numbers
from headrace_jobs.detectors.native import Native
from headrace_jobs.drift.chunks import coarse, judge_chunks
from headrace_jobs.drift.compare import Comparison
from headrace_jobs.drift.job import DriftRun
from headrace_jobs.report.models import DriftReport
from headrace_jobs.report.page import page
from headrace_jobs.report.report_store import encode
from headrace_jobs.scan import Part, summary
from headrace_jobs.statistics.numbers import GRID, NumberReference
from headrace_jobs.verdict import DEFAULT
from headrace_jobs.window import MAX_CHUNKS, Window

__all__ = ["objects"]

DAY = timedelta(days=1)


def normal(mean: float = 0.0, rows: int = 600, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1, rows)


def run(objects: ObjectStore, length: str, against: str = "training", chunks: str | None = None) -> DriftReport:
    window = inputs.window_of(objects, CHURN, length, "2026-11-22T12:00:00Z")
    reference = against_of(objects, CHURN, against, window)
    pieces = window.chunks(chunks) if chunks else ()
    report = DriftRun(CHURN, window, Native(), against=reference, chunks=pieces).report(
        objects, InProcess(), lambda *_: None
    )
    page(report)
    return report


def given_two_days(objects: ObjectStore, move: float) -> None:
    """Training about 5, the log about 0 the day before yesterday, and about ``move`` since."""
    version = given_version(objects, [number("x"), category("c")], {"x": normal(5), "c": ["a", "b"] * 300})
    words = {"c": ["a", "b"] * 300}
    given_log(objects, version, {"x": normal(seed=1), **words, "score": normal(seed=5)}, until=UNTIL - DAY, span=DAY)
    given_log(objects, version, {"x": normal(move, seed=2), **words, "score": normal(seed=6)}, span=DAY, request="new")


def test_a_window_of_rows_holds_the_newest_answered_ones(objects: ObjectStore) -> None:
    given_two_days(objects, 3)
    given_log(objects, inputs.read_version(objects, CHURN), {"x": normal(rows=50)}, outcome="failed", request="f")

    report = run(objects, "150rows")

    assert (report.rows.window, report.window.length) == (150, "150rows")


def test_a_window_of_more_rows_than_were_logged_holds_them_all(objects: ObjectStore) -> None:
    given_two_days(objects, 3)

    assert run(objects, "999999999rows").rows.window == 1200


def test_a_window_of_rows_over_an_empty_log_has_not_enough_data(objects: ObjectStore) -> None:
    given_version(objects, [number("x")], {"x": normal()})

    assert run(objects, "100rows").verdict == "not-enough-data"


@pytest.mark.parametrize(("move", "verdict"), [(0.0, "no-drift"), (2.0, "drift")])
def test_the_previous_window_is_the_reference_where_it_is_asked_for(
    objects: ObjectStore, move: float, verdict: str
) -> None:
    """Though training is far from both."""
    given_two_days(objects, move)

    report = run(objects, "24h", "previous")

    assert (report.verdict, report.rows.reference) == (verdict, 600)
    assert (report.against.kind, report.against.until) == ("previous", report.window.since)
    assert "the window before" in report.sentence
    assert {f.name for f in report.fields} == {"x", "c", "score"}


def test_the_previous_window_of_rows_has_as_many_rows(objects: ObjectStore) -> None:
    given_two_days(objects, 2)

    report = run(objects, "600rows", "previous")

    assert (report.rows.reference, report.verdict) == (600, "drift")


def test_a_fixed_window_is_the_reference_where_it_is_given(objects: ObjectStore) -> None:
    given_two_days(objects, 2)

    report = run(objects, "24h", "2026-11-20T12:00:00Z/2026-11-21T12:00:00+00:00")

    assert (report.against.kind, report.against.since) == ("fixed", "2026-11-20T12:00:00Z")
    assert report.verdict == "drift"
    assert "the reference maximum" in report.fields[0].sentence


def test_a_reference_window_without_rows_gives_no_verdict(objects: ObjectStore) -> None:
    given_two_days(objects, 2)

    report = run(objects, "24h", "2020-01-01T00:00:00Z/2020-01-02T00:00:00Z")

    assert (report.verdict, report.rows.reference) == ("not-enough-data", 0)


def test_no_training_data_is_needed_to_compare_two_windows(objects: ObjectStore) -> None:
    version = given_version(objects, [number("x")], None)
    given_log(objects, version, {"x": normal()}, until=UNTIL - DAY)
    given_log(objects, version, {"x": normal(3)}, request="new")

    assert run(objects, "24h", "previous").verdict == "drift"


@pytest.mark.parametrize(
    "against", ["yesterday", "2026-11-20/2026-11-21", "/", "2026-11-22T12:00:00Z/2026-11-21T12:00:00Z"]
)
def test_a_reference_that_is_none_is_refused_with_its_name(objects: ObjectStore, against: str) -> None:
    given_two_days(objects, 0)

    with pytest.raises(InvalidInput, match="against"):
        run(objects, "24h", against)


def test_chunks_say_when_a_change_came_and_when_it_went(objects: ObjectStore) -> None:
    """Six hours of training's like, six of a shift, six as before; an hour without a row has no verdict."""
    version = given_version(
        objects, [number("x"), number("y")], {"x": normal(rows=5000), "y": normal(rows=5000, seed=9)}
    )
    hours = timedelta(hours=6)
    for i, move in enumerate((0.0, 1.5, 0.0)):
        rows = {"x": normal(move, 1200, i + 21), "y": normal(0, 1200, i + 25)}
        given_log(objects, version, rows, until=UNTIL - hours * (2 - i), span=hours, request=f"r{i}")

    report = run(objects, "20h", chunks="1h")

    verdicts = [c.verdict for c in report.chunks]
    assert verdicts == ["not-enough-data"] * 2 + ["no-drift"] * 6 + ["drift"] * 6 + ["no-drift"] * 6
    assert {f.name for c in report.chunks for f in c.fields} == {"x"}
    assert sum(c.rows for c in report.chunks) == report.rows.window == 3600
    assert report.sentence.endswith("6 of 20 chunks drifted, the first from 2026-11-22 00:00 UTC on.")
    assert "rect class" in page(report)


def test_chunks_are_the_same_however_the_log_is_cut_into_files(objects: ObjectStore) -> None:
    version = given_version(objects, [number("x")], {"x": normal(rows=20_000)})
    values = normal(0.4, 400, 3)
    for i in range(4):
        part = {"x": values[i * 100 : (i + 1) * 100]}
        given_log(
            objects, version, part, until=UNTIL - timedelta(hours=3 - i), span=timedelta(hours=1), request=f"r{i}"
        )
    other = ObjectStore(objects.url + "-whole")
    given_version(other, [number("x")], {"x": normal(rows=20_000)})
    given_log(other, version, {"x": values}, span=timedelta(hours=4), request="r")

    pieces = [run(store, "4h", chunks="90m").chunks for store in (objects, other)]

    assert pieces[0] == pieces[1]


def test_a_history_without_drift_raises_an_alarm_in_at_most_one_of_twenty() -> None:
    """The family of tests is that of all chunks: 24 chunks of two fields, 40 histories, at most 5 with an alarm (99.9 % of 5 %: 7)."""
    alarms = 0
    for seed in range(40):
        random = np.random.default_rng(9000 + seed)
        reference = {f"in.{n}|": NumberReference.of(random.normal(size=3000)) for n in "ab"}
        alarms += _alarm(reference, random)

    assert alarms <= 7


def _alarm(reference: dict[str, NumberReference], random: np.random.Generator) -> bool:
    views = {key: (Column(number(key[3]), "input", key[:4]), ViewName("", "number")) for key in reference}
    thin = coarse(reference, 24)
    parts = {
        i: Part(200, views={k: summary(Numbers(random.normal(size=200)), r, 200) for k, r in thin.items()})
        for i in range(24)
    }
    start = datetime(2026, 11, 21, tzinfo=UTC)
    pieces = Window(start, start + DAY, "24h").chunks("1h")
    sides = Comparison(3000, reference, views, Part(4800, chunks=parts), 1)
    return any(c.verdict == "drift" for c in judge_chunks(pieces, sides, thin, Native(), DEFAULT))


@pytest.mark.parametrize("length", ["1s", "0h", "often", "10rows"])
def test_chunks_that_cannot_be_are_refused(length: str) -> None:
    with pytest.raises(InvalidInput, match="chunks"):
        Window.parse("24h", "2026-11-22T12:00:00Z").chunks(length)
    assert MAX_CHUNKS < 24 * 3600


def test_the_report_with_chunks_is_the_same_to_the_byte(objects: ObjectStore) -> None:
    given_two_days(objects, 1)

    assert encode(run(objects, "48h", chunks="3h")) == encode(run(objects, "48h", chunks="3h"))


@given(st.integers(1, 60_000), st.integers(2, 600))
def test_a_coarser_reference_keeps_its_range_and_its_counts(rows: int, points: int) -> None:
    whole = NumberReference.of(np.random.default_rng(rows).normal(size=min(rows, 3 * GRID)))

    thin = whole.coarser(points)

    assert len(thin.grid) <= max(points, 1)
    assert (thin.grid[0], thin.grid[-1], thin.count) == (whole.grid[0], whole.grid[-1], whole.count)
    steps = np.diff(np.concatenate((thin.below, [thin.count])))
    if len(whole.grid) > points:
        assert steps.max() <= 2 * (whole.count / (points - 1)) + whole.count / len(whole.grid) + 1
    assert (np.diff(thin.grid) > 0).all()
