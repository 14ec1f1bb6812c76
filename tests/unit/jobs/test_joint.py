"""The test of the whole model: deaf to nothing that margins cannot see, and not a wolf crier. Seeded, so the figures repeat."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from headrace_functions.views import Array
from headrace_jobs.detectors import domain_classifier as module
from headrace_jobs.detectors.domain_classifier import joint

RUNS = 200


def side(seed: int, rows: int, fields: int, correlation: float = 0.0) -> dict[str, Array]:
    """Standard normal fields of which the first two may be correlated; margins never change."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, fields))
    x[:, 1] = correlation * x[:, 0] + (1 - correlation**2) ** 0.5 * x[:, 1]
    return {f"f{i}": x[:, i] for i in range(fields)}


@pytest.mark.parametrize(("fields", "runs"), [(2, 20), (10, 20), (30, 20)])
def test_a_change_of_correlation_that_no_margin_shows_is_found(fields: int, runs: int) -> None:
    """0 to 0.6 in one pair of fields, 2000 rows a side: in at least 95 % of the runs, with an effect that counts."""
    found = [joint(side(s, 2000, fields), side(1000 + s, 2000, fields, 0.6)) for s in range(runs)]

    assert np.mean([f is not None and f.p <= 0.01 and f.effect_low >= 0.02 for f in found]) >= 0.95


@pytest.mark.parametrize(("reference", "window", "fields"), [(400, 120, 3), (300, 300, 10), (1000, 200, 5)])
def test_without_drift_it_raises_an_alarm_in_at_most_one_of_twenty(reference: int, window: int, fields: int) -> None:
    """At most what chance allows of a rate of 5 % (99.9 % quantile), of the p-value alone; an alarm takes an effect too."""
    found = [joint(side(s, reference, fields, 0.4), side(5000 + s, window, fields, 0.4)) for s in range(RUNS)]

    assert sum(f is not None and f.p <= 0.05 for f in found) <= stats.binom.ppf(0.999, RUNS, 0.05)


def test_ties_missing_values_and_categories_without_drift_raise_none() -> None:
    def mixed(seed: int) -> dict[str, Array]:
        random = np.random.default_rng(seed)
        gaps = np.where(random.random(300) < 0.2, np.nan, random.normal(size=300))
        plans = np.array(["a", "b", None], object)[random.integers(0, 3, 300)]
        return {"ties": random.integers(0, 3, 300).astype(float), "gaps": gaps, "plan": plans, "constant": np.ones(300)}

    found = [joint(mixed(s), mixed(900 + s)) for s in range(100)]

    assert sum(f is not None and f.p <= 0.05 for f in found) <= stats.binom.ppf(0.999, 100, 0.05)


def test_a_category_that_changes_its_company_is_found() -> None:
    """Plans and ages keep their shares, but who has which plan changes."""
    random = np.random.default_rng(0)
    age = random.normal(size=1000)
    young = np.where(age < 0, "student", "senior").astype(object)

    found = joint({"age": age, "plan": young}, {"age": age, "plan": random.permutation(young)})

    assert found is not None
    assert (found.p < 1e-6, found.effect_low > 0.1) == (True, True)


def test_its_effect_is_at_most_the_share_of_rows_that_moved() -> None:
    """A third of the window comes from elsewhere altogether."""
    random = np.random.default_rng(1)
    before = {"a": random.normal(size=3000), "b": random.normal(size=3000)}
    now = {k: np.where(np.arange(3000) % 3 == 0, 9.0, random.normal(size=3000)) for k in before}

    found = joint(before, now)

    assert found is not None
    assert 0.25 < found.effect_low <= found.effect <= 0.36


def test_it_says_the_same_each_time() -> None:
    before, now = side(1, 500, 4), side(2, 500, 4, 0.5)

    assert joint(before, now) == joint(before, now)


@pytest.mark.parametrize(("rows", "fields"), [(module.MIN_ROWS - 1, 3), (1000, 1), (0, 0)])
def test_with_too_few_rows_or_fields_it_says_nothing(rows: int, fields: int) -> None:
    few = dict(list(side(1, max(rows, 1), 3).items())[:fields])

    assert joint(few, few) is None


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1e300]))
def test_no_value_makes_nan(seed: int, value: float) -> None:
    random = np.random.default_rng(seed)
    before, now = (
        {k: np.where(random.random(150) < random.random(), value, random.normal(size=150)) for k in "ab"}
        for _ in range(2)
    )

    found = joint(before, now)

    assert found is not None
    assert np.isfinite([found.statistic, found.p, found.effect, found.effect_low]).all()
    assert 0 <= found.p <= 1


@pytest.mark.parametrize(("rows", "fields"), [(200, 4), (200, 40), (12, 2), (11, 2)])
def test_products_of_columns_and_kernels_of_rows_learn_the_same(rows: int, fields: int) -> None:
    """The smaller of the two is solved; which one that is changes no score beyond the digits of 32 bits."""
    random = np.random.default_rng(0)
    x, at, now = random.normal(size=(rows, fields)), random.normal(size=(50, fields)), np.arange(rows) < rows // 3
    weight = np.where(now, 0.5 / now.mean(), 0.5 / (~now).mean())
    kernel = (1 + x @ x.T / np.sqrt(fields)) ** 2 + np.diag(module.PENALTY * rows / weight)

    found = module._learnt(x, now, at)

    expected = (1 + at @ x.T / np.sqrt(fields)) ** 2 @ np.linalg.solve(kernel, np.where(now, 1.0, -1.0))
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)
