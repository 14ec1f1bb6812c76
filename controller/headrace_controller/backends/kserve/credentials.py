"""What a pod that runs users' code is given in secret, in Kubernetes' words: a Secret of its own, and the variables that name it. Pure.

It has the token that the pod shows the store proxy and, only where the version hashes values, the platform's key of hashes.

By reference, so that who may see pods and InferenceServices sees no token.
"""

from typing import Any

from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_functions.platform_secret import store_token
from headrace_functions.runtime import fetch
from headrace_functions.storage import proxied

Json = dict[str, Any]
PLATFORM_SECRET = "headrace-platform"  # noqa: S105 -- its name
"""The Secret with the platform's own keys; ``knative/base`` names it too. No pod that runs users' code is given any of it."""
SECRET, RELEASE_KEY, HASH_KEY, DOCUMENTS = "secret", "release-key", "hash-key", "documents"
"""Keys of the platform's Secret; ``incluster.platform_keys``."""
_TOKEN = "token"  # noqa: S105 -- its name


def secret_name(name: str) -> str:
    """The Secret of a service or build Job."""
    return f"{name}-store-token"


def token_secret(kind: str, name: str, cluster: ClusterSettings, labels: dict[str, str], hash_key: str = "") -> Json:
    """The Secret with the token of one pod's work; ``kind`` as of ``platform_secret.store_token``."""
    hashing = {HASH_KEY: hash_key} if hash_key else {}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": secret_name(name), "namespace": cluster.namespace, "labels": labels},
        "type": "Opaque",
        "stringData": {_TOKEN: store_token(cluster.secret, kind, name)} | hashing,
    }


def store_variables(name: str, cluster: ClusterSettings) -> list[Json]:
    """How the pod of a service or build Job reaches the store; sorted by name."""
    return [
        {"name": proxied.PROXY, "value": cluster.proxy_url},
        {"name": proxied.TOKEN, "valueFrom": _reference(name, _TOKEN)},
    ]


def hash_variable(name: str) -> Json:
    """How the pod of a service is told the key of hashes."""
    return {"name": fetch.HASH_KEY, "valueFrom": _reference(name, HASH_KEY)}


def _reference(name: str, key: str) -> Json:
    return {"secretKeyRef": {"name": secret_name(name), "key": key}}
