"""Segments: the condition that was planted comes first, chance is not told, and every condition is a filter of the log."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_controller.requestlog.segments import segments
from headrace_functions.log_conditions import boolean_expression

Array = np.ndarray[Any, Any]


def columns(rng: np.random.Generator, n: int) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {f"in.x{i}": rng.lognormal(size=n).tolist() for i in range(6)}
    found |= {
        f"in.c{i}": rng.choice(list("abcdef"), size=n, p=[0.4, 0.2, 0.15, 0.1, 0.1, 0.05]).tolist() for i in range(4)
    }
    found["in.gap"] = [None if u < 0.1 else float(u) for u in rng.uniform(size=n)]
    return found


def planted(rng: np.random.Generator, given: dict[str, list[Any]]) -> Array:
    """Rows that fail: 2 % of all everywhere, and most of a slice of about 2 % of rows."""
    n = len(given["in.c0"])
    slice_ = (np.array(given["in.c1"]) == "d") & (np.array(given["in.x2"]) > np.quantile(given["in.x2"], 0.75))
    return np.asarray((rng.uniform(size=n) < 0.02) | (slice_ & (rng.uniform(size=n) < 0.6)))


@pytest.mark.parametrize("seed", range(5))
def test_the_planted_slice_of_two_fields_comes_first(seed: int) -> None:
    rng = np.random.default_rng([11, seed])
    given_columns = columns(rng, 8000)
    first = segments(given_columns, planted(rng, given_columns))[0]
    assert ("in.c1", "in.x2") == first.fields
    assert "in.c1 = 'd'" in first.where
    assert first.p < 1e-6
    assert first.share > 5 * first.usual


@pytest.mark.parametrize("seed", range(5))
def test_a_selection_by_chance_is_set_apart_by_nothing(seed: int) -> None:
    rng = np.random.default_rng([12, seed])
    assert [] == segments(columns(rng, 4000), rng.uniform(size=4000) < 0.1)


def test_texts_that_end_in_nul_are_values_like_others() -> None:
    values = ["a\0"] * 30 + ["a"] * 30
    found = segments({"in.x": values}, np.arange(60) < 30)
    assert ["in.x = 'a\0'"] == [one.where for one in found]


def test_fields_are_looked_at_however_many_there_are_before_them() -> None:
    rng = np.random.default_rng(3)
    given_columns = {f"in.x{i}": rng.normal(size=2000).tolist() for i in range(60)}
    selected = rng.uniform(size=2000) < np.where(np.array(given_columns["in.x59"]) > 1, 0.6, 0.02)
    assert ("in.x59",) == segments(given_columns, selected)[0].fields


@pytest.mark.parametrize("seed", range(5))
def test_noise_next_to_a_telling_condition_is_no_pair(seed: int) -> None:
    rng = np.random.default_rng([14, seed])
    given_columns: dict[str, list[Any]] = {f"in.x{i}": rng.normal(size=4000).tolist() for i in range(25)}
    given_columns["in.c"] = rng.integers(0, 9, 4000).tolist()
    selected = rng.uniform(size=4000) < np.where(np.array(given_columns["in.c"]) == 4, 0.13, 0.05)
    assert all(len(found.fields) == 1 for found in segments(given_columns, selected))


def test_a_condition_by_itself_does_not_pay_for_all_pairs() -> None:
    """Missing values are a tenth of all rows, and 18 of 100 are selected, of the others 45 of 900: G is 18.7, so p is 1.5e-5 before it is corrected."""
    given_columns = columns(np.random.default_rng(15), 1000)
    given_columns["in.gap"] = [None] * 100 + np.linspace(0, 1, 900).tolist()
    selected = np.concatenate((np.arange(100) < 18, np.arange(900) % 20 == 0))
    assert ["in.gap IS NULL"] == [one.where for one in segments(given_columns, selected)]


@pytest.mark.parametrize("seed", range(3))
def test_the_largest_of_a_number_are_a_condition(seed: int) -> None:
    rng = np.random.default_rng([16, seed])
    given_columns = columns(rng, 4000)
    amount = np.array(given_columns["in.x3"])
    large = amount > np.quantile(amount, 0.97)
    found = segments(given_columns, rng.uniform(size=4000) < np.where(large, 0.3, 0.05))
    assert ("in.x3",) == found[0].fields
    assert found[0].where.startswith("in.x3 >= ")


def test_missing_values_are_a_condition() -> None:
    rng = np.random.default_rng(1)
    given_columns = columns(rng, 4000)
    selected = np.array([v is None for v in given_columns["in.gap"]])
    assert "in.gap IS NULL" == segments(given_columns, selected)[0].where


def test_few_rows_say_nothing() -> None:
    rng = np.random.default_rng(2)
    assert [] == segments(columns(rng, 100), np.arange(100) < 5)


@settings(max_examples=30, deadline=None)
@given(
    values=st.lists(st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-1e6, 1e6) | st.text(max_size=5), min_size=60, max_size=60),
    chosen=st.lists(st.booleans(), min_size=60, max_size=60),
)  # fmt: skip
def test_whatever_the_values_nothing_breaks_and_every_condition_is_a_filter(
    values: list[Any], chosen: list[bool]
) -> None:
    for found in segments({"in.x": values, "in.y": list(chosen)}, np.array(chosen)):
        assert boolean_expression(found.where, ["in.x", "in.y"])
