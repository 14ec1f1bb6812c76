"""Models of frameworks whose runtime image the platform has: built for that image, without a layer, and answered as the library itself answers."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import lightgbm
import numpy as np
import onnx
import pytest
import xgboost
import yaml
from onnx import TensorProto, helper

from .installed import FRAMEWORKS, ROOT, Installed

ROWS = np.array([[0.1, 5.0], [0.9, -2.0], [0.4, 0.0]])


def boosted(folder: Path) -> tuple[str, list[float]]:
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 2))
    names = ["a", "b"]
    data = xgboost.DMatrix(x, x[:, 0] * 3 + x[:, 1], feature_names=names)
    booster = xgboost.train({"objective": "reg:squarederror", "nthread": 1}, data, 5)
    booster.save_model(folder / "model.ubj")
    return "model.ubj", booster.predict(xgboost.DMatrix(ROWS, feature_names=names)).tolist()


def grown(folder: Path) -> tuple[str, list[float]]:
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 2))
    data = lightgbm.Dataset(x, x[:, 0] * 3 + x[:, 1], feature_name=["a", "b"])
    booster = lightgbm.train({"objective": "regression", "verbosity": -1, "num_threads": 1}, data, 5)
    booster.save_model(folder / "model.txt")
    return "model.txt", np.asarray(booster.predict(ROWS, num_threads=1)).tolist()


def graph(folder: Path) -> tuple[str, list[float]]:
    """``y`` is ``a`` times ``b``."""
    inputs = [helper.make_tensor_value_info(n, TensorProto.DOUBLE, ["n"]) for n in ("a", "b")]
    output = helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["n"])
    made = helper.make_model(
        helper.make_graph([helper.make_node("Mul", ["a", "b"], ["y"])], "product", inputs, [output]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.save(made, folder / "model.onnx")
    return "model.onnx", (ROWS[:, 0] * ROWS[:, 1]).tolist()


KERAS = """
import sys
import keras
a, b = (keras.Input((), name=n, dtype="float64") for n in ("a", "b"))
keras.Model({"a": a, "b": b}, {"y": 3 * a + b + 0.5}).save(sys.argv[1])
"""
"""``y`` is ``3 a + b + 0.5``."""


def network(folder: Path) -> tuple[str, list[float]]:
    """By TensorFlow in an environment of its own, which is made once."""
    python = ROOT / ".cache" / "environments" / "tensorflow" / "bin" / "python"
    if not python.exists():
        lock = ROOT / "functions" / "requirements" / "tensorflow.txt"
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, python.parents[1]], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, "-r", lock], check=True, timeout=900)
    subprocess.run([python, "-c", KERAS, folder / "model.keras"], check=True, timeout=300, capture_output=True)
    return "model.keras", (3 * ROWS[:, 0] + ROWS[:, 1] + 0.5).tolist()


@pytest.mark.parametrize(
    ("framework", "make"), [("xgboost", boosted), ("lightgbm", grown), ("onnx", graph), ("keras", network)]
)
def test_a_model_runs_in_the_image_of_its_framework(
    platform: Installed, tmp_path: Path, framework: str, make: Any
) -> None:
    image = "tensorflow" if framework == "keras" else framework
    if image not in FRAMEWORKS:
        pytest.skip(f"the platform has no image for {image}: HEADRACE_TEST_FRAMEWORKS does not name it")
    payload, expected = make(tmp_path)
    name = f"{framework}-model"
    definition = {"kind": "Model", "name": name, "framework": framework, "payload": [payload]}
    (tmp_path / "headrace.yaml").write_text(yaml.safe_dump(definition))
    platform.headrace("apply", "-f", str(tmp_path))
    runtime = platform.headrace("version", "show", f"{name}:1", "--json")["runtime"]
    assert ("image", True, []) == (runtime["kind"], f"-{image}:" in runtime["image"], runtime["lacking"])
    inputs = [
        {"name": n, "shape": [3], "datatype": "FP64", "data": ROWS[:, i].tolist()} for i, n in enumerate(("a", "b"))
    ]
    with httpx.Client(base_url=platform.gateway_url, timeout=90, trust_env=False) as outside:
        answer = outside.post(f"/v2/models/{name}/infer", json={"inputs": inputs})
    assert 200 == answer.status_code, answer.text
    assert expected == pytest.approx(answer.json()["outputs"][0]["data"], rel=1e-6)
    labelled = tmp_path / "labelled.csv"
    rows = [f"{a},{b},{label}" for (a, b), label in zip(ROWS.tolist(), expected, strict=True)]
    labelled.write_text("\n".join(["a,b,label", *rows]) + "\n")
    asked = ("evaluate", f"{name}:1", "--data", str(labelled), "--target", "label", "--require", "mae<=0.001", "--json")
    assert platform.headrace(*asked)["passed"] is True
