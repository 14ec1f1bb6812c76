"""Profiles of both sides: merged parts equal the whole, estimates keep their error, and every kind of field is looked at."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fixtures_jobs import CHURN, InProcess, category, given_log, given_version, number, objects
from headrace_functions.signature import Field, dtype
from headrace_functions.statistics import series
from headrace_functions.statistics.distinct import Distinct
from headrace_functions.statistics.moments import Moments
from headrace_functions.statistics.sample import priorities
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_jobs.columns import Coded, Numbers
from headrace_jobs.profiles import job, training
from headrace_jobs.profiles.field_series import looks
from headrace_jobs.profiles.partial import Directions, of_series
from headrace_jobs.report.models import FieldProfile, ProfileReport
from headrace_jobs.report.page import page
from headrace_jobs.report.report_store import encode
from headrace_jobs.window import Window

__all__ = ["objects"]

N = 600
FIELDS = (
    number("age"),
    category("plan"),
    Field("note", dtype("string"), profile="text"),
    Field("photo", dtype("float32"), (4, 4, 3), profile="image"),
    Field("vector", dtype("float32"), (6,), profile="embedding"),
)


def rows(seed: int, count: int = N) -> dict[str, object]:
    random = np.random.default_rng(seed)
    age = random.gamma(3, 10, count)
    age[::7] = np.nan
    return {
        "age": age,
        "plan": random.choice(["a", "b", "c"], count).tolist(),
        "note": ["Grüße 12!", "наше дело", "x", ""] * (count // 4),
        "photo": random.random((count, 48)).astype(np.float32).tolist(),
        "vector": (random.normal(size=(count, 1)) + 0.1 * random.normal(size=(count, 6))).tolist(),
        "score": random.random(count),
    }


def profile(objects: ObjectStore) -> ProfileReport:
    run = job.ProfileRun(CHURN, Window.parse("1h", "2026-11-22T12:00:00Z"))
    report = run.report(objects, InProcess(), lambda *_: None)
    json.loads(encode(report))
    assert "<script" not in page(report)
    return report


def given_traffic(objects: ObjectStore) -> tuple[dict[str, object], dict[str, object]]:
    before, now = rows(0), rows(1)
    version = given_version(objects, FIELDS, {k: v for k, v in before.items() if k != "score"}, answers=before)
    for i in range(0, N, 200):
        part = {k: v[i : i + 200] for k, v in now.items()}  # type: ignore[index]
        given_log(objects, version, part, request=f"r{i}")
    return before, now


def of(report: ProfileReport, name: str) -> FieldProfile:
    return next(f for f in report.fields if f.name == name)


def test_both_sides_have_the_statistics_of_numpy_and_scipy(objects: ObjectStore) -> None:
    before, now = given_traffic(objects)

    found = of(profile(objects), "age")

    for side, values in ((found.training, before["age"]), (found.window, now["age"])):
        assert side is not None
        known = np.asarray(values)[~np.isnan(np.asarray(values))]
        assert (side.rows, side.missing, side.infinite) == (N, N - len(known), 0)
        expected = (known.mean(), known.var(ddof=1), stats.skew(known), stats.kurtosis(known), known.min(), known.max())
        assert (side.mean, side.variance, side.skewness, side.kurtosis, side.min, side.max) == pytest.approx(expected)
        assert side.quantiles == pytest.approx(
            {str(q): np.quantile(known, q) for q in (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)}
        )
        assert side.distinct == pytest.approx(len(known), rel=0.05)


def test_every_kind_of_field_is_looked_at(objects: ObjectStore) -> None:
    given_traffic(objects)

    report = profile(objects)

    names = {f.name for f in report.fields}
    text = {f"note {k}" for k in ("length", "tokens", "letters", "digits", "spaces", "punctuation")}
    assert {
        "age",
        "plan",
        "photo mean",
        "photo norm",
        "photo channel 2",
        "vector[0]",
        "vector variance",
        "score",
    } <= names
    assert text <= names
    assert of(report, "score").side == "output"
    assert of(report, "vector variance").bars[0].window > 0.9
    plan = of(report, "plan")
    assert plan.window is not None
    assert (plan.window.distinct, len(plan.bars)) == (3, 3)


def test_texts_are_counted_by_unicode() -> None:
    field = Field("note", dtype("string"), profile="text")

    found = looks(field, pa.chunked_array([["Grüße 12!", "наше дело", "", None]]))

    def values(name: str) -> list[float]:
        one = found[f"note {name}"]
        assert isinstance(one, Numbers)
        return one.values.tolist()

    assert values("tokens") == pytest.approx([2, 2, 0, np.nan], nan_ok=True)
    assert values("letters") == pytest.approx([5 / 9, 8 / 9, np.nan, np.nan], nan_ok=True)
    assert values("digits") == pytest.approx([2 / 9, 0, np.nan, np.nan], nan_ok=True)
    assert values("punctuation") == pytest.approx([1 / 9, 0, np.nan, np.nan], nan_ok=True)


def forget(objects: ObjectStore) -> None:
    for info in list(objects.walk(layout.version(CHURN))):
        if "/baseline/" in info.key:
            objects.delete(info.key)


def test_training_data_is_read_once_and_the_report_is_the_same_to_the_byte(
    objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_traffic(objects)
    first = encode(profile(objects))
    monkeypatch.setattr(training, "profile_training", None)

    assert encode(profile(objects)) == first


def test_training_data_is_read_in_batches_and_says_the_same(
    objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_traffic(objects)
    whole = profile(objects)
    forget(objects)
    monkeypatch.setattr(training, "BATCH", 70)

    parts = profile(objects)

    for a, b in zip(whole.fields, parts.fields, strict=True):
        assert a.name == b.name
        if a.training is not None and b.training is not None and a.training.mean is not None:
            assert b.training.mean == pytest.approx(a.training.mean, rel=1e-9)
            assert b.training.quantiles == a.training.quantiles


def test_without_training_data_or_rows_a_profile_stands_alone(objects: ObjectStore) -> None:
    given_version(objects, [number("x")], None)

    assert profile(objects).fields == ()


def test_columns_that_are_empty_constant_or_infinite_make_no_nan(objects: ObjectStore) -> None:
    fields = [number(n) for n in ("nothing", "constant", "infinite")]
    values = {"nothing": np.full(50, np.nan), "constant": np.ones(50), "infinite": np.full(50, np.inf)}
    given_log(objects, given_version(objects, fields, values), values)

    report = profile(objects)

    assert [f.window.infinite for f in report.fields if f.window and f.side == "input"] == [0, 0, 50]


@given(st.lists(st.lists(st.floats(-1e3, 1e3), max_size=40), min_size=1, max_size=5))
def test_merged_moments_are_those_of_the_whole(parts: list[list[float]]) -> None:
    merged = Moments()
    for part in parts:
        merged = merged.merge(Moments.of(np.array(part, np.float64)))
    values = np.array([v for part in parts for v in part], np.float64)

    whole = Moments.of(values)

    assert (merged.count, merged.min, merged.max) == (whole.count, whole.min, whole.max)
    scale = max(float(np.abs(values).max(initial=0)), 1e-3)
    powers = [
        (getattr(m, k) / scale**p for k, p in (("mean", 1), ("m2", 2), ("m3", 3), ("m4", 4))) for m in (merged, whole)
    ]
    assert list(powers[0]) == pytest.approx(list(powers[1]), rel=1e-7, abs=1e-9 * max(len(values), 1))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0, 1, 30, 3000, 60_000]))
def test_distinct_values_are_estimated_within_seven_percent_however_they_are_split(seed: int, count: int) -> None:
    """Four standard errors."""
    values = np.random.default_rng(seed).normal(size=count)
    halves = [Distinct.of_numbers(np.repeat(values[i::2], 2)) for i in range(2)]

    merged = halves[0].merge(halves[1])

    assert merged.estimate == Distinct.of_numbers(values).estimate
    assert merged.estimate == pytest.approx(count, rel=0.07)


def test_distinct_categories_are_estimated_too() -> None:
    assert Distinct.of_values(tuple(f"c{i}" for i in range(2000))).estimate == pytest.approx(2000, rel=0.07)
    assert Distinct.empty().estimate == 0


def test_of_too_many_categories_the_rarest_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "CATEGORIES", 3)
    words = tuple("abcdef")
    parts = [Coded(np.repeat(np.arange(6), [9, 8, 7, 1, 1, 1]), words), Coded(np.repeat([0, 5], [4, 2]), words)]

    merged = of_series(parts[0], priorities("a", 27)).merge(of_series(parts[1], priorities("b", 6)))

    assert merged.counts == {"a": 13, "b": 8, "c": 7}
    assert merged.dropped + sum(merged.counts.values()) == merged.rows == 33


def test_merged_directions_are_those_of_the_whole() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(300, 4)) @ random.normal(size=(4, 4)) + 100

    merged = Directions.of(rows[:50]).merge(Directions.of(rows[50:]))

    assert merged.shares(4) == pytest.approx(Directions.of(rows).shares(4))
    assert sum(merged.shares(4)) == pytest.approx(1)
