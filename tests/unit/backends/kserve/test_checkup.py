"""What a cluster lacks, as a table from findings to verdicts; the account's rights are those that people apply."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headrace_controller.backends.kserve.cluster_check import (
    ACCOUNT_RIGHTS,
    CALLER_RIGHTS,
    LEAST,
    TESTED,
    Findings,
    Unseen,
    store_verdict,
    verdicts,
)
from headrace_functions.errors import NotFound, StorageFailed

ACCOUNTS = Path(__file__).parents[4] / "knative" / "base" / "accounts.yaml"
GOOD = Findings(
    "models",
    {name: ".".join(map(str, version)) for name, version in TESTED.items()},
    autoscaler={"allow-zero-initial-scale": "true"},
    defaults={},
    deployment={},
    domain={"models.example": ""},
    features={f"kubernetes.podspec-{f}": "enabled" for f in ("nodeselector", "affinity", "tolerations", "runtimeclassname")},
    namespace_there=True,
    secret_keys=frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}),
    platform_keys=frozenset({"secret", "release-key", "documents"}),
    policies=frozenset({"headrace-default-deny", "headrace-functions", "another"}),
    caller=dict.fromkeys(CALLER_RIGHTS, True),
    account=dict.fromkeys(ACCOUNT_RIGHTS, True),
    controller="registry.example/headrace-controller:1",
    runtime_images=("python", "sklearn"),
)  # fmt: skip


def level(seen: Findings, check: str) -> tuple[str, str]:
    found = next(v for v in verdicts(seen) if v.check == check)
    return found.level, f"{found.says}; {found.todo}"


def versions(**changed: Any) -> dict[str, Any]:
    return {"versions": {**GOOD.versions, **{k.replace("_", " "): v for k, v in changed.items()}}}


def test_a_cluster_that_has_everything_lacks_nothing() -> None:
    assert {v.level for v in verdicts(GOOD)} <= {"ok", "note"}


CASES: list[tuple[dict[str, Any], str, str, str]] = [
    (versions(Kubernetes="v1.26.3"), "Kubernetes", "lacking", "1.27 or newer"),
    (versions(Kubernetes="v1.35.0-gke.1"), "Kubernetes", "note", "tested: 1.34"),
    (versions(KServe="0.15.2"), "KServe", "lacking", "too old"),
    (versions(KServe="e041f4a918ce"), "KServe", "note", "does not tell"),
    (versions(KServe=None), "KServe", "lacking", "install KServe"),
    (versions(Knative_Serving=None), "Knative Serving", "lacking", "install Knative Serving"),
    (versions(KubeRay=None), "KubeRay", "note", "as Jobs"),
    (versions(KubeRay="1.4.0"), "KubeRay", "lacking", "1.5 or newer"),
    (versions(KServe=Unseen("forbidden")), "KServe", "unknown", "forbidden"),
    ({"autoscaler": {"enable-scale-to-zero": "false"}}, "scale to zero", "lacking", "config-autoscaler"),
    ({"autoscaler": {}}, "initial scale", "lacking", 'allow-zero-initial-scale: "true"'),
    ({"autoscaler": None}, "scale to zero", "unknown", "does not exist"),
    ({"defaults": {"max-revision-timeout-seconds": "300"}}, "request time", "lacking", "300 s"),
    ({"defaults": {"max-revision-timeout-seconds": "900"}}, "request time", "ok", "900 s"),
    ({"defaults": {"max-revision-timeout-seconds": "long"}}, "request time", "lacking", "config-defaults"),
    ({"domain": {"_example": "", "svc.cluster.local": ""}}, "domain", "note", "config-domain"),
    ({"features": {"kubernetes.podspec-affinity": "Enabled"}}, "placement", "note", "nodeselector, tolerations"),
    ({"namespace_there": False}, "namespace", "lacking", "there is no models"),
    ({"namespace_there": Unseen("forbidden")}, "namespace", "unknown", "forbidden"),
    ({"platform_keys": None}, "platform keys", "note", "at its first start"),
    (
        {"platform_keys": frozenset({"secret", "pending-release-key"})},
        "platform keys",
        "lacking",
        "lacks documents, release-key",
    ),
    ({"platform_keys": Unseen("forbidden")}, "platform keys", "unknown", "forbidden"),
    ({"policies": frozenset()}, "network policies", "note", "HEADRACE_AUTH=1"),
    ({"policies": Unseen("forbidden")}, "network policies", "unknown", "forbidden"),
    ({"secret_keys": None}, "storage secret", "lacking", "no pod can start"),
    ({"secret_keys": frozenset({"AWS_ACCESS_KEY_ID"})}, "storage secret", "lacking", "AWS_SECRET_ACCESS_KEY"),
    ({"secret_keys": frozenset({"AWS_REGION"})}, "storage secret", "note", "role"),
    ({"caller": {}}, "your rights", "lacking", "get services/proxy"),
    ({"account": Unseen("forbidden")}, "rights of account headrace", "unknown", "forbidden"),
    ({"controller": None}, "controller", "lacking", "overlay"),
    ({"runtime_images": None}, "runtime images", "lacking", "every build fails"),
    ({"foreign": ("churn-v1",)}, "other InferenceServices", "note", "churn-v1"),
]


@pytest.mark.parametrize(("changed", "check", "wanted", "words"), CASES, ids=[f"{c[1]}-{c[2]}-{i}" for i, c in enumerate(CASES)])  # fmt: skip
def test_what_is_seen_says_what_to_do(changed: dict[str, Any], check: str, wanted: str, words: str) -> None:
    found, text = level(replace(GOOD, **changed), check)
    assert found == wanted
    assert words in text


@given(st.sampled_from(sorted(LEAST)), st.integers(0, 3), st.integers(0, 99), st.text("0123456789.-+abv", max_size=8))
def test_only_versions_below_the_least_are_lacking(name: str, major: int, minor: int, rest: str) -> None:
    seen = replace(GOOD, versions={**GOOD.versions, name: f"v{major}.{minor}.{rest}"})
    assert (level(seen, name)[0] == "lacking") == ((major, minor) < LEAST[name])


def test_a_missing_right_is_named() -> None:
    seen = replace(GOOD, account={**GOOD.account, ("batch", "jobs", "create"): False})  # type: ignore[dict-item]
    assert level(seen, "rights of account headrace") == (
        "lacking",
        "may not create jobs; apply knative/base/accounts.yaml",
    )


def test_the_rights_are_those_of_the_accounts_that_people_apply() -> None:
    role = next(d for d in yaml.safe_load_all(ACCOUNTS.read_text()) if d["kind"] == "Role")
    given_rights = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert given_rights == set(ACCOUNT_RIGHTS)


def test_a_store_that_cannot_be_read_is_lacking_and_an_absent_platform_is_not_a_judgement() -> None:
    assert store_verdict(None).level == "ok"
    failed = store_verdict(StorageFailed("no such bucket", hint="create it"))
    assert (failed.level, failed.todo) == ("lacking", "create it")
    assert store_verdict(NotFound("no endpoints")).level == "unknown"
