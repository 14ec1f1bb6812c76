"""Each account can do what its part does, and nothing else."""

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from kubernetes import client

from headrace_controller.backends.base import ServiceSpec
from headrace_controller.backends.kserve import cluster as cluster_module
from headrace_controller.backends.kserve import deployments as deployments_module
from headrace_controller.backends.kserve import jobs as jobs_module
from headrace_controller.backends.kserve import secrets as secrets_module
from headrace_controller.backends.kserve.backend import KServeBackend
from headrace_controller.backends.kserve.cluster import Cluster
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_functions.errors import InvalidInput
from headrace_functions.version import Version
from support.backend_contract import FUNCTION, versions

from .conftest import Publisher

ACCOUNTS = Path(__file__).parents[2] / "knative" / "base" / "accounts.yaml"
CLIENTS = "".join(map(inspect.getsource, (cluster_module, deployments_module, jobs_module, secrets_module)))

# (group, resource): each verb, and the call of the only modules that talk to Kubernetes which needs it.
USED: dict[tuple[str, str], dict[str, str]] = {
    ("serving.kserve.io", "inferenceservices"): {
        "get": "get_namespaced_custom_object",
        "list": "list_namespaced_custom_object",
        "watch": "watch=True",
        "create": "patch_namespaced_custom_object",  # a server-side apply of what is not there
        "patch": "patch_namespaced_custom_object",
        "delete": "delete_namespaced_custom_object",
    },
    ("", "secrets"): {
        "get": "read_namespaced_secret",
        "create": "create_namespaced_secret",
        "patch": "patch_namespaced_secret",
        "delete": "delete_namespaced_secret",
    },
    ("", "pods"): {"list": "list_namespaced_pod", "watch": "watch=True"},
    ("", "pods/log"): {"get": "read_namespaced_pod_log"},
    ("", "events"): {"list": "list_namespaced_event"},
    ("batch", "jobs"): {
        "get": "read_namespaced_job",
        "create": "create_namespaced_job",
        "delete": "delete_namespaced_job",
    },
    ("batch", "cronjobs"): {
        "list": "list_namespaced_cron_job",
        "create": "patch_namespaced_cron_job",  # a server-side apply of what is not there
        "patch": "patch_namespaced_cron_job",
        "delete": "delete_namespaced_cron_job",
    },
    ("apps", "deployments"): {
        "list": "list_namespaced_deployment",
        "create": "patch_namespaced_deployment",  # a server-side apply of what is not there
        "patch": "patch_namespaced_deployment",
        "delete": "delete_namespaced_deployment",
    },
    ("ray.io", "rayjobs"): {
        "get": 'self._ray("get"',
        "create": 'self._ray("create"',
        "delete": 'self._ray("delete"',
    },
}
EXPECTED = {
    "headrace": {(group, resource, verb) for (group, resource), verbs in USED.items() for verb in verbs},
    "headrace-gateway": set(),
    "headrace-collector": set(),
    "headrace-function": set(),
}


def impersonating(settings: ClusterSettings, account: str) -> Cluster:
    cluster = Cluster(settings)
    cluster._api.set_default_header("Impersonate-User", f"system:serviceaccount:{settings.namespace}:{account}")
    return cluster


@pytest.fixture
def accounts(api: client.ApiClient, cluster_settings: ClusterSettings) -> list[str]:
    """The accounts of ``knative/base`` in the test's namespace."""
    namespace = cluster_settings.namespace
    core, rights = client.CoreV1Api(api), client.RbacAuthorizationV1Api(api)
    create = {
        "ServiceAccount": core.create_namespaced_service_account,
        "Role": rights.create_namespaced_role,
        "RoleBinding": rights.create_namespaced_role_binding,
    }
    documents = list(yaml.safe_load_all(ACCOUNTS.read_text()))
    for document in documents:
        if document["metadata"]["name"] != cluster_settings.account:  # it is there for the pods of every test
            create[document["kind"]](namespace, document)
    return [d["metadata"]["name"] for d in documents if d["kind"] == "ServiceAccount"]


@pytest.fixture
def good(publisher: Publisher) -> Version:
    return publisher.publish(versions()[0], {"function.py": FUNCTION.encode()})


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("accounts")
def test_the_backend_works_with_the_permissions_of_the_account(
    cluster_settings: ClusterSettings, good: Version
) -> None:
    async def story() -> None:
        cluster = impersonating(cluster_settings, "headrace")
        backend = KServeBackend(cluster)
        await backend.open()
        try:
            backend.apply(ServiceSpec(good))
            async with backend.lease(good, deadline=asyncio.get_running_loop().time() + 60):
                assert backend.observe()[good.id.service].state == "ready"
            backend.remove(good.id.service)
            # Its pod has Knative's 30 s to drain, so the removal has begun and is not over.
            await until(
                lambda: all("deletionTimestamp" in o["metadata"] for o in backend._objects["services"].values())
            )
        finally:
            await backend.close()

    asyncio.run(story())


def test_each_account_can_do_what_is_listed_and_nothing_else(
    cluster_settings: ClusterSettings, accounts: list[str]
) -> None:
    """The API server's own list of what an account may do in the namespace, without what every account may."""
    assert {account: allowed(cluster_settings, account) for account in accounts} == EXPECTED


@pytest.mark.parametrize(
    ("resource", "verb", "call"),
    [(resource, verb, call) for (_, resource), verbs in USED.items() for verb, call in verbs.items()],
)
def test_each_permission_is_used(resource: str, verb: str, call: str) -> None:
    """A call that is gone takes its permission with it."""
    assert call in CLIENTS, f"nothing needs {verb} {resource} any more: take it from accounts.yaml"


def allowed(settings: ClusterSettings, account: str) -> set[tuple[str, str, str]]:
    cluster = impersonating(settings, account)
    spec = {"spec": {"namespace": settings.namespace}}
    review = client.AuthorizationV1Api(cluster._api).create_self_subject_rules_review(spec)
    cluster.close()
    return {
        (group, resource, verb)
        for rule in review.status.resource_rules
        for group in rule.api_groups
        for resource in rule.resources
        for verb in rule.verbs
        if group not in ("authorization.k8s.io", "authentication.k8s.io")
    }


def test_an_account_without_permissions_is_told_so(cluster_settings: ClusterSettings, good: Version) -> None:
    cluster = impersonating(cluster_settings, "nobody")
    with pytest.raises(InvalidInput, match="forbidden") as caught:
        cluster.find(good.id.service)
    assert "docs/cluster.md" in str(caught.value.hint)
    cluster.close()
