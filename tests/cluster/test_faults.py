"""Parts of the platform and of the cluster fail under load; each time it is counted what failed, was lost or doubled.

Every request is sent once and never again, so a failure here is one that a caller would see.
"""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from kubernetes import client

from .installed import Installed, kubectl, until
from .traffic import Fate, Traffic, fate
from .tumours import ROWS, project, request_of

pytestmark = pytest.mark.timeout(600)

RESTART = os.environ.get("HEADRACE_TEST_RESTART_API", "")
"""Command that restarts the API server of the test's cluster."""
PATH = "/v2/models/steady/infer"


@pytest.fixture(scope="module")
def steady(platform: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A version that stays awake for the time of these tests."""
    folder = project(tmp_path_factory.mktemp("faults") / "steady", 1.0, name="steady", idle="300s")
    platform.headrace("apply", "-f", str(folder))
    with httpx.Client(base_url=platform.gateway_url, timeout=90, trust_env=False) as outside:
        until(lambda: outside.post(PATH, json=request_of(ROWS[:1])).status_code == 200, "it answers", 120)
    yield "steady:1"
    platform.headrace("model", "delete", "steady", "--yes")


def load(platform: Installed) -> Traffic:
    return Traffic(platform.gateway_url, PATH, request_of(ROWS[:1]))


def kill(platform: Installed, selector: str) -> None:
    """Without a grace period: the processes are gone at once."""
    for pod in platform.pods(selector):
        platform.kubectl("delete", "pod", pod, "--force", "--grace-period=0")


def told(what: str, found: Fate, traffic: Traffic) -> Fate:
    print(f"\n{what}: {found}, slowest {traffic.slowest:.2f} s")
    return found


def test_a_killed_function_costs_at_most_what_it_had_in_hand(platform: Installed, steady: str) -> None:
    """Requests that wait for the next pod are held, not refused. What the killed pod had not shipped goes with it."""
    with load(platform) as traffic:
        until(lambda: traffic.sent > 60, "traffic")
        kill(platform, "headrace.dev/model=steady")
        killed = traffic.sent
        until(lambda: traffic.sent > killed + 100, "more traffic")
    found = told("function killed", fate(platform, traffic, [steady], 20), traffic)
    assert found.failed <= traffic.connections, found
    # A pod's disk goes with the pod: its records of the last seconds (a segment is closed after two, shipped after one more).
    assert found.lost <= 5 * traffic.per_second, found
    assert found.doubled == 0, found


def test_a_killed_controller_is_missed_by_nobody_who_calls(platform: Installed, steady: str) -> None:
    with load(platform) as traffic:
        until(lambda: traffic.sent > 40, "traffic")
        kill(platform, "app.kubernetes.io/name=headrace-controller")
        killed = traffic.sent
        until(lambda: traffic.sent > killed + 100, "more traffic")
    platform.kubectl("rollout", "status", "deployment/headrace-controller", "--timeout=120s")
    found = told("controller killed", fate(platform, traffic, [steady]), traffic)
    assert (0, 0, 0) == (found.failed, found.lost, found.doubled), found


def test_a_killed_collector_loses_and_doubles_nothing(platform: Installed, steady: str) -> None:
    with load(platform) as traffic:
        for _ in range(3):
            began = traffic.sent
            until(lambda began=began: traffic.sent > began + 60, "traffic")  # type: ignore[misc]
            until(lambda: platform.pods("app.kubernetes.io/name=headrace-collector"), "it was woken")
            kill(platform, "app.kubernetes.io/name=headrace-collector")
    found = told("collector killed three times", fate(platform, traffic, [steady]), traffic)
    assert (0, 0, 0) == (found.failed, found.lost, found.doubled), found


def test_a_store_that_is_away_for_a_minute_is_waited_for(
    platform: Installed, steady: str, s3_process: "subprocess.Popen[bytes]"
) -> None:
    """Callers are answered meanwhile; records wait beside the functions and arrive when it is back."""
    with load(platform) as traffic:
        until(lambda: traffic.sent > 20, "traffic")
        os.kill(s3_process.pid, signal.SIGSTOP)
        try:
            stopped = time.monotonic()
            until(lambda: time.monotonic() - stopped > 60, "a minute", 70)
        finally:
            os.kill(s3_process.pid, signal.SIGCONT)
        back = traffic.sent
        until(lambda: traffic.sent > back + 40, "more traffic")
    found = told("store away for a minute", fate(platform, traffic, [steady]), traffic)
    assert (0, 0, 0) == (found.failed, found.lost, found.doubled), found


def test_a_drained_pod_answers_what_it_has_and_ships_its_records(platform: Installed, steady: str) -> None:
    """Evicted as ``kubectl drain`` does it, gateway and function: with their grace period nothing is lost."""
    core = client.CoreV1Api(platform.api)
    with load(platform) as traffic:
        until(lambda: traffic.sent > 40, "traffic")
        for selector in ("headrace.dev/model=steady", "app.kubernetes.io/name=headrace-gateway"):
            for pod in platform.pods(selector):
                metadata = client.V1ObjectMeta(name=pod, namespace=platform.namespace)
                core.create_namespaced_pod_eviction(pod, platform.namespace, client.V1Eviction(metadata=metadata))
            began = traffic.sent
            until(lambda began=began: traffic.sent > began + 100, "more traffic")  # type: ignore[misc]
    found = told("function and gateway evicted", fate(platform, traffic, [steady], 120), traffic)
    assert (0, 0) == (found.lost, found.doubled), found
    assert found.failed <= 2 * traffic.connections, found


@pytest.mark.skipif(
    not RESTART, reason="HEADRACE_TEST_RESTART_API is not set: nobody says how to restart this API server"
)
def test_an_api_server_that_restarts_is_missed_by_nobody_who_calls(platform: Installed, steady: str) -> None:
    with load(platform) as traffic:
        until(lambda: traffic.sent > 40, "traffic")
        subprocess.run(shlex.split(RESTART), check=True, capture_output=True, timeout=180)
        began = traffic.sent
        until(lambda: traffic.sent > began + 100, "more traffic")
    found = told("API server restarted", fate(platform, traffic, [steady]), traffic)
    assert (0, 0, 0) == (found.failed, found.lost, found.doubled), found
    until(lambda: platform.headrace("service", "list", "--json"), "the controller sees the cluster again", 120)


CRASHES = """
import os

if os.environ.get("K_SERVICE"):  # well in the build, not in the pod
    print("the weights are torn", flush=True)
    os._exit(3)


def predict(model, x):
    return {"y": x}
"""


def test_a_function_that_crashes_when_it_starts_is_refused_with_its_last_words(
    platform: Installed, tmp_path: Path
) -> None:
    """Not a request that hangs until its time is over: 503 with what the pod said, and the service says it too."""
    (tmp_path / "function.py").write_text(CRASHES)
    field = {"shape": "scalar", "type": "double"}
    contract = {"inputs": {"x": field}, "outputs": {"y": field}}
    definition = {"kind": "Model", "name": "torn", "payload": ["function.py"], "contract": contract}
    (tmp_path / "headrace.yaml").write_text(yaml.safe_dump(definition))
    platform.headrace("apply", "-f", str(tmp_path))
    body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}
    with httpx.Client(base_url=platform.gateway_url, timeout=90, trust_env=False) as outside:
        started = time.monotonic()
        answer = outside.post("/v2/models/torn/infer", json=body)
        print(f"\ncrash told after {time.monotonic() - started:.1f} s")
    services = {s["name"]: s for s in platform.headrace("service", "list", "--json")}
    print(services["torn-v1"])
    assert answer.status_code == 503, answer.text
    assert "the weights are torn" in answer.json()["detail"]
    assert "failed" == services["torn-v1"]["state"]
    platform.headrace("model", "delete", "torn", "--yes")


def test_a_foreign_inference_service_of_the_same_name_is_not_touched(platform: Installed, tmp_path: Path) -> None:
    """A collision is told in the service's reason; the stranger stays as it was."""
    stranger = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "mine-v1", "namespace": platform.namespace},
        "spec": {
            "predictor": {"minReplicas": 0, "containers": [{"name": "kserve-container", "image": "dev.local/theirs:1"}]}
        },
    }
    file = tmp_path / "stranger.yaml"
    file.write_text(yaml.safe_dump(stranger))
    kubectl("apply", "-f", str(file))
    platform.headrace("apply", "-f", str(project(tmp_path / "mine", 1.0, name="mine")))

    def reason() -> str:
        found = {s["name"]: s for s in platform.headrace("service", "list", "--json")}
        return str(found.get("mine-v1", {}).get("reason", ""))

    until(lambda: "does not belong to this platform" in reason(), "the collision is told")
    image = platform.kubectl("get", "isvc", "mine-v1", "-o", "jsonpath={.spec.predictor.containers[0].image}")
    assert "dev.local/theirs:1" == image
    platform.headrace("model", "delete", "mine", "--yes")
    platform.kubectl("delete", "isvc", "mine-v1", "--wait=false")
