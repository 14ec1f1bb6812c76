"""Models of frameworks whose runtime image the platform has: built for that image, without a layer, and answered as the library itself answers."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
import xgboost
import yaml
from onnx import TensorProto, helper

from .installed import Installed

ROWS = np.array([[0.1, 5.0], [0.9, -2.0], [0.4, 0.0]])


def boosted(folder: Path) -> tuple[str, list[float]]:
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 2))
    names = ["a", "b"]
    data = xgboost.DMatrix(x, x[:, 0] * 3 + x[:, 1], feature_names=names)
    booster = xgboost.train({"objective": "reg:squarederror", "nthread": 1}, data, 5)
    booster.save_model(folder / "model.ubj")
    return "model.ubj", booster.predict(xgboost.DMatrix(ROWS, feature_names=names)).tolist()


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


@pytest.mark.parametrize(("framework", "make"), [("xgboost", boosted), ("onnx", graph)])
def test_a_model_runs_in_the_image_of_its_framework(
    platform: Installed, tmp_path: Path, framework: str, make: Any
) -> None:
    payload, expected = make(tmp_path)
    name = f"{framework}-model"
    definition = {"kind": "Model", "name": name, "framework": framework, "payload": [payload]}
    (tmp_path / "headrace.yaml").write_text(yaml.safe_dump(definition))
    platform.headrace("apply", "-f", str(tmp_path))
    runtime = platform.headrace("version", "show", f"{name}:1", "--json")["runtime"]
    assert ("image", True, []) == (runtime["kind"], f"-{framework}:" in runtime["image"], runtime["lacking"])
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
