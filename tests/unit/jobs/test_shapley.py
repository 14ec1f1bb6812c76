"""Shapley values against closed forms, against brute force over all orders, and their additivity."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_jobs.explain.shapley import MAX_EXACT, exact, explain, permutation


def linear(weights: np.ndarray):
    return lambda rows: rows.astype(np.float64) @ weights + 3.0


def tangled(rows: np.ndarray) -> np.ndarray:
    """A model with interactions of every order."""
    x = rows.astype(np.float64)
    return np.tanh(x.sum(axis=1)) + x[:, 0] * x[:, -1] + np.prod(x, axis=1) + (x[:, 0] > 0.3)


def data(features: int, rows: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(size=features).astype(object), random.normal(size=(rows, features)).astype(object)


def brute_force(model, row: np.ndarray, background: np.ndarray) -> np.ndarray:
    """The mean marginal contribution over every order of the features."""
    orders = list(permutations(range(len(row))))
    values = np.zeros(len(row))
    for order in orders:
        mixed = background.copy()
        before = model(mixed).mean()
        for feature in order:
            mixed[:, feature] = row[feature]
            after = model(mixed).mean()
            values[feature] += after - before
            before = after
    return values / len(orders)


@pytest.mark.parametrize("features", [1, 2, 3, 5])
def test_exact_values_equal_brute_force_over_all_orders(features: int) -> None:
    row, background = data(features)

    np.testing.assert_allclose(
        exact(tangled, row, background).values, brute_force(tangled, row, background), atol=1e-12
    )


@pytest.mark.parametrize("features", [4, 10, 30])
def test_values_of_a_linear_model_are_its_weights_times_the_distance_from_the_background(features: int) -> None:
    row, background = data(features)
    weights = np.arange(features) - 2.0

    found = explain(linear(weights), row, background, 2000)

    used = background[: found.background].astype(np.float64)
    np.testing.assert_allclose(found.values, weights * (row.astype(np.float64) - used.mean(axis=0)), atol=1e-10)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 25), st.integers(0, 1000), st.integers(2, 3000))
def test_base_and_values_sum_to_the_prediction(features: int, seed: int, budget: int) -> None:
    row, background = data(features, seed=seed)

    found = explain(tangled, row, background, budget)

    assert found.prediction == tangled(row[None, :])[0]
    assert abs(found.base + found.values.sum() - found.prediction) <= 1e-10


def test_sampled_values_are_within_their_own_errors_of_the_exact_ones() -> None:
    row, background = data(9)
    wanted = exact(tangled, row, background)

    found = permutation(tangled, row, background, pairs=400)

    assert (np.abs(found.values - wanted.values) <= 4 * found.errors + 1e-12).all()
    assert found.errors.max() < 0.2


def test_pairs_of_orders_have_no_error_where_features_interact_in_pairs_only() -> None:
    row, background = data(12, rows=1)

    def pairwise(rows: np.ndarray) -> np.ndarray:
        x = rows.astype(np.float64)
        return x[:, 0] * x[:, 1] + x[:, 2] * x[:, 3]

    found = permutation(pairwise, row, background, pairs=3)

    np.testing.assert_allclose(found.errors, 0, atol=1e-12)


def test_a_feature_that_the_model_does_not_use_has_no_value() -> None:
    row, background = data(20)

    found = explain(lambda rows: rows[:, 0].astype(np.float64) ** 2, row, background, 2000)

    np.testing.assert_array_equal(found.values[1:], 0)


@pytest.mark.parametrize("budget", [100, 2000, 10_000])
def test_sampling_keeps_to_the_budget(budget: int) -> None:
    row, background = data(30)

    assert explain(linear(np.ones(30)), row, background, budget).asked <= budget


def test_words_are_replaced_whole() -> None:
    row = np.array(["gold", 3.0], object)
    background = np.array([["basic", 1.0], ["gold", 1.0]], object)

    found = exact(
        lambda rows: (rows[:, 0] == "gold").astype(np.float64) * rows[:, 1].astype(np.float64), row, background
    )

    assert found.base == 0.5
    np.testing.assert_allclose(
        found.values, brute_force(lambda r: (r[:, 0] == "gold") * r[:, 1].astype(float), row, background)
    )


def test_enumeration_ends_where_it_would_ask_too_much() -> None:
    row, background = data(MAX_EXACT + 1)

    assert explain(tangled, row, background, 2000).method == "permutation"
