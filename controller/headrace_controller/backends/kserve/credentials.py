"""What a pod that runs users' code shows the store proxy, in Kubernetes' words: a Secret of its own, and the variable that names it. Pure.

By reference, so that who may see pods and InferenceServices sees no token.
"""

from typing import Any

from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_functions.platform_secret import store_token
from headrace_functions.storage import proxied

Json = dict[str, Any]
PLATFORM_SECRET = "headrace-platform"  # noqa: S105 -- its name
"""The Secret with the platform's own keys; ``knative/base`` names it too. No pod that runs users' code is given any of it."""
SECRET, RELEASE_KEY = "secret", "release-key"
"""Keys of the platform's Secret; ``incluster.platform_keys``."""
_KEY = "token"


def secret_name(name: str) -> str:
    """The Secret of a service or build Job."""
    return f"{name}-store-token"


def token_secret(kind: str, name: str, cluster: ClusterSettings, labels: dict[str, str]) -> Json:
    """The Secret with the token of one pod's work; ``kind`` as of ``platform_secret.store_token``."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": secret_name(name), "namespace": cluster.namespace, "labels": labels},
        "type": "Opaque",
        "stringData": {_KEY: store_token(cluster.secret, kind, name)},
    }


def store_variables(name: str, cluster: ClusterSettings) -> list[Json]:
    """How the pod of a service or build Job reaches the store; sorted by name."""
    reference = {"secretKeyRef": {"name": secret_name(name), "key": _KEY}}
    return [
        {"name": proxied.PROXY, "value": cluster.proxy_url},
        {"name": proxied.TOKEN, "valueFrom": reference},
    ]
