"""Requests that ask why: the answer says it of models of trees, and refuses to guess for others."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn.base import is_classifier
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from fixtures_trees import brute_force
from function_support import Deployed, Home, client, scalars, serving, signature
from headrace_functions.attribution.estimators import ensemble
from headrace_functions.errors import InvalidInput
from headrace_functions.record import Record, decode
from headrace_functions.runtime.explanations import MAX_ROWS, Explainer
from headrace_functions.signature import Field, dtype

NAMES = ("age", "income", "debt")
CLASSES = Field("probabilities", dtype("float64"), (2,), columns=("no", "yes"))
VALUE = Field("value", dtype("float64"))
Ask = Callable[..., httpx.Response]


def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 3))
    return x, 3 * x[:, 0] - x[:, 1]


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Deployed, RandomForestClassifier]]:
    x, y = data()
    model = RandomForestClassifier(8, max_depth=4, random_state=0).fit(x, np.where(y > 0, "yes", "no"))
    outputs = (Field("label", dtype("string")), CLASSES)
    deployed = Home(tmp_path_factory.mktemp("forest")).version(
        signature(scalars(*NAMES), outputs), framework="sklearn", model=model
    )
    with serving(deployed):
        yield deployed, model


def v2(rows: np.ndarray, **parameters: Any) -> dict[str, Any]:
    tensor = {"name": "rows", "shape": list(rows.shape), "datatype": "FP64", "data": rows.ravel().tolist()}
    return {"inputs": [tensor], "parameters": parameters}


def test_each_row_has_the_shapley_values_of_its_predicted_class(
    forest: tuple[Deployed, RandomForestClassifier],
) -> None:
    deployed, model = forest
    rows = np.array([[1.0, 0.0, 0.0], [-1.0, 0.5, 2.0]])
    with client(deployed) as ask:
        answer = ask.post("/v2/models/m/explain", json=v2(rows))
    assert 200 == answer.status_code, answer.text
    told = answer.json()["parameters"]["explanations"]
    assert ["probabilities[yes]", "probabilities[no]"] == [one["output"] for one in told]
    for row, one, place in zip(rows, told, (1, 0), strict=True):
        found = ensemble(model, place)
        expected = dict(zip(NAMES, brute_force(found.trees, row), strict=True))
        assert expected == pytest.approx(one["values"], abs=1e-9)
        assert one["answer"] == pytest.approx(model.predict_proba([row])[0][place], abs=1e-9)
        assert one["answer"] == pytest.approx(one["base"] + sum(one["values"].values()), abs=1e-9)
        sizes = [abs(v) for v in one["values"].values()]
        assert sorted(sizes, reverse=True) == sizes


def test_what_is_explained_quickly_moves_onto_the_loop_and_says_the_same(
    forest: tuple[Deployed, RandomForestClassifier],
) -> None:
    """After twenty quick ones; a request of several rows goes to a thread again."""
    rows = np.array([[1.0, 0.0, 0.0], [-1.0, 0.5, 2.0]])
    with client(forest[0]) as ask:
        both = ask.post("/v2/models/m/explain", json=v2(rows)).json()["parameters"]["explanations"]
        for _ in range(30):
            assert both[:1] == ask.post("/v2/models/m/explain", json=v2(rows[:1])).json()["parameters"]["explanations"]
        assert both == ask.post("/v2/models/m/explain", json=v2(rows)).json()["parameters"]["explanations"]


def test_a_parameter_asks_for_it_too_and_the_outputs_are_those_of_any_request(
    forest: tuple[Deployed, RandomForestClassifier],
) -> None:
    deployed, _ = forest
    row = np.array([[1.0, 0.0, 0.0]])
    with client(deployed) as ask:
        plain = ask.post(deployed.infer_path, json=v2(row)).json()
        asked = ask.post(deployed.infer_path, json=v2(row, explain=True)).json()
        said_no = ask.post(deployed.infer_path, json=v2(row, explain=False)).json()
    assert plain == said_no
    assert plain["outputs"] == asked["outputs"]
    assert 1 == len(asked["parameters"]["explanations"])


def test_protocol_v1_has_explanations_beside_predictions(forest: tuple[Deployed, RandomForestClassifier]) -> None:
    deployed, _ = forest
    body = {"instances": [{"age": 1.0, "income": 0.0, "debt": 0.0}]}
    with client(deployed) as ask:
        by_verb = ask.post("/v1/models/m:explain", json=body).json()
        by_member = ask.post("/v1/models/m:predict", json={**body, "explain": True}).json()
    assert by_verb == by_member
    assert {"predictions", "explanations"} == by_verb.keys()
    assert "probabilities[yes]" == by_verb["explanations"][0]["output"]


def test_an_explained_request_is_logged_as_it_was_answered(forest: tuple[Deployed, RandomForestClassifier]) -> None:
    deployed, _ = forest
    with client(deployed) as ask:
        ask.post("/v2/models/m/explain", json=v2(np.zeros((1, 3))), headers={"x-request-id": "why-1"})
    assert deployed.settings.spool is not None
    found = [r for r in records(deployed.settings.spool) if r.header.request_id == "why-1"]
    assert [("ok", 200, "v2")] == [(r.header.outcome, r.header.status, r.header.protocol) for r in found]


@pytest.mark.parametrize(
    ("parameters", "rows", "status", "said"),
    [
        ({"explain": "yes"}, 1, 400, "'explain' is neither true nor false"),
        ({"explain": True}, MAX_ROWS + 1, 413, "the request asks for too many explanations"),
    ],
)
def test_a_bad_question_says_what_is_allowed(
    forest: tuple[Deployed, RandomForestClassifier], parameters: dict[str, Any], rows: int, status: int, said: str
) -> None:
    deployed, _ = forest
    with client(deployed) as ask:
        answer = ask.post(deployed.infer_path, json=v2(np.zeros((rows, 3)), **parameters))
    assert (status, said, "explain") == (answer.status_code, answer.json()["detail"], answer.json()["field"])


@pytest.mark.parametrize(
    "model", [GradientBoostingClassifier(n_estimators=5), HistGradientBoostingRegressor(max_iter=5)]
)
def test_values_of_boosting_add_up_to_the_answer_in_their_unit(model: Any, tmp_path: Path) -> None:
    x, y = data()
    classes = hasattr(model, "classes_") or "Classifier" in type(model).__name__
    model.fit(x, y > 0 if classes else y)
    deployed = Home(tmp_path).version(
        signature(scalars(*NAMES), (CLASSES if classes else VALUE,)), framework="sklearn", model=model
    )
    row = {name: np.array([v]) for name, v in zip(NAMES, (1.0, 0.2, np.nan if not classes else 0.0), strict=True)}
    matrix = np.column_stack(list(row.values()))
    answer = {"probabilities": model.predict_proba(matrix)} if classes else {"value": model.predict(matrix)}
    (one,) = Explainer(deployed.version, deployed.settings.artifact, model).explain(row, answer)
    raw = (
        float(np.log(answer["probabilities"][0].max() / answer["probabilities"][0].min()))
        if classes
        else answer["value"][0]
    )
    assert ("log odds" if classes else "as the output") == one["unit"]
    assert raw == pytest.approx(one["answer"], abs=1e-6)
    assert "age" == next(iter(one["values"]))


def explained(model: Any, tmp_path: Path, row: tuple[float, ...], *, named: bool = False) -> tuple[dict[str, Any], Any]:
    """The explanation of one row by a model fitted on the data, and the probability or value that it answers."""
    x, y = data()
    frame: Any = pd.DataFrame(x, columns=list(NAMES)) if named else x
    classes = is_classifier(model)
    model.fit(frame, y > 0 if classes else y)
    outputs = (CLASSES if classes else VALUE,)
    fields = scalars(*(reversed(NAMES) if named else NAMES))
    deployed = Home(tmp_path).version(signature(fields, outputs), framework="sklearn", model=model)
    asked = pd.DataFrame([row], columns=list(NAMES)) if named else np.array([row])
    answer = {"probabilities": model.predict_proba(asked)} if classes else {"value": model.predict(asked)}
    tensors = {name: np.array([value]) for name, value in zip(NAMES, row, strict=True)}
    (one,) = Explainer(deployed.version, deployed.settings.artifact, model).explain(tensors, answer)
    return one, answer["probabilities"][0].max() if classes else answer["value"][0]


@pytest.mark.parametrize("named", [False, True])
def test_a_linear_model_behind_a_scaler_has_its_coefficients_times_the_distance_from_the_mean(
    tmp_path: Path, named: bool
) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression())
    one, likely = explained(model, tmp_path, (0.4, -1.0, 2.0), named=named)
    x, _ = data()
    slopes = model[-1].coef_[0] / model[0].scale_
    expected = dict(zip(NAMES, slopes * (np.array([0.4, -1.0, 2.0]) - x.mean(axis=0)), strict=True))
    assert expected == pytest.approx(one["values"], abs=1e-9)
    assert ("log odds", np.log(likely / (1 - likely))) == (one["unit"], pytest.approx(one["answer"], abs=1e-9))


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(StandardScaler(), RandomForestClassifier(5, random_state=0)),
        make_pipeline(SimpleImputer(), MinMaxScaler(), HistGradientBoostingRegressor(max_iter=5)),
        make_pipeline(MinMaxScaler(), StandardScaler(), Ridge()),
        make_pipeline("passthrough", GradientBoostingClassifier(n_estimators=4)),
    ],
    ids=lambda model: type(model[-1]).__name__,
)
def test_what_is_done_to_each_number_alone_keeps_a_model_explained(model: Any, tmp_path: Path) -> None:
    one, given = explained(model, tmp_path, (0.4, -1.0, 2.0))
    answer = 1 / (1 + np.exp(-one["answer"])) if one["unit"] == "log odds" else one["answer"]
    assert given == pytest.approx(answer, abs=1e-6)
    assert one["answer"] == pytest.approx(one["base"] + sum(one["values"].values()), abs=1e-9)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (make_pipeline(PCA(2), Ridge()), "makes other features by PCA"),
        (
            make_pipeline(SimpleImputer(add_indicator=True), StandardScaler(), Ridge()),
            "makes other features by SimpleImputer",
        ),
        (make_pipeline(MinMaxScaler(), Ridge()), "the means of its training rows are not known"),
        (make_pipeline(StandardScaler(), KNeighborsRegressor()), "not made of trees"),
    ],
    ids=lambda value: value.split()[-1] if isinstance(value, str) else type(value[0]).__name__,
)
def test_what_cannot_be_taken_apart_says_what_is_in_the_way(model: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=said):
        explained(model, tmp_path, (0.4, -1.0, 2.0))


def test_a_model_that_cannot_be_taken_apart_is_refused_with_the_way_that_explains_any(tmp_path: Path) -> None:
    x, y = data()
    model = LinearRegression().fit(x, y)
    deployed = Home(tmp_path).version(signature(scalars(*NAMES), (VALUE,)), framework="sklearn", model=model)
    with serving(deployed), client(deployed) as ask:
        answer = ask.post("/v2/models/m/explain", json=v2(np.zeros((1, 3))))
        again = ask.post(deployed.infer_path, json=v2(np.zeros((1, 3))))
    assert (400, "explain", 200) == (answer.status_code, answer.json()["field"], again.status_code)
    assert "headrace explain m:1" in answer.json()["hint"]


def test_trees_that_do_not_give_the_answer_are_not_believed(tmp_path: Path) -> None:
    x, y = data()
    model = HistGradientBoostingRegressor(max_iter=3).fit(x, y)
    deployed = Home(tmp_path).version(signature(scalars(*NAMES), (VALUE,)), framework="sklearn", model=model)
    row = {name: np.array([0.5]) for name in NAMES}
    with pytest.raises(Exception, match="what it is made of differs from its answer by"):
        Explainer(deployed.version, deployed.settings.artifact, model).explain(row, {"value": np.array([1234.5])})


def records(folder: Path) -> list[Record]:
    files = sorted(f for f in folder.rglob("*") if f.suffix in (".open", ".seg"))
    return [record for file in files for record in decode(file.read_bytes())]
