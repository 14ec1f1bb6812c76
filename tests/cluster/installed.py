"""A platform installed as a user installs it: an overlay over ``knative/base``, ``kubectl apply -k``, a namespace of its own."""

import base64
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml
from kubernetes import client, config

from headrace_controller.backends.kserve.access import access
from headrace_controller.client import Client

ROOT = Path(__file__).parents[2]
CONTROLLER_IMAGE = os.environ.get("HEADRACE_CONTROLLER_IMAGE", "dev.local/headrace-controller:test")
FUNCTION_IMAGE = os.environ.get("HEADRACE_FUNCTION_IMAGE", "dev.local/headrace-function-{framework}:test")

JOBS_IMAGE = os.environ.get("HEADRACE_JOBS_IMAGE", "dev.local/headrace-jobs:test")
FRAMEWORKS = tuple(os.environ.get("HEADRACE_TEST_FRAMEWORKS", "lightgbm onnx xgboost").split())
"""Whose images the platform of the tests has besides. TensorFlow's takes gigabytes, so it is asked for by name."""
TARGETS = ("python", "sklearn", "builder", *FRAMEWORKS)
"""Of ``functions/Dockerfile``."""


def image(reference: str) -> dict[str, str]:
    name, _, tag = reference.rpartition(":")
    return {"newName": name, "newTag": tag}


def images() -> list[dict[str, str]]:
    """The images of the platform, as a kustomization names them."""
    functions = {f"headrace-function-{t}": FUNCTION_IMAGE.replace("{framework}", t) for t in TARGETS}
    references = {"headrace-controller": CONTROLLER_IMAGE, "headrace-jobs": JOBS_IMAGE} | functions
    return [{"name": name, **image(reference)} for name, reference in references.items()]


def overlay(
    folder: Path,
    namespace: str,
    storage: str,
    components: Sequence[str] = (),
    patches: Sequence[dict[str, Any]] = (),
    **settings: str,
) -> Path:
    """A kustomization for one test: the namespace, the store, the images and components of ``knative/components``."""
    folder.mkdir(parents=True, exist_ok=True)
    literals = {
        "HEADRACE_STORAGE": storage,
        "HEADRACE_NAMESPACE": namespace,
    }
    keys = [f"{name}={value}" for name, value in os.environ.items() if name.startswith("AWS_")]
    document = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": namespace,
        "resources": [os.path.relpath(ROOT / "knative" / "base", folder)],
        "components": [
            os.path.relpath(ROOT / "knative" / "components" / name, folder)
            for name in (*components, *(f"frameworks/{f}" for f in FRAMEWORKS))
        ],
        "configMapGenerator": [
            {
                "name": "headrace",
                "literals": [f"{k}={v.replace('{namespace}', namespace)}" for k, v in (literals | settings).items()],
            },
        ],
        "secretGenerator": [{"name": "headrace-storage", "literals": keys, "options": {"disableNameSuffixHash": True}}],
        "images": images(),
        "patches": list(patches),
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(document))
    return folder


def kubectl(*arguments: str) -> str:
    program = shutil.which("kubectl")
    assert program is not None, "kubectl is not on the PATH"
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
    return done.stdout


@dataclass
class Installed:
    """A platform that is up, and the ways to it."""

    namespace: str
    storage: str
    context: str
    api: client.ApiClient
    key: str = ""
    """An API key of the platform, where it asks who calls."""

    def headrace(self, *arguments: str) -> Any:
        """What the command line printed, from outside: JSON where it is asked for."""
        command = [sys.executable, "-m", "headrace_controller.cli", "--context", self.context]
        command += ["--namespace", self.namespace, *arguments]
        shown = os.environ | ({"HEADRACE_API_KEY": self.key} if self.key else {})
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=shown)
        assert done.returncode == 0, f"headrace {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return orjson.loads(done.stdout) if "--json" in arguments else done.stdout

    def apply_python(
        self, folder: Path, name: str, code: str, contract: dict[str, Any], training: str = "", **more: Any
    ) -> None:
        """Release a model of one file with ``code``, made in ``folder``; ``training`` is its CSV, ``more`` is added to the definition."""
        folder.mkdir(exist_ok=True)
        (folder / "function.py").write_text(code)
        definition = {
            "kind": "Model",
            "name": name,
            "framework": "python",
            "payload": ["function.py"],
            "contract": contract,
            **more,
        }
        if training:
            (folder / "train.csv").write_text(training)
            definition["training-data"] = "train.csv"
        (folder / "headrace.yaml").write_text(yaml.safe_dump(definition))
        self.headrace("apply", "-f", str(folder))

    def kubectl(self, *arguments: str) -> str:
        """kubectl in the platform's namespace."""
        return kubectl("-n", self.namespace, *arguments)

    def client(self) -> Client:
        found = access(self.context, self.namespace)
        return Client(found.url, tls=found.tls, authorization=found.authorization, key=self.key)

    def secret(self, name: str) -> dict[str, str]:
        """The texts of a Secret of the namespace."""
        found = client.CoreV1Api(self.api).read_namespaced_secret(name, self.namespace)
        return {key: base64.b64decode(value).decode() for key, value in found.data.items()}

    @property
    def gateway_url(self) -> str:
        """The gateway as callers outside know it."""
        return self.kubectl("get", "ksvc", "headrace-gateway", "-o", "jsonpath={.status.url}")

    def pods(self, selector: str) -> list[str]:
        pods = client.CoreV1Api(self.api).list_namespaced_pod(self.namespace, label_selector=selector).items
        return [p.metadata.name for p in pods if p.metadata.deletion_timestamp is None]


def until(condition: Callable[[], object], what: str, seconds: float = 90.0) -> None:
    """Wait for a condition of the cluster, looking a few times a second."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.2)


def install(
    folder: Path,
    storage: str,
    components: Sequence[str] = (),
    patches: Sequence[dict[str, Any]] = (),
    prepare: Callable[[str], object] = lambda _namespace: None,
    **settings: str,
) -> Iterator[Installed]:
    """Install into a fresh namespace, and remove it all afterwards. ``prepare`` is called with the namespace before."""
    namespace = f"headrace-{uuid.uuid4().hex[:8]}"
    config.load_kube_config()
    with client.ApiClient() as api:
        core = client.CoreV1Api(api)
        core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=namespace)))
        try:
            prepare(namespace)
            kubectl("apply", "-k", str(overlay(folder, namespace, storage, components, patches, **settings)))
            kubectl("rollout", "status", "deployment/headrace-controller", "-n", namespace, "--timeout=300s")
            for name in (
                "headrace-gateway",
                "headrace-collector",
                *(("headrace-grpc",) if "grpc" in components else ()),
            ):
                kubectl("wait", "--for=condition=Ready", f"ksvc/{name}", "-n", namespace, "--timeout=300s")
            context = config.list_kube_config_contexts()[1]["name"]
            yield Installed(namespace, storage, context, api)
        finally:
            for part in ("controller", "gateway", "collector"):  # shown where a test failed
                print(f"== {part}\n" + _logs(namespace, f"app.kubernetes.io/name=headrace-{part}"))
            core.delete_namespace(namespace)


def _logs(namespace: str, selector: str) -> str:
    return kubectl("logs", "-n", namespace, "-l", selector, "--tail=60", "--all-containers", "--ignore-errors")
