"""A namespace of its own on the cluster that KUBECONFIG names, with object storage that its pods reach.

``HEADRACE_FUNCTION_IMAGE`` is the runtime image. Storage is ``HEADRACE_TEST_STORAGE`` (an S3 URL, with ``AWS_…`` variables), or
a SeaweedFS started here at ``HEADRACE_TEST_S3_HOST``. ``HEADRACE_INGRESS`` is the gateway's address for callers who do not
have the cluster's DNS.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from kubernetes import client, config

from headrace_controller import archive
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import BuildStatus, Version
from support.store_proxy import SECRET, Served, served

from .installed import Installed, install, until


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A cluster takes its time, and the first test that needs the shared platform waits for its installation."""
    for item in items:
        if Path(__file__).parent in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def storage(request: pytest.FixtureRequest) -> str:
    """A prefix nobody else uses, as pods see it."""
    url = os.environ.get("HEADRACE_TEST_STORAGE") or request.getfixturevalue("s3_url")
    return f"{url}/{uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def api() -> Iterator[client.ApiClient]:
    config.load_kube_config()
    with client.ApiClient() as connected:
        yield connected


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory, storage: str) -> Iterator[Installed]:
    """A platform that the stories share, installed from ``knative/base``."""
    models = os.environ.get("HEADRACE_TEST_MODEL_SERVER", "dev.local/headrace-test-model-server:test")
    allowed = {"HEADRACE_ALLOWED_IMAGES": models.rpartition(":")[0] + ":*", "HEADRACE_BATCH_PLACES": f"{storage}/lake"}
    yield from install(tmp_path_factory.mktemp("overlay"), f"{storage}/platform", **allowed)


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory, storage: str) -> Iterator[Installed]:
    """A platform that asks who calls, with the key that it leaves for its first administrator."""
    with contextmanager(install)(
        tmp_path_factory.mktemp("overlay"),
        f"{storage}/guarded",
        ["service-account-tokens"],
        HEADRACE_AUTH="1",
        HEADRACE_PAGES="1",
    ) as installed:
        until(lambda: "first-admin" in installed.kubectl("get", "secrets", "-o", "name"), "there is a first key")
        installed.key = installed.secret("headrace-first-admin-key")["key"]
        yield installed


@pytest.fixture(scope="session")
def store_proxy(storage: str) -> Iterator[Served]:
    """What pods reach of the store, where a test has no gateway in the cluster: a proxy of this process, at an address that pods reach."""
    with served(ObjectStore(storage), host=os.environ.get("HEADRACE_TEST_S3_HOST", "127.0.0.1")) as found:
        yield found


@pytest.fixture
def cluster_settings(api: client.ApiClient, storage: str, store_proxy: Served) -> Iterator[ClusterSettings]:
    """Settings for a fresh namespace with the storage secret in it."""
    namespace = f"headrace-{uuid.uuid4().hex[:8]}"
    core = client.CoreV1Api(api)
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=namespace)))
    keys = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    secret = client.V1Secret(metadata=client.V1ObjectMeta(name="headrace-storage"), string_data=keys)
    core.create_namespaced_secret(namespace, secret)
    account = client.V1ServiceAccount(metadata=client.V1ObjectMeta(name="headrace-function"))
    core.create_namespaced_service_account(namespace, account)
    told = {**os.environ, "HEADRACE_NAMESPACE": namespace, "HEADRACE_STORE_PROXY": store_proxy.url}
    yield replace(ClusterSettings.from_environment(told, storage), secret=SECRET)
    core.delete_namespace(namespace)


class Publisher:
    """Puts versions into the store as a build does."""

    def __init__(self, storage: str, folder: Path) -> None:
        self._objects = ObjectStore(storage)
        self._folder = folder

    def publish(self, version: Version, payload: dict[str, bytes]) -> Version:
        """The version with the digest of its artifact, both in the store."""
        folder = self._folder / version.id.service
        folder.mkdir()
        for name, content in payload.items():
            (folder / name).write_bytes(content)
        packed = self._folder / f"{version.id.service}.tar.zst"
        digest = archive.pack(sorted(payload), folder, packed)
        released = Version.from_document(version.to_document() | {"artifact": digest})
        self._objects.put(layout.artifact(version.id), packed)
        self._objects.put(layout.version_document(version.id), orjson.dumps(released.to_document()))
        Documents(self._objects).append(layout.status(version.id), BuildStatus("released").to_document())
        return released


@pytest.fixture
def publisher(cluster_settings: ClusterSettings, tmp_path: Path) -> Publisher:
    return Publisher(cluster_settings.storage, tmp_path)
