"""A user's story on an installed platform, from outside: the command line through the Kubernetes API, callers through the ingress."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import joblib
import pytest
import yaml

from .installed import Installed, until
from .traffic import Traffic, fate
from .tumours import FIELDS, ROWS, project, request_of

pytestmark = pytest.mark.timeout(600)

MINE = "app.kubernetes.io/managed-by=headrace"
KSERVE = """
import asyncio, json, sys

url = sys.argv.pop()  # before the import, which reads the command line
import kserve
import numpy as np

inputs = []
for name, values in json.load(sys.stdin).items():
    tensor = kserve.InferInput(name, [len(values)], "FP64")
    tensor.set_data_from_numpy(np.array(values), binary_data=False)
    inputs.append(tensor)

async def ask():
    client = kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v2", timeout=60))
    try:
        return await client.infer(url, kserve.InferRequest(model_name="tumour", infer_inputs=inputs), model_name="tumour")
    finally:
        await client.close()

print(json.dumps(next(o.as_numpy().tolist() for o in asyncio.run(ask()).outputs if o.name == "label")))
"""


@pytest.fixture(scope="module")
def models(platform: Installed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three versions of one model, applied; each in a folder of its own."""
    folder = tmp_path_factory.mktemp("models")
    for number, strength in ((1, 1.0), (2, 0.01), (3, 100.0)):
        platform.headrace("apply", "-f", str(project(folder / str(number), strength)))
    for number in (1, 2, 3):
        name = f"tumour-v{number}"
        until(lambda name=name: name in platform.kubectl("get", "isvc", "-o", "name"), f"{name} exists")  # type: ignore[misc]
        platform.kubectl("wait", "--for=condition=Ready", f"isvc/{name}", "--timeout=120s")
    return folder


def answers_of(answer: dict[str, Any]) -> list[int]:
    found: list[int] = next(o["data"] for o in answer["outputs"] if o["name"] == "label")
    return found


def test_a_version_answers_inside_the_cluster_at_kserves_address_and_to_everybody_through_the_gateway(
    platform: Installed, models: Path
) -> None:
    expected = joblib.load(models / "1" / "model.joblib").predict(ROWS[:4]).tolist()
    before = len(platform.headrace("log", "query", "tumour:1", "--json"))
    address = platform.kubectl("get", "isvc", "tumour-v1", "-o", "jsonpath={.status.url}")
    assert ".svc" in address, "a function has no public address"
    for base, path in ((address, "tumour"), (platform.gateway_url, "tumour/versions/1")):
        with httpx.Client(base_url=base, timeout=60, trust_env=False) as outside:
            answer = outside.post(f"/v2/models/{path}/infer", json=request_of(ROWS[:4]))
        assert answer.status_code == 200, answer.text
        assert expected == answers_of(answer.json()), base
    until(
        lambda: len(platform.headrace("log", "query", "tumour:1", "--json")) == before + 8, "both exchanges are logged"
    )


def test_kserves_own_client_asks_the_gateway(platform: Installed, models: Path) -> None:
    """In a process of its own: its messages cannot be registered beside those of Triton's client, which other tests import."""
    expected = joblib.load(models / "3" / "model.joblib").predict(ROWS[:4]).tolist()
    columns = {name: ROWS[:4, index].tolist() for index, name in enumerate(FIELDS)}
    done = subprocess.run(
        [sys.executable, "-c", KSERVE, platform.gateway_url],
        input=json.dumps(columns),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    assert expected == json.loads(done.stdout)


def test_an_idle_version_has_no_pod_and_the_next_request_wakes_it(platform: Installed, models: Path) -> None:
    until(lambda: platform.pods("headrace.dev/model=tumour") == [], "every version sleeps")
    states = {s["name"]: s["state"] for s in platform.headrace("service", "list", "--json")}
    assert ["asleep"] * 3 == [states[f"tumour-v{number}"] for number in (1, 2, 3)]
    with httpx.Client(base_url=platform.gateway_url, timeout=60, trust_env=False) as outside:
        started = time.monotonic()
        answer = outside.post("/v2/models/tumour/versions/2/infer", json=request_of(ROWS[:1]))
        print(f"\nfirst answer from zero through the gateway: {time.monotonic() - started:.2f} s")
    assert answer.status_code == 200, answer.text


def sequence(folder: Path, *variants: dict[str, Any]) -> str:
    file = folder / "sequence.yaml"
    file.write_text(
        yaml.safe_dump({"kind": "Sequence", "name": "screening", "pipeline": [list(variants)], "timeout": "60s"})
    )
    return str(file)


def test_a_sequence_splits_copies_changes_and_rolls_back_under_load_without_a_failure(
    platform: Installed, models: Path, tmp_path: Path
) -> None:
    """80/20 and a shadow; then 0/100; then back; meanwhile nothing fails, and afterwards the logs hold every answer once."""
    shadow = {"model": "tumour:3", "shadow": True}
    first = [{"model": "tumour:1", "weight": 80}, {"model": "tumour:2", "weight": 20}, shadow]
    platform.headrace("apply", "-f", sequence(tmp_path, *first))
    path = "/v2/models/screening/infer"
    with httpx.Client(base_url=platform.gateway_url, timeout=60, trust_env=False) as outside:
        outside.post(path, json=request_of(ROWS[:1])).raise_for_status()
        with Traffic(platform.gateway_url, path, request_of(ROWS[:1])) as traffic:
            until(lambda: traffic.sent > 100, "some traffic")
            platform.headrace("apply", "-f", sequence(tmp_path, {"model": "tumour:2", "weight": 100}, shadow))
            until(lambda: outside.post(path, json=request_of(ROWS[:1])).headers["x-headrace-version"] == "tumour:2", "")
            changed = traffic.sent
            until(lambda: traffic.sent > changed + 60, "more traffic")
            platform.headrace("sequence", "rollback", "screening")
            rolled_back = traffic.sent
            until(lambda: traffic.sent > rolled_back + 100, "yet more traffic")
    found = fate(platform, traffic, ["tumour:1", "tumour:2"])
    print(f"\n{found}, slowest {traffic.slowest:.2f} s")
    assert (0, 0, 0) == (found.failed, found.lost, found.doubled), found
    shadows = [r for r in platform.headrace("log", "query", "tumour:3", "--limit", "10000", "--json") if r["shadow"]]
    assert len(shadows) >= 0.9 * found.sent


def test_a_schedule_is_a_cron_job_whose_run_leaves_a_report(platform: Installed, models: Path) -> None:
    """On Ray where KubeRay is installed; status, log and report are those of one machine."""
    with httpx.Client(base_url=urlsplit(platform.gateway_url).geturl(), timeout=60, trust_env=False) as outside:
        for start in range(0, 400, 100):
            body = request_of(ROWS[start : start + 100] + 3.0)
            outside.post("/v2/models/tumour/versions/1/infer", json=body).raise_for_status()
    platform.headrace("schedule", "add", "each-minute", "tumour:1", "--cron", "* * * * *", "--window", "1h")
    until(lambda: "headrace-each-minute" in platform.kubectl("get", "cronjobs", "-o", "name"), "there is a CronJob")
    try:
        until(
            lambda: any(r["state"] == "done" for r in platform.headrace("schedule", "runs", "each-minute", "--json")),
            "a run is done",
            240,
        )
    finally:  # shown where it failed
        for job in platform.headrace("analyze", "list", "--json"):
            print(job, platform.headrace("analyze", "log", job["id"])[-3000:])
    run = next(r for r in platform.headrace("schedule", "runs", "each-minute", "--json") if r["state"] == "done")
    job = platform.headrace("analyze", "show", run["job"], "--json")
    assert ("done", "schedule each-minute") == (job["state"], job["by"]), job
    assert "drift" == platform.headrace("report", "list", "tumour", "--json")[0]["kind"]
    assert platform.headrace("analyze", "log", run["job"]).startswith("RayJob")
    platform.headrace("schedule", "rm", "each-minute")
    until(lambda: platform.kubectl("get", "cronjobs", "-o", "name").strip() == "", "the CronJob is gone")


def test_a_version_with_a_pod_autoscaler_is_made_anew_and_never_sleeps(
    platform: Installed, models: Path, tmp_path: Path
) -> None:
    """Hydrosphere's form of scaling: a plain Deployment behind a HorizontalPodAutoscaler, found by the gateway all the same."""
    configuration = {
        "kind": "DeploymentConfiguration",
        "name": "always-on",
        "hpa": {"min-replicas": 1, "max-replicas": 2},
    }
    variant = {"model": "tumour:3", "deployment-configuration": "always-on"}
    screen = {"kind": "Sequence", "name": "awake", "pipeline": [[variant]], "timeout": "180s"}
    (tmp_path / "awake.yaml").write_text(yaml.safe_dump_all([configuration, screen]))
    platform.headrace("apply", "-f", str(tmp_path / "awake.yaml"))
    until(lambda: "horizontalpodautoscaler" in platform.kubectl("get", "hpa", "-o", "name"), "there is an autoscaler")
    with httpx.Client(base_url=platform.gateway_url, timeout=200, trust_env=False) as outside:
        answer = outside.post("/v2/models/awake/infer", json=request_of(ROWS[:1]))
    assert answer.status_code == 200, answer.text
    assert "Standard" in platform.kubectl("get", "isvc", "tumour-v3", "-o", "yaml")
    platform.headrace("sequence", "delete", "awake")
    until(lambda: "deploymentMode: Knative" in platform.kubectl("get", "isvc", "-o", "yaml"), "it may sleep again", 120)


def test_what_is_deleted_leaves_nothing_on_the_cluster(platform: Installed, models: Path) -> None:
    platform.headrace("sequence", "delete", "screening")
    platform.headrace("model", "delete", "tumour", "--yes")
    others = {model["name"] for model in platform.headrace("model", "list", "--json")}

    def left() -> list[str]:
        """Objects that belong to no model that is still there; other tests of this platform may have theirs."""
        found = platform.kubectl("get", "isvc,ksvc,cronjobs,rayjobs,jobs", "-l", MINE, "-o", "name").split()
        return [name for name in found if not name.partition("/")[2].startswith(tuple(f"{o}-v" for o in others))]

    until(lambda: left() == [], "nothing of it is left", 120)
