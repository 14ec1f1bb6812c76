"""Each overlay, as kustomize makes it, is what the cluster's API server takes: a server-side dry run, nothing is made."""

import json
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from .installed import ROOT, kubectl


@pytest.fixture
def namespace(api: client.ApiClient) -> Iterator[str]:
    """Objects of a namespace that is not there are refused even in a dry run."""
    name = f"headrace-{uuid.uuid4().hex[:8]}"
    core = client.CoreV1Api(api)
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=name)))
    yield name
    core.delete_namespace(name)


def rendered(folder: Path, overlay: str, namespace: str) -> list[dict[str, Any]]:
    """The documents of an overlay in another namespace, with the file of credentials that its user makes."""
    shutil.copytree(ROOT / "knative", folder / "knative")
    chosen = folder / "knative" / "overlays" / overlay
    if (chosen / "storage.env.example").exists():
        shutil.copy(chosen / "storage.env.example", chosen / "storage.env")
    file = chosen / "kustomization.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"namespace": namespace}))
    return list(yaml.safe_load_all(kubectl("kustomize", str(chosen))))


@pytest.mark.parametrize("overlay", ["local", "production"])
def test_the_cluster_takes_every_object(api: client.ApiClient, overlay: str, namespace: str, tmp_path: Path) -> None:
    documents = rendered(tmp_path, overlay, namespace)
    for document in documents:  # Knative tries a pod of a new revision, which needs its account
        if document["kind"] == "ServiceAccount":
            client.CoreV1Api(api).create_namespaced_service_account(namespace, document)
    everything = json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
    program = shutil.which("kubectl")
    assert program is not None
    done = subprocess.run(
        [program, "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"],
        input=everything, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(documents)


@pytest.mark.parametrize("overlay", ["local", "production"])
def test_everything_is_in_one_namespace_and_nothing_in_the_whole_cluster(
    overlay: str, namespace: str, tmp_path: Path
) -> None:
    documents = rendered(tmp_path, overlay, namespace)
    places = {d["metadata"].get("namespace") for d in documents if d["kind"] != "Namespace"}
    assert places == {namespace}
    assert [d["metadata"]["name"] for d in documents if d["kind"] == "Namespace"] == [namespace]
    assert [d for d in documents if d["kind"].startswith("ClusterRole")] == []


def test_production_leaves_the_secret_to_its_operators(namespace: str, tmp_path: Path) -> None:
    documents = rendered(tmp_path, "production", namespace)
    assert [d["metadata"]["name"] for d in documents if d["kind"] == "Secret"] == []
    gateway = next(d for d in documents if d["metadata"]["name"] == "headrace-gateway" and d["kind"] == "Service")
    kept = gateway["spec"]["template"]["metadata"]["annotations"]["autoscaling.knative.dev/min-scale"]
    budget = next(d for d in documents if d["kind"] == "PodDisruptionBudget")
    assert int(kept) > budget["spec"]["minAvailable"], "a drain would wait for ever"
