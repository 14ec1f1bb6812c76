"""XGBoost, LightGBM and ONNX models from their own files answer as their libraries do, under the names that they were trained with."""

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import pandas as pd
import pytest
import xgboost
from onnx import TensorProto, helper
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from headrace_functions.errors import InvalidInput
from headrace_functions.protocol.rows import Array
from headrace_functions.runtime.frameworks import find
from headrace_functions.runtime.frameworks.needs import requirements
from headrace_functions.runtime.loading import bind
from headrace_functions.signature import Field, Signature, dtype

CANCER, MALIGNANT = load_breast_cancer(return_X_y=True, as_frame=True)
CANCER = CANCER.iloc[:, :4]
WINE, KIND = load_wine(return_X_y=True, as_frame=True)
WINE = WINE.iloc[:, :5]
SUGAR, PROGRESS = load_diabetes(return_X_y=True, as_frame=True)


def served(
    framework: str, folder: Path, inputs: tuple[Field, ...] | None = None, outputs: tuple[Field, ...] = ()
) -> Any:
    """The function of an artifact, with its own signature where none is given."""
    found = find(framework)
    model = found.load(folder, {})
    said = found.describe(model, {}, inputs)
    return bind(found, model, {}, Signature(said.inputs or (), outputs or said.outputs or ()), batch=True)


def columns(frame: Any) -> dict[str, Array]:
    return {str(n): frame[n].to_numpy() for n in frame.columns}


# XGBoost


@pytest.mark.parametrize("ending", ["json", "ubj"])
def test_a_booster_of_two_classes_gives_label_and_probabilities(tmp_path: Path, ending: str) -> None:
    model = xgboost.XGBClassifier(n_estimators=5, max_depth=3).fit(CANCER, MALIGNANT)
    model.save_model(tmp_path / f"model.{ending}")
    function = served("xgboost", tmp_path)
    assert tuple(CANCER.columns) == tuple(f.name for f in function.signature.inputs)
    assert ["label", "probabilities"] == [f.name for f in function.signature.outputs]
    found = function(columns(CANCER))
    np.testing.assert_allclose(model.predict_proba(CANCER), found["probabilities"], atol=1e-6)
    np.testing.assert_array_equal(model.predict(CANCER), found["label"])


def test_a_booster_of_three_classes_gives_theirs(tmp_path: Path) -> None:
    model = xgboost.XGBClassifier(n_estimators=4).fit(WINE, KIND)
    model.save_model(tmp_path / "model.ubj")
    found = served("xgboost", tmp_path)(columns(WINE))
    np.testing.assert_allclose(model.predict_proba(WINE), found["probabilities"], atol=1e-6)
    np.testing.assert_array_equal(model.predict(WINE), found["label"])


@pytest.mark.parametrize(("objective", "shape"), [("reg:squarederror", ()), ("multi:softmax", ())])
def test_other_objectives_give_what_they_predict(tmp_path: Path, objective: str, shape: tuple[int, ...]) -> None:
    more = {"num_class": 3} if objective == "multi:softmax" else {}
    frame, target = (WINE, KIND) if more else (SUGAR, PROGRESS)
    native = xgboost.train({"objective": objective, **more}, xgboost.DMatrix(frame, target), 3)
    native.save_model(tmp_path / "model.json")
    function = served("xgboost", tmp_path)
    (output,) = function.signature.outputs
    assert ("label" if more else "value", shape) == (output.name, output.shape)
    np.testing.assert_allclose(native.predict(xgboost.DMatrix(frame)), function(columns(frame))[output.name], rtol=1e-5)


def test_several_targets_are_one_vector(tmp_path: Path) -> None:
    target = np.column_stack([PROGRESS, -PROGRESS])
    model = xgboost.XGBRegressor(n_estimators=3, multi_strategy="one_output_per_tree").fit(SUGAR, target)
    model.save_model(tmp_path / "model.json")
    found = served("xgboost", tmp_path)(columns(SUGAR))
    np.testing.assert_allclose(model.predict(SUGAR), found["value"], rtol=1e-5)


def test_missing_values_are_missing_to_the_booster(tmp_path: Path) -> None:
    gaps = CANCER.mask(np.random.default_rng(0).random(CANCER.shape) < 0.3)
    model = xgboost.XGBClassifier(n_estimators=5).fit(gaps, MALIGNANT)
    model.save_model(tmp_path / "model.ubj")
    found = served("xgboost", tmp_path)(columns(gaps))
    np.testing.assert_allclose(model.predict_proba(gaps), found["probabilities"], atol=1e-6)


def test_a_booster_without_names_takes_x0_x1_and_one_of_other_columns_is_refused(tmp_path: Path) -> None:
    xgboost.XGBRegressor(n_estimators=2).fit(SUGAR.to_numpy(), PROGRESS).save_model(tmp_path / "model.json")
    function = served("xgboost", tmp_path)
    assert [f"x{i}" for i in range(10)] == [f.name for f in function.signature.inputs]
    with pytest.raises(InvalidInput, match="takes 10 features, and the inputs have 1"):
        served("xgboost", tmp_path, (Field("age", dtype("float64")),))


def test_inputs_in_another_order_are_taken_by_name(tmp_path: Path) -> None:
    model = xgboost.XGBClassifier(n_estimators=5).fit(CANCER, MALIGNANT)
    model.save_model(tmp_path / "model.json")
    turned = tuple(Field(n, dtype("float64"), profile="numerical") for n in reversed(CANCER.columns))
    found = served("xgboost", tmp_path, turned)(columns(CANCER[CANCER.columns[::-1]]))
    np.testing.assert_allclose(model.predict_proba(CANCER), found["probabilities"], atol=1e-6)


def test_text_for_categories_that_the_file_knows_by_number_is_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame({"plan": pd.Categorical(["a", "b", "a", "c"] * 20), "x": np.arange(80.0)})
    xgboost.XGBRegressor(n_estimators=2, enable_categorical=True).fit(frame, np.arange(80.0)).save_model(
        tmp_path / "m.json"
    )
    found = find("xgboost")
    model = found.load(tmp_path, {})
    rows = {"plan": np.array(["a", "b"], object), "x": np.array([1.0, 2.0])}
    with pytest.raises(InvalidInput, match="by number, and the rows have text"):
        found.compare(model, served("xgboost", tmp_path).signature, rows)


# LightGBM


def test_a_booster_of_lightgbm_gives_label_and_probabilities(tmp_path: Path) -> None:
    model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(CANCER, MALIGNANT)
    model.booster_.save_model(tmp_path / "model.txt")
    function = served("lightgbm", tmp_path)
    names = [n.replace(" ", "_") for n in CANCER.columns]
    assert names == [f.name for f in function.signature.inputs]
    found = function(dict(zip(names, columns(CANCER).values(), strict=True)))
    np.testing.assert_allclose(model.predict_proba(CANCER), found["probabilities"], atol=1e-9)
    np.testing.assert_array_equal(model.predict(CANCER), found["label"])


def test_several_classes_and_numbers_of_lightgbm(tmp_path: Path) -> None:
    classifier = lightgbm.LGBMClassifier(n_estimators=4, verbose=-1).fit(WINE.to_numpy(), KIND)
    regressor = lightgbm.LGBMRegressor(n_estimators=4, verbose=-1).fit(SUGAR.to_numpy(), PROGRESS)
    for name, model in (("c", classifier), ("r", regressor)):
        (tmp_path / name).mkdir()
        model.booster_.save_model(tmp_path / name / "model.txt")
    rows = {f"x{i}": WINE.iloc[:, i].to_numpy() for i in range(5)}
    np.testing.assert_allclose(
        classifier.predict_proba(WINE.to_numpy()), served("lightgbm", tmp_path / "c")(rows)["probabilities"]
    )
    rows = {f"x{i}": SUGAR.iloc[:, i].to_numpy() for i in range(10)}
    np.testing.assert_allclose(regressor.predict(SUGAR.to_numpy()), served("lightgbm", tmp_path / "r")(rows)["value"])


def test_categories_of_a_frame_are_the_file_s_own_words(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    plan = random.choice(["basic", "plus", "pro"], 400)
    frame = pd.DataFrame({"x": random.normal(size=400), "plan": pd.Categorical(plan)})
    target = (plan == "plus") * 10.0 + frame["x"]
    model = lightgbm.LGBMRegressor(n_estimators=20, verbose=-1).fit(frame, target)
    model.booster_.save_model(tmp_path / "model.txt")
    function = served("lightgbm", tmp_path)
    assert ("basic", "plus", "pro") == function.signature.inputs[1].categories
    rows = {"x": frame["x"].to_numpy(), "plan": np.array(plan, object)}
    np.testing.assert_allclose(model.predict(frame), function(rows)["value"])
    unknown = pd.DataFrame({"x": [0.0], "plan": pd.Categorical(["other"], categories=["basic", "plus", "pro"])})
    expected = model.predict(unknown)
    np.testing.assert_allclose(expected, function({"x": np.zeros(1), "plan": np.array(["other"], object)})["value"])
    found = find("lightgbm")
    loaded = found.load(tmp_path, {})
    signature = function.signature
    with pytest.raises(InvalidInput, match="none of its values is a category"):
        found.compare(loaded, signature, {"x": np.zeros(1), "plan": np.array(["other"], object)})
    mixed = {"x": np.zeros(2), "plan": np.array(["other", "pro"], object)}
    assert ["plan: 1 of 2 values are no category that the booster knows"] == found.compare(loaded, signature, mixed)


# ONNX


def graph(folder: Path, nodes: Any, inputs: Any, outputs: Any, constants: Any = (), opset: int = 18) -> Path:
    made = helper.make_graph(nodes, "g", inputs, outputs, list(constants))
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.save(model, str(folder / "model.onnx"))
    return folder


def value(name: str, shape: Any, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def linear(folder: Path, rows: Any = "n") -> Path:
    """``score = X @ [1, 10, 100]``"""
    weights = helper.make_tensor("w", TensorProto.FLOAT, [3, 1], [1.0, 10.0, 100.0])
    node = helper.make_node("MatMul", ["X", "w"], ["score"])
    return graph(folder, [node], [value("X", [rows, 3])], [value("score", [rows, 1])], [weights])


def test_a_graph_gives_its_own_inputs_and_outputs(tmp_path: Path) -> None:
    function = served("onnx", linear(tmp_path))
    assert [("X", "float32", (3,))] == [(f.name, f.dtype.name, f.shape) for f in function.signature.inputs]
    assert [("score", ())] == [(f.name, f.shape) for f in function.signature.outputs]
    found = function({"X": np.array([[1, 2, 3], [0, 0, 1]], np.float32)})
    np.testing.assert_allclose([321.0, 100.0], found["score"])


def test_columns_of_a_table_become_the_graph_s_one_matrix(tmp_path: Path) -> None:
    fields = tuple(Field(n, dtype("float64"), profile="numerical") for n in ("a", "b", "c"))
    function = served("onnx", linear(tmp_path), fields)
    found = function({"a": np.array([1.0, 0.0]), "b": np.array([2.0, 0.0]), "c": np.array([3.0, 1.0])})
    np.testing.assert_allclose([321.0, 100.0], found["score"])
    with pytest.raises(InvalidInput, match="the contract has 2 features"):
        served("onnx", tmp_path, fields[:2])


def test_a_graph_of_a_fixed_row_is_run_row_by_row(tmp_path: Path) -> None:
    function = served("onnx", linear(tmp_path, 1))
    found = function({"X": np.array([[1, 2, 3], [0, 0, 1], [1, 0, 0]], np.float32)})
    np.testing.assert_allclose([321.0, 100.0, 1.0], found["score"])


def test_several_tensors_of_several_types_go_by_their_names(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["count"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "c"], ["sum:0"]),
    ]
    inputs = [value("x", ["n", 2, 2]), value("count", ["n", 1, 1], TensorProto.INT64)]
    graph(tmp_path, nodes, inputs, [value("sum:0", ["n", 2, 2])])
    function = served("onnx", tmp_path)
    assert ["x", "count"] == [f.name for f in function.signature.inputs]
    (output,) = function.signature.outputs
    found = function({"x": np.ones((2, 2, 2), np.float32), "count": np.array([[[1]], [[5]]])})
    np.testing.assert_allclose(np.array([np.full((2, 2), 2.0), np.full((2, 2), 6.0)]), found[output.name])


def test_probabilities_as_maps_are_in_the_order_of_their_keys(tmp_path: Path) -> None:
    """What scikit-learn's converter writes: a label, and a sequence of maps."""
    zipped = helper.make_node("ZipMap", ["X"], ["probabilities"], domain="ai.onnx.ml", classlabels_int64s=[3, 7])
    kind = helper.make_sequence_type_proto(
        helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    )
    output = onnx.ValueInfoProto(name="probabilities", type=kind)
    made = helper.make_graph([zipped], "g", [value("X", ["n", 2])], [output])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=10), str(tmp_path / "model.onnx"))
    wanted = (Field("probabilities", dtype("float32"), (2,)),)
    found = served("onnx", tmp_path, outputs=wanted)({"X": np.array([[0.25, 0.75], [1.0, 0.0]], np.float32)})
    np.testing.assert_allclose([[0.25, 0.75], [1.0, 0.0]], found["probabilities"])


def test_text_goes_in_and_out(tmp_path: Path) -> None:
    node = helper.make_node("Identity", ["word"], ["same"])
    graph(tmp_path, [node], [value("word", ["n"], TensorProto.STRING)], [value("same", ["n"], TensorProto.STRING)])
    found = served("onnx", tmp_path)({"word": np.array(["a", "für"], object)})
    assert ["a", "für"] == found["same"].tolist()


def test_an_operator_set_of_the_future_is_told(tmp_path: Path) -> None:
    graph(tmp_path, [helper.make_node("Identity", ["x"], ["y"])], [value("x", ["n"])], [value("y", ["n"])], opset=99)
    with pytest.raises(InvalidInput, match=r"cannot load model\.onnx.*opset"):
        find("onnx").load(tmp_path, {})


# All of them


@pytest.mark.parametrize(
    ("framework", "name"), [("xgboost", "m.ubj"), ("xgboost", "m.json"), ("lightgbm", "m.txt"), ("onnx", "m.onnx")]
)
@pytest.mark.parametrize("content", [b"", b"\x00\xff nothing of the kind", b"{}"])
def test_a_file_that_is_none_is_refused_naming_it(tmp_path: Path, framework: str, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        find(framework).load(tmp_path, {})
    assert ("payload", True) == (caught.value.field, name in caught.value.message)


@pytest.mark.parametrize("framework", ["xgboost", "lightgbm", "onnx"])
def test_no_model_and_several_are_refused(tmp_path: Path, framework: str) -> None:
    with pytest.raises(InvalidInput, match="no model file"):
        find(framework).load(tmp_path, {})
    ending = {"xgboost": "ubj", "lightgbm": "txt", "onnx": "onnx"}[framework]
    for name in "ab":
        (tmp_path / f"{name}.{ending}").write_bytes(b"x")
    with pytest.raises(InvalidInput, match="2 model files"):
        find(framework).load(tmp_path, {})
    with pytest.raises(InvalidInput, match="no model file"):
        find(framework).load(tmp_path, {"file": "../elsewhere"})


def test_each_asks_for_its_library_and_the_build_for_processors(tmp_path: Path) -> None:
    assert ["xgboost-cpu>=2.1"] == requirements("xgboost", tmp_path, {})
    assert ["lightgbm>=4"] == requirements("lightgbm", tmp_path, {})
    assert ["onnxruntime>=1.19"] == requirements("onnx", tmp_path, {})


def test_a_contract_may_ask_for_the_probability_alone_and_for_nothing_else(tmp_path: Path) -> None:
    model = xgboost.XGBClassifier(n_estimators=3).fit(CANCER, MALIGNANT)
    model.save_model(tmp_path / "model.json")
    wanted = (Field("churn", dtype("float64"), profile="numerical"),)
    found = served("xgboost", tmp_path, outputs=wanted)(columns(CANCER))
    np.testing.assert_allclose(model.predict_proba(CANCER)[:, 1], found["churn"], atol=1e-6)
    with pytest.raises(InvalidInput, match="no output 'other'"):
        served("xgboost", tmp_path, outputs=(Field("label", dtype("int64")), Field("other", dtype("float64"))))
