"""The baseline of a version is counted once: what is kept says the same as what was counted."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures_jobs import InProcess, category, given_log, given_version, number, objects
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_jobs import baseline
from headrace_jobs.baseline import Baseline
from headrace_jobs.detectors.native import Native
from headrace_jobs.drift import baseline_cache
from headrace_jobs.drift.job import DriftRun
from headrace_jobs.report.report_store import encode
from headrace_jobs.window import Window

__all__ = ["objects"]

INPUTS = [number("age"), category("plan")]
PLANS = ["free", "plus", None, "pro"]


def data(rows: int, seed: int = 0) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    age = random.normal(40, 10, rows)
    age[::9] = np.nan
    age[1], age[2] = np.inf, -np.inf
    plan = np.array(PLANS, object)[random.integers(0, 4, rows)]
    return {"age": age, "plan": plan, "score": random.random(rows)}


def same(a: Any, b: Any) -> bool:
    """Equal throughout, NaN to NaN, in type as well."""
    if isinstance(a, np.ndarray):
        one = np.array_equal(a, b, equal_nan=True) if a.dtype != object else a.tolist() == b.tolist()
        return bool(one) and a.dtype == b.dtype
    if hasattr(a, "__dataclass_fields__"):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return type(a) is type(b) and bool(a == b)


def given_one(objects: ObjectStore, rows: int = 400) -> Version:
    version = given_version(objects, INPUTS, data(rows), answers={"score": np.random.default_rng(1).random(rows)})
    given_log(objects, version, data(300, 2))
    return version


def test_what_is_kept_is_what_was_counted(objects: ObjectStore) -> None:
    version = given_one(objects)
    counted = baseline.counted(objects, version, 50, 100)

    assert same(baseline_cache.decoded(version, baseline_cache.encoded(counted)), counted)
    assert {key for key, one in counted.references.items() if one.rows} == {"in.age|", "in.plan|", "out.score|"}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.one_of(st.none(), st.floats()), min_size=1, max_size=40),
    st.lists(st.one_of(st.none(), st.text(max_size=5)), min_size=1, max_size=40),
)
def test_any_columns_are_kept_as_they_are(
    objects: ObjectStore, ages: list[float | None], plans: list[str | None]
) -> None:
    random = np.random.default_rng(0)
    version = given_version_once(objects)
    age = np.array([np.nan if v is None else v for v in ages], np.float64)
    plan = np.array([*plans, None], object)[:-1]
    references = {
        "in.age|": baseline.of_rows(age, 5),
        "in.plan|": baseline.of_rows(plan, 5),
    }
    views = {k: v for k, v in baseline.counted(objects, version, 0, 0).views.items() if k in references}
    made = Baseline(
        len(age), references, views, (("x", "why"),), importance={"in.age|": random.random()}, ranking="variance"
    )

    assert same(baseline_cache.decoded(version, baseline_cache.encoded(made)), made)


_once: dict[str, Version] = {}


def given_version_once(objects: ObjectStore) -> Version:
    """Examples of one property share the version of their store."""
    if objects.url not in _once:
        _once[objects.url] = given_version(objects, INPUTS, data(30))
    return _once[objects.url]


def test_the_second_run_counts_nothing_and_its_report_is_the_same_to_the_byte(
    objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = given_one(objects)
    run = DriftRun(version.id, Window.parse("24h", "2026-11-22T12:00:00Z"), Native())

    first = encode(run.report(objects, InProcess(), lambda *_: None))
    monkeypatch.setattr(baseline, "counted", None)
    second = encode(run.report(objects, InProcess(), lambda *_: None))

    assert first == second


def test_another_question_and_other_code_are_counted_anew(
    objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = given_one(objects)

    def kept() -> int:
        return len([i for i in objects.walk(layout.version(version.id)) if "/baseline/" in i.key])

    baseline_cache.from_training(objects, version, 0, 10)
    assert kept() == 1
    baseline_cache.from_training(objects, version, 0, 20)
    assert kept() == 2
    monkeypatch.setattr(baseline_cache, "COUNTING", baseline_cache.COUNTING[1:])
    baseline_cache.from_training(objects, version, 0, 10)
    assert kept() == 3


def test_a_damaged_copy_is_counted_again(objects: ObjectStore) -> None:
    version = given_one(objects)
    expected = baseline_cache.from_training(objects, version, 0, 10)
    (key,) = [i.key for i in objects.walk(layout.version(version.id)) if "/baseline/" in i.key]
    body = objects.get(key)

    for damaged in (b"", body[:100], body[: len(body) // 2]):
        objects.put(key, damaged)
        assert same(baseline_cache.from_training(objects, version, 0, 10), expected)
        assert objects.get(key) == body
