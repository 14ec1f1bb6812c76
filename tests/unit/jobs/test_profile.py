"""Profiles of training data and the checks of rows against them."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from headrace_functions.profile import MAX_CATEGORIES, Profile, number_profile
from headrace_functions.signature import Field, dtype
from headrace_functions.views import names, views

AGE = Field("age", dtype("float64"), profile="numerical")
PLAN = Field("plan", dtype("string"), profile="categorical")
NOTE = Field("note", dtype("string"), profile="text")
PAIR = Field("probabilities", dtype("float64"), (2,), columns=("no", "yes"))
IMAGE = Field("image", dtype("uint8"), (8, 8), "image")


def objects(*values: object) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=300).filter(lambda v: np.ptp(v) > 1e-3))
def test_moments_and_quantiles_equal_those_of_numpy_and_scipy(values: list[float]) -> None:
    array = np.array(values)

    found = number_profile(array)

    assert found.min == array.min()
    assert found.max == array.max()
    assert found.mean == pytest.approx(array.mean(), rel=1e-12, abs=1e-9)
    assert found.std == pytest.approx(array.std(ddof=1), rel=1e-9)
    assert found.skewness == pytest.approx(stats.skew(array), rel=1e-6, abs=1e-6)
    assert found.kurtosis == pytest.approx(stats.kurtosis(array), rel=1e-6, abs=1e-6)
    assert found.quantiles is not None
    assert found.quantiles["0.5"] == pytest.approx(np.median(array))
    assert sum(found.histogram) == len(values)
    assert found.distinct == len(set(values))


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)), max_size=60))
def test_any_column_of_numbers_makes_a_document_of_plain_json_that_reads_back(values: list[float | None]) -> None:
    profile = Profile.of_columns({"age": objects(*values)}, [AGE])

    text = json.dumps(profile.to_document(), allow_nan=False)

    assert Profile.from_document(json.loads(text)) == profile


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=60))
def test_no_row_of_the_training_data_fails_a_check(values: list[float]) -> None:
    array = np.array(values)

    assert [()] * len(values) == Profile.of_columns({"age": array}, [AGE]).check(AGE, array)


def test_numbers_are_held_to_the_range_of_training() -> None:
    profile = Profile.of_columns({"age": np.array([20.0, 40.0])}, [AGE])

    failed = profile.check(AGE, np.array([19.0, 30.0, 41.0, np.nan, np.inf]))

    assert failed == [("below-min",), (), ("above-max",), ("missing",), ("infinite", "above-max")]


def test_a_declared_range_counts_more_than_that_of_training() -> None:
    declared = Field("age", dtype("float64"), range=(0.0, 120.0))
    profile = Profile.of_columns({"age": np.array([20.0, 40.0])}, [declared])

    assert profile.check(declared, np.array([100.0, 121.0])) == [(), ("above-max",)]


def test_missing_values_pass_where_training_had_some() -> None:
    profile = Profile.of_columns({"age": np.array([20.0, np.nan])}, [AGE])

    assert profile.check(AGE, np.array([np.nan])) == [()]


def test_unseen_and_missing_categories_are_marked() -> None:
    profile = Profile.of_columns({"plan": objects("a", "b", "a")}, [PLAN])

    assert profile.check(PLAN, objects("b", "c", None, b"a")) == [(), ("new-category",), ("missing",), ()]


def test_categories_beyond_the_limit_are_counted_and_mark_nothing() -> None:
    profile = Profile.of_columns({"plan": objects(*(f"user {i}" for i in range(MAX_CATEGORIES + 5)))}, [PLAN])

    kept = profile.fields["plan"][0].categories

    assert kept is not None
    assert (
        len(kept.values),
        kept.distinct,
        kept.other,
        kept.complete,
    ) == (MAX_CATEGORIES, MAX_CATEGORIES + 5, 5, False)
    assert profile.check(PLAN, objects("nobody")) == [()]


def test_texts_are_looked_at_by_length() -> None:
    profile = Profile.of_columns({"note": objects("abc", "abcdef")}, [NOTE])

    assert profile.check(NOTE, objects("a", "abcd", "abcdefg")) == [("length-below-min",), (), ("length-above-max",)]


def test_a_small_tensor_is_looked_at_by_element_and_named_after_its_columns() -> None:
    assert [n.of(PAIR) for n in names(PAIR)] == ["probabilities[no]", "probabilities[yes]"]
    profile = Profile.of_columns({"probabilities": np.array([[0.1, 0.9], [0.4, 0.6]])}, [PAIR])

    assert profile.check(PAIR, np.array([[0.2, 0.8], [0.05, 0.95]])) == [(), ("below-min", "above-max")]


def test_a_big_tensor_is_looked_at_by_mean_and_norm() -> None:
    images = np.full((3, 8, 8), 2, np.uint8)

    found = {v.label: v.values.tolist() for v in views(IMAGE, images)}

    assert found == {"mean": [2.0] * 3, "norm": [16.0] * 3}


def test_rows_of_a_log_table_look_the_same_as_tensors() -> None:
    rows = objects([0.1, 0.9], None, [0.4, 0.6])

    found = np.column_stack([v.values for v in views(PAIR, rows)])

    np.testing.assert_array_equal(np.array([[0.1, 0.9], [np.nan, np.nan], [0.4, 0.6]]), found)


def test_a_field_without_training_data_is_still_held_to_its_declaration() -> None:
    declared = Field("plan", dtype("string"), profile="categorical", categories=("a", "b"))

    assert Profile(0, {}).check(declared, objects("a", "z")) == [(), ("new-category",)]


def test_rows_of_free_size_are_looked_at_by_mean_and_norm() -> None:
    free = Field("embedding", dtype("float64"), (-1,), "embedding")

    found = {v.label: v.values.tolist() for v in views(free, objects([3.0, 4.0], [0.0, 0.0, 6.0]))}

    assert found == {"mean": [3.5, 2.0], "norm": [5.0, 6.0]}
