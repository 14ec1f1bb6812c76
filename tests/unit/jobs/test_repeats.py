"""How many independent rows there are, and which fields are no features."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_functions.views import Array
from headrace_jobs.columns import Coded, Numbers
from headrace_jobs.statistics.order import Trend
from headrace_jobs.statistics.repeats import RowCounts, distinct, effective, folded, of_groups


def counted(*columns: Array) -> RowCounts:
    hashes = np.zeros(len(columns[0]), np.uint64)
    for values in columns:
        hashes = folded(hashes, Numbers(values))
    return RowCounts.of(hashes)


def test_rows_sent_five_times_count_once() -> None:
    random = np.random.default_rng(0)
    before, now = random.normal(size=400), np.repeat(random.normal(size=80), 5)

    assert effective(counted(before), counted(now)) == (1.0, pytest.approx(0.2))


def test_repeats_on_both_sides_count_once_however_unequal_the_sides_are() -> None:
    random = np.random.default_rng(1)
    before, now = np.repeat(random.normal(size=100), 5), np.repeat(random.normal(size=4000), 5)

    assert effective(counted(before), counted(now)) == (pytest.approx(0.2), pytest.approx(0.2))


@pytest.mark.parametrize(("n", "m"), [(300, 300), (500, 10_000), (10_000, 500)])
@pytest.mark.parametrize("mean", [1, 40])
def test_rows_of_few_values_are_equal_by_nature(n: int, m: int, mean: int) -> None:
    random = np.random.default_rng(2)

    assert effective(counted(random.poisson(mean, n) * 1.0), counted(random.poisson(mean, m) * 1.0)) == (1.0, 1.0)


def test_a_sensor_that_is_stuck_is_no_repeat() -> None:
    random = np.random.default_rng(3)
    now = np.where(random.random(2000) < 0.1, 0.37, random.normal(size=2000))

    assert effective(counted(random.normal(size=2000)), counted(now)) == (1.0, 1.0)


def test_groups_count_as_kish_has_it() -> None:
    groups = np.repeat(np.arange(4.0), [1, 2, 3, 4])

    assert of_groups(counted(groups)) == pytest.approx(10**2 / 30 / 10)


@given(st.lists(st.integers(0, 30), max_size=60), st.lists(st.integers(0, 30), max_size=60), st.integers(1, 20))
def test_counts_of_parts_are_those_of_the_whole(a: list[int], b: list[int], kept: int) -> None:
    parts = [folded(np.zeros(len(x), np.uint64), Numbers(np.array(x, np.float64))) for x in (a, b)]

    merged = RowCounts.of(parts[0], kept).merge(RowCounts.of(parts[1], kept), kept)
    whole = RowCounts.of(np.concatenate(parts), kept)

    assert (merged.rows, merged.keys.tolist(), merged.counts.tolist()) == (
        whole.rows,
        whole.keys.tolist(),
        whole.counts.tolist(),
    )


def test_a_row_has_one_hash_whatever_the_codes_of_its_category() -> None:
    one, other = Coded(np.array([0, 1, -1]), ("a", "b")), Coded(np.array([1, 0, -1]), ("b", "a"))
    empty = np.zeros(3, np.uint64)

    assert folded(empty, one).tolist() == folded(empty, other).tolist()
    assert len(set(folded(empty, one).tolist())) == 3


def test_the_first_of_equal_rows_is_kept() -> None:
    columns = [np.array([1.0, 1.0, 2.0, np.nan, np.nan]), np.array(["a", "a", "a", None, None], object)]

    assert distinct(columns, 5).tolist() == [0, 2, 3]


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40), st.integers(0, 40))
def test_the_trend_of_parts_is_that_of_the_whole(values: list[float], cut: int) -> None:
    x, t = np.array(values), np.arange(len(values)) ** 1.5
    merged = Trend.of(x[:cut], t[:cut]).merge(Trend.of(x[cut:], t[cut:]))

    assert merged.correlation == pytest.approx(Trend.of(x, t).correlation, abs=1e-6)


@pytest.mark.parametrize("m", [2000, 10_000])
def test_repeats_of_a_large_window_are_told_by_a_small_reference_that_has_none(m: int) -> None:
    """Of its pairs of rows none are equal, so by nature hardly any of the window's would be."""
    random = np.random.default_rng(7)
    before, now = random.normal(size=500), np.repeat(random.normal(size=m // 5), 5)

    assert effective(counted(before), counted(now)) == (1.0, pytest.approx(0.2))


def test_the_busiest_of_callers_that_repeat_their_rows_count_once_too() -> None:
    """One row of four is one caller's; forty others repeat theirs."""
    random = np.random.default_rng(8)
    before = random.normal(size=1000)
    now = np.repeat(random.normal(size=541), [250, *[6] * 40, *[1] * 500][:541])

    assert effective(counted(before), counted(now))[1] == pytest.approx(990 / (250**2 + 40 * 36 + 500))
    assert effective(counted(before), counted(np.repeat([0.1], 250)))[1] == 1.0
