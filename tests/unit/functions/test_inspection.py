"""A model file is described without its library, and as its library describes it once it is loaded."""

import contextlib
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import onnx
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from sklearn.linear_model import LinearRegression, LogisticRegression

from framework_support import X, Y
from headrace_functions.errors import HeadraceError, InvalidInput, NotFound
from headrace_functions.runtime.frameworks import find
from headrace_functions.runtime.inspecting.inspection import framework_of, inspect
from headrace_functions.runtime.inspecting.protobuf import NotAMessageError, fields


def graph(path: Path) -> Path:
    nodes = [helper.make_node("Add", ["x", "bias"], ["y"]), helper.make_node("Identity", ["word"], ["same"])]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 3]),
        helper.make_tensor_value_info("word", TensorProto.STRING, ["rows"]),
    ]
    outputs = [
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 3]),
        helper.make_tensor_value_info("same", TensorProto.STRING, ["rows"]),
    ]
    bias = helper.make_tensor("bias", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
    made = helper.make_graph(nodes, "g", inputs, outputs, [bias])
    onnx.save(
        helper.make_model(
            made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10, producer_name="ours", producer_version="7"
        ),
        str(path),
    )
    return path


def booster(path: Path) -> Path:
    xgboost.XGBClassifier(n_estimators=3).fit(X, Y).save_model(path)
    return path


def light(path: Path) -> Path:
    lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(
        X.rename(columns=lambda n: n.replace(" ", "_")), Y
    ).booster_.save_model(path)
    return path


MADE = {"onnx": (graph, "m.onnx"), "xgboost": (booster, "m.ubj"), "lightgbm": (light, "m.txt")}


@pytest.mark.parametrize(("framework", "name"), [*((f, n) for f, (_, n) in MADE.items()), ("xgboost", "m.json")])
def test_what_is_read_is_what_the_library_says(tmp_path: Path, framework: str, name: str) -> None:
    file = MADE[framework][0](tmp_path / name)
    found = inspect(file)
    loaded = find(framework)
    said = loaded.describe(loaded.load(tmp_path, {}), {})
    assert framework == found.framework
    assert said.inputs == found.contents.inputs
    assert said.outputs == found.contents.outputs
    assert file.stat().st_size == found.size


def test_a_graph_tells_its_operators_and_its_maker(tmp_path: Path) -> None:
    assert {"ours": "7", "opset ai.onnx": "18"} == dict(inspect(graph(tmp_path / "m.onnx")).contents.versions)


@pytest.mark.parametrize("dump", [joblib.dump, lambda model, path: path.write_bytes(pickle.dumps(model))])
def test_an_estimator_tells_its_features_by_name_and_its_version(tmp_path: Path, dump: Any) -> None:
    file = tmp_path / "model.joblib"
    dump(LogisticRegression(max_iter=3000).fit(X, Y), file)
    found = inspect(file)
    assert list(X.columns) == [f.name for f in found.contents.inputs]
    assert "LogisticRegression" == found.contents.about
    assert "scikit-learn" in found.contents.versions
    assert "" == found.safety
    dump(LinearRegression().fit(X.to_numpy(), Y), file)
    assert ["x0", "x1", "x2"] == [f.name for f in inspect(file).contents.inputs]


def test_what_a_pickle_would_import_is_said_and_nothing_is_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    (tmp_path / "model.pkl").write_bytes(pickle.dumps([LogisticRegression(), Trap()]))
    found = inspect(tmp_path / "model.pkl")
    assert "would import pathlib.Path.touch" in found.safety
    assert not (tmp_path / "sprung").exists()


def program(path: Path, **more: Any) -> Path:
    dynamic = {"as_expr": {"expr_str": "s0"}}
    values = {
        "x": {"dtype": 7, "sizes": [dynamic, {"as_int": 4}]},
        "argmax": {"dtype": 5, "sizes": [dynamic]},
        "softmax": {"dtype": 7, "sizes": [dynamic, {"as_int": 2}]},
    }
    spec = [1, {"type": "builtins.dict", "context": '["label", "probabilities"]', "children_spec": []}]
    module = {
        "graph": {"tensor_values": values},
        "signature": {
            "input_specs": [{"parameter": {}}, {"user_input": {"arg": {"as_tensor": {"name": "x"}}}}],
            "output_specs": [{"user_output": {"arg": {"as_tensor": {"name": n}}}} for n in ("argmax", "softmax")],
        },
        "module_call_graph": [{"fqn": "", "signature": {"out_spec": json.dumps(spec)}}],
    }
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/archive_format", "pt2")
        archive.writestr(
            "model/models/model.json", json.dumps({"graph_module": module, "torch_version": "2.9.1", **more})
        )
    return path


def test_an_exported_program_tells_its_inputs_and_outputs(tmp_path: Path) -> None:
    found = inspect(program(tmp_path / "m.pt2")).contents
    assert [("x", "float32", (4,))] == [(f.name, f.dtype.name, f.shape) for f in found.inputs]
    assert [("label", "int64", ()), ("probabilities", "float32", (2,))] == [
        (f.name, f.dtype.name, f.shape) for f in found.outputs
    ]
    assert {"torch": "2.9.1"} == dict(found.versions)


def test_a_state_asks_for_its_class(tmp_path: Path) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}).encode()
    (tmp_path / "m.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(24))
    found = inspect(tmp_path / "m.safetensors").contents
    assert "the state of a module, 1 tensors of 6 numbers" == found.about
    assert 'options: {class: "network:Network"}   # network.py in the payload' in found.lines
    (tmp_path / "m.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(20))
    with pytest.raises(InvalidInput, match="ends within a tensor"):
        inspect(tmp_path / "m.safetensors")


def test_a_keras_file_tells_its_inputs_and_its_version(tmp_path: Path) -> None:
    layers = [
        {"class_name": "InputLayer", "config": {"name": "features", "batch_shape": [None, 30], "dtype": "float32"}}
    ]
    config = {"class_name": "Functional", "config": {"layers": layers, "output_layers": [["probabilities", 0, 0]]}}
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", '{"keras_version": "2.15.0"}')
    found = inspect(tmp_path / "m.keras").contents
    assert [("features", (30,))] == [(f.name, f.shape) for f in found.inputs]
    assert [u for u in found.unclear if "Keras 2.15.0 wrote it" in u]


@pytest.mark.parametrize(
    "name", ["m.onnx", "m.ubj", "m.json", "m.txt", "m.pt2", "m.keras", "m.h5", "m.skops", "m.safetensors"]
)
@pytest.mark.parametrize("content", [b"", b"\x00\xff nothing of the kind", b"PK\x05\x06" + bytes(18)])
def test_damaged_files_are_refused_by_name(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(HeadraceError) as caught:
        inspect(tmp_path / name)
    assert name in caught.value.message or "does not tell which framework" in caught.value.message


@pytest.mark.parametrize("name", ["m.onnx", "m.ubj"])
@settings(deadline=None, max_examples=40)
@given(share=st.floats(0, 0.999))
def test_files_that_are_cut_short_are_refused_or_told(
    tmp_path_factory: pytest.TempPathFactory, name: str, share: float
) -> None:
    folder = tmp_path_factory.getbasetemp() / "cut"
    folder.mkdir(exist_ok=True)
    made = folder / f"whole-{name}"
    whole = (made if made.exists() else {"m.onnx": graph, "m.ubj": booster}[name](made)).read_bytes()
    (folder / name).write_bytes(whole[: int(len(whole) * share)])
    try:
        found = inspect(folder / name, {"m.onnx": "onnx", "m.ubj": "xgboost"}[name])
    except HeadraceError:
        return
    assert "m.onnx" == name, "a graph may end before what stands behind it, such as its operator sets"
    assert 2 == len(found.contents.inputs)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_none(data: bytes) -> None:
    with contextlib.suppress(NotAMessageError):
        assert all(number > 0 for number, _ in fields(data))


def test_the_kind_of_a_file_is_told_by_its_contents_and_not_by_its_name(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.pkl", "w") as archive:
        archive.writestr("export/data.pkl", b"\x80\x02cfastai.learner\nLearner\n.")
    assert "fastai" == framework_of(tmp_path).framework
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(LogisticRegression()))
    (tmp_path / "notes.txt").write_text("no booster")
    (tmp_path / "settings.json").write_text("{}")
    assert "sklearn" == framework_of(tmp_path).framework


def test_models_of_several_frameworks_are_named(tmp_path: Path) -> None:
    graph(tmp_path / "a.onnx")
    booster(tmp_path / "b.ubj")
    with pytest.raises(InvalidInput, match="models of several") as caught:
        framework_of(tmp_path)
    assert "a.onnx (onnx), b.ubj (xgboost)" == caught.value.got


def test_several_files_of_one_framework_are_listed_with_the_line_that_chooses(tmp_path: Path) -> None:
    for name in "ab":
        graph(tmp_path / f"{name}.onnx")
    found = inspect(tmp_path).contents
    assert "there are several models: a.onnx, b.onnx" == found.unclear[0]
    assert "options: {file: a.onnx}" == found.lines[0]


def test_what_is_not_there_and_what_is_no_model_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        inspect(tmp_path / "none.onnx")
    with pytest.raises(InvalidInput, match="does not tell which framework"):
        inspect(tmp_path)
    np.savetxt(tmp_path / "data.csv", [1.0])
    with pytest.raises(InvalidInput, match=r"does not tell which framework"):
        inspect(tmp_path / "data.csv")
