"""p-values hold whatever the law: equal to SciPy where SciPy has them, and never small more often than they say."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from headrace_functions.views import Array
from headrace_jobs.detectors import tails
from headrace_jobs.detectors.base import CategoryPair, Rows
from headrace_jobs.detectors.content import content
from headrace_jobs.detectors.contingency import Shares, chi_square, contingency, new_categories
from headrace_jobs.detectors.distances import share_bound
from headrace_jobs.detectors.ordered import Cells, intervals, moved, ordered, spread
from headrace_jobs.detectors.relations import relations
from headrace_jobs.statistics.categories import CategoryPartial, CategoryReference
from headrace_jobs.statistics.numbers import NumberPartial, NumberReference

RUNS = 300
LAWS = {
    "normal": lambda n, r: r.normal(size=n),
    "zeros": lambda n, r: np.where(r.random(n) < 0.95, 0.0, r.lognormal(0, 2, n)),
    "ties": lambda n, r: r.poisson(1, n) * 1.0,
    "rare": lambda n, r: (r.random(n) < 0.01) * 1.0,
    "heavy": lambda n, r: r.pareto(0.8, n),
}
SIZES = [(80, 80), (60, 3000), (3000, 60)]


def cells(before: Array, now: Array, scale: tuple[float, float] = (1.0, 1.0)) -> Cells:
    reference = NumberReference.of(before)
    return Cells.of(reference, NumberPartial.of(now, reference.grid), scale)


def pair(before: list[str], now: list[str], scale: tuple[float, float] = (1.0, 1.0)) -> CategoryPair:
    reference = CategoryReference.of(Counter(before), len(before))
    return CategoryPair(reference, CategoryPartial.of(Counter(now), len(now), reference), (), scale=scale)


def seldom(p_values: list[float], level: float = 0.05) -> bool:
    """Whether p-values are at most ``level`` no more often than that, but for the luck of so many runs."""
    return sum(p <= level for p in p_values) <= stats.binom.ppf(0.999, len(p_values), level)


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_two_shares_have_fishers_p_value(n: int, m: int, data: st.DataObject) -> None:
    a, b = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))

    expected = stats.fisher_exact([[a, n - a], [b, m - b]])[1]
    assert tails.two_sided(a, n, b, m) == pytest.approx(expected, rel=1e-6)


@given(st.integers(1, 10**7), st.integers(1, 10**7), st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 1))
@settings(deadline=None)
def test_a_p_value_of_any_counts_is_one(n: int, m: int, a: float, b: float, scale: float) -> None:
    assert 0 <= tails.two_sided(a * n * scale, n * scale, b * m * scale, m * scale) <= 1


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("n", "m"), SIZES)
def test_numbers_of_one_law_are_seldom_told_apart(law: str, n: int, m: int) -> None:
    random = np.random.default_rng(11)
    draws = [cells(LAWS[law](n, random), LAWS[law](m, random)) for _ in range(RUNS)]

    assert seldom([ordered(one)[1] for one in draws])
    assert seldom([spread(one) for one in draws])
    assert seldom([intervals(one) for one in draws])


@pytest.mark.parametrize("values", [2, 30, 300, 10**9])
@pytest.mark.parametrize(("n", "m"), SIZES)
def test_categories_of_one_law_are_seldom_told_apart(values: int, n: int, m: int) -> None:
    random = np.random.default_rng(12)

    def draw(rows: int) -> list[str]:
        return [str(int(x)) for x in values ** random.random(rows)]

    pairs = [pair(draw(n), draw(m)) for _ in range(RUNS)]
    unseen = [new_categories(one) for one in pairs]
    assert seldom([contingency(one).p for one in pairs])
    assert seldom([1.0 if found is None else found.p for found in unseen])


def test_rows_that_are_all_repeated_five_times_are_seldom_told_apart_by_their_effective_number() -> None:
    random = np.random.default_rng(13)

    def draws(scale: float) -> list[float]:
        return [
            ordered(cells(*(np.repeat(random.normal(size=60), 5) for _ in range(2)), (scale, scale)))[1]
            for _ in range(RUNS)
        ]

    assert seldom(draws(0.2))
    assert not seldom(draws(1.0))


@given(
    st.lists(st.integers(0, 12), min_size=30, max_size=90),
    st.lists(st.integers(0, 12), min_size=30, max_size=90),
    st.randoms(),
)
@settings(deadline=None, max_examples=40)
def test_names_of_categories_mean_nothing(before: list[int], now: list[int], random) -> None:
    names = [f"name {i}" for i in range(13)]
    shuffled = names[:]
    random.shuffle(shuffled)
    one, other = (pair([called[i] for i in before], [called[i] for i in now]) for called in (names, shuffled))

    assert contingency(one).p == pytest.approx(contingency(other).p, rel=1e-9)
    first, second = new_categories(one), new_categories(other)
    assert (first and first.p) == (second and pytest.approx(second.p, rel=1e-9))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.floats(0.1, 3), st.floats(-5, 5))
def test_the_unit_of_a_number_means_nothing(seed: int, factor: float, offset: float) -> None:
    random = np.random.default_rng(seed)
    before, now = random.normal(size=200), random.normal(0.3, 1.2, 150)

    assert ordered(cells(before, now))[1] == pytest.approx(
        ordered(cells(before * factor + offset, now * factor + offset))[1], rel=1e-6
    )


def test_the_moments_of_chi_square_given_both_margins_are_those_of_all_tables() -> None:
    random = np.random.default_rng(0)
    columns = np.array([200, 100, 30, 12, 11, 10, 10])
    now = random.multivariate_hypergeometric(columns, 100, size=4000)

    p_values = [chi_square(np.array([columns - one, one], np.float64))[1] for one in now]

    assert seldom(p_values)
    assert seldom(p_values, 0.01)
    assert np.mean([p <= 0.05 for p in p_values]) > 0.03


@pytest.mark.parametrize(
    ("change", "found_by"),
    [
        (lambda x, r: x * 1.3, spread),
        (lambda x, r: np.where(r.random(len(x)) < 0.08, r.normal(0.6, 0.02, len(x)), x), intervals),
        (lambda x, r: np.minimum(x, 1.28), intervals),
        (lambda x, r: np.where(r.random(len(x)) < 0.1, 0.37, x), intervals),
    ],
    ids=["spread", "narrow mode", "clipped", "stuck"],
)
def test_what_cramer_von_mises_is_deaf_to_is_heard_by_another(change, found_by) -> None:
    random = np.random.default_rng(4)
    before, now = random.normal(size=2000), random.normal(size=2000)

    one = cells(before, change(now, random))

    assert found_by(one) < 1e-4
    assert moved(one)[1] > 0.02


def side(random: np.random.Generator, rows: int = 600) -> dict[str, Array]:
    return {k: random.normal(size=rows) for k in "abcd"}


def test_relations_of_independent_inputs_are_seldom_told_apart() -> None:
    random = np.random.default_rng(5)
    found = [relations(Rows(side(random, 120)), Rows(side(random, 300))) for _ in range(150)]

    assert seldom([one.p for one in found if one is not None])


def test_a_dependence_on_a_square_is_found_and_both_inputs_are_named() -> None:
    random = np.random.default_rng(6)
    before, now = side(random), side(random)
    order = np.argsort(np.argsort(now["a"] ** 2 + 0.5 * random.random(600)))
    now["c"] = np.sort(now["c"])[order]

    found = relations(Rows(before), Rows(now))

    assert found is not None
    assert (found.p, set(found.about)) == (0.001, {"a", "c"})
    assert found.effect_low > 0.02


def test_vectors_of_one_law_are_seldom_told_apart_and_a_cluster_of_them_is_found() -> None:
    random = np.random.default_rng(7)

    def draw(share: float = 0.0) -> Array:
        found = random.normal(size=(300, 8)).astype(np.float32)
        found[random.random(300) < share] += 4
        return found

    assert seldom([one.p for one in (content(draw(), draw()) for _ in range(100)) if one is not None])
    found = content(draw(), draw(0.15))
    assert found is not None
    assert (found.p < 1e-3, found.effect_low > 0.02) == (True, True)


def test_sides_that_share_nothing_have_moved_as_a_whole_whatever_was_rounded() -> None:
    before, now = np.arange(49.0) / 7, 100 + np.arange(49.0) / 3

    assert moved(cells(before, now)) == (1.0, 1.0)
    assert share_bound(1.0, 1 + 1e-15, -1e-15, 49, 49) == 1.0


@pytest.mark.parametrize("values", [3000, 20_000])
def test_which_categories_have_a_name_tells_nothing(values: int) -> None:
    """Beyond a thousand categories those with most rows of the reference have one, by chance: in the window they have fewer."""
    random = np.random.default_rng(12)
    for law in (np.full(values, 1 / values), 1 / np.arange(1, values + 1) / (1 / np.arange(1, values + 1)).sum()):
        before, now = (Counter(random.choice(values, 60_000, p=law).tolist()) for _ in range(2))
        reference = CategoryReference.of(before, 60_000)
        pair = CategoryPair(reference, CategoryPartial.of(now, 60_000, reference), ())

        assert contingency(pair).p > 0.001
        assert Shares.of(pair).moved()[1] < 0.01
