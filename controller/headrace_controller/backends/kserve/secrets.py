"""The Secrets of a platform: the third client of the Kubernetes API, over the connection of ``cluster``. Blocking."""

import base64
import contextlib
from collections.abc import Callable
from typing import Any

from kubernetes import client

from headrace_controller.backends.kserve.cluster import Cluster, asked
from headrace_controller.backends.kserve.manifests import MANAGER
from headrace_functions.errors import Conflict, NotFound

Json = dict[str, Any]


class Secrets:
    """Reads and writes Secrets of one namespace. ``Unreachable`` while the API server is away, ``InvalidInput`` where it refuses."""

    def __init__(self, cluster: Cluster) -> None:
        self._namespace = cluster.settings.namespace
        self._core = client.CoreV1Api(cluster.api)

    def find(self, name: str) -> dict[str, str] | None:
        """The texts of a Secret by their keys; None where there is no such Secret."""
        try:
            found = self._call(self._core.read_namespaced_secret, f"read Secret {name}", name=name)
        except NotFound:
            return None
        return {key: base64.b64decode(value).decode() for key, value in (found.get("data") or {}).items()}

    def create(self, document: Json) -> bool:
        """Create a Secret; False if one of that name is there."""
        try:
            self._call(self._core.create_namespaced_secret, f"create Secret {_name(document)}", body=document)
        except Conflict:
            return False
        return True

    def apply(self, document: Json) -> None:
        """Make a Secret what the document says."""
        self._call(
            self._core.patch_namespaced_secret,
            f"apply Secret {_name(document)}",
            name=_name(document),
            body=document,
            field_manager=MANAGER,
            force=True,
            _content_type="application/apply-patch+yaml",
        )

    def merge(self, name: str, data: dict[str, str | None]) -> None:
        """Replace some texts of a Secret, and remove those that are None."""
        encoded = {
            key: None if text is None else base64.b64encode(text.encode()).decode() for key, text in data.items()
        }
        self._call(
            self._core.patch_namespaced_secret,
            f"change Secret {name}",
            name=name,
            body={"data": encoded},
            field_manager=MANAGER,
            _content_type="application/merge-patch+json",
        )

    def delete(self, name: str) -> None:
        """Delete a Secret; the absent is deleted."""
        with contextlib.suppress(NotFound):
            self._call(self._core.delete_namespaced_secret, f"delete Secret {name}", name=name)

    def _call(self, verb: Callable[..., Any], what: str, **options: Any) -> Json:
        return asked(verb, what, namespace=self._namespace, **options)


def _name(document: Json) -> str:
    return str(document["metadata"]["name"])
