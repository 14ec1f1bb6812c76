"""What a window's answers depend on: from the trees of a real artifact, and by asking; over a sample, outliers, drifted rows."""

from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression

from fixtures_jobs import CHURN, SCORE, UNTIL, Answering, InProcess, category, given_log, given_version, number, objects
from fixtures_trees import NAMES, PROBABILITIES, Predict, given_model
from headrace_functions.attribution.ensembles import UNITS, Ensemble, NotDirectError
from headrace_functions.attribution.estimators import ensemble
from headrace_functions.attribution.outcome import Outcome
from headrace_functions.attribution.trees import MAX_PATH, Tree, tree_shap
from headrace_functions.errors import InvalidInput
from headrace_functions.signature import Field, dtype
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_jobs.attribution.direct import by_trees, middle
from headrace_jobs.attribution.job import AttributionRun, shift
from headrace_jobs.attribution.training import training_rows
from headrace_jobs.report.models import AttributionReport
from headrace_jobs.report.page import page
from headrace_jobs.window import Window

__all__ = ["objects"]

HOUR = Window.parse("1h", UNTIL.isoformat())


def attribute(objects: ObjectStore, version: Version, predict: Predict, **options: Any) -> AttributionReport:
    with Answering(version, predict) as endpoint:
        run = AttributionRun(CHURN, HOUR, endpoint.url, **options)
        return run.report(objects, InProcess(), lambda *_: None)


@pytest.mark.parametrize(
    ("model", "output", "unit"),
    [
        (RandomForestRegressor(20, max_depth=5, random_state=0), SCORE, "as the output"),
        (RandomForestClassifier(20, max_depth=5, random_state=0), PROBABILITIES, "as the output"),
        (GradientBoostingClassifier(n_estimators=20, random_state=0), PROBABILITIES, "log odds"),
        (HistGradientBoostingClassifier(max_iter=20, random_state=0), PROBABILITIES, "log odds"),
        (HistGradientBoostingRegressor(max_iter=20, random_state=0), SCORE, "as the output"),
    ],
    ids=["forest", "classifying forest", "boosting", "histograms", "histograms of a number"],
)
def test_trees_are_read_from_the_artifact(objects: ObjectStore, model: BaseEstimator, output: Field, unit: str) -> None:
    """The values add up, rank the inputs as the truth does, and nobody is asked but for the rows' own answers."""
    version, predict = given_model(objects, model, (output,))
    found = attribute(objects, version, predict)
    assert (found.method, found.unit, found.asked, found.explained) == ("trees", unit, 100, 100)
    assert found.residual < 1e-10
    assert found.fields[0].name == "a"
    assert found.fields[0].share > 0.5
    assert {f.name: f for f in found.fields}["c"].share < 0.1


@pytest.mark.parametrize("loss", ["poisson", "gamma"])
def test_boosting_with_a_logarithmic_loss_is_explained_in_logarithms(objects: ObjectStore, loss: str) -> None:
    """The exponential of base and values is the answer; rows with missing values go where the histograms send them."""
    random = np.random.default_rng(0)
    x = random.normal(size=(500, 4))
    x[random.random(x.shape) < 0.1] = np.nan
    y = np.exp(np.nan_to_num(x[:, 0]) / 2 + random.normal(size=500) / 10)
    model = HistGradientBoostingRegressor(loss=loss, max_iter=30).fit(x, y)
    found = ensemble(model, None)
    values, base = tree_shap(found.trees, x)
    assert UNITS[found.link] == "logarithm of the output"
    np.testing.assert_allclose(found.answer(base + values.sum(axis=1)), model.predict(x), rtol=1e-10)


def test_histograms_over_categories_are_not_taken_for_numbers() -> None:
    x = np.column_stack([np.arange(200) % 3, np.random.default_rng(0).normal(size=200)])
    model = HistGradientBoostingRegressor(categorical_features=[0], max_iter=5).fit(x, x[:, 0] == 1)
    with pytest.raises(NotDirectError, match="categories"):
        ensemble(model, None)


def test_a_path_of_too_many_features_is_asked_through_the_endpoint(
    objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bits of a path fit a number."""
    deep = MAX_PATH + 1
    inner, leaf = np.arange(deep), np.full(deep + 1, -1)
    chain = Tree(
        left=np.append(np.arange(deep, 2 * deep), leaf),
        right=np.append(np.append(np.arange(1, deep), 2 * deep), leaf),
        feature=np.append(inner, np.zeros(deep + 1, int)),
        threshold=np.zeros(2 * deep + 1),
        value=np.ones(2 * deep + 1),
        cover=np.append(np.arange(deep, 0, -1) + 1.0, np.ones(deep + 1)),
        missing_left=np.zeros(2 * deep + 1, bool),
    )
    version = given_version(objects, [number(f"f{i}") for i in range(deep)], None)
    found = Ensemble.of([chain], 0.0, "identity", names=None, features=deep)
    monkeypatch.setattr("headrace_jobs.attribution.direct.read_trees", lambda *_: found)
    outcome = Outcome(SCORE, "score", "asked for")
    with pytest.raises(NotDirectError, match=f"a path of {deep} features"):
        by_trees(objects, version, outcome, np.zeros((2, deep), object), np.ones(2))


def test_a_model_that_is_no_tree_is_asked(objects: ObjectStore) -> None:
    """For a linear model the values are known: the coefficient times the distance from the background's mean."""
    version, predict = given_model(objects, LinearRegression(), (SCORE,))
    found = attribute(objects, version, predict, count=20, budget=20_000)
    assert found.method == "exact"
    assert "not made of trees" in found.notes[0].reason
    importance = {f.name: f.importance for f in found.fields}
    assert importance["c"] < 1e-9
    assert importance["a"] > 2 * importance["b"] > 0
    assert found.residual < 1e-9
    assert found.asked <= 20_000 + 20


def test_an_artifact_that_is_not_what_answers_is_not_believed(objects: ObjectStore) -> None:
    version, predict = given_model(objects, RandomForestRegressor(5, max_depth=3, random_state=0), (SCORE,))
    found = attribute(objects, version, lambda **x: {"score": predict(**x)["score"] + 1}, count=10, budget=2000)
    assert found.method != "trees"
    assert "differ from the endpoint's answers" in found.notes[0].reason


def test_an_artifact_that_cannot_be_loaded_is_asked_through_the_endpoint(objects: ObjectStore) -> None:
    version, predict = given_model(objects, RandomForestRegressor(5, max_depth=3, random_state=0), (SCORE,))
    objects.put(layout.artifact(CHURN), b"broken")
    found = attribute(objects, version, predict, count=10, budget=2000)
    assert "cannot be loaded here" in found.notes[0].reason


def test_the_rows_least_like_training_are_found_and_explained(objects: ObjectStore) -> None:
    version, predict = given_model(objects, RandomForestRegressor(10, max_depth=4, random_state=0), (SCORE,))
    shifted = dict(zip(NAMES, np.random.default_rng(1).normal(size=(3, 200)), strict=True))
    shifted["b"] = shifted["b"] + 5
    given_log(objects, version, {**shifted, "score": predict(**shifted)["score"]}, request="odd")
    found = attribute(objects, version, predict, choice="drifted", count=50)
    assert all(r.request_id.startswith("odd") for r in found.rows)
    assert [r.why for r in found.rows] == sorted((r.why for r in found.rows), reverse=True)  # type: ignore[type-var]


def test_the_outliers_of_a_window_are_explained_in_one_run(objects: ObjectStore) -> None:
    version, predict = given_model(objects, RandomForestRegressor(10, max_depth=4, random_state=0), (SCORE,))
    far = {"a": [50.0, -60.0], "b": [40.0, 40.0], "c": [40.0, -30.0]}
    given_log(objects, version, {**far, "score": [1.0, 1.0]}, request="far")
    found = attribute(objects, version, predict, choice="outliers", count=2)
    assert {r.request_id for r in found.rows} == {"far-0", "far-1"}
    assert all(r.why is not None for r in found.rows)
    assert "outliers" in page(found)


def test_an_empty_window_is_said(objects: ObjectStore) -> None:
    version, predict = given_model(objects, LinearRegression(), (SCORE,))
    with Answering(version, predict) as endpoint:
        run = AttributionRun(CHURN, Window.parse("1h", "2020-01-01T00:00:00Z"), endpoint.url)
        with pytest.raises(InvalidInput, match="no answered rows"):
            run.report(objects, InProcess(), lambda *_: None)


def test_words_and_tensors_are_features_too(objects: ObjectStore) -> None:
    """A python function of a category and an embedding, asked within its budget."""
    vector = Field("vector", dtype("float64"), (2,), "embedding")
    random = np.random.default_rng(0)
    training = {"plan": ["a", "b"] * 50, "vector": random.normal(size=(100, 2)).tolist()}
    version = given_version(objects, [category("plan"), vector], training, (SCORE,))

    def predict(plan: np.ndarray, vector: np.ndarray) -> dict[str, np.ndarray]:
        return {"score": (plan == "a") * 1.0 + vector[:, 0]}

    given_log(objects, version, {"plan": ["a", "b"], "vector": [[1.0, 2.0], [3.0, 4.0]], "score": [2.0, 3.0]})
    found = attribute(objects, version, predict, budget=1000)
    assert {f.name for f in found.fields} == {"plan", "vector[0]", "vector[1]"}
    assert found.residual < 1e-9
    assert found.rows[0].parts[0].name == "vector[0]"


@pytest.mark.parametrize(("options", "field"), [({"count": 0}, "count"), ({"budget": 0}, "budget")])
def test_limits_are_told(options: dict[str, int], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        AttributionRun(CHURN, HOUR, "http://127.0.0.1:1", **options)  # type: ignore[arg-type]
    assert caught.value.field == field


def test_a_window_like_training_stands_beside_training_without_a_shift(objects: ObjectStore) -> None:
    forest = RandomForestRegressor(20, max_depth=5, random_state=0)
    version, predict = given_model(objects, forest, (SCORE,), answered=True)
    found = {f.name: f for f in attribute(objects, version, predict).fields}
    assert all(f.trained is not None and f.shift is not None for f in found.values())
    assert not any(f.told for f in found.values()), "the window is like training"
    assert 1.0 == pytest.approx(sum(f.trained or 0.0 for f in found.values()))


@pytest.mark.parametrize("seed", range(3))
def test_of_equal_shares_few_are_told_and_a_planted_shift_is(seed: int) -> None:
    random = np.random.default_rng(seed)
    told = 0
    for _ in range(200):
        size = random.exponential(1.0, (100, 4)) * np.array([4.0, 3.0, 2.0, 1.0])
        told += shift(size, 0, 0.4)["told"]
    assert told <= 8  # 2 are expected where the training share is exact
    moved = random.exponential(1.0, (100, 4)) * np.array([4.0, 3.0, 2.0, 8.0])
    assert shift(moved, 3, 0.1)["told"]
    assert shift(moved, 3, 0.1)["shift"] > 0.2


def test_few_rows_and_features_without_a_share_in_training_tell_nothing() -> None:
    size = np.ones((5, 2))
    assert {"trained": 0.5, "shift": None, "told": False} == shift(size, 0, 0.5)
    assert {"trained": None, "shift": None, "told": False} == shift(np.ones((100, 2)), 0, None)


def test_the_most_frequent_answer_is_told_from_one_that_differs_by_a_nul_at_its_end() -> None:
    answers = np.array(["b", "a\0", "b", "a", "a\0", "a\0", "a", "b"], object)

    assert ["a\0"] == middle(answers).tolist()


def test_answers_on_training_rows_keep_nuls_at_their_ends(objects: ObjectStore) -> None:
    words = ["yes\0", "yes", "no"] * 20
    output = Field("word", dtype("string"), profile="categorical")
    version = given_version(objects, [number("x")], {"x": np.arange(60.0)}, (output,), {"word": words})

    assert {"yes\0", "yes", "no"} == set(training_rows(objects, version, 60)[1]["word"].tolist())
