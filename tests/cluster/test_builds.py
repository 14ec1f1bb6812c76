"""Versions that a cluster builds: no Python, package index or user code of this process takes part.

The wheels of the layer are made here and served over plain HTTP at ``HEADRACE_TEST_S3_HOST``, which the cluster's pods reach.
"""

import asyncio
import functools
import http.server
import io
import itertools
import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from sklearn.linear_model import LogisticRegression

from controller_support import FakeServices
from headrace_controller import archive
from headrace_controller.backends.kserve.backend import KServeBackend
from headrace_controller.backends.kserve.build_settings import BuildSettings
from headrace_controller.backends.kserve.builds import ClusterBuildRoom
from headrace_controller.backends.kserve.cluster import Cluster
from headrace_controller.backends.kserve.jobs import Jobs
from headrace_controller.backends.kserve.manifests import manifests_for
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_controller.catalog.catalog import ModelVersion
from headrace_controller.definitions import ModelDefinition
from headrace_controller.environments import images, listing
from headrace_controller.service.assembly import Given
from headrace_controller.service.platform import Platform, create_platform
from headrace_controller.settings import Settings
from headrace_functions.gateway.upstream import Upstream
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from support.wheels import wheel

from .installed import until

pytestmark = pytest.mark.timeout(300)
WAIT = 240.0
ACCOUNTS = Path(__file__).parents[2] / "knative" / "base" / "accounts.yaml"
REQUIREMENTS = Path(__file__).parents[2] / "functions" / "requirements"
PLAIN = "def predict(model, x):\n    return {'y': x + 1}\n"
WITH_WHEEL = "import headrace_test_wheel\n\ndef predict(model, x):\n    return {'y': x * headrace_test_wheel.FACTOR}\n"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Nothing on the test's output."""


@pytest.fixture
def links(tmp_path: Path) -> Iterator[str]:
    """URL of a page that links to the test's wheel."""
    folder = tmp_path / "links"
    folder.mkdir()
    wheel(folder, "headrace_test_wheel", "1.0", source="FACTOR = 3\n")
    wheel(folder, "narwhals", "99.0", source="FACTOR = 5\n")  # newer than what the image of scikit-learn has
    host = os.environ.get("HEADRACE_TEST_S3_HOST", "127.0.0.1")
    server = http.server.ThreadingHTTPServer((host, 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://{host}:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def platform(
    tmp_path: Path, cluster_settings: ClusterSettings, links: str, api: client.ApiClient
) -> Iterator[Platform]:
    """The use cases as the controller in the cluster has them, with its account's permissions and no others."""
    index = client.V1Secret(
        metadata=client.V1ObjectMeta(name="headrace-index"), string_data={"UV_NO_INDEX": "1", "UV_FIND_LINKS": links}
    )
    client.CoreV1Api(api).create_namespaced_secret(cluster_settings.namespace, index)
    listed = tmp_path / "images.json"
    listed.write_bytes(listing.listing(REQUIREMENTS))
    builds = BuildSettings.from_environment({**os.environ, images.VARIABLE: str(listed)}, cluster_settings)
    account, role, binding = itertools.islice(yaml.safe_load_all(ACCOUNTS.read_text()), 3)
    client.CoreV1Api(api).create_namespaced_service_account(cluster_settings.namespace, account)
    client.RbacAuthorizationV1Api(api).create_namespaced_role(cluster_settings.namespace, role)
    client.RbacAuthorizationV1Api(api).create_namespaced_role_binding(cluster_settings.namespace, binding)
    cluster = Cluster(cluster_settings)
    name = f"system:serviceaccount:{cluster_settings.namespace}:{account['metadata']['name']}"
    cluster.api.set_default_header("Impersonate-User", name)
    settings = Settings(home=tmp_path / "home", storage=cluster_settings.storage)
    room = ClusterBuildRoom(Jobs(cluster), cluster_settings, builds, Documents(ObjectStore(cluster_settings.storage)))
    yield create_platform(settings, FakeServices(), "http://127.0.0.1:8080", manifests_for(cluster_settings), room)
    cluster.close()


def submit(platform: Platform, files: dict[str, bytes | str], **more: Any) -> VersionId:
    folder = platform.builds.new_folder()
    project = folder / "project"
    project.mkdir()
    for name, content in files.items():
        (project / name).write_bytes(content.encode() if isinstance(content, str) else content)
    train = folder / "train.csv"
    train.write_text("x\n" + "\n".join(str(float(i)) for i in range(20)) + "\n")
    document = {"kind": "Model", "name": f"m-{uuid.uuid4().hex[:6]}", "payload": list(files), **more}
    digest = archive.pack(files, project, folder / "payload.tar.zst")
    given = Given(folder, folder / "payload.tar.zst", digest, train if more.get("framework") == "python" else None)
    return platform.builds.submit(ModelDefinition.model_validate(document), given).version


def built(platform: Platform, files: dict[str, bytes | str], **more: Any) -> ModelVersion:
    return awaited(platform, submit(platform, files, **more))


def awaited(platform: Platform, version: VersionId) -> ModelVersion:
    assert platform.builds.wait(version, WAIT)
    return platform.versions.get(version)


def nothing_left(platform: Platform, api: client.ApiClient, settings: ClusterSettings) -> bool:
    jobs = client.BatchV1Api(api).list_namespaced_job(settings.namespace).items
    running = [j for j in jobs if j.metadata.deletion_timestamp is None]
    return not running and not list(platform.catalog.documents.objects.walk(layout.BUILDS))


def answer(settings: ClusterSettings, found: ModelVersion, rows: list[float]) -> bytes:
    """What the version's own pod answers, woken from zero."""
    version = found.version
    assert version is not None

    async def story() -> bytes:
        backend = KServeBackend(Cluster(settings))
        await backend.open()
        upstream = Upstream()
        loop = asyncio.get_running_loop()
        body = f'{{"inputs":[{{"name":"x","shape":[{len(rows)}],"datatype":"FP64","data":{rows}}}]}}'.encode()
        try:
            async with backend.lease(version, deadline=loop.time() + 90) as endpoint:
                head = (
                    f"POST /v2/models/{version.id.model}/infer HTTP/1.1\r\nhost: {endpoint.host}\r\n"
                    f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
                )
                return (await upstream.request(endpoint.address, head.encode(), body, loop.time() + 30)).body
        finally:
            backend.remove(version.id.service)
            upstream.close()
            await backend.close()

    return asyncio.run(story())


def test_an_uploaded_model_is_released_in_the_image_that_satisfies_it(
    platform: Platform, cluster_settings: ClusterSettings, api: client.ApiClient
) -> None:
    """scikit-learn's version comes from the artifact, signature and reference from a Job; the version names its image for ever."""
    features = np.arange(40, dtype=float).reshape(-1, 2)
    packed = io.BytesIO()
    joblib.dump(LogisticRegression().fit(features, features[:, 0] > 20), packed)
    found = built(platform, {"model.joblib": packed.getvalue()})
    log = platform.builds.log(found.id).text
    assert found.state == "released", found.status.reason + log
    assert found.version is not None
    assert found.version.runtime is not None
    assert found.version.runtime.image == cluster_settings.image_of("sklearn")
    assert found.version.runtime.layer == ""
    assert [f.name for f in found.version.signature.outputs] == ["label", "probabilities"]
    assert "satisfies the requirements" in log
    assert "tried in" in log  # what the probe printed in its pod
    assert nothing_left(platform, api, cluster_settings)


def test_what_the_image_lacks_is_one_layer_for_builds_at_once_and_the_pod_serves_with_it(
    platform: Platform, cluster_settings: ClusterSettings, api: client.ApiClient
) -> None:
    wanted = {"framework": "python", "requirements": ["headrace-test-wheel>=1"]}
    versions = [submit(platform, {"function.py": WITH_WHEEL}, **wanted) for _ in range(2)]
    first, second = (awaited(platform, v) for v in versions)
    for found in (first, second):
        assert found.state == "released", found.status.reason + platform.builds.log(found.id).text
    assert first.version is not None
    assert second.version is not None
    assert first.version.runtime == second.version.runtime
    assert first.version.runtime is not None
    assert first.version.runtime.layer
    objects = platform.catalog.documents.objects
    layers = [o.key for o in objects.walk(layout.ENVIRONMENTS) if o.key.endswith("layer.tar.zst")]
    assert layers == [layout.layer(first.version.environment)]
    assert (
        "headrace-test-wheel==1.0" in objects.get(layout.environment(first.version.environment) + "lock.txt").decode()
    )
    assert "numpy" not in objects.get(layout.layer_document(first.version.environment)).decode()
    assert b'"data":[6.0' in answer(cluster_settings, first, [2.0, 3.0]).replace(b" ", b"")
    assert nothing_left(platform, api, cluster_settings)


def test_a_library_of_the_layer_is_used_instead_of_the_images(
    platform: Platform, cluster_settings: ClusterSettings
) -> None:
    source = "import narwhals\n\ndef predict(model, x):\n    return {'y': x * narwhals.FACTOR}\n"
    requirements = ["narwhals==99.0", "scikit-learn"]
    found = built(platform, {"function.py": source}, framework="python", requirements=requirements)
    log = platform.builds.log(found.id).text
    assert found.state == "released", found.status.reason + log
    assert "runtime image sklearn" in log
    assert "lacks: narwhals==99.0 (has " in log
    assert b'"data":[10.0' in answer(cluster_settings, found, [2.0]).replace(b" ", b"")


def test_requirements_that_nobody_has_fail_with_the_words_of_the_resolver(platform: Platform) -> None:
    found = built(platform, {"function.py": PLAIN}, framework="python", requirements=["headrace-no-such-thing==9"])
    assert found.state == "failed"
    assert "could not be installed" in found.status.reason
    assert "headrace-no-such-thing" in platform.builds.log(found.id).text


def test_an_artifact_that_cannot_be_loaded_says_why_as_on_one_machine(platform: Platform) -> None:
    found = built(platform, {"function.py": "import headrace_missing\n"}, framework="python")
    assert found.state == "failed"
    assert "headrace_missing" in found.status.reason
    assert "add headrace_missing to the requirements" in found.status.reason


def test_a_process_that_dies_and_one_that_takes_all_memory_are_told_apart(
    platform: Platform, cluster_settings: ClusterSettings, api: client.ApiClient
) -> None:
    dies = submit(platform, {"function.py": "import os\nos.abort()\n"}, framework="python")
    hog = "block = [bytearray(1 << 28) for _ in range(40)]\nfor b in block: b[::4096] = b'x' * len(b[::4096])\n"
    grows = submit(platform, {"function.py": hog}, framework="python")
    died, grew = awaited(platform, dies), awaited(platform, grows)
    assert "ended without an answer" in died.status.reason
    assert "ran out of memory" in grew.status.reason, grew.status.reason + platform.builds.log(grows).text
    assert nothing_left(platform, api, cluster_settings)


def test_a_version_image_is_used_as_it_is_and_one_that_cannot_be_pulled_is_named(
    platform: Platform, cluster_settings: ClusterSettings, api: client.ApiClient
) -> None:
    image = cluster_settings.image_of("python")
    good = built(platform, {"function.py": PLAIN}, framework="python", image=image)
    assert good.state == "released", good.status.reason
    assert good.version is not None
    assert good.version.runtime is not None
    assert good.version.runtime.image == image

    nothing = image.rpartition(":")[0] + ":nobody-made-this"
    absent = built(platform, {"function.py": PLAIN}, framework="python", image=nothing)
    assert absent.state == "failed"
    assert f"{nothing} cannot be pulled" in absent.status.reason
    other = built(platform, {"function.py": PLAIN}, framework="python", image="docker.io/evil/miner:1")
    assert other.state == "failed"
    assert "HEADRACE_ALLOWED_IMAGES" in other.status.reason
    assert nothing_left(platform, api, cluster_settings)


def refused(core: client.CoreV1Api, namespace: str) -> bool:
    """Whether a pod would be."""
    container = client.V1Container(name="none", image="none")
    pod = client.V1Pod(metadata=client.V1ObjectMeta(name="none"), spec=client.V1PodSpec(containers=[container]))
    try:
        core.create_namespaced_pod(namespace, pod, dry_run="All")
    except ApiException as error:
        return "exceeded quota" in str(error.body)
    return False


def test_a_build_needs_no_storage_secret_and_a_quota_is_named(
    platform: Platform, cluster_settings: ClusterSettings, api: client.ApiClient
) -> None:
    core = client.CoreV1Api(api)
    core.delete_namespaced_secret("headrace-storage", cluster_settings.namespace)
    found = built(platform, {"function.py": PLAIN}, framework="python")
    assert found.state == "released", found.status.reason

    quota = client.V1ResourceQuota(
        metadata=client.V1ObjectMeta(name="none"), spec=client.V1ResourceQuotaSpec(hard={"pods": "0"})
    )
    core.create_namespaced_resource_quota(cluster_settings.namespace, quota)
    until(lambda: refused(core, cluster_settings.namespace), "the API server holds to the quota")
    found = built(platform, {"function.py": PLAIN}, framework="python")
    assert "exceeded quota" in found.status.reason
