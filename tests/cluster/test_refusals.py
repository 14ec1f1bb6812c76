"""What goes wrong on a cluster is said in words that a person can act on, and nothing of others is touched."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from kubernetes import client

from headrace_controller.backends.base import Observed, ServiceSpec
from headrace_controller.backends.kserve.backend import KServeBackend
from headrace_controller.backends.kserve.cluster import Cluster
from headrace_controller.backends.kserve.manifests import inference_service
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_controller.definitions.deployment import DeploymentConfiguration
from headrace_functions.errors import DeadlineExceeded, InvalidInput, NotReady
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from support.backend_contract import FUNCTION, versions
from support.manifests import CASES

from .conftest import Publisher


@pytest.fixture
def good(publisher: Publisher) -> Version:
    return publisher.publish(versions()[0], {"function.py": FUNCTION.encode()})


def refused(
    settings: ClusterSettings, version: Version, configuration: dict[str, Any] | None = None, seconds: float = 30.0
) -> tuple[Exception, Observed]:
    """What a lease raises, and what is seen then."""
    chosen = DeploymentConfiguration.model_validate({"name": "c", **configuration}) if configuration else None

    async def ask() -> tuple[Exception, Observed]:
        backend = KServeBackend(Cluster(settings), lambda _: chosen)
        await backend.open()
        try:
            with pytest.raises((NotReady, DeadlineExceeded)) as caught:
                async with backend.lease(version, deadline=asyncio.get_running_loop().time() + seconds):
                    pass
            return caught.value, backend.observe()[version.id.service]
        finally:
            await backend.close()

    return asyncio.run(ask())


def test_an_image_that_cannot_be_pulled_is_named(cluster_settings: ClusterSettings, good: Version) -> None:
    error, seen = refused(replace(cluster_settings, image="dev.local/nobody-made-this:1"), good)
    assert isinstance(error, NotReady)
    assert seen.state == "failed"
    assert "dev.local/nobody-made-this:1 cannot be pulled" in seen.reason


def test_a_secret_of_the_deployment_configuration_that_is_missing_is_named(
    cluster_settings: ClusterSettings, good: Version
) -> None:
    wants_it = {"container": {"env": {"TOKEN": {"secret": "nobody-made-this", "key": "token"}}}}
    error, seen = refused(cluster_settings, good, wants_it)
    assert isinstance(error, NotReady)
    assert 'secret "nobody-made-this" not found' in seen.reason


def test_an_artifact_that_is_not_in_the_store_is_named(cluster_settings: ClusterSettings, good: Version) -> None:
    ObjectStore(cluster_settings.storage).delete(layout.artifact(good.id))
    error, _ = refused(cluster_settings, good)
    assert isinstance(error, NotReady)
    assert f"no object {layout.artifact(good.id)}" in error.message


def test_a_pod_that_no_node_takes_says_what_it_lacks(cluster_settings: ClusterSettings, good: Version) -> None:
    asks_too_much = {"container": {"resources": {"requests": {"memory": "900Gi"}, "limits": {"memory": "900Gi"}}}}
    error, seen = refused(cluster_settings, good, asks_too_much, seconds=8)
    assert isinstance(error, DeadlineExceeded)
    assert seen.state == "starting", "a node may yet be added"
    assert "Insufficient memory" in error.message


def test_a_full_quota_is_said(api: client.ApiClient, cluster_settings: ClusterSettings, good: Version) -> None:
    quota = client.V1ResourceQuota(
        metadata=client.V1ObjectMeta(name="none"), spec=client.V1ResourceQuotaSpec(hard={"pods": "0"})
    )
    client.CoreV1Api(api).create_namespaced_resource_quota(cluster_settings.namespace, quota)
    error, _ = refused(cluster_settings, good)
    assert "exceeded quota" in str(error)


def test_what_the_webhook_of_knative_refuses_is_said(cluster_settings: ClusterSettings, good: Version) -> None:
    error, seen = refused(cluster_settings, good, {"pod": {"runtimeClassName": "gvisor"}}, seconds=10)
    assert "runtimeClassName" in str(error)
    assert seen.state == "failed"


def test_what_the_api_server_refuses_is_said(cluster_settings: ClusterSettings, good: Version) -> None:
    error, seen = refused(cluster_settings, good, {"pod": {"tolerations": [{"tolerates": "all"}]}})
    assert isinstance(error, NotReady)
    assert "tolerations[0].tolerates: field not declared in schema" in seen.reason


@pytest.mark.parametrize("name", CASES)
def test_the_golden_documents_are_valid_to_the_clusters_own_schemas_and_webhooks(
    cluster_settings: ClusterSettings, name: str
) -> None:
    case, cluster = CASES[name], Cluster(cluster_settings)
    settings = replace(cluster_settings, allowed_images=("registry.example/*",))
    document = inference_service(case.spec, settings, case.configuration)
    taken = cluster.apply(document, dry_run=True)
    assert taken["spec"]["predictor"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    assert cluster.find(case.spec.name) is None, "a dry run leaves nothing"
    cluster.close()


def test_a_foreign_service_of_the_same_name_is_not_touched(
    api: client.ApiClient, cluster_settings: ClusterSettings, good: Version
) -> None:
    foreign = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": good.id.service, "namespace": cluster_settings.namespace, "labels": {"team": "others"}},
        "spec": {
            "predictor": {"minReplicas": 0, "containers": [{"name": "kserve-container", "image": "dev.local/x:1"}]}
        },
    }
    objects = client.CustomObjectsApi(api)
    where = ("serving.kserve.io", "v1beta1", cluster_settings.namespace, "inferenceservices")
    made = objects.create_namespaced_custom_object(*where, foreign)
    error, seen = refused(cluster_settings, good)
    assert "does not belong to this platform" in str(error)
    assert "it was not changed" in seen.reason
    assert objects.get_namespaced_custom_object(*where, good.id.service)["spec"] == made["spec"]


def test_a_context_that_is_not_there_is_said(cluster_settings: ClusterSettings) -> None:
    with pytest.raises(InvalidInput, match="no-such-context"):
        Cluster(cluster_settings, context="no-such-context")


def test_an_edit_by_hand_is_repaired_and_a_deletion_undone(cluster_settings: ClusterSettings, good: Version) -> None:
    name = good.id.service

    async def until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not await asyncio.to_thread(condition):
                await asyncio.sleep(0.1)

    async def story() -> None:
        backend, hand = KServeBackend(Cluster(cluster_settings)), Cluster(cluster_settings)
        await backend.open()
        try:
            backend.apply(ServiceSpec(good))
            await until(lambda: backend.observe()[name].address != "")
            made = hand.find(name)
            assert made is not None
            edited = {**made, "spec": {"predictor": {**made["spec"]["predictor"], "maxReplicas": 7}}}
            hand._objects.replace_namespaced_custom_object(
                "serving.kserve.io", "v1beta1", cluster_settings.namespace, "inferenceservices", name, edited
            )
            await until(lambda: (hand.find(name) or edited)["spec"]["predictor"]["maxReplicas"] == 1)
            hand.delete(name)
            await until(lambda: (hand.find(name) or made)["metadata"]["uid"] != made["metadata"]["uid"])
        finally:
            hand.close()
            await backend.close()

    asyncio.run(story())
