"""What people apply, as far as its files tell: each container is hardened, each image is set, no name leads nowhere."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace_controller.backends.kserve import manifests
from headrace_controller.backends.kserve.settings import ClusterSettings
from support.versions import version

ROOT = Path(__file__).parents[3]
KNATIVE = ROOT / "knative"
OVERLAYS = [KNATIVE / "overlays" / name for name in ("local", "production")]
SKAFFOLD = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
FOLDERS = sorted(file.parent for file in KNATIVE.rglob("kustomization.yaml"))
WITH_RIGHTS = "headrace"
"""The one account that may ask something of the Kubernetes API."""


def documents(folder: Path) -> Iterator[dict[str, Any]]:
    for name in kustomization(folder).get("resources", []):
        file = (folder / name).resolve()
        if file.is_file():
            yield from yaml.safe_load_all(file.read_text())


def kustomization(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / "kustomization.yaml").read_text())
    return found


def workloads() -> list[Any]:
    found = [d for f in FOLDERS for d in documents(f) if "apiVersion" in d and "template" in d.get("spec", {})]
    return [pytest.param(d, id=f"{d['kind']}-{d['metadata']['name']}") for d in found]


def images_of(document: dict[str, Any]) -> set[str]:
    """Images that a workload runs or starts."""
    containers = document["spec"]["template"]["spec"]["containers"]
    started = {e["value"] for c in containers for e in c.get("env", []) if re.search(r"_IMAGE(_|$)", e["name"])}
    return {c["image"] for c in containers} | started


def test_every_file_is_part_of_a_kustomization() -> None:
    for folder in FOLDERS:
        named = kustomization(folder)
        text = (folder / "kustomization.yaml").read_text()
        for file in folder.iterdir():
            known = file.name in text or file.name == "kustomization.yaml" or file.suffix == ".example"
            assert known or file.name == "storage.env", f"{file.relative_to(ROOT)} is applied by nobody"
        for name in [*named.get("resources", []), *named.get("components", [])]:
            assert (folder / name).exists(), f"{folder.relative_to(ROOT)} names {name}, which does not exist"


@pytest.mark.parametrize("document", workloads())
def test_every_container_is_hardened_and_bounded(document: dict[str, Any]) -> None:
    pod = document["spec"]["template"]["spec"]
    for container in pod["containers"]:
        security = pod.get("securityContext", {}) | container["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] == 65532
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]
        assert "readinessProbe" in container


@pytest.mark.parametrize("document", workloads())
def test_every_workload_has_an_account_of_ours_and_only_the_controller_a_token(document: dict[str, Any]) -> None:
    pod = document["spec"]["template"]["spec"]
    every = [d for folder in FOLDERS for d in documents(folder)]
    made = {d["metadata"]["name"] for d in every if d["kind"] == "ServiceAccount"}
    assert pod["serviceAccountName"] in made
    controls = document["metadata"]["name"] == "headrace-controller"
    assert pod.get("automountServiceAccountToken", True) is controls
    assert (pod["serviceAccountName"] == WITH_RIGHTS) is controls


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda o: o.name)
def test_an_overlay_fixes_the_tag_of_every_image(overlay: Path) -> None:
    used = {image for p in workloads() for image in images_of(p.values[0])}
    fixed = {i["name"]: i for i in kustomization(overlay)["images"]}
    assert fixed.keys() == used
    for image in fixed.values():
        assert "digest" in image or image["newTag"] != "latest", image


def test_the_controller_is_told_every_image_that_it_starts() -> None:
    controller = next(d for d in documents(KNATIVE / "base") if d["metadata"]["name"] == "headrace-controller")
    targets = {f"headrace-function-{n}" for n in ("python", "sklearn", "builder")}
    assert targets | {"headrace-controller", "headrace-jobs"} == images_of(controller)


def test_every_runtime_image_is_a_target_with_a_lock_and_named_by_the_base_or_a_component() -> None:
    listed = {i["name"]: i for i in json.loads((KNATIVE / "base" / "runtime-images.json").read_text())["images"]}
    dockerfile = (ROOT / "functions" / "Dockerfile").read_text()
    components = {p.parent.name for p in (KNATIVE / "components" / "frameworks").glob("*/kustomization.yaml")}
    assert {"python", "sklearn"} | components == listed.keys()
    for name, image in listed.items():
        lock = ROOT / "functions" / "requirements" / f"{name}.txt"
        assert image["lock"] == hashlib.sha256(lock.read_bytes()).hexdigest(), f"{name}: run make lock"
        assert f"FROM base AS {name}\n" in dockerfile
        assert f"COPY requirements/{name}.txt /opt/headrace/lock.txt" in dockerfile
    for name in components:
        text = (KNATIVE / "components" / "frameworks" / name / "kustomization.yaml").read_text()
        (patch,) = yaml.safe_load(yaml.safe_load(text)["patches"][0]["patch"])
        wanted = {"name": f"HEADRACE_FUNCTION_IMAGE_{name.upper()}", "value": f"headrace-function-{name}"}
        assert wanted == patch["value"]


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda o: o.name)
def test_no_secret_is_in_the_repository(overlay: Path) -> None:
    assert [d for d in documents(overlay) if d["kind"] == "Secret"] == []
    example = overlay / "storage.env.example"
    for line in example.read_text().splitlines() if example.exists() else []:
        name, _, value = line.partition("=")
        assert not (name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") and value), f"{example}: {name} has a value"
    assert "knative/overlays/*/storage.env" in (ROOT / ".gitignore").read_text().splitlines()


def test_roles_name_what_they_allow() -> None:
    rules = [rule for d in documents(KNATIVE / "base") if d["kind"] == "Role" for rule in d["rules"]]
    assert rules
    assert [r for r in rules if "*" in r["apiGroups"] + r["resources"] + r["verbs"]] == []
    assert [d for d in documents(KNATIVE / "base") if d["kind"].startswith("ClusterRole")] == []


def test_policies_deny_first_and_every_part_has_one() -> None:
    policies = list(documents(KNATIVE / "components" / "network-policies"))
    deny = next(p for p in policies if p["metadata"]["name"] == "headrace-default-deny")
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for policy in policies:  # a rule without its type would be read as none
        rules = {kind for kind in ("Ingress", "Egress") if kind.lower() in policy["spec"]}
        assert policy is deny or rules == set(policy["spec"]["policyTypes"]), policy["metadata"]["name"]


def egress_of(labels: dict[str, str]) -> list[str]:
    """Where the policies let a pod with these labels go, in words: what allows something says so once."""
    found = []
    for policy in documents(KNATIVE / "components" / "network-policies"):
        spec = policy["spec"]
        if "Egress" in spec["policyTypes"] and selects(spec["podSelector"], labels):
            found += [f"{policy['metadata']['name']}" for _ in spec.get("egress", [])]
    return sorted(found)


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    expressions = selector.get("matchExpressions", [])
    return wanted and all((e["key"] in labels) is (e["operator"] == "Exists") for e in expressions)


CLUSTER = ClusterSettings("s3://bucket")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (manifests.labels(version(), CLUSTER), ["headrace-functions", "headrace-names"]),
        ({"headrace.dev/build": "ask"}, ["headrace-builds", "headrace-names"]),
        ({"headrace.dev/build": "layer"}, ["headrace-builds", "headrace-names", "headrace-package-index"]),
        ({"headrace.dev/standby": "python"}, ["headrace-names", "headrace-standbys"]),
        (
            manifests.labels(replace(version(), framework="external"), CLUSTER),
            ["headrace-external-models", "headrace-functions", "headrace-names"],
        ),
    ],
    ids=["a function", "a build", "a build of a layer", "a standby", "an external model"],
)
def test_what_runs_users_code_reaches_names_and_the_store_proxy_alone(
    labels: dict[str, str], expected: list[str]
) -> None:
    """So neither the controller nor the Kubernetes API nor the metadata address nor the store."""
    assert expected == egress_of(labels)
    policies = {p["metadata"]["name"]: p["spec"] for p in documents(KNATIVE / "components" / "network-policies")}
    proxy = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "headrace-gateway"}}}
    for name in set(expected) - {"headrace-names", "headrace-package-index", "headrace-external-models"}:
        assert [{"to": [proxy], "ports": [{"protocol": "TCP", "port": 8082}]}] == policies[name]["egress"]
    for name in set(expected) & {"headrace-package-index", "headrace-external-models"}:
        [rule] = policies[name]["egress"]
        assert [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}] == rule["to"]


def test_streams_reach_brokers_and_the_gateway_and_are_asked_by_the_controller_alone() -> None:
    labels = {"headrace.dev/stream": "scores"}
    assert ["headrace-knative-out", "headrace-names", "headrace-store", "headrace-streams"] == egress_of(labels)
    policies = {p["metadata"]["name"]: p["spec"] for p in documents(KNATIVE / "components" / "network-policies")}
    asked = [p for n, p in policies.items() if n != "headrace-default-deny" and selects(p["podSelector"], labels)]
    [rule] = [rule for p in asked for rule in p.get("ingress", [])]
    assert [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "headrace-controller"}}}] == rule["from"]
    brokers = policies["headrace-streams"]["egress"]
    assert brokers == policies["headrace-stream-lag"]["egress"], "who looks at the lag reaches what streams reach"
    assert ["169.254.0.0/16"] == brokers[0]["to"][1]["ipBlock"]["except"]


def test_the_local_overlay_opens_the_store_to_the_platforms_own_parts_alone() -> None:
    """It lets them go anywhere; what runs users' code is not selected by that policy."""
    store = next(
        p for p in documents(KNATIVE / "components" / "network-policies") if p["metadata"]["name"] == "headrace-store"
    )
    assert not selects(store["spec"]["podSelector"], manifests.labels(version(), CLUSTER))
    assert selects(store["spec"]["podSelector"], {"app.kubernetes.io/name": "headrace-gateway"})


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda o: o.name)
def test_network_policies_are_on_in_every_overlay(overlay: Path) -> None:
    assert "../../components/network-policies" in kustomization(overlay)["components"]


def test_no_pod_that_runs_users_code_is_given_credentials_of_the_store() -> None:
    for document in (d for f in FOLDERS for d in documents(f) if "template" in d.get("spec", {})):
        labels = document["spec"]["template"]["metadata"]["labels"]
        if "headrace.dev/standby" in labels:
            assert "headrace-storage" not in str(document)
            assert "headrace-platform" not in str(document)


def test_skaffold_builds_every_image_under_the_name_that_its_overlay_gives() -> None:
    local = {i["newName"]: i["name"] for i in kustomization(OVERLAYS[0])["images"]}
    renamed = {i["name"]: i["newName"] for i in kustomization(KNATIVE / "overlays" / "skaffold")["images"]}
    assert renamed == local
    assert {a["image"] for a in SKAFFOLD["build"]["artifacts"]} == set(local.values())


@pytest.mark.parametrize("profile", [p for p in SKAFFOLD["profiles"] if "artifacts" in p.get("build", {})])
def test_a_profile_builds_the_same_artifacts_in_the_same_order(profile: dict[str, Any]) -> None:
    """The profile ``dev`` patches an artifact by its place."""
    assert [a["image"] for a in profile["build"]["artifacts"]] == [a["image"] for a in SKAFFOLD["build"]["artifacts"]]
    assert SKAFFOLD["build"]["artifacts"][0]["image"] == "headrace-controller"


def test_skaffold_sets_the_images_that_the_controller_starts() -> None:
    allowed = {a["groupKind"]: a["image"] for a in SKAFFOLD["resourceSelector"]["allow"]}
    assert ".spec.template.spec.containers.env.value" in allowed["Deployment.apps"]
    assert {"InferenceService.serving.kserve.io", "RayJob.ray.io"} <= allowed.keys()


def test_what_skaffold_watches_is_there() -> None:
    watched = [p for a in SKAFFOLD["profiles"][1]["build"]["artifacts"] for p in a["custom"]["dependencies"]["paths"]]
    assert [p for p in watched if not (ROOT / p).exists()] == []
    synced = next(p for p in SKAFFOLD["profiles"] if p["name"] == "dev")["patches"][0]["value"]["manual"]
    assert [s["src"] for s in synced if not any(ROOT.glob(s["src"]))] == []


def test_what_is_bound_outside_of_the_namespace_is_the_account_of_the_overlays_own() -> None:
    """A subject without a namespace is given the overlay's by kustomize; one that names another would bind a stranger."""
    every = [d for f in FOLDERS for d in documents(f) if d["kind"] == "ClusterRoleBinding"]
    assert [[{"kind": "ServiceAccount", "name": "headrace"}]] == [d["subjects"] for d in every]
