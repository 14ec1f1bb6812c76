"""Counts by minute: whatever rows are split into, they say the same; and how far a histogram lies from training's."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_controller.health.aggregate import of_log, of_metrics, stage_key
from headrace_controller.health.buckets import buckets_of
from headrace_controller.health.frame import Frame, joined, merge
from headrace_controller.health.latency import EDGES, Latency
from headrace_controller.health.plan import Plan, Series, plan_of
from headrace_controller.health.shift import moved
from headrace_functions.names import VersionId
from headrace_functions.profile import Profile
from headrace_functions.signature import Field, Signature, dtype
from headrace_functions.version import Version

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
AMOUNT = Field("amount", dtype("float64"), profile="numerical")
PLAN = Field("plan", dtype("string"), profile="categorical")
PROBABILITIES = Field("p", dtype("float64"), shape=(2,), columns=("no", "yes"), profile="numerical")
SIGNATURE = Signature((AMOUNT, PLAN), (PROBABILITIES,))
RANDOM = np.random.default_rng(7)


def trained(amounts: Any, plans: Any = ("a", "b")) -> Plan:
    columns = {
        "amount": np.asarray(amounts, float),
        "plan": np.array([plans[i % 2] for i in range(len(amounts))], object),
    }
    profile = Profile.of_columns(columns, SIGNATURE.inputs)
    return plan_of(Version(VersionId("m", 1), "python", SIGNATURE, "0", "e", "c"), profile, None)


KNOWN = trained(np.linspace(0, 20, 2001))


def rows_of(seconds: list[float], amounts: list[Any], **more: Any) -> pa.Table:
    n = len(seconds)
    return pa.table(
        {
            "received": pa.array([NOON + timedelta(seconds=s) for s in seconds], pa.timestamp("us", tz="UTC")),
            "row": pa.array(more.get("row", [0] * n), pa.int32()),
            "outcome": pa.array(more.get("outcome", ["ok"] * n), pa.string()),
            "latency_ms": pa.array([2.0] * n, pa.float64()),
            "checks": pa.array(more.get("checks", [[] for _ in range(n)]), pa.list_(pa.string())),
            "raw": pa.array(more.get("raw", [None] * n), pa.string()),
            "in.amount": pa.array(amounts, pa.float64()),
            "in.plan": pa.array(more.get("plan", ["a"] * n), pa.string()),
            "out.p": pa.array([[0.25, 0.75]] * n, pa.list_(pa.float64())),
        }
    )


def said(frame: Frame) -> list[Any]:
    """A frame in plain values; sums to nine digits, as the order of adding shows in the last ones."""
    return [
        frame.starts.tolist(),
        frame.rows.tolist(),
        [{group: dict(t) for group, t in tally.items()} for tally in frame.tallies],
        frame.latency.tolist(),
        frame.counts.tolist(),
        np.round(frame.sums, 9).tolist(),
        frame.lows.tolist(),
        frame.highs.tolist(),
    ]


def numbers(frame: Frame, name: str, plan: Plan = KNOWN, line: int = 0) -> list[int]:
    place = [s.name for s in plan.series].index(name)
    begin = plan.offsets[place]
    return frame.counts[line, begin : begin + plan.series[place].width].tolist()  # type: ignore[no-any-return]


ROWS = st.lists(
    st.tuples(
        st.floats(0, 400),
        st.one_of(st.none(), st.floats(-5, 30)),
        st.sampled_from(["ok", "failed", "refused"]),
        st.sampled_from([[], ["amount:above-max"], ["plan:new-category", "amount:missing"]]),
        st.integers(0, 1),
    ),
    min_size=1,
    max_size=40,
)


@given(ROWS, st.lists(st.integers(0, 40), max_size=4))
@settings(max_examples=25, deadline=None)
def test_any_split_of_rows_into_batches_counts_the_same(rows: list[Any], cuts: list[int]) -> None:
    seconds, amounts, outcomes, checks, row = map(list, zip(*rows, strict=True))
    table = rows_of(seconds, amounts, outcome=outcomes, checks=checks, row=row)
    places = sorted({0, len(rows), *(c for c in cuts if c < len(rows))})
    parts = [of_log(KNOWN, SIGNATURE, table.slice(a, b - a)) for a, b in pairwise(places)]
    assert said(of_log(KNOWN, SIGNATURE, table)) == said(joined(parts, parts[0]).by(60))


def test_rows_count_rows_and_the_first_row_of_a_request_counts_the_request() -> None:
    frame = of_log(
        KNOWN, SIGNATURE, rows_of([0, 0, 61], [1.0, 2.0, 3.0], row=[0, 1, 0], outcome=["ok", "ok", "failed"])
    )
    assert [2, 1] == frame.rows.tolist()
    assert [{"ok": 1}, {"failed": 1}] == [tally["outcomes"] for tally in frame.tallies]
    assert [1, 1] == frame.latency.sum(axis=1).tolist()
    assert [3.0, 3.0] == frame.sums[:, 0].tolist()


def test_a_request_that_was_not_read_is_no_row_of_any_field() -> None:
    frame = of_log(KNOWN, SIGNATURE, rows_of([0, 1], [None, 1.0], raw=["{", None], outcome=["refused", "ok"]))
    assert [1, 1, 0] == numbers(frame, "amount")[:3]
    assert 2 == frame.rows[0]


def test_numbers_have_bins_of_training_one_below_and_one_above() -> None:
    frame = of_log(KNOWN, SIGNATURE, rows_of([0] * 5, [-1.0, 0.0, 20.0, 21.0, None]))
    counted = numbers(frame, "amount")
    assert [5, 4, 1] == counted[:3]
    assert {0: 1, 1: 1, 20: 1, 21: 1} == {i: n for i, n in enumerate(counted[3:]) if n}


def test_categories_have_bins_for_the_rare_and_for_what_training_had_not() -> None:
    frame = of_log(KNOWN, SIGNATURE, rows_of([0] * 4, [1.0] * 4, plan=["a", "b", "x", None]))
    assert [4, 0, 1, 1, 1, 0, 1] == numbers(frame, "plan")


def test_the_elements_of_a_small_tensor_are_series_of_their_own() -> None:
    frame = of_log(KNOWN, SIGNATURE, rows_of([0, 1], [1.0, 1.0]))
    names = [s.name for s in KNOWN.series]
    assert ["amount", "plan", "p[no]", "p[yes]"] == names
    assert [0.5, 1.5] == frame.sums[0, 2:].tolist()


def test_failed_checks_are_counted_by_series() -> None:
    frame = of_log(KNOWN, SIGNATURE, rows_of([0, 0], [99.0, 99.0], checks=[["amount:above-max"], ["amount:above-max"]]))
    assert {"amount:above-max": 2} == dict(frame.tallies[0]["checks"])


def test_requests_are_counted_by_the_stage_that_they_came_through_and_rows_are_not() -> None:
    rows = rows_of([0, 0, 0, 1, 61], [1.0] * 5, row=[0, 1, 0, 0, 0], outcome=["ok", "ok", "failed", "ok", "ok"])
    through = {"sequence": ["flow", "flow", "flow", "flow", None], "stage": [1, 1, 1, 1, -1]}
    columns = {"shadow": [False, False, False, True, False], **through}
    frame = of_log(
        KNOWN,
        SIGNATURE,
        rows.append_column("sequence", pa.array(columns["sequence"], pa.string()))
        .append_column("stage", pa.array(columns["stage"], pa.int32()))
        .append_column("shadow", pa.array(columns["shadow"], pa.bool_())),
    )
    first, second = buckets_of(
        KNOWN, merge(frame, frame), [int(NOON.timestamp()), int(NOON.timestamp()) + 60], 60
    ).values()
    assert first.stages is not None
    live, copies = first.stages[stage_key("flow", 1, shadow=False)], first.stages[stage_key("flow", 1, shadow=True)]
    assert (4, 2, 4, 2, 0) == (live.requests, live.failed, live.latency.requests, copies.requests, copies.failed)
    assert {} == second.stages


def test_metric_values_are_counted_by_metric() -> None:
    values = pa.table(
        {
            "received": pa.array([NOON] * 3, pa.timestamp("us", tz="UTC")),
            "metric": ["drift"] * 3,
            "healthy": pa.array([True, False, None]),
        }
    )
    frame = of_metrics(KNOWN, values)
    assert {"drift#rows": 2, "drift#unhealthy": 1, "drift#errors": 1} == dict(frame.tallies[0]["metrics"])
    assert 0 == frame.rows[0]


def test_a_frame_comes_back_from_its_table_as_it_was() -> None:
    frame = of_log(KNOWN, SIGNATURE, rows_of([0, 100], [1.0, 2.0]))
    assert said(frame) == said(Frame.from_table(frame.to_table()))


def test_minutes_merge_into_hours_and_hours_stay_hours() -> None:
    early = of_log(KNOWN, SIGNATURE, rows_of([0, 60, 120], [1.0, 2.0, 3.0]))
    hours = early.by(3600)
    assert ([3], [3600]) == (hours.rows.tolist(), hours.steps.tolist())
    assert [4] == merge(hours, of_log(KNOWN, SIGNATURE, rows_of([180], [4.0])), 3600).rows.tolist()
    assert [3600] == hours.by(60).steps.tolist()


@pytest.mark.parametrize("rows", [30, 100, 1000])
def test_a_bucket_of_training_like_rows_has_not_moved(rows: int) -> None:
    """In at least 99 of 100 buckets, whatever their size."""
    plan = trained(RANDOM.normal(size=5000))
    quiet = [share(plan.series[0], RANDOM.normal(size=rows)) for _ in range(100)]
    assert 99 <= quiet.count(0.0)


def test_rows_that_all_lie_elsewhere_have_moved_altogether() -> None:
    assert 1.0 == share(KNOWN.series[0], np.full(30, 6400.0))


def test_half_of_many_rows_elsewhere_is_about_half() -> None:
    values = np.concatenate([RANDOM.uniform(0, 20, 2000), np.full(2000, 6400.0)])
    assert pytest.approx(0.5, abs=0.06) == share(KNOWN.series[0], values)


def test_fewer_than_thirty_rows_or_no_training_say_nothing() -> None:
    assert share(KNOWN.series[0], np.full(29, 6400.0)) is None
    assert [None] == moved(Series("s", "output", "s", "", "number", "out.s"), np.array([[100, 100, 0]]))


def test_crowded_numbers_are_cut_at_quantiles_so_that_a_change_of_scale_shows() -> None:
    incomes = RANDOM.lognormal(0, 2.5, 20_000)
    plan = trained(incomes)
    assert 10 == plan.series[0].bins
    assert share(plan.series[0], RANDOM.lognormal(0, 2.5, 1000)) == 0.0
    assert 0.2 < (share(plan.series[0], 10 * RANDOM.lognormal(0, 2.5, 1000)) or 0.0)


def test_a_plan_comes_back_from_its_document() -> None:
    assert KNOWN == Plan.from_document(KNOWN.to_document())


def test_percentiles_of_a_histogram_are_within_a_tenth() -> None:
    times = RANDOM.exponential(40, 20_000)
    counts = np.bincount(np.searchsorted(EDGES, times, side="right"), minlength=len(EDGES) + 1)
    found = Latency(tuple(counts.tolist()))
    assert pytest.approx(np.quantile(times, 0.5), rel=0.1) == found.p50()
    assert pytest.approx(np.quantile(times, 0.95), rel=0.1) == found.p95()
    assert Latency().p50() is None


def share(series: Series, amounts: Any) -> float | None:
    plan = Plan((series,))
    frame = of_log(plan, SIGNATURE, rows_of([0] * len(amounts), list(amounts)))
    return moved(series, frame.counts)[0]
