"""Profiles of tables that are read in batches: however the rows are cut, they are those of the whole."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_functions.profile import Profile
from headrace_functions.signature import Field, dtype
from headrace_functions.statistics import series, table
from headrace_functions.statistics.table import LEAST, profile_batches, sample_size
from headrace_functions.views import Array

FIELDS = (
    Field("age", dtype("int64"), profile="numerical"),
    Field("rate", dtype("float64"), profile="numerical"),
    Field("plan", dtype("string"), profile="categorical"),
    Field("note", dtype("string"), profile="text"),
    Field("grade", dtype("int64"), profile="categorical"),
    Field("point", dtype("float64"), (2,), profile="embedding"),
)


def rows(count: int, seed: int) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    rate = random.normal(size=count)
    rate[random.random(count) < 0.1] = np.nan
    rate[random.random(count) < 0.05] = np.inf
    return {
        "age": random.integers(0, 90, count),
        "rate": rate,
        "plan": np.array(["free", "plus", "pro", None], object)[random.integers(0, 4, count)],
        "note": np.array(["", "a", "four", None], object)[random.integers(0, 4, count)],
        "grade": random.integers(0, 4, count),
        "point": random.normal(size=(count, 2)),
    }


def cut(columns: dict[str, Array], places: list[int]) -> list[dict[str, Array]]:
    ends = sorted({0, *places, len(columns["age"])})
    return [{k: v[a:b] for k, v in columns.items()} for a, b in pairwise(ends)]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(0, 2**32 - 1), st.lists(st.integers(0, 300), max_size=5))
def test_the_profile_of_few_rows_in_batches_is_that_of_the_whole_to_the_bit(
    count: int, seed: int, places: list[int]
) -> None:
    columns = rows(count, seed)

    found = profile_batches(cut(columns, [p for p in places if p < count]), FIELDS, "t")

    assert found.to_document() == Profile.of_columns(columns, FIELDS).to_document()


def test_of_more_rows_than_the_sample_all_are_counted_and_quantiles_are_near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "SAMPLE", 2000)
    columns = rows(20_000, 1)

    found = profile_batches(cut(columns, [5000, 12_000]), FIELDS, "t").fields["rate"][0]

    whole = Profile.of_columns(columns, FIELDS).fields["rate"][0]
    assert (found.count, found.missing) == (whole.count, whole.missing)
    one, other = found.numbers, whole.numbers
    assert one is not None
    assert other is not None
    assert (one.min, one.max, one.infinite) == (other.min, other.max, other.infinite)
    assert (one.mean, one.std) == (pytest.approx(other.mean), pytest.approx(other.std))
    assert sum(one.histogram) == sum(other.histogram)
    assert one.quantiles is not None
    below = np.mean(columns["rate"][np.isfinite(columns["rate"])] < one.quantiles["0.5"])
    assert below == pytest.approx(0.5, abs=0.05)


def test_a_wide_table_keeps_fewer_values_of_each_view() -> None:
    assert sample_size(30) == series.SAMPLE
    assert sample_size(5000) * 5000 <= table.VALUES
    assert sample_size(10**9) == LEAST


def test_a_field_without_a_column_is_left_out() -> None:
    found = profile_batches([{"age": np.arange(3)}, {"age": np.arange(2)}], FIELDS, "t")
    assert (found.rows, list(found.fields)) == (5, ["age"])
