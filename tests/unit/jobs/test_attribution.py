"""What a window's answers depend on: from the trees of a real artifact, and by asking; over a sample, outliers, drifted rows."""

import io
import tarfile
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import pytest
import zstandard
from sklearn.base import BaseEstimator
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression

from fixtures_jobs import CHURN, SCORE, UNTIL, Answering, InProcess, category, given_log, given_version, number, objects
from headrace_functions.errors import InvalidInput
from headrace_functions.signature import Field, dtype
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_jobs.attribution.job import AttributionRun
from headrace_jobs.report.models import AttributionReport
from headrace_jobs.report.page import page
from headrace_jobs.window import Window

__all__ = ["objects"]

NAMES = ("a", "b", "c")
PROBABILITIES = Field("probabilities", dtype("float64"), (2,), columns=("no", "yes"))
HOUR = Window.parse("1h", UNTIL.isoformat())
Predict = Callable[..., dict[str, np.ndarray]]


def given_model(
    objects: ObjectStore, model: BaseEstimator, outputs: tuple[Field, ...], rows: int = 300
) -> tuple[Version, Predict]:
    """A version whose artifact is the fitted model, with its training data and a log of ``rows`` answers; ``a`` decides, ``c`` does nothing."""
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 3))
    raw = 3 * x[:, 0] + x[:, 1]
    model.fit(x, raw > 0 if outputs[0] is PROBABILITIES else raw)
    version = given_version(objects, [number(n) for n in NAMES], dict(zip(NAMES, x.T, strict=True)), outputs)
    document = {**version.to_document(), "framework": "sklearn"}
    objects.put(layout.version_document(version.id), b"")
    objects.delete(layout.version_document(version.id))
    Documents(objects).create(layout.version_document(version.id), document)
    objects.put(layout.artifact(version.id), packed(model))

    def predict(**inputs: np.ndarray) -> dict[str, np.ndarray]:
        matrix = np.column_stack([inputs[n] for n in NAMES])
        if outputs[0] is PROBABILITIES:
            return {"probabilities": model.predict_proba(matrix)}
        return {"score": model.predict(matrix)}

    logged = dict(zip(NAMES, random.normal(size=(3, rows)), strict=True))
    given_log(objects, version, {**logged, **{k: v.tolist() for k, v in predict(**logged).items()}})
    return Version.from_document(document), predict


def packed(model: Any) -> bytes:
    """The model as an artifact's archive."""
    dumped, archive = io.BytesIO(), io.BytesIO()
    joblib.dump(model, dumped)
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo("model.joblib")
        member.size = len(dumped.getvalue())
        tar.addfile(member, io.BytesIO(dumped.getvalue()))
    return zstandard.compress(archive.getvalue())


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
    ],
    ids=["forest", "classifying forest", "boosting"],
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
