"""An InferenceService that does not belong to this platform, whose logger posts to the collector: its exchanges are in the log of an external version, once each.

``HEADRACE_TEST_KSERVE_AGENT`` names an image of KServe's agent that the nodes have; the platform's own cluster for tests has none.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import yaml
from kubernetes import client

from .installed import Installed, until

AGENT = os.environ.get("HEADRACE_TEST_KSERVE_AGENT", "")
MODEL_SERVER = os.environ.get("HEADRACE_TEST_MODEL_SERVER", "dev.local/headrace-test-model-server:test")
NUMBER = {"shape": "scalar", "type": "double", "profile": "numerical"}
GROUP = ("serving.kserve.io", "v1beta1")
SETTINGS = ("inferenceservice-config", "kserve")

pytestmark = pytest.mark.skipif(not AGENT, reason="HEADRACE_TEST_KSERVE_AGENT names no image of KServe's agent")


@pytest.fixture(scope="module")
def logger(platform: Installed) -> Iterator[None]:
    """KServe's logger runs from this image."""
    core = client.CoreV1Api(platform.api)
    data = core.read_namespaced_config_map(*SETTINGS).data
    before = {key: data[key] for key in ("agent", "logger")}
    changed = {key: orjson.dumps(orjson.loads(text) | {"image": AGENT}).decode() for key, text in before.items()}
    core.patch_namespaced_config_map(*SETTINGS, {"data": changed})
    yield
    core.patch_namespaced_config_map(*SETTINGS, {"data": before})


@pytest.fixture
def loan(platform: Installed, logger: None) -> Iterator[str]:
    """The URL of an InferenceService whose logger posts to the platform's collector."""
    container = {
        "name": "kserve-container",
        "image": MODEL_SERVER,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": "FACTOR", "value": "3"}],
        "ports": [{"containerPort": 8080}],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
    }
    posts = {"mode": "all", "url": f"http://headrace-collector.{platform.namespace}.svc.cluster.local/"}
    document = {
        "apiVersion": "/".join(GROUP),
        "kind": "InferenceService",
        "metadata": {"name": "loan", "namespace": platform.namespace},
        "spec": {"predictor": {"logger": posts, "containers": [container]}},
    }
    objects = client.CustomObjectsApi(platform.api)
    place = (*GROUP, platform.namespace, "inferenceservices")
    objects.create_namespaced_custom_object(*place, document)

    def status() -> dict[str, Any]:
        found: dict[str, Any] = objects.get_namespaced_custom_object(*place, "loan").get("status", {})
        return found

    def is_ready() -> bool:
        conditions = status().get("conditions", [])
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    until(is_ready, "the InferenceService is ready", 180)
    yield str(status()["url"])
    objects.delete_namespaced_custom_object(*place, "loan")


def test_what_kserves_logger_posts_is_logged_once(platform: Installed, loan: str, tmp_path: Path) -> None:
    definition = {
        "kind": "Model",
        "name": "loan",
        "external": {"inference-service": f"{platform.namespace}/loan"},
        "contract": {"inputs": {"x": NUMBER}, "outputs": {"y": NUMBER, "calls": NUMBER}},
    }
    file = tmp_path / "loan.yaml"
    file.write_text(yaml.safe_dump(definition))
    platform.headrace("apply", "-f", str(file))
    with httpx.Client(base_url=loan, timeout=90, trust_env=False) as outside:
        for i in range(20):
            body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [float(i)]}]}
            answer = outside.post("/v2/models/served/infer", json=body)
            assert 200 == answer.status_code, answer.text
            assert 3.0 * i == answer.json()["outputs"][0]["data"][0]

    def rows() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = platform.headrace("log", "query", "loan:1", "--limit", "100", "--json")
        return found

    until(lambda: len(rows()) >= 20, "every exchange is in the log")
    assert [(float(i), 3.0 * i) for i in range(20)] == sorted((r["in.x"], r["out.y"]) for r in rows())
    assert {"ok"} == {r["outcome"] for r in rows()}
