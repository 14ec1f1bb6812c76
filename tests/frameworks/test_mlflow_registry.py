"""A model of a real MLflow server's registry is fetched by version, alias and run, and served. ``make test-frameworks``."""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from fixtures_platform import RunningPlatform, headrace, new_platform, shared_environments, until
from frameworks.test_formats import environment

__all__ = ["new_platform", "shared_environments"]

pytestmark = pytest.mark.timeout(600)

REGISTER = """
import mlflow
from mlflow.models import infer_signature
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
x, y = load_iris(return_X_y=True, as_frame=True)
x.columns = [c.split(" (")[0].replace(" ", "_") for c in x.columns]
model = LogisticRegression(max_iter=500).fit(x, y)
with mlflow.start_run() as run:
    mlflow.sklearn.log_model(model, name="flowers", registered_model_name="flowers", signature=infer_signature(x), input_example=x[:2])
    mlflow.log_text("a note", "notes/read.me")
mlflow.MlflowClient().set_registered_model_alias("flowers", "champion", 1)
print(run.info.run_id)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A server's URL, and the run that has a model and a note."""
    python = environment("mlflow")
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [python.with_name("mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/db", "--artifacts-destination", str(folder / "artifacts")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
        )
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: answers(url), "MLflow answers", 300)
        done = subprocess.run(
            [python, "-c", REGISTER],
            env={**os.environ, "MLFLOW_TRACKING_URI": url},
            capture_output=True,
            text=True,
            check=True,
        )
        yield url, done.stdout.strip().splitlines()[-1]
    finally:
        process.terminate()
        process.wait(30)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=2).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def test_a_registered_model_is_served_by_alias_and_is_another_version_only_if_it_changed(
    server: tuple[str, str],
    new_platform: Callable[..., RunningPlatform],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, run = server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    platform = new_platform()

    def apply(payload: str) -> str:
        (tmp_path / "headrace.yaml").write_text(
            yaml.safe_dump({"kind": "Model", "name": "flowers", "framework": "mlflow", "payload": [payload]})
        )
        done = headrace("apply", "-f", str(tmp_path), "--url", platform.url, seconds=300)
        return done.stdout + done.stderr

    assert "flowers:1  created" in apply("mlflow://models/flowers@champion")
    assert "flowers:1  unchanged" in apply("mlflow://models/flowers/1")
    row = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
    answer = httpx.post(f"{platform.url}/v1/models/flowers:predict", json={"instances": [row]}, timeout=60)
    assert answer.status_code == 200, answer.text
    assert 0 == answer.json()["predictions"][0]["label"]
    assert "MLflow has no mlflow://models/flowers@nobody" in apply("mlflow://models/flowers@nobody")
    assert "not an MLflow model" in apply(f"mlflow://runs/{run}/notes")
    assert platform.stop() == 0
