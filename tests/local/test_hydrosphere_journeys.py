"""What Hydrosphere's own tutorials do, with their files as they are: a model of one row, two versions behind one application, a metric that is another model."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from fixtures_platform import RunningPlatform, headrace, until

SERVING = """
kind: Model
name: adult_model
runtime: "hydrosphere/serving-runtime-python-3.7:3.0.0"
install-command: "pip install -r requirements.txt"
payload:
  - "src/"
  - "requirements.txt"
contract:
  name: "predict"
  inputs:
    age: {shape: scalar, type: int64, profile: NUMERICAL}
    hours: {shape: scalar, type: int64, profile: NUMERICAL}
  outputs:
    income: {shape: scalar, type: int64, profile: NUMERICAL}
"""
FUNCTION = "import numpy as np\n\n\ndef predict(**kwargs):\n    return {'income': np.array(int(kwargs['age'] + kwargs['hours'] > LIMIT))}\n"
APPLICATION = """
kind: Application
name: adult_app
pipeline:
  - - model: adult_model:1
      weight: 70
    - model: adult_model:2
      weight: 30
"""


@pytest.fixture(scope="module")
def project(platform: RunningPlatform, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tutorial's folder, applied twice with another limit."""
    folder = tmp_path_factory.mktemp("adult")
    (folder / "src").mkdir()
    (folder / "requirements.txt").write_text("numpy\n")
    (folder / "serving.yaml").write_text(SERVING)
    for limit in (60, 90):
        (folder / "src" / "func_main.py").write_text(FUNCTION.replace("LIMIT", str(limit)))
        platform.apply(folder / "serving.yaml")
    return folder


def ask(platform: RunningPlatform, name: str, request_id: str = "", **inputs: Any) -> httpx.Response:
    headers = {"x-request-id": request_id} if request_id else {}
    return httpx.post(f"{platform.url}/gateway/application/{name}", json=inputs, headers=headers, timeout=60)


def test_getting_started_a_model_of_one_row_answers_at_the_old_route(platform: RunningPlatform, project: Path) -> None:
    reply = ask(platform, "adult_model", age=40, hours=40)
    assert (200, {"income": 0}) == (reply.status_code, reply.json()), "version 2 is the newest"
    assert {"income": 1} == ask(platform, "adult-model:1", age=40, hours=40).json()
    log = headrace("version", "log", "adult-model:1", "--url", platform.url).stdout
    assert "runtime 'hydrosphere/serving-runtime-python-3.7:3.0.0' is ignored" in log


def test_a_b_weights_split_exactly_enough_and_a_retry_stays_where_it_was(
    platform: RunningPlatform, project: Path
) -> None:
    platform.apply("-", stdin=APPLICATION)
    found = {f"r{i}": ask(platform, "adult_app", f"r{i}", age=40, hours=40).json()["income"] for i in range(200)}
    assert 110 <= sum(found.values()) <= 170, "version 1, whose limit is passed, has 70 of 100"
    for i in range(20):
        assert found[f"r{i}"] == ask(platform, "adult_app", f"r{i}", age=40, hours=40).json()["income"]


def test_a_custom_metric_is_a_model_that_scores_each_row(platform: RunningPlatform, project: Path) -> None:
    number = {"shape": "scalar", "type": "int64", "profile": "numerical"}
    wide = {
        "inputs": {"age": number, "hours": number, "income": number},
        "outputs": {"value": {"shape": "scalar", "type": "double"}},
    }
    scorer = "import numpy as np\ndef predict(model, age, hours, income):\n    return {'value': hours / 100.0}\n"
    platform.apply_python("overworked", scorer, project / "metric", contract=wide)
    done = headrace(
        "metric",
        "add",
        "adult-model:1",
        "overwork",
        "--model",
        "overworked:1",
        "--threshold",
        "0.5",
        "--operator",
        "<=",
        "--url",
        platform.url,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ask(platform, "adult-model:1", "busy", age=30, hours=80)
    with platform.client() as client:
        version = client.resolve("adult-model:1")
        shown = until(
            lambda: [v for v in client.metric(version, "overwork").values if v["request_id"] == "busy"],
            "the metric has scored it",
            60,
        )
    assert (0.8, False) == (shown[0]["value"], shown[0]["healthy"])
