"""The platform's account can do all that the backend does, and nothing else."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from kubernetes import client

from headrace_controller.backends.base import ServiceSpec
from headrace_controller.backends.kserve.backend import KServeBackend
from headrace_controller.backends.kserve.cluster import Cluster
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_functions.errors import InvalidInput
from headrace_functions.version import Version
from support.backend_contract import FUNCTION, versions

from .conftest import Publisher

ACCOUNT = Path(__file__).parents[2] / "knative" / "base" / "account.yaml"
ALLOWED = {
    ("serving.kserve.io", "inferenceservices", verb) for verb in ("get", "list", "watch", "create", "patch", "delete")
} | {("", "pods", verb) for verb in ("list", "watch")}


def impersonating(settings: ClusterSettings, account: str) -> Cluster:
    cluster = Cluster(settings)
    cluster._api.set_default_header("Impersonate-User", f"system:serviceaccount:{settings.namespace}:{account}")
    return cluster


@pytest.fixture
def account(api: client.ApiClient, cluster_settings: ClusterSettings) -> str:
    """The account of ``knative/base`` in the test's namespace."""
    namespace = cluster_settings.namespace
    made, role, binding = yaml.safe_load_all(ACCOUNT.read_text())
    client.CoreV1Api(api).create_namespaced_service_account(namespace, made)
    client.RbacAuthorizationV1Api(api).create_namespaced_role(namespace, role)
    client.RbacAuthorizationV1Api(api).create_namespaced_role_binding(namespace, binding)
    return str(made["metadata"]["name"])


@pytest.fixture
def good(publisher: Publisher) -> Version:
    return publisher.publish(versions()[0], {"function.py": FUNCTION.encode()})


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.05)


def test_the_backend_works_with_the_permissions_of_the_account(
    cluster_settings: ClusterSettings, account: str, good: Version
) -> None:
    async def story() -> None:
        cluster = impersonating(cluster_settings, account)
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


def test_the_account_can_do_nothing_else(
    api: client.ApiClient, cluster_settings: ClusterSettings, account: str
) -> None:
    """The API server's own list of what the account may do in the namespace, without what every account may."""
    cluster = impersonating(cluster_settings, account)
    spec = {"spec": {"namespace": cluster_settings.namespace}}
    review = client.AuthorizationV1Api(cluster._api).create_self_subject_rules_review(spec)
    found = {
        (group, resource, verb)
        for rule in review.status.resource_rules
        for group in rule.api_groups
        for resource in rule.resources
        for verb in rule.verbs
        if group not in ("authorization.k8s.io", "authentication.k8s.io")
    }
    cluster.close()
    assert found == ALLOWED


def test_an_account_without_permissions_is_told_so(cluster_settings: ClusterSettings, good: Version) -> None:
    cluster = impersonating(cluster_settings, "nobody")
    with pytest.raises(InvalidInput, match="forbidden") as caught:
        cluster.find(good.id.service)
    assert "docs/cluster.md" in str(caught.value.hint)
    cluster.close()
