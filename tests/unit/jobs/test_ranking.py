"""Drifted fields are ranked by what the answers depend on: mean |SHAP| on training rows where that is to be had."""

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression

import headrace_jobs.attribution.training as training
from fixtures_jobs import CHURN, SCORE, UNTIL, Answering, InProcess, given_log, given_version, number, objects
from fixtures_trees import NAMES, given_model
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_jobs.attribution.job import AttributionRun
from headrace_jobs.detectors.native import Native
from headrace_jobs.drift.job import DriftRun
from headrace_jobs.report.models import DriftReport
from headrace_jobs.report.page import page
from headrace_jobs.window import Window

__all__ = ["objects"]

HOUR = Window.parse("1h", UNTIL.isoformat())


def given(objects: ObjectStore, model: Any) -> Any:
    """A version whose answers on its training rows were kept, as a build does; ``b`` and ``c`` have drifted, ``c`` further."""
    version, predict = given_model(objects, model, (SCORE,), answered=True)
    random = np.random.default_rng(5)
    moved = dict(zip(NAMES, random.normal(size=(3, 600)), strict=True))
    moved["b"], moved["c"] = moved["b"] + 1, moved["c"] + 3
    given_log(objects, version, {**moved, "score": predict(**moved)["score"]}, request="moved")
    return version, predict


def drift(objects: ObjectStore) -> DriftReport:
    return DriftRun(CHURN, HOUR, Native()).report(objects, InProcess(), lambda *_: None)


def test_the_first_drift_run_ranks_by_the_trees_of_the_artifact(
    objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What moved the answers more comes first, though it drifted less; the second run reads what the first one kept."""
    given(objects, RandomForestRegressor(20, max_depth=6, random_state=0))
    first = drift(objects)
    assert first.ranking == "shap"
    inputs = [f for f in first.fields if f.name in ("b", "c")]
    assert {f.verdict for f in inputs} == {"drift"}
    assert [f.name for f in inputs] == ["b", "c"]
    assert inputs[1].score > inputs[0].score
    assert sum(f.importance or 0 for f in first.fields if f.side == "input") == pytest.approx(1, abs=1e-6)
    assert "mean |SHAP|" in page(first)
    monkeypatch.setattr(training, "_from_trees", lambda *_: pytest.fail("it is kept"))
    assert drift(objects) == first


def test_a_model_without_trees_is_ranked_by_the_variance_of_its_answers(
    objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That there are no trees is kept too: an artifact is not loaded again at each run."""
    given(objects, LinearRegression())
    assert drift(objects).ranking == "variance"
    monkeypatch.setattr(training, "_from_trees", lambda *_: pytest.fail("it is kept"))
    assert drift(objects).ranking == "variance"
    kept = Documents(objects).last(layout.importance(CHURN))
    assert kept is not None
    assert "not made of trees" in kept["reason"]


def test_an_attribution_of_the_training_data_ranks_from_then_on(objects: ObjectStore) -> None:
    """The endpoint answers for a model that cannot be read."""
    version, predict = given(objects, LinearRegression())
    assert drift(objects).ranking == "variance"
    with Answering(version, predict) as endpoint:
        run = AttributionRun(CHURN, HOUR, endpoint.url, "training", 50, 20_000)
        found = run.report(objects, InProcess(), lambda *_: None)
    assert (found.chosen, found.explained, found.rows) == ("training", 50, ())
    assert "training data" in page(found)
    ranked = drift(objects)
    assert ranked.ranking == "shap"
    importance = {f.name: f.importance for f in ranked.fields if f.side == "input"}
    assert importance == pytest.approx({f.name: f.share for f in found.fields}, rel=1e-6)


def test_trees_that_do_not_give_the_answers_that_were_kept_rank_nothing(objects: ObjectStore) -> None:
    given_model(objects, RandomForestRegressor(5, max_depth=3, random_state=0), (SCORE,), answered=True, wrong=1.0)
    assert drift(objects).ranking == "variance"


def test_a_version_without_kept_answers_is_ranked_by_severity(objects: ObjectStore) -> None:
    given_model(objects, RandomForestRegressor(5, max_depth=3, random_state=0), (SCORE,))
    assert drift(objects).ranking == "severity"


def test_inputs_that_tell_the_same_share_what_they_explain(objects: ObjectStore) -> None:
    """Each of five copies explains the answers by itself; together they cannot explain more than all."""
    x = np.random.default_rng(0).normal(size=600)
    fields = [number(f"x{i}") for i in range(5)]
    version = given_version(objects, fields, {f.name: x + i for i, f in enumerate(fields)}, answers={"score": x * 2})
    moved = {f.name: x + i + 3 for i, f in enumerate(fields)}
    given_log(objects, version, {**moved, "score": x * 2})
    report = drift(objects)
    shares = [f.importance for f in report.fields if f.side == "input"]
    assert pytest.approx([0.2] * 5, abs=0.01) == shares
    assert not any("may not depend" in line for line in report.advice)
