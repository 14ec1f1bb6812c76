"""An image that somebody else made, run as a version: woken, asked, checked, logged once and put to sleep like any other."""

import os
from pathlib import Path
from typing import Any

import httpx
import yaml

from .installed import Installed, until

MODEL_SERVER = os.environ.get("HEADRACE_TEST_MODEL_SERVER", "dev.local/headrace-test-model-server:test")
NUMBER = {"shape": "scalar", "type": "double", "profile": "numerical"}


def definition(folder: Path, name: str, **outputs: Any) -> str:
    document = {
        "kind": "Model",
        "name": name,
        "container": {
            "image": MODEL_SERVER,
            "model": "served",
            "readiness": "/v2/health/ready",
            "env": {"FACTOR": "3", "READY_AFTER": "2"},
        },
        "contract": {"inputs": {"x": NUMBER}, "outputs": outputs or {"y": NUMBER, "calls": NUMBER}},
        "scaling": {"idle-timeout": "10s"},
        "limits": {"start-timeout": "30s"},
    }
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(document))
    return str(file)


def request(*x: float, name: str = "x") -> dict[str, Any]:
    return {"inputs": [{"name": name, "shape": [len(x)], "datatype": "FP64", "data": list(x)}]}


def test_a_foreign_image_answers_behind_the_checks_and_the_log_of_any_version(
    platform: Installed, tmp_path: Path
) -> None:
    (applied,) = platform.headrace("apply", "-f", definition(tmp_path, "foreign"), "--json")
    assert ("foreign:1", "released") == (applied["name"], applied["state"])
    with httpx.Client(base_url=platform.gateway_url, timeout=90, trust_env=False) as outside:
        answer = outside.post("/v2/models/foreign/infer", json=request(1.0, 2.0), headers={"x-request-id": "once"})
        assert 200 == answer.status_code, answer.text
        found = {o["name"]: o["data"] for o in answer.json()["outputs"]}
        assert {"y": [3.0, 6.0], "calls": [1.0, 1.0]} == found
        refused = outside.post("/v2/models/foreign/infer", json=request(1.0, name="z"))
        assert 422 == refused.status_code, "what does not fit never reaches the container"
        again = outside.post("/v2/models/foreign/infer", json=request(5.0)).json()["outputs"]
        assert {"y": [15.0], "calls": [2.0]} == {o["name"]: o["data"] for o in again}

    def rows() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = platform.headrace("log", "query", "foreign:1", "--json")
        return found

    until(lambda: len(rows()) >= 4, "both answers and the refusal are logged")
    outcomes = sorted((r["outcome"], r["request_id"] == "once") for r in rows())
    assert [("ok", False), ("ok", True), ("ok", True), ("refused", False)] == outcomes
    until(lambda: platform.pods("headrace.dev/model=foreign") == [], "it sleeps", 120)


def test_a_contract_that_the_image_contradicts_is_told_as_the_reason_of_the_failed_start(
    platform: Installed, tmp_path: Path
) -> None:
    platform.headrace("apply", "-f", definition(tmp_path, "contradicted", score=NUMBER))
    with httpx.Client(base_url=platform.gateway_url, timeout=90, trust_env=False) as outside:
        answer = outside.post("/v2/models/contradicted/infer", json=request(1.0))
    assert 503 == answer.status_code, answer.text
    said = "'score' is not one of the container's outputs"

    def reasons() -> list[str]:
        return [service["reason"] for service in platform.headrace("service", "list", "--json")]

    until(lambda: any(said in reason for reason in reasons()), "the reason is shown")
