"""``skaffold run``, ``verify`` and ``dev`` for real: an edit to the platform or to a function is served by what was made of it."""

import json
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml
from kubernetes import client, config

from .installed import ROOT, Installed, kubectl, until

SKAFFOLD = shutil.which("skaffold")
pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(SKAFFOLD is None, reason="skaffold is not on the PATH"),
    pytest.mark.skipif(shutil.which("cluster") is None, reason="there is no `cluster build-image` on the PATH"),
]
# What a `make test-cluster CLUSTER=…` around this test hands down would lead skaffold's own `make` elsewhere.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in {"CLUSTER", "MAKEFLAGS", "MFLAGS"}}
REGISTRY = os.environ.get("HEADRACE_TEST_REGISTRY", "127.0.0.1:5000")
FUNCTION = "def predict(model, x):\n    return {'y': x * 1.0}\n"
DEFINITION = {
    "kind": "Model",
    "name": "scale",
    "payload": "function.py",
    "requirements": ["numpy"],
    "contract": {
        "name": "predict",
        "inputs": {"x": {"shape": "scalar", "type": "double"}},
        "outputs": {"y": {"shape": "scalar", "type": "double"}},
    },
}


@dataclass
class Checkout:
    """A copy of the sources whose overlay is of a namespace and a store of its own."""

    folder: Path
    platform: Installed

    def skaffold(self, verb: str, *arguments: str) -> list[str]:
        assert SKAFFOLD is not None
        return [SKAFFOLD, verb, f"--default-repo={REGISTRY}", "--interactive=false", *arguments]

    def run(self, verb: str, *arguments: str) -> str:
        done = subprocess.run(
            self.skaffold(verb, *arguments),
            cwd=self.folder, env=ENVIRONMENT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"skaffold {verb}: {done.stdout[-6000:]}{done.stderr[-6000:]}"
        return done.stdout

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.folder / path
        text = file.read_text()
        assert old in text, f"{path} does not have {old!r} any more"
        file.write_text(text.replace(old, new))

    @contextmanager
    def dev(self, *arguments: str) -> Iterator[Path]:
        """``skaffold dev`` until the block ends; gives its log."""
        log = self.folder.parent / "dev.log"
        with log.open("wb") as output:
            command = self.skaffold("dev", "--cleanup=false", "--tail=false", *arguments)
            running = subprocess.Popen(command, cwd=self.folder, env=ENVIRONMENT, stdout=output, stderr=output)
        try:
            until(
                lambda: "Watching for changes" in log.read_text() or running.poll() is not None, "skaffold watches", 400
            )
            assert running.poll() is None, log.read_text()[-6000:]
            yield log
        finally:
            running.send_signal(signal.SIGINT)
            running.wait(60)
            print(log.read_text()[-3000:])


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, storage: str) -> Iterator[Checkout]:
    folder = tmp_path_factory.mktemp("skaffold") / "sources"
    namespace = f"headrace-{uuid.uuid4().hex[:8]}"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in listed:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    local = folder / "knative" / "overlays" / "local"
    keys = [f"{name}={value}\n" for name, value in os.environ.items() if name.startswith("AWS_")]
    (local / "storage.env").write_text("".join(keys))
    (local / "settings.env").write_text(f"HEADRACE_STORAGE={storage}/skaffold\nHEADRACE_NAMESPACE={namespace}\n")
    document = yaml.safe_load((local / "kustomization.yaml").read_text()) | {"namespace": namespace}
    (local / "kustomization.yaml").write_text(yaml.safe_dump(document))
    text = (folder / "skaffold.yaml").read_text()
    (folder / "skaffold.yaml").write_text(
        text.replace("headrace-gateway.headrace.svc", f"headrace-gateway.{namespace}.svc")
    )
    config.load_kube_config()
    with client.ApiClient() as api:
        context = config.list_kube_config_contexts()[1]["name"]
        found = Checkout(folder, Installed(namespace, storage, context, api))
        try:
            began = time.monotonic()
            found.run("run", "--profile=local")
            kubectl("rollout", "status", "deployment/headrace-controller", "-n", namespace, "--timeout=120s")
            kubectl("wait", "--for=condition=Ready", "ksvc/headrace-gateway", "-n", namespace, "--timeout=120s")
            print(f"skaffold run: {time.monotonic() - began:.1f} s until controller and gateway are ready")
            yield found
        finally:
            kubectl("delete", "namespace", namespace, "--ignore-not-found", "--wait=false")


def seconds(condition: Callable[[], object], what: str) -> float:
    began = time.monotonic()
    until(condition, what, 240)
    return time.monotonic() - began


def answer(url: str, path: str) -> str:
    try:
        return httpx.get(url + path, timeout=30, trust_env=False).text
    except httpx.HTTPError as error:
        return str(error)


def scaled(url: str) -> list[float]:
    body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}
    got = httpx.post(f"{url}/v2/models/scale/infer", json=body, timeout=60, trust_env=False)
    found: list[float] = got.json()["outputs"][0]["data"] if got.status_code == 200 else []
    return found


def test_run_installs_what_it_built_and_verify_asks_it(checkout: Checkout) -> None:
    containers = json.loads(checkout.platform.kubectl("get", "deployment/headrace-controller", "-o", "json"))["spec"][
        "template"
    ]["spec"]["containers"]
    named = {e["name"]: e.get("value", "") for e in containers[0]["env"]}
    for name in ("HEADRACE_FUNCTION_IMAGE_SKLEARN", "HEADRACE_BUILDER_IMAGE", "HEADRACE_JOBS_IMAGE"):
        assert named[name].startswith(f"{REGISTRY}/headrace-"), f"{name} is {named[name]}, which was not built"
    built = checkout.folder.parent / "built.json"
    python = {"imageName": "headrace-function-python", "tag": named["HEADRACE_FUNCTION_IMAGE_PYTHON"]}
    built.write_text(json.dumps({"builds": [python]}))
    checkout.run("verify", "--profile=local", f"--build-artifacts={built}")


def test_an_edit_to_a_function_is_served_by_its_next_version(checkout: Checkout, tmp_path: Path) -> None:
    """A function needs no skaffold: ``headrace apply`` is its loop."""
    (tmp_path / "headrace.yaml").write_text(yaml.safe_dump(DEFINITION))
    url = checkout.platform.gateway_url
    for factor in (1.0, 3.0):
        (tmp_path / "function.py").write_text(FUNCTION.replace("1.0", str(factor)))
        began = time.monotonic()
        checkout.platform.headrace("apply", "-f", str(tmp_path))
        until(lambda factor=factor: scaled(url) == [factor], f"x is scaled by {factor}")  # type: ignore[misc]
        print(f"edit of a function: {time.monotonic() - began:.1f} s until it answers")


def test_an_edit_to_the_gateway_is_served_by_a_new_revision(checkout: Checkout) -> None:
    url = checkout.platform.gateway_url
    revision = ("get", "ksvc", "headrace-gateway", "-o", "jsonpath={.status.latestReadyRevisionName}")
    with checkout.dev("--profile=local"):
        before = checkout.platform.kubectl(*revision)
        checkout.edit("functions/headrace_functions/protocol/metadata.py", '"headrace"', '"headrace-edited"')
        took = seconds(lambda: "headrace-edited" in answer(url, "/v2"), "the edited gateway answers")
        print(f"edit of the gateway: {took:.1f} s until the new revision answers")
        assert checkout.platform.kubectl(*revision) != before


def test_an_edit_to_the_controller_is_copied_into_its_pod(checkout: Checkout) -> None:
    with checkout.dev("--profile=local,dev") as log:
        platform = checkout.platform
        platform.kubectl("rollout", "status", "deployment/headrace-controller", "--timeout=120s")
        pods = platform.pods("app.kubernetes.io/name=headrace-controller")
        checkout.edit(
            "controller/headrace_controller/incluster/gateway_passthrough.py", '"alive\\n"', '"alive and edited\\n"'
        )
        took = seconds(lambda: "alive and edited" in health(platform), "the edited controller answers")
        print(f"edit of the controller: {took:.1f} s until it answers")
        assert platform.pods("app.kubernetes.io/name=headrace-controller") == pods, log.read_text()[-3000:]


def health(platform: Installed) -> str:
    path = f"/api/v1/namespaces/{platform.namespace}/services/http:headrace-controller:http/proxy/healthz"
    program = shutil.which("kubectl")
    assert program is not None
    return subprocess.run([program, "get", "--raw", path], capture_output=True, text=True, check=False).stdout
