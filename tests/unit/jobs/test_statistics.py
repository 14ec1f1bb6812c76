"""Partials of columns: merging them is the same as counting the whole, and distances equal those of scipy."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from fixtures_jobs import category, number
from headrace_functions.signature import Field, dtype
from headrace_functions.statistics.moments import Moments
from headrace_functions.statistics.sample import RowSample, lowest, priorities
from headrace_jobs.columns import Coded, Numbers, series
from headrace_jobs.detectors import defects, distances
from headrace_jobs.detectors.base import CategoryPair, NumberPair
from headrace_jobs.detectors.contingency import Shares, new_categories, pool
from headrace_jobs.detectors.native import Native
from headrace_jobs.statistics import numbers
from headrace_jobs.statistics.categories import CategoryPartial, CategoryReference
from headrace_jobs.statistics.lookup import Lookup
from headrace_jobs.statistics.numbers import NumberPartial, NumberReference

VALUES = st.lists(st.one_of(st.floats(-1e6, 1e6), st.integers(-3, 3).map(float)), min_size=2, max_size=80)
ANY = st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=60)


def both(before: list[float] | np.ndarray, now: list[float] | np.ndarray) -> tuple[NumberReference, NumberPartial]:
    reference = NumberReference.of(np.array(before, np.float64))
    return reference, NumberPartial.of(np.array(now, np.float64), reference.grid)


@settings(deadline=None)
@given(VALUES, VALUES)
def test_kolmogorov_smirnov_equals_scipys_statistic_and_p_value(before: list[float], now: list[float]) -> None:
    reference, window = both(before, now)
    expected = stats.ks_2samp(before, now, method="asymp")

    (found,) = Native().numbers([NumberPair(reference, window, np.empty(0), "ks")])

    assert found.statistic == pytest.approx(expected.statistic, abs=1e-12)
    assert found.p == pytest.approx(expected.pvalue, abs=1e-12)


@settings(deadline=None)
@given(VALUES)
def test_wasserstein_of_a_shift_is_its_length(before: list[float]) -> None:
    reference, window = both(before, np.array(before) + 2.5)

    assert distances.wasserstein(reference, window) == pytest.approx(2.5, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize(("move", "spread"), [(0.0, 1.0), (0.3, 1.0), (5.0, 1.0), (0.0, 3.0)])
def test_wasserstein_is_that_of_scipy_but_where_the_functions_cross_in_a_step(move: float, spread: float) -> None:
    random = np.random.default_rng(1)
    before, now = random.normal(size=3000), random.normal(move, spread, 2000)
    reference, window = both(before, now)

    assert distances.wasserstein(reference, window) == pytest.approx(
        stats.wasserstein_distance(before, now), rel=0.02, abs=2e-3
    )


def test_closed_forms_of_a_shifted_normal_are_met() -> None:
    """KS = 2 Phi(mu/2) - 1 and W1 = mu (unit variance); PSI tends to mu^2 with fine bins, and is less with ten."""
    points = stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    reference, window = both(points, points + 0.5)

    assert distances.kolmogorov_smirnov(reference, window)[0] == pytest.approx(2 * stats.norm.cdf(0.25) - 1, abs=1e-4)
    assert distances.wasserstein(reference, window) == pytest.approx(0.5, abs=1e-4)
    assert 0.2 < distances.population_stability(*distances.bin_counts(reference, window)) < 0.25


def test_a_grid_of_part_of_the_values_is_exact_to_its_step() -> None:
    random = np.random.default_rng(2)
    before, now = random.normal(size=20_000), random.normal(0.2, 1, 10_000)
    reference = NumberReference.of(before, grid=200)
    window = NumberPartial.of(now, reference.grid)

    assert len(reference.grid) == 200
    assert distances.kolmogorov_smirnov(reference, window)[0] == pytest.approx(
        stats.ks_2samp(before, now).statistic, abs=1 / 200
    )


@given(st.integers(0, 100_000))
def test_the_grids_of_all_views_together_are_bounded(views: int) -> None:
    points = numbers.grid_for(views)

    assert numbers.MIN_GRID <= points <= numbers.GRID
    assert points == numbers.MIN_GRID or points * views <= numbers.CELLS
    assert points == numbers.GRID or views > numbers.CELLS // numbers.GRID


@settings(deadline=None)
@given(ANY, st.lists(ANY, min_size=1, max_size=5))
def test_merging_parts_in_any_grouping_is_counting_the_whole(before: list[float], parts: list[list[float]]) -> None:
    reference = NumberReference.of(np.array(before))
    counted = [NumberPartial.of(np.array(part), reference.grid) for part in parts]
    whole = NumberPartial.of(np.array(list(itertools.chain(*parts))), reference.grid)

    left = counted[0]
    for part in counted[1:]:
        left = left.merge(part)
    right = counted[-1]
    for part in reversed(counted[:-1]):
        right = part.merge(right)

    for found in (left, right):
        for name in ("rows", "missing", "infinite", "infinite_low", "count", "min", "max"):
            assert getattr(found, name) == getattr(whole, name), name
        np.testing.assert_array_equal(found.below, whole.below)
        np.testing.assert_array_equal(found.upto, whole.upto)
        np.testing.assert_allclose(
            found.mean, whole.mean, rtol=1e-9, atol=1e-9 * max(abs(whole.max), abs(whole.min), 1) if whole.finite else 0
        )


def test_moments_of_merged_parts_are_exact_far_from_zero() -> None:
    """The textbook sum of squares would lose every digit here."""
    values = 1e9 + np.random.default_rng(0).normal(size=10_000)
    grid = np.empty(0)
    merged = NumberPartial.of(values[:3000], grid).merge(NumberPartial.of(values[3000:], grid))

    assert merged.std == pytest.approx(values.std(ddof=1), rel=1e-6)


@pytest.mark.parametrize("value", [0.04968, 116.1, 1e-300, -3.3e-10])
def test_equal_values_have_no_spread_whatever_was_rounded(value: float) -> None:
    parts = [NumberPartial.of(np.full(length, value), np.empty(0)) for length in (3, 7, 55)]
    assert parts[0].merge(parts[1]).merge(parts[2]).std == 0
    assert Moments.of(np.full(65, value)).variance == 0


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([*"abcdef", None]), max_size=50), st.lists(st.sampled_from([*"abcxyz", None]), max_size=50)
)
def test_categories_are_counted_the_same_in_parts(before: list[str | None], now: list[str | None]) -> None:
    reference = CategoryReference.of(coded(before).counts(), len(before))
    whole = CategoryPartial.of(coded(now).counts(), len(now), reference)
    parts = [CategoryPartial.of(coded(p).counts(), len(p), reference) for p in (now[:20], now[20:])]

    merged = parts[0].merge(parts[1])

    assert (merged.rows, merged.missing, merged.unknown) == (whole.rows, whole.missing, whole.unknown)
    assert dict(merged.counts) == dict(whole.counts)
    assert dict(merged.names) == dict(whole.names)
    assert whole.missing == now.count(None)


def coded(values: list[str | None]) -> Coded:
    (one,) = series(category("plan"), pa.chunked_array([pa.array(values, pa.string())])).values()
    assert isinstance(one, Coded)
    return one


def test_chi_square_equals_scipys_where_no_category_is_rare() -> None:
    before, now = {"a": 500, "b": 300, "c": 200}, {"a": 210, "b": 160, "c": 130}
    reference = CategoryReference.of(before, 1000)
    pair = CategoryPair(reference, CategoryPartial.of(now, 500, reference), (), "chi2")

    (found,) = Native().categories([pair])

    expected = stats.chi2_contingency([list(before.values()), list(now.values())], correction=False)
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-12)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-12)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=2, max_size=30))
@example([(0, 0), (0, 0)])
def test_pooling_keeps_the_sums_and_leaves_no_rare_column_but_with_two(cells: list[tuple[int, int]]) -> None:
    table = np.array(cells, np.float64).T
    table = table[:, table.sum(axis=0) > 0]

    pooled = pool(table)

    np.testing.assert_array_equal(pooled.sum(axis=1), table.sum(axis=1))
    if pooled.shape[1] > 2:
        expected = np.outer(pooled.sum(axis=1), pooled.sum(axis=0)) / pooled.sum()
        assert expected.min() >= 5 - 1e-9


def test_total_variation_of_many_categories_is_not_taken_for_drift_without_any() -> None:
    """100 categories of 500 rows differ by a fifth by chance alone; the lower bound knows."""
    random = np.random.default_rng(3)
    names = [str(i) for i in range(100)]

    def sample(rows: int) -> dict[str, int]:
        return dict(zip(names, random.multinomial(rows, np.full(100, 0.01)).tolist(), strict=True))

    reference = CategoryReference.of(sample(2000), 2000)
    pair = CategoryPair(reference, CategoryPartial.of(sample(500), 500, reference), ())
    distance, low = Shares.of(pair).moved()

    assert distance > 0.1
    assert low < 0.02


def test_jensen_shannon_is_that_of_scipy() -> None:
    from scipy.spatial.distance import jensenshannon

    p, q = np.array([10.0, 20, 30, 0]), np.array([5.0, 5, 0, 40])

    assert distances.jensen_shannon(p, q) == pytest.approx(jensenshannon(p / p.sum(), q / q.sum(), 2), rel=1e-12)


@settings(deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=6), st.integers(0, 40), st.randoms())
def test_the_sample_does_not_depend_on_the_order_of_parts(lengths: list[int], size: int, order: object) -> None:
    def part(i: int, rows: int) -> RowSample:
        priority = priorities(f"file {i}", rows)
        kept = lowest(priority, size)
        return RowSample(size, priority[kept], {"x": (1000 * i + np.arange(rows))[kept]})

    parts = [part(i, rows) for i, rows in enumerate(lengths)]
    shuffled = list(parts)
    order.shuffle(shuffled)  # type: ignore[attr-defined]

    def joined(items: list[RowSample]) -> list[int]:
        whole = items[0]
        for item in items[1:]:
            whole = whole.merge(item)
        return whole.columns["x"].tolist()

    assert joined(parts) == joined(shuffled)
    assert len(joined(parts)) == min(size, sum(lengths))


def test_priorities_are_uniform() -> None:
    found = priorities("a file", 100_000) / 2.0**64

    assert stats.kstest(found, "uniform").pvalue > 0.001


def test_nulls_and_nan_are_both_missing() -> None:
    (one,) = series(number("age"), pa.chunked_array([pa.array([1.0, None, float("nan")])])).values()

    assert isinstance(one, Numbers)
    assert NumberPartial.of(one.values, np.empty(0)).missing == 2


def test_infinities_keep_their_rank() -> None:
    before, now = [-np.inf, 1.0, 2.0, np.inf], [-np.inf, -np.inf, -np.inf, 2.0]
    reference, window = both(before, now)

    assert distances.kolmogorov_smirnov(reference, window)[0] == pytest.approx(stats.ks_2samp(before, now).statistic)


def test_nan_among_categories_is_missing() -> None:
    flag = Field("flag", dtype("float64"), profile="categorical")
    (one,) = series(flag, pa.chunked_array([pa.array([1.0, None, float("nan"), 2.0])])).values()

    assert isinstance(one, Coded)
    assert dict(one.counts()) == {1.0: 1, 2.0: 1}


@pytest.mark.parametrize("now", [[-9.0, -8.0, 1.0, 1.0], [1.0, 1.0, 8.0, 9.0]])
def test_values_beyond_either_end_of_the_range_are_tested(now: list[float]) -> None:
    """Both of the two extremes come from the window: (n/(n+m)) ((n-1)/(n+m-1)), and two ends are looked at."""
    found = defects.out_of_range(*both([0.0, 1.0, 2.0], now))

    assert found is not None
    assert found.effect == 0.5
    assert found.p == pytest.approx(2 * (4 / 7) * (3 / 6))


@pytest.mark.parametrize("end", [-np.inf, np.inf])
def test_nothing_is_beyond_infinite_values_that_the_reference_has_too(end: float) -> None:
    """Infinite values that only the window has are beyond the range; those of both sides are of the same law."""
    now = [0.0, 1.0, end, end]

    assert defects.out_of_range(*both([0.0, 1.0, end], now)) is None
    assert getattr(defects.out_of_range(*both([0.0, 1.0, -end], now)), "effect", None) == 0.5


def test_as_many_new_categories_as_training_had_rare_ones_are_expected() -> None:
    rare = {**{f"rare {i}": 1 for i in range(100)}, "common": 900}
    reference = CategoryReference.of(rare, 1000)
    window = CategoryPartial.of({**{f"new {i}": 1 for i in range(10)}, "common": 90}, 100, reference)

    assert new_categories(CategoryPair(reference, window, ())) is None


POINTS = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=60, unique=True)


@settings(deadline=None, max_examples=200)
@given(POINTS, st.integers(0, 10_000), st.sampled_from([1.0, 1e-3, 1e300, 1e-300]))
def test_a_looked_up_value_is_in_the_cell_that_a_search_finds(points: list[float], seed: int, size: float) -> None:
    """Values at the points, next to them, between them and beyond both ends, of whatever size."""
    grid = np.unique(np.array(points) + 0.0)
    table = Lookup.of(grid)
    random = np.random.default_rng(seed)
    with np.errstate(over="ignore"):
        beside = [np.nextafter(grid, -np.inf), grid, np.nextafter(grid, np.inf)]
        near = random.choice(grid, 50) + random.normal(size=50) * size
    values = np.concatenate([*beside, near, random.normal(size=50) * size])
    values = values[np.isfinite(values)]

    if table is not None:
        expected = np.searchsorted(grid, values, "left") + np.searchsorted(grid, values, "right")
        assert table.cells(values).tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("shape", "looked_up"),
    [("normal", True), ("lognormal", True), ("standard_cauchy", True), ("uniform", True), ("heaps", False)],
)
def test_counts_from_a_table_are_those_of_sorted_values(shape: str, looked_up: bool) -> None:
    """Two narrow heaps that are far apart have no table and are sorted; counts are exact either way."""
    random = np.random.default_rng(0)

    def drawn(count: int) -> np.ndarray:
        if shape == "heaps":
            return np.asarray(random.normal(size=count) * 1e-3 + 1e3 * (random.random(count) < 0.3))
        values = np.asarray(getattr(random, shape)(size=count))
        values[:3] = np.nan, np.inf, -np.inf
        return values

    grid = NumberReference.of(drawn(100_000)).grid
    values = drawn(20_000)
    finite = np.sort(values[np.isfinite(values)])

    found, expected = NumberPartial.of(values, grid), NumberPartial.of_ordered(values, finite, grid)

    assert (Lookup.of(grid) is not None) == looked_up
    assert (found.below == expected.below).all()
    assert (found.upto == expected.upto).all()
    assert found.sum_below == pytest.approx(expected.sum_below, rel=1e-9, abs=1e-6)
    for name in ("rows", "missing", "infinite", "infinite_low", "count", "min", "max"):
        assert getattr(found, name) == getattr(expected, name)
    for name in ("total", "mean", "m2"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-12, abs=1e-9)


def test_categories_that_come_as_codes_are_those_that_come_as_words() -> None:
    """As Parquet files have them, each part with a dictionary of its own."""
    words = [["b", "a", None], ["c", "b"], []]
    plain = pa.chunked_array([pa.array(part, pa.string()) for part in words])
    codes = pa.chunked_array([pa.array(part, pa.string()).dictionary_encode() for part in words])

    found, expected = (next(iter(series(category("plan"), column).values())) for column in (codes, plain))

    assert isinstance(found, Coded)
    assert isinstance(expected, Coded)
    assert found.counts() == expected.counts()
    assert found.take(np.arange(5)).tolist() == expected.take(np.arange(5)).tolist() == ["b", "a", None, "c", "b"]
