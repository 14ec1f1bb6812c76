"""What files of PyTorch and Keras are, by their bytes: kinds, versions and damage, without either library."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace_functions.errors import InvalidInput
from headrace_functions.runtime.frameworks import graphs, keras_files, tensorflow
from headrace_functions.runtime.frameworks.model_files import saved_model
from headrace_functions.runtime.frameworks.needs import requirements
from headrace_functions.runtime.frameworks.torch_files import kind_of
from headrace_functions.signature import Field, Signature, dtype


def archive(path: Path, **members: str) -> Path:
    with zipfile.ZipFile(path, "w") as written:
        for name, content in members.items():
            written.writestr(name.replace("__", "/").replace("_json", ".json").replace("_pkl", ".pkl"), content)
    return path


@pytest.mark.parametrize(
    ("members", "kind"),
    [
        ({"model__archive_format": "pt2", "model__models__model_json": "{}"}, "exported"),
        ({"serialized_exported_program_json": "{}"}, "exported"),
        ({"net__code____torch___py": "", "net__constants_pkl": "", "net__data_pkl": ""}, "script"),
        ({"net__data_pkl": ""}, "state"),
    ],
)
def test_the_kind_of_an_archive_is_told_by_its_members(tmp_path: Path, members: dict[str, str], kind: str) -> None:
    assert kind == kind_of(archive(tmp_path / "model.pt", **members))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"not a model"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.pt2").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"model\.pt2 is truncated or not a valid file of PyTorch"):
        kind_of(tmp_path / "model.pt2")
    (tmp_path / "model.keras").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"model\.keras is truncated or not a valid Keras model"):
        keras_files.check_file(tmp_path / "model.keras")
    (tmp_path / "model.h5").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"model\.h5 is truncated or not a valid Keras model"):
        keras_files.check_file(tmp_path / "model.h5")


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not a PyTorch file"):
        kind_of(archive(tmp_path / "model.pt", other="x"))


def test_a_program_asks_for_a_pytorch_that_is_not_older_than_the_one_that_exported_it(tmp_path: Path) -> None:
    archive(
        tmp_path / "model.pt2", model__archive_format="pt2", model__models__model_json='{"torch_version": "2.9.1+cpu"}'
    )
    assert ["torch>=2.9", "numpy"] == requirements("torch", tmp_path, {})


def test_a_keras_file_asks_for_its_version_and_the_backend_that_is_named(tmp_path: Path) -> None:
    archive(tmp_path / "model.keras", config_json="{}", metadata_json='{"keras_version": "3.4.1"}')
    assert "3.4.1" == keras_files.written_by(tmp_path / "model.keras")
    assert ["keras>=3.4.1", "tensorflow-cpu"] == requirements("keras", tmp_path, {})
    assert ["keras>=3.4.1", "torch"] == requirements("keras", tmp_path, {"backend": "torch"})


def test_an_hdf5_file_tells_its_version_and_its_layers(tmp_path: Path) -> None:
    config = json.dumps({"class_name": "Sequential", "config": {"layers": [{"class_name": "Dense"}]}})
    held = (
        b"\x89HDF\r\n\x1a\n" + b"\0" * 60 + b"keras_version\0\0\0\0" + b"2.15.0" + b"\0" * 9 + config.encode() + b"\0\0"
    )
    (tmp_path / "model.h5").write_bytes(held)
    keras_files.check_file(tmp_path / "model.h5")
    assert "2.15.0" == keras_files.written_by(tmp_path / "model.h5")
    assert "Sequential" == keras_files.config(tmp_path / "model.h5")["class_name"]
    assert ["keras>=3", "tensorflow-cpu"] == requirements("keras", tmp_path, {})


def test_one_savedmodel_is_needed(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no SavedModel"):
        saved_model(tmp_path)
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").write_bytes(b"")
    with pytest.raises(InvalidInput, match="2 SavedModels"):
        saved_model(tmp_path)


NUMBERS = tuple(Field(n, dtype("float64")) for n in "abc")


def test_columns_become_the_one_matrix_of_a_model() -> None:
    feed = graphs.feeding([graphs.Tensor("x", "float32", (3,))], NUMBERS)
    found = feed({n: np.array([i, i + 0.5]) for i, n in enumerate("abc")})
    assert {"x": [[0.0, 1.0, 2.0], [0.5, 1.5, 2.5]]} == {n: a.tolist() for n, a in found.items()}
    assert "float32" == found["x"].dtype.name


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ([graphs.Tensor("x", "float32", (4,))], "has 3 features, and the model's input 'x' takes 4 features"),
        ([graphs.Tensor("x", "float32", (2, 2))], "takes no matrix of rows"),
        ([graphs.Tensor(n, "float32", ()) for n in "abcd"], "has no field for the model's input 'd'"),
        ([graphs.Tensor(n, "float32", ()) for n in "ab"], "has no input 'c'"),
    ],
)
def test_inputs_that_do_not_fit_are_named(tensors: list[graphs.Tensor], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        graphs.feeding(tensors, NUMBERS)


def test_a_model_of_one_row_is_run_row_by_row() -> None:
    lengths = []

    def run(tensors: Any) -> Any:
        lengths.append(len(tensors["x"]))
        return {"y": tensors["x"] * 2}

    assert [2.0, 4.0] == graphs.answering(run, by_row=True)({"x": np.array([1.0, 2.0])})["y"].tolist()
    assert [1, 1] == lengths


def test_outputs_are_picked_by_name_else_by_place() -> None:
    signature = Signature(NUMBERS, (Field("p", dtype("float32")), Field("q", dtype("float32"))))
    assert {"p": 1, "q": 0} == graphs.picking(["q", "p"], signature)
    assert {"p": 0, "q": 1} == graphs.picking(["dense", "dense_1"], signature)
    with pytest.raises(InvalidInput, match="no output 'p'"):
        graphs.picking(["a", "b", "c"], signature)


def test_an_archive_that_is_cut_within_another_is_not_taken_for_it(tmp_path: Path) -> None:
    """Exported programs hold an archive of their example inputs."""
    inner = archive(tmp_path / "inner.pt", net__data_pkl="x").read_bytes()
    with zipfile.ZipFile(tmp_path / "model.pt2", "w") as outer:
        outer.writestr("model/archive_format", "pt2")
        outer.writestr("model/data/sample_inputs/model.pt", inner)
        outer.writestr("model/byteorder", "little" * 20)
    whole = (tmp_path / "model.pt2").read_bytes()
    assert "exported" == kind_of(tmp_path / "model.pt2")
    (tmp_path / "model.pt2").write_bytes(whole[: whole.index(inner) + len(inner)])
    with pytest.raises(InvalidInput, match="truncated"):
        kind_of(tmp_path / "model.pt2")


def test_a_graph_is_given_texts_with_nuls_at_their_ends() -> None:
    given = tensorflow._given(np.array([["a\0", "\0"], ["ü", ""]], object))

    assert [[b"a\0", b"\0"], ["ü".encode(), b""]] == given.tolist()
