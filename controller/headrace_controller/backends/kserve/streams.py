"""Streams as Deployments. Pure: what a stream is in Kubernetes' words.

Its pods know the gateway and the brokers and nothing else: no store, no Kubernetes API. What they run is in one variable, which has no secrets;
secrets are references to ``SECRET``.
"""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace_controller.backends.kserve.credentials import PLATFORM_SECRET
from headrace_controller.backends.kserve.credentials import SECRET as PLATFORM_KEY
from headrace_controller.backends.kserve.manifests import MANAGED_BY, MANAGER, PLATFORM, STORAGE, confined
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_controller.definitions.stream import StreamDefinition
from headrace_functions import startup

Json = dict[str, Any]

STREAM = "headrace.dev/stream"
SECRET = "headrace-streams"  # noqa: S105 -- its name
"""The Secret of the namespace whose keys are the variables that definitions of streams refer to."""
SCALED = "headrace.dev/scaled"
"""Annotation: since when it has as many replicas as now."""
CREDENTIALS = "headrace.dev/credentials"
"""Annotation of pods: changes with what they read of ``SECRET``, so that they start anew with it."""
ORDER = "HEADRACE_STREAM"
"""Variable with what a pod runs: ``definition``, ``resets``, ``start``."""
POD_NAME = "HEADRACE_POD"
PORT = 8080
"""Where a pod says how it is doing."""
GRACE = 40
"""Seconds in which a pod that is told to end may finish its batch."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the pods of a stream run. ``ValidationError``, ``ValueError`` or ``KeyError`` for a text that is none."""

    definition: StreamDefinition
    resets: int
    start: str

    def to_text(self) -> str:
        document = {"definition": self.definition.to_document(), "resets": self.resets, "start": self.start}
        return json.dumps(document, sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> "Order":
        document = json.loads(text)
        definition = StreamDefinition.model_validate(document["definition"])
        return cls(definition, int(document["resets"]), str(document["start"]))


def name_of(stream: str) -> str:
    return f"headrace-stream-{stream}"


def credentials_mark(values: Mapping[str, str], secret: str) -> str:
    """Changes with ``values`` and tells nothing of them to who does not know ``secret``."""
    text = json.dumps(dict(sorted(values.items()))).encode()
    return hmac.digest(secret.encode(), b"streams:" + text, "sha256").hex()[:16]


def deployment(
    order: Order,
    image: str,
    cluster: ClusterSettings,
    *,
    replicas: int,
    scaled: str,
    credentials: str,
) -> Json:
    """The Deployment of a stream; ``image`` is the controller's own. Its pods are replaced whenever what they run changes, old before new."""
    stream = order.definition.name
    own = {PLATFORM: cluster.platform, STREAM: stream}
    labels = {MANAGED_BY: MANAGER, **own}
    metadata = {
        "name": name_of(stream),
        "namespace": cluster.namespace,
        "labels": labels,
        "annotations": {STORAGE: cluster.storage, SCALED: scaled},
    }
    pod = {
        # It asks nothing of the Kubernetes API.
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE,
        "containers": [_container(order, image, cluster)],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": own},
            "template": {"metadata": {"labels": labels, "annotations": {CREDENTIALS: credentials}}, "spec": pod},
        },
    }


def _container(order: Order, image: str, cluster: ClusterSettings) -> Json:
    return {
        "name": "stream",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", "headrace_controller.incluster.stream_pod"],
        "env": [
            {"name": startup.NAMESPACE, "value": cluster.namespace},
            {"name": ORDER, "value": order.to_text()},
            {"name": POD_NAME, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {
                "name": startup.PLATFORM_SECRET,
                "valueFrom": {"secretKeyRef": {"name": PLATFORM_SECRET, "key": PLATFORM_KEY}},
            },
            *(
                {"name": name, "valueFrom": {"secretKeyRef": {"name": SECRET, "key": name}}}
                for name in order.definition.variables
            ),
        ],
        "ports": [{"name": "progress", "containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": PORT}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": confined(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
