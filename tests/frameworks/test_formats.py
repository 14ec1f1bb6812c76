"""Each further format of a framework, and what is wrong with files of it, as builds see them: written by the framework itself, tried in its environment.

``make test-frameworks``. The environments are those in which the templates are trained.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from frameworks.test_templates import CACHE, ROOT

pytestmark = pytest.mark.timeout(600)

MAKE_TORCH = """
import torch, sys
torch.manual_seed(0)
sys.path.insert(0, ".")
from network import Network
model = Network(4).eval()
x = torch.ones(2, 4)
"""
NETWORK = """
import torch
class Network(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layer = torch.nn.Linear(width, 3)
    def forward(self, x):
        return {"scores": self.layer(x), "total": self.layer(x).sum(1)}
class Plain(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layer = torch.nn.Linear(width, 3)
    def forward(self, x):
        return self.layer(x)
"""
MAKE_KERAS = """
import keras
inputs = keras.Input((4,), name="features")
"""
MAKE_TF = """
import tensorflow as tf
class Doubling(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    def double(self, x):
        return {"y": x * 2}
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="word")])
    def echo(self, word):
        return {"same": tf.strings.join([word, "!"])}
model = Doubling()
"""
MAKE_MLFLOW = """
import mlflow, numpy as np, pandas as pd
from mlflow.models import infer_signature
open("code.py", "w").write('''
import mlflow
from mlflow.pyfunc import PythonModel
class Ratio(PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input.assign(ratio=model_input["a"] / model_input["b"])[["ratio"]]
mlflow.models.set_model(Ratio())
''')
frame = pd.DataFrame({"a": [1.0, 2.0], "b": [4.0, 4.0]})
"""
COLUMNS = [{"name": n, "type": "float64", "shape": [], "profile": "numerical"} for n in "abcd"]
VECTOR = [{"name": "x", "type": "float32", "shape": [4], "profile": "numerical"}]


@dataclass(frozen=True)
class Case:
    environment: str
    framework: str
    make: str
    outputs: dict[str, list[int]] = field(default_factory=dict)
    """Of what is served, the outputs and their shapes; empty where it is refused."""
    says: str = ""
    """What a refusal says."""
    options: dict[str, Any] = field(default_factory=dict)
    inputs: list[dict[str, Any]] | None = None


LAMBDA = "keras.Model(inputs, keras.layers.Lambda(lambda x: x * 2)(inputs)).save('model.keras')"
CUSTOM = """
class Mine(keras.layers.Layer):
    def call(self, x):
        return x
keras.Model(inputs, Mine()(inputs)).save("model.keras")
"""
CASES = {
    "TorchScript": Case("torch", "torch", MAKE_TORCH + "torch.jit.save(torch.jit.trace(model, x, strict=False), 'model.pt')", {"scores": [3], "total": []}, inputs=COLUMNS),
    "safetensors and a class": Case(
        "torch", "torch", MAKE_TORCH + "from safetensors.torch import save_file; save_file(model.state_dict(), 'model.safetensors')",
        {"scores": [3], "total": []}, options={"class": "network:Network", "arguments": {"width": 4}}, inputs=VECTOR,
    ),
    "a state of torch.save and a class": Case(
        "torch", "torch", MAKE_TORCH + "torch.save({'state_dict': model.state_dict(), 'epoch': 3}, 'model.pt')",
        {"output": [3]}, options={"class": "network:Plain", "arguments": {"width": 4}}, inputs=VECTOR,
    ),
    "a program of one row": Case(
        "torch", "torch", MAKE_TORCH + "torch.export.save(torch.export.export(model, (x[:1],)), 'model.pt2')", {"scores": [3], "total": []}
    ),
    "a program of eight rows": Case(
        "torch", "torch", MAKE_TORCH + "torch.export.save(torch.export.export(model, (torch.ones(8, 4),)), 'model.pt2')", says="takes exactly 8 rows"
    ),
    "a state without its class": Case("torch", "torch", MAKE_TORCH + "torch.save(model.state_dict(), 'model.pt')", says="its class is not specified", inputs=VECTOR),
    "a module pickled whole": Case(
        "torch", "torch", MAKE_TORCH + "torch.save(model, 'model.pt')", says="cannot load model.pt: UnpicklingError",
        options={"class": "network:Network", "arguments": {"width": 4}}, inputs=VECTOR,
    ),
    "a state of another class": Case(
        "torch", "torch", MAKE_TORCH + "torch.save(model.state_dict(), 'model.pt')", says="size mismatch",
        options={"class": "network:Network", "arguments": {"width": 5}}, inputs=VECTOR,
    ),
    "a class that there is not": Case(
        "torch", "torch", MAKE_TORCH + "torch.save(model.state_dict(), 'model.pt')", says="no class 'Other'", options={"class": "network:Other"}, inputs=VECTOR
    ),
    "a device that there is not": Case(
        "torch", "torch", MAKE_TORCH + "torch.export.save(torch.export.export(model, (x,)), 'model.pt2')", says="finds no GPU here", options={"device": "cuda"}
    ),
    "a program cut short": Case(
        "torch", "torch", MAKE_TORCH + "torch.export.save(torch.export.export(model, (x,)), 'm'); open('model.pt2', 'wb').write(open('m', 'rb').read()[:-300])",
        says="truncated or not a valid file of PyTorch",
    ),
    "a Keras file of HDF5": Case("keras", "keras", MAKE_KERAS + "keras.Model(inputs, keras.layers.Dense(2, name='dense')(inputs)).save('model.h5')", {"dense": [2]}),
    "a Sequential of Keras": Case(
        "keras", "keras", MAKE_KERAS + "keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, name='risk')]).save('model.keras')", {"risk": []}, inputs=COLUMNS
    ),
    "code in a Keras file": Case("keras", "keras", MAKE_KERAS + LAMBDA, says="ambda"),
    "code in a Keras file that is allowed": Case(
        "keras", "keras", MAKE_KERAS + LAMBDA, {"lambda": [4]}, options={"allow-unsafe": ["keras.layers.Lambda"]}
    ),
    "a layer of one's own": Case("keras", "keras", MAKE_KERAS + CUSTOM, says="Could not locate class 'Mine'"),
    "a Keras file cut short": Case(
        "keras", "keras", MAKE_KERAS + "keras.Model(inputs, keras.layers.Dense(2)(inputs)).save('m.keras'); open('model.keras', 'wb').write(open('m.keras', 'rb').read()[:-300]); __import__('os').remove('m.keras')",
        says="truncated or not a valid Keras model",
    ),
    "a SavedModel without a signature": Case("tensorflow", "tensorflow", MAKE_TF + "tf.saved_model.save(tf.Module(), 'model')", says="has no signature"),
    "a SavedModel of two signatures": Case(
        "tensorflow", "tensorflow", MAKE_TF + "tf.saved_model.save(model, 'model', signatures={'double': model.double, 'echo': model.echo})",
        says="the signature is not specified",
    ),
    "the one that is named": Case(
        "tensorflow", "tensorflow", MAKE_TF + "tf.saved_model.save(model, 'model', signatures={'double': model.double, 'echo': model.echo})",
        {"y": [4]}, options={"signature": "double"},
    ),
    "texts through TensorFlow": Case("tensorflow", "tensorflow", MAKE_TF + "tf.saved_model.save(model, 'model', signatures=model.echo)", {"same": []}),
    "a SavedModel cut short": Case(
        "tensorflow", "tensorflow",
        MAKE_TF + "tf.saved_model.save(model, 'model', signatures=model.double); p = 'model/saved_model.pb'; h = open(p, 'rb').read(); open(p, 'wb').write(h[:len(h) // 2])",
        says="cannot load model",
    ),
    "pyfunc from code": Case(
        "mlflow", "mlflow",
        MAKE_MLFLOW + "mlflow.pyfunc.save_model('model', python_model='code.py', signature=infer_signature(frame, pd.DataFrame({'ratio': [0.25, 0.5]})), input_example=frame)",
        {"ratio": []},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_format_is_served_or_refused_in_words(case: Case, tmp_path: Path) -> None:
    python = environment(case.environment)
    artifact = tmp_path / "artifact"
    artifact.mkdir()
    if case.framework == "torch":
        (artifact / "network.py").write_text(NETWORK)
    variables = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")} | {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "",
    }
    subprocess.run([python, "-c", case.make], cwd=artifact, env=variables, check=True, capture_output=True)
    for extra in ("m", "code.py", "__pycache__"):
        subprocess.run(["rm", "-rf", str(artifact / extra)], check=True)
    request = {
        "framework": case.framework, "artifact": str(artifact), "result": str(tmp_path / "result.json"), "options": case.options,
        "batch": True, "inputs": case.inputs, "outputs": None, "sample": None,
    }  # fmt: skip
    (tmp_path / "request.json").write_text(json.dumps(request))
    command = [python, "-m", "headrace_functions.runtime.probe", str(tmp_path / "request.json")]
    subprocess.run(command, env=variables | {"PYTHONPATH": str(ROOT / "functions")}, check=True, capture_output=True)
    found = orjson.loads((tmp_path / "result.json").read_bytes())
    if case.says:
        assert not found["ok"]
        assert case.says in found["error"]["message"], found["error"]["message"]
    else:
        assert found["ok"], found["log"]
        assert case.outputs == {o["name"]: o["shape"] for o in found["signature"]["outputs"]}


def environment(template: str) -> Path:
    """The Python that trains a template, with what the runtime needs beside it."""
    python = CACHE / template / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    if not python.exists():
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, CACHE / template], check=True)
    wanted = {"torch": ["torch", "safetensors"], "keras": ["keras", "tensorflow-cpu"], "tensorflow": ["tensorflow-cpu"]}
    needed = wanted.get(template, [template, "pandas"])
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *needed, "numpy", "orjson"], check=True)
    return python
