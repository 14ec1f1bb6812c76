"""Explanations on the real platform: a LightGBM model from its trees, and a whole sequence through its front door."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
import yaml

from fixtures_boosters import boosters
from fixtures_platform import NUMBER, RunningPlatform, headrace, new_platform, shared_environments, until

__all__ = ["boosters", "new_platform", "shared_environments"]

pytestmark = pytest.mark.timeout(1200)  # builds the environments of the model and of the analysis

FEATURES = "def predict(model, p, q):\n    return {'a': p, 'b': q, 'c': p * q, 'd': p - q}\n"
ASKED = 60


def given_sequence(platform: RunningPlatform, boosters: Path, folder: Path) -> None:
    """``offer``: a step in Python that makes the features, then a classifier as LightGBM dumped it."""
    folder.mkdir()
    for name in ("model.joblib", "train.csv"):
        (folder / name).write_bytes((boosters / name).read_bytes())
    model = {"kind": "Model", "name": "bought", "framework": "sklearn", "payload": ["model.joblib"]}
    model |= {"training-data": "train.csv", "target": "bought"}
    (folder / "headrace.yaml").write_text(yaml.safe_dump(model))
    platform.apply(folder)
    contract = {"inputs": dict.fromkeys("pq", NUMBER), "outputs": dict.fromkeys("abcd", NUMBER)}
    platform.apply_python("features", FEATURES, folder / "features", contract=contract)
    pipeline = [[{"model": "features:1"}], [{"model": "bought:1"}]]
    platform.apply("-", yaml.safe_dump({"kind": "Sequence", "name": "offer", "pipeline": pipeline}))


def ask(platform: RunningPlatform, request_id: str, p: float, q: float) -> dict[str, list[float]]:
    inputs = [{"name": n, "shape": [1], "datatype": "FP64", "data": [v]} for n, v in (("p", p), ("q", q))]
    answer = httpx.post(
        f"{platform.url}/v2/models/offer/infer",
        json={"inputs": inputs},
        headers={"x-request-id": request_id},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    return {o["name"]: o["data"] for o in answer.json()["outputs"]}


def explained(platform: RunningPlatform, *arguments: str) -> dict:
    done = headrace("explain", "--url", platform.url, "--json", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_lightgbm_and_a_sequence_that_ends_in_it_are_explained(
    new_platform: Callable[..., RunningPlatform], boosters: Path, tmp_path: Path
) -> None:
    platform = new_platform()
    given_sequence(platform, boosters, tmp_path / "bought")
    random = np.random.default_rng(0)
    answers = [ask(platform, f"r-{i}", *random.normal(size=2).tolist()) for i in range(ASKED)]
    until(lambda: len(platform.logged("bought:1")) == ASKED, "the requests are logged")

    with platform.client() as client:
        job = client.start_job("attribution", "bought:1", window="1h")
        until(lambda: client.job(job.id).state in ("done", "failed"), "the window is explained", 900)
        done = client.job(job.id)
        assert (done.state, done.result.get("method")) == ("done", "trees"), done.reason
        assert done.report is not None
        fields = {f["name"]: f["importance"] for f in client.report(done.report)["fields"]}
    shown = headrace("report", "show", "--url", platform.url, done.report)
    assert "IMPORTANCE" in shown.stdout, shown.stderr
    assert fields["a"] > fields["b"] > max(fields["c"], fields["d"])

    shap = explained(platform, "offer", "r-7")
    assert (shap["sequence"], shap["source"]) == ("offer, revision 1", "log")
    assert {c["name"] for c in shap["contributions"]} == {"p", "q"}
    assert shap["prediction"] == shap["logged"] == max(answers[7]["probabilities"])
    assert abs(shap["base"] + sum(c["shap"] for c in shap["contributions"]) - shap["prediction"]) < 1e-10

    rule = explained(platform, "offer", "r-7", "--method", "anchors")
    assert rule["sequence"] == "offer, revision 1"
    assert {part["name"] for part in rule["rule"]} <= {"p", "q"}
    assert rule["precision"] > 0.9
    assert len(platform.logged("bought:1")) == ASKED, "questions of the platform are no traffic"
    assert platform.stop() == 0
