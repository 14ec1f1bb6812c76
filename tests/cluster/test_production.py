"""docs/install-on-a-cluster.md, upgrade.md and operate-a-cluster.md, followed: the production overlay under the restricted pod-security
standard, new keys and a newer tag under load, and back; then the platform from a copy of its bucket.

The newer release is the same sources under the tag ``HEADRACE_TEST_NEXT_TAG``; ``make test-cluster`` builds both.
"""

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from kubernetes import client, config

from headrace_functions.storage.objects import ObjectStore

from .installed import FUNCTION_IMAGE, ROOT, Installed, images, kubectl, until
from .traffic import Traffic, fate
from .tumours import ROWS, project, request_of

NEXT = os.environ.get("HEADRACE_TEST_NEXT_TAG", "")
pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(not NEXT, reason="HEADRACE_TEST_NEXT_TAG names no second tag of the images"),
]
NOW = FUNCTION_IMAGE.rpartition(":")[2]
CONTROLLER = "app.kubernetes.io/name=headrace-controller"
SMALL = {  # what production asks for is more than a node of two cores has
    "headrace-controller": ("Deployment", "/spec/template/spec/containers/0/resources/requests/cpu"),
    "headrace-gateway": ("Service", "/spec/template/spec/containers/0/resources/requests/cpu"),
}


class Production:
    """A copy of ``knative`` as the repository of a cluster would hold it."""

    def __init__(self, folder: Path, namespace: str, storage: str) -> None:
        shutil.copytree(ROOT / "knative", folder / "knative")
        self.overlay = folder / "knative" / "overlays" / "production"
        self.namespace = namespace
        self.store(storage)
        document = self._document()
        document["namespace"] = namespace
        for name, (kind, path) in SMALL.items():
            patch = yaml.safe_dump([{"op": "replace", "path": path, "value": "100m"}])
            document["patches"].append({"target": {"kind": kind, "name": name}, "patch": patch})
        self._write(document)
        self.tag(NOW)

    def store(self, url: str) -> None:
        settings = {"HEADRACE_STORAGE": url, "HEADRACE_NAMESPACE": self.namespace}
        (self.overlay / "settings.env").write_text("".join(f"{k}={v}\n" for k, v in settings.items()))

    def tag(self, tag: str) -> None:
        """``newTag`` of all five images."""
        self._write(self._document() | {"images": [i | {"newTag": tag} for i in images()]})

    def apply(self) -> None:
        kubectl("apply", "-k", str(self.overlay))
        self.ready()

    def ready(self) -> None:
        kubectl("rollout", "status", "deployment/headrace-controller", "-n", self.namespace, "--timeout=180s")
        kubectl("wait", "--for=condition=Ready", "ksvc", "--all", "-n", self.namespace, "--timeout=180s")

    def _document(self) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load((self.overlay / "kustomization.yaml").read_text())
        return found

    def _write(self, document: dict[str, Any]) -> None:
        (self.overlay / "kustomization.yaml").write_text(yaml.safe_dump(document))


def create_secret(namespace: str) -> None:
    keys = [f"--from-literal={n}={v}" for n, v in os.environ.items() if n.startswith("AWS_")]
    kubectl("create", "secret", "generic", "headrace-storage", "-n", namespace, *keys)


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory, storage: str) -> Iterator[tuple[Production, Installed]]:
    namespace = f"headrace-{uuid.uuid4().hex[:8]}"
    url = f"{storage}/production"
    made = Production(tmp_path_factory.mktemp("cluster"), namespace, url)
    config.load_kube_config()
    with client.ApiClient() as api:
        kubectl("create", "namespace", namespace)
        try:
            create_secret(namespace)
            made.apply()
            yield made, Installed(namespace, url, config.list_kube_config_contexts()[1]["name"], api)
        finally:
            print(kubectl("get", "pods,events", "-n", namespace))  # shown where a test failed
            kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture(scope="module")
def platform(production: tuple[Production, Installed], tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """With a model."""
    installed = production[1]
    installed.headrace("apply", "-f", str(project(tmp_path_factory.mktemp("models") / "1", 1.0)))
    return installed


def gateway_image(platform: Installed) -> str:
    """Of the revision that takes requests."""
    revision = platform.kubectl("get", "ksvc", "headrace-gateway", "-o", "jsonpath={.status.latestReadyRevisionName}")
    return platform.kubectl("get", "revision", revision, "-o", "jsonpath={.spec.containers[0].image}")


def under_load(platform: Installed, change: Any, *, then: int = 100) -> None:
    """Change something while callers call, and go on for a while; nobody may notice."""
    with Traffic(platform.gateway_url, "/v2/models/tumour/versions/1/infer", request_of(ROWS[:1])) as traffic:
        until(lambda: traffic.sent > 40, "some traffic")
        change()
        changed = traffic.sent
        until(lambda: traffic.sent > changed + then, "more traffic")
    found = fate(platform, traffic, ["tumour:1"])
    print(f"\n{found}, slowest {traffic.slowest:.2f} s")
    assert (0, 0, 0) == (found.failed, found.lost, found.doubled), found


def test_the_namespace_enforces_the_restricted_standard_and_the_platform_works(platform: Installed) -> None:
    """Gateway, controller, build, version and analysis: each has a pod there."""
    labels = client.CoreV1Api(platform.api).read_namespace(platform.namespace).metadata.labels
    assert "restricted" == labels["pod-security.kubernetes.io/enforce"]
    with httpx.Client(base_url=platform.gateway_url, timeout=90, trust_env=False) as outside:
        outside.post("/v2/models/tumour/infer", json=request_of(ROWS[:200])).raise_for_status()
    until(
        lambda: len(platform.headrace("log", "query", "tumour:1", "--limit", "1000", "--json")) == 200, "it is logged"
    )
    platform.headrace("analyze", "drift", "tumour:1", "--window", "1h")
    assert "drift" == platform.headrace("report", "list", "tumour", "--json")[0]["kind"]
    platform.headrace("cluster", "check")
    figures = f"/api/v1/namespaces/{platform.namespace}/pods/{platform.pods(CONTROLLER)[0]}:9090/proxy/"
    assert 'headrace_report_timestamp_seconds{model="tumour"' in kubectl("get", "--raw", figures + "metrics")
    with pytest.raises(AssertionError, match="NotFound"):
        kubectl("get", "--raw", figures + "api/v1/models")


def test_an_upgrade_is_noticed_by_nobody_who_calls(
    production: tuple[Production, Installed], platform: Installed
) -> None:
    made = production[0]
    made.tag(NEXT)
    shown = subprocess.run(
        [str(shutil.which("kubectl")), "diff", "-k", str(made.overlay)], capture_output=True, text=True, check=False
    )
    assert (1, True) == (shown.returncode, f":{NEXT}" in shown.stdout), shown.stderr
    under_load(platform, made.apply)
    assert gateway_image(platform).endswith(f":{NEXT}")
    platform.headrace("cluster", "check")


def test_a_version_keeps_its_image_and_one_that_is_applied_now_has_the_newer(
    production: tuple[Production, Installed], platform: Installed, tmp_path: Path
) -> None:
    assert f":{NOW}" in platform.headrace("render", "tumour:1")
    platform.headrace("apply", "-f", str(project(tmp_path / "2", 0.01)))
    assert f":{NEXT}" in platform.headrace("render", "tumour:2")
    with httpx.Client(base_url=platform.gateway_url, timeout=90, trust_env=False) as outside:
        for number in (1, 2):
            outside.post(f"/v2/models/tumour/versions/{number}/infer", json=request_of(ROWS[:1])).raise_for_status()


def test_the_way_back_is_noticed_by_nobody_either(
    production: tuple[Production, Installed], platform: Installed
) -> None:
    made = production[0]
    made.tag(NOW)
    under_load(platform, made.apply)
    assert gateway_image(platform).endswith(f":{NOW}")


def test_new_keys_are_noticed_by_nobody_who_calls(
    production: tuple[Production, Installed], platform: Installed, tmp_path: Path
) -> None:
    """The commands of the guide, in this namespace."""
    keys = tmp_path / "storage.env"
    keys.write_text("".join(f"{n}={v}\n" for n, v in os.environ.items() if n.startswith("AWS_")))
    lines = _commands("docs/operate-a-cluster.md", "## Credentials")
    commands = lines.replace("-n headrace", f"-n {platform.namespace}").replace("storage.env", str(keys))
    before = platform.kubectl("get", "ksvc", "headrace-gateway", "-o", "jsonpath={.status.latestReadyRevisionName}")

    def renew() -> None:
        done = subprocess.run(["bash", "-ec", commands], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        production[0].ready()

    under_load(platform, renew)
    after = platform.kubectl("get", "ksvc", "headrace-gateway", "-o", "jsonpath={.status.latestReadyRevisionName}")
    assert before != after


def _commands(file: str, heading: str) -> str:
    """The indented block below a heading."""
    text = (ROOT / file).read_text().partition(heading)[2].partition("\n## ")[0]
    return "".join(line[4:] + "\n" for line in text.splitlines() if line.startswith("    "))


def test_a_copy_of_the_bucket_is_the_platform_wherever_it_is_applied(
    production: tuple[Production, Installed], platform: Installed
) -> None:
    made, url = production[0], f"{platform.storage}-copy"
    old, new = ObjectStore(platform.storage), ObjectStore(url)
    for found in old.walk(""):
        new.put(found.key, old.get(found.key))
    versions = platform.headrace("version", "list", "--json")
    logged = len(platform.headrace("log", "query", "tumour:1", "--limit", "10000", "--json"))
    keys = [f"--from-literal={name}={value}" for name, value in platform.secret("headrace-platform").items()]
    kubectl("delete", "-k", str(made.overlay), "--timeout=300s")
    kubectl("create", "namespace", made.namespace)
    create_secret(made.namespace)
    kubectl("create", "secret", "generic", "headrace-platform", "-n", made.namespace, *keys)
    made.store(url)
    made.apply()
    assert versions == platform.headrace("version", "list", "--json")
    for number in (1, 2):
        platform.kubectl("wait", "--for=create", f"isvc/tumour-v{number}", "--timeout=120s")
    with httpx.Client(base_url=platform.gateway_url, timeout=90, trust_env=False) as outside:
        outside.post("/v2/models/tumour/versions/1/infer", json=request_of(ROWS[:1])).raise_for_status()
    until(
        lambda: len(platform.headrace("log", "query", "tumour:1", "--limit", "10000", "--json")) > logged,
        "the log goes on where it was",
    )
