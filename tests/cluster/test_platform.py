"""An installed platform, from outside: the command line through the Kubernetes API, callers through the ingress."""

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
import orjson
import pytest
import yaml
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .installed import Installed, install, kubectl, until

pytestmark = pytest.mark.timeout(600)

FIELDS = ("radius", "texture", "smoothness")
ROWS, LABELS = load_breast_cancer(return_X_y=True)
ROWS = ROWS[:, [0, 1, 4]]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, storage: str) -> Iterator[Installed]:
    yield from install(tmp_path_factory.mktemp("overlay"), storage)


def headrace(platform: Installed, *arguments: str) -> Any:
    """What the command printed: JSON where it is asked for."""
    command = [sys.executable, "-m", "headrace_controller.cli", "--context", platform.context]
    command += ["--namespace", platform.namespace, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ, check=False)
    assert done.returncode == 0, f"headrace {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return orjson.loads(done.stdout) if "--json" in arguments else done.stdout


def project(folder: Path, strength: float) -> Path:
    """A trained classifier with its training data and definition."""
    folder.mkdir()
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength)).fit(ROWS, LABELS)
    joblib.dump(model, folder / "model.joblib")
    with (folder / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*FIELDS, "benign"])
        writer.writerows([*row, label] for row, label in zip(ROWS.tolist(), LABELS.tolist(), strict=True))
    definition = {
        "kind": "Model",
        "name": "tumour",
        "framework": "sklearn",
        "payload": ["model.joblib"],
        "training-data": "train.csv",
        "target": "benign",
        "scaling": {"idle-timeout": "10s"},
    }
    (folder / "headrace.yaml").write_text(yaml.safe_dump(definition))
    return folder


def request_of(rows: np.ndarray) -> dict[str, Any]:
    return {
        "inputs": [
            {"name": name, "shape": [len(rows)], "datatype": "FP64", "data": rows[:, i].tolist()}
            for i, name in enumerate(FIELDS)
        ]
    }


def test_a_model_goes_from_its_artifact_to_a_logged_answer(platform: Installed, tmp_path: Path) -> None:
    for number, strength in ((1, 1.0), (2, 0.01)):
        headrace(platform, "apply", "-f", str(project(tmp_path / str(number), strength)))
    for number in (1, 2):
        name = f"tumour-v{number}"
        until(lambda name=name: name in kubectl("get", "isvc", "-n", platform.namespace), f"{name} exists")  # type: ignore[misc]
        kubectl("wait", "--for=condition=Ready", f"isvc/{name}", "-n", platform.namespace, "--timeout=120s")

    expected = joblib.load(tmp_path / "1" / "model.joblib").predict(ROWS[:4]).tolist()
    address = kubectl("get", "isvc", "tumour-v1", "-n", platform.namespace, "-o", "jsonpath={.status.url}")
    for base, path in (
        (address, "/v2/models/tumour/infer"),
        (platform.gateway_url, "/v2/models/tumour/versions/1/infer"),
    ):
        with httpx.Client(base_url=base, timeout=60, trust_env=False) as outside:
            answer = outside.post(path, json=request_of(ROWS[:4]))
        assert answer.status_code == 200, answer.text
        assert expected == next(o["data"] for o in answer.json()["outputs"] if o["name"] == "label"), base
    until(lambda: len(headrace(platform, "log", "query", "tumour:1", "--json")) == 8, "both exchanges are logged")


def test_a_drift_run_leaves_its_report(platform: Installed, tmp_path: Path) -> None:
    """On Ray where KubeRay is installed; its log, status and report are those of one machine."""
    headrace(platform, "apply", "-f", str(project(tmp_path / "again", 1.0)))
    version = headrace(platform, "version", "list", "tumour", "--json")[0]["id"]
    with httpx.Client(base_url=platform.gateway_url, timeout=60, trust_env=False) as outside:
        for start in range(0, 400, 100):
            outside.post("/v2/models/tumour/infer", json=request_of(ROWS[start : start + 100] + 3.0)).raise_for_status()
    until(lambda: len(headrace(platform, "log", "query", version, "--limit", "500", "--json")) == 400, "all is logged")
    ended = headrace(platform, "analyze", "drift", version, "--window", "1h", "--json")
    print(ended, headrace(platform, "analyze", "log", ended["id"]))
    assert ended["state"] == "done"
    assert ended["document"]["verdict"] == "drift"
    assert headrace(platform, "report", "list", "tumour", "--json")[0]["kind"] == "drift"
    assert kubectl("get", "rayjobs,jobs", "-n", platform.namespace, "-o", "name").strip() == ""
