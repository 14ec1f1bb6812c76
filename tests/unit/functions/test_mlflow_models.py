"""MLflow model folders are read without MLflow: flavour, signature, requirements, input example."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sklearn.linear_model import LogisticRegression

from framework_support import X, Y
from headrace_functions.errors import InvalidInput
from headrace_functions.runtime.frameworks import find, mlmodel
from headrace_functions.runtime.frameworks.needs import requirements
from headrace_functions.runtime.frameworks.safety import check
from headrace_functions.runtime.loading import bind
from headrace_functions.runtime.trial import Trial, try_artifact
from headrace_functions.signature import Signature

COLUMNS = [{"type": "double", "name": n, "required": True} for n in X.columns]
PYFUNC = {"loader_module": "mlflow.pyfunc.model", "python_model": "python_model.pkl"}


def folder(
    artifact: Path,
    flavours: dict[str, Any],
    files: dict[str, bytes] | None = None,
    requirements_text: str = "mlflow==3.1.0\nscikit-learn==1.6.1\n",
    **more: Any,
) -> Path:
    """An artifact with an MLflow model in the folder ``model``."""
    model = artifact / "model"
    (model / "data").mkdir(parents=True)
    (model / "MLmodel").write_text(yaml.safe_dump({"flavors": flavours, "mlflow_version": "3.1.0", **more}))
    (model / "requirements.txt").write_text(requirements_text)
    for name, content in (files or {}).items():
        (model / name).write_bytes(content)
    return artifact


def estimator(artifact: Path, **more: Any) -> Path:
    flavours = {"python_function": PYFUNC, "sklearn": {"pickled_model": "model.pkl", "sklearn_version": "1.6.1"}}
    dumped = pickle.dumps(LogisticRegression(max_iter=3000).fit(X, Y))
    return folder(artifact, flavours, {"model.pkl": dumped}, **more)


def test_a_flavour_with_a_loader_here_is_served_by_it_with_the_signature_s_inputs(tmp_path: Path) -> None:
    artifact = estimator(tmp_path, signature={"inputs": json.dumps(COLUMNS), "outputs": None})
    framework = find("mlflow")
    model = framework.load(artifact, {})
    said = framework.describe(model, {})
    assert list(X.columns) == [f.name for f in said.inputs or ()]
    assert ["label", "probabilities"] == [f.name for f in said.outputs or ()]
    function = bind(framework, model, {}, Signature(said.inputs or (), said.outputs or ()), batch=True)
    found = function({str(n): X[n].to_numpy() for n in X.columns})
    assert (found["label"] == LogisticRegression(max_iter=3000).fit(X, Y).predict(X)).all()


def test_the_versions_that_mlflow_wrote_down_are_kept_without_mlflow_itself(tmp_path: Path) -> None:
    wanted = requirements("mlflow", estimator(tmp_path), {})
    assert "scikit-learn==1.6.1" in wanted
    assert "pyyaml" in wanted
    assert not [w for w in wanted if w.startswith("mlflow")]


def test_a_booster_gets_the_build_for_processors_in_the_version_written_down(tmp_path: Path) -> None:
    flavours = {"xgboost": {"data": "model.ubj", "model_class": "xgboost.core.Booster"}}
    artifact = folder(tmp_path, flavours, {"model.ubj": b"{"}, "mlflow==3.1.0\nxgboost==3.0.2\npsutil==7.0.0\n")
    assert ["psutil==7.0.0", "pyyaml", "xgboost-cpu==3.0.2"] == requirements("mlflow", artifact, {})


def test_pyfunc_gets_what_was_written_down_and_mlflow_without_its_server(tmp_path: Path) -> None:
    artifact = folder(
        tmp_path, {"python_function": PYFUNC}, requirements_text="mlflow==3.1.0 # server\npandas==2.2.0\n-r more.txt\n"
    )
    assert ["mlflow-skinny==3.1.0", "pandas==2.2.0", "pyyaml"] == requirements("mlflow", artifact, {})


def test_a_model_class_that_was_pickled_by_value_is_refused_until_it_is_allowed(tmp_path: Path) -> None:
    by_value = b"\x80\x04\x8c\x17cloudpickle.cloudpickle\x8c\x0e_make_function\x93."
    artifact = folder(tmp_path, {"python_function": PYFUNC}, {"python_model.pkl": by_value})
    with pytest.raises(InvalidInput, match=r"cloudpickle\.cloudpickle\._make_function"):
        check("mlflow", artifact, {}, [])
    assert check("mlflow", artifact, {}, ["cloudpickle"])


def test_pickles_of_a_flavour_are_held_to_the_rule(tmp_path: Path) -> None:
    flavours = {"sklearn": {"pickled_model": "model.pkl", "sklearn_version": "1.6.1"}}
    artifact = folder(tmp_path, flavours, {"model.pkl": b"cposix\nsystem\n."})
    with pytest.raises(InvalidInput, match=r"posix\.system"):
        check("mlflow", artifact, {}, [])


def test_the_input_example_is_what_a_build_tries(tmp_path: Path) -> None:
    example = {"columns": list(X.columns), "data": X[:3].to_numpy().tolist()}
    artifact = estimator(
        tmp_path,
        signature={"inputs": json.dumps(COLUMNS)},
        saved_input_example_info={"artifact_path": "example.json", "type": "dataframe"},
    )
    (artifact / "model" / "example.json").write_text(json.dumps(example))
    signature, details = try_artifact(Trial("mlflow", artifact, {}, True, None, None, None))
    assert 3 == details["rows"]
    assert "probabilities" == signature.outputs[1].name


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("flavors: [", "is not YAML"),
        ("run_id: 1", "lists no flavors"),
        ("flavors: {spark: {}}", "has no python_function flavour"),
    ],
)
def test_a_folder_that_cannot_be_served_says_why(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "MLmodel").write_text(content)
    with pytest.raises(InvalidInput, match=says) as caught:
        mlmodel.read(tmp_path, {})
    assert "payload" == caught.value.field


def test_a_folder_without_an_mlmodel_and_a_flavour_that_there_is_not_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not an MLflow model"):
        mlmodel.read(tmp_path, {})
    with pytest.raises(InvalidInput, match="no flavour 'onnx'"):
        mlmodel.read(estimator(tmp_path), {"flavour": "onnx"})


def test_types_of_a_signature_become_fields_and_what_has_no_counterpart_is_said(tmp_path: Path) -> None:
    tensor = [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 28, 28]}}]
    columns = [{"type": "string", "name": "plan"}, {"type": "long", "name": "age"}]
    read = mlmodel.read(
        estimator(tmp_path, signature={"inputs": json.dumps(columns), "outputs": json.dumps(tensor)}), {}
    )
    assert [("plan", "string"), ("age", "int64")] == [(f.name, f.dtype.name) for f in read.inputs or ()]
    assert [("prediction", (28, 28))] == [(f.name, f.shape) for f in read.outputs or ()]
    strange = estimator(tmp_path / "other", signature={"inputs": json.dumps([{"type": "datetime", "name": "at"}])})
    found = mlmodel.read(strange, {})
    assert found.inputs is None
    assert "'at' is of type 'datetime'" in found.unclear[0]


def test_an_input_example_outside_of_the_folder_is_none(tmp_path: Path) -> None:
    artifact = estimator(tmp_path, saved_input_example_info={"artifact_path": "../../secret.json"})
    (tmp_path.parent / "secret.json").write_text('{"columns": ["a"], "data": [[1]]}')
    assert mlmodel.read(artifact, {}).example() is None


def test_answers_of_pyfunc_of_every_shape_get_names() -> None:
    named = find("mlflow")._named  # type: ignore[attr-defined]
    assert ["prediction"] == list(named(np.ones(3)))
    assert ["prediction"] == list(named([1.0, 2.0]))
    assert ["a", "b"] == list(named([{"a": 1, "b": 2}]))
    assert list(X.columns) == list(named(X))
    assert ["prediction"] == list(named(X["mean radius"]))
