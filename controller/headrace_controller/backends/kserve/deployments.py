"""The Deployments of streams: another client of the Kubernetes API, over the connection of ``cluster``. Blocking."""

import contextlib
from collections.abc import Callable
from typing import Any

from kubernetes import client

from headrace_controller.backends.kserve.cluster import Cluster, asked
from headrace_controller.backends.kserve.manifests import MANAGER, selector
from headrace_controller.backends.kserve.streams import STREAM
from headrace_functions.errors import NotFound

Json = dict[str, Any]


class Deployments:
    """Keeps Deployments that bear ``STREAM``. ``Unreachable`` while the API server is away, ``InvalidInput`` where it refuses."""

    def __init__(self, cluster: Cluster) -> None:
        self._namespace = cluster.settings.namespace
        self._selector = ",".join([STREAM, *(f"{k}={v}" for k, v in selector(cluster.settings).items())])
        self._apps = client.AppsV1Api(cluster.api)
        self._core = client.CoreV1Api(cluster.api)

    def apply(self, document: Json) -> None:
        """Make a Deployment what the document says."""
        name = document["metadata"]["name"]
        self._call(
            self._apps.patch_namespaced_deployment,
            f"apply Deployment {name}",
            name=name,
            body=document,
            field_manager=MANAGER,
            force=True,
            _content_type="application/apply-patch+yaml",
        )

    def find(self) -> list[Json]:
        """The Deployments of this platform's streams."""
        items: list[Json] = self._call(
            self._apps.list_namespaced_deployment, "list Deployments", label_selector=self._selector
        )["items"]
        return items

    def pods(self) -> list[Json]:
        """Their pods."""
        items: list[Json] = self._call(
            self._core.list_namespaced_pod, "list the pods of streams", label_selector=self._selector
        )["items"]
        return items

    def delete(self, name: str) -> None:
        """Delete a Deployment with its pods; the absent is deleted."""
        body = client.V1DeleteOptions(propagation_policy="Background")
        with contextlib.suppress(NotFound):
            self._call(self._apps.delete_namespaced_deployment, f"delete Deployment {name}", name=name, body=body)

    def _call(self, verb: Callable[..., Any], what: str, **options: Any) -> Json:
        return asked(verb, what, namespace=self._namespace, **options)
