"""What a version is in Kubernetes' words: pure functions from specs to documents.

Keys are those of KServe's ``serving.kserve.io/v1beta1`` and Knative's annotations. Every choice is written out, so that no
default of a cluster decides how a version runs.
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from typing import Any

from headrace_controller.backends.base import ServiceSpec
from headrace_controller.backends.kserve import sidecar
from headrace_controller.backends.kserve.credentials import hash_variable, store_variables
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_controller.definitions.deployment import DeploymentConfiguration
from headrace_functions import startup
from headrace_functions.protection import is_hashed
from headrace_functions.runtime import fetch, layers
from headrace_functions.storage import layout
from headrace_functions.version import CONTAINER as CONTAINER_FRAMEWORK
from headrace_functions.version import Scaling, Version

Json = dict[str, Any]

GROUP, API_VERSION, PLURAL, KIND = "serving.kserve.io", "v1beta1", "inferenceservices", "InferenceService"
CONTAINER = "kserve-container"
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "headrace"
DEPLOYMENT_MODE = "serving.kserve.io/deploymentMode"
PLATFORM = "headrace.dev/platform"
MODEL = "headrace.dev/model"
VERSION = "headrace.dev/version"
FRAMEWORK = "headrace.dev/framework"
"""What a version's function is of: network policies let ``external`` ones ask elsewhere."""
STORAGE = "headrace.dev/storage"
"""The store whose catalogue a service is from: a platform with another store removes nothing of it."""
HASH_KEY = "headrace.dev/hash-key"
"""Digest of the key by which a version's pods hash values. It is another one with another key, so Knative starts new pods then."""
VISIBILITY = "networking.knative.dev/visibility"
USER = 65532
WORK = "/var/headrace"
TEMPORARY = "1Gi"
"""What user code may write below ``/tmp``, which is also its home; a pod that writes more is evicted."""

MAX_TIMEOUT = 600
"""Seconds that Knative lets a request take at most, unless its ``max-revision-timeout-seconds`` is raised."""
_SHORTEST_WINDOW, _LONGEST_WINDOW = 6, 60  # seconds; Knative takes 6 s to 1 h, a long one makes it slow to scale down
_LONGEST_RETENTION = 3600
_DEFAULT_CPU_UTILIZATION = 80


def inference_service(
    spec: ServiceSpec, cluster: ClusterSettings, configuration: DeploymentConfiguration | None = None
) -> Json:
    """The InferenceService of a version.

    A configuration with ``hpa`` makes it a plain Deployment behind a HorizontalPodAutoscaler (mode ``Standard``), which never
    scales to zero; all else is mode ``Knative``. ``deployment.replica-count`` above 1 fixes the number of replicas.
    """
    version = spec.version
    standard = configuration is not None and configuration.hpa is not None
    return {
        "apiVersion": f"{GROUP}/{API_VERSION}",
        "kind": KIND,
        "metadata": {
            "name": spec.name,
            "namespace": cluster.namespace,
            "labels": labels(version, cluster) | _visibility(cluster),
            "annotations": {DEPLOYMENT_MODE: "Standard" if standard else "Knative"}
            | {"headrace.dev/artifact": f"sha256:{version.artifact}", STORAGE: cluster.storage}
            | (_cpu_autoscaling(configuration) if standard else {}),
        },
        "spec": {"predictor": _predictor(version, cluster, configuration, standard=standard)},
    }


def manifests_for(cluster: ClusterSettings) -> Callable[[Version, DeploymentConfiguration | None], Json]:
    """``inference_service`` for one cluster."""

    def manifest(version: Version, configuration: DeploymentConfiguration | None) -> Json:
        return inference_service(ServiceSpec(version), cluster, configuration)

    return manifest


def labels(version: Version, cluster: ClusterSettings) -> dict[str, str]:
    """Marks of ownership and identity; KServe and Knative pass them on to the pods."""
    return selector(cluster) | {
        MODEL: version.id.model,
        VERSION: str(version.id.number),
        FRAMEWORK: version.framework,
    }


def selector(cluster: ClusterSettings) -> dict[str, str]:
    """Labels that all objects of a platform bear, and no others."""
    return {MANAGED_BY: MANAGER, PLATFORM: cluster.platform}


def _visibility(cluster: ClusterSettings) -> dict[str, str]:
    """Functions are asked through the gateway alone, which checks, counts and marks; so they have no public URL.

    A platform that is told of an ``ingress`` asks from outside the cluster, and its functions stay reachable there.
    """
    return {} if cluster.ingress else {VISIBILITY: "cluster-local"}


def _predictor(
    version: Version, cluster: ClusterSettings, configuration: DeploymentConfiguration | None, *, standard: bool
) -> Json:
    limits = version.limits
    return {
        **_replicas(version.scaling, configuration),
        **({} if standard else {"scaleMetric": "concurrency", "scaleTarget": max(version.scaling.concurrency, 1)}),
        # The server has a queue with a limit of its own, so no request is refused before it.
        "containerConcurrency": 0,
        # A request that finds the version asleep waits for its start too.
        "timeout": min(math.ceil(limits.predict_timeout + limits.start_timeout), MAX_TIMEOUT),
        **_annotations(version, cluster, standard=standard),
        # Functions ask nothing of the Kubernetes API, and a mounted token delays each start.
        "serviceAccountName": cluster.account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        **_placement(configuration),
        "volumes": [{"name": "work", "emptyDir": {}}, {"name": "tmp", "emptyDir": {"sizeLimit": TEMPORARY}}],
        "containers": [
            _container(version, cluster, configuration, standard=standard),
            *sidecar.containers(version, configuration, _resources(configuration)),
        ],
    }


def _annotations(version: Version, cluster: ClusterSettings, *, standard: bool) -> Json:
    """Those of the pods."""
    told = {} if standard else _autoscaling(version)
    key = cluster.hash_key() if is_hashed(version.signature) else ""
    if key:
        told[HASH_KEY] = hashlib.sha256(key.encode()).hexdigest()[:16]
    return {"annotations": told} if told else {}


def _replicas(scaling: Scaling, configuration: DeploymentConfiguration | None) -> Json:
    if configuration is not None and configuration.hpa is not None:
        hpa = configuration.hpa
        least = max(hpa.min_replicas, 1)
        return {"minReplicas": least, "maxReplicas": max(hpa.max_replicas, least)}
    if configuration is not None and configuration.deployment.replica_count > 1:
        count = configuration.deployment.replica_count
        return {"minReplicas": count, "maxReplicas": count}
    return {
        "minReplicas": scaling.min_replicas,
        "maxReplicas": max(scaling.max_replicas, scaling.min_replicas, 1),
    }


def _autoscaling(version: Version) -> dict[str, str]:
    """Knative's annotations: the last replica sleeps ``idle_timeout`` seconds after its last request (6 s to 61 min)."""
    idle = math.ceil(version.scaling.idle_timeout)
    window = min(max(idle, _SHORTEST_WINDOW), _LONGEST_WINDOW)
    retention = min(max(idle - window, 0), _LONGEST_RETENTION)
    start = math.ceil(version.limits.start_timeout)
    annotations = {
        # One request that runs is what a replica is for; Knative's default of 70 % would start a second one for the first request.
        "autoscaling.knative.dev/target-utilization-percentage": "100",
        "autoscaling.knative.dev/window": f"{window}s",
        "autoscaling.knative.dev/scale-to-zero-pod-retention-period": f"{retention}s",
        "serving.knative.dev/progress-deadline": f"{start}s",
    }
    if version.scaling.min_replicas == 0:
        annotations["autoscaling.knative.dev/initial-scale"] = "0"
    return annotations


def _cpu_autoscaling(configuration: DeploymentConfiguration | None) -> dict[str, str]:
    assert configuration is not None
    assert configuration.hpa is not None
    utilization = configuration.hpa.cpu_utilization or _DEFAULT_CPU_UTILIZATION
    return {
        "serving.kserve.io/autoscalerClass": "hpa",
        "serving.kserve.io/metric": "cpu",
        "serving.kserve.io/targetUtilizationPercentage": str(utilization),
        "headrace.dev/scale-to-zero": "never: a HorizontalPodAutoscaler keeps at least one replica",
    }


def _placement(configuration: DeploymentConfiguration | None) -> Json:
    if configuration is None:
        return {}
    pod = configuration.pod
    chosen: Mapping[str, Any] = {
        "nodeSelector": pod.node_selector,
        "affinity": pod.affinity,
        "tolerations": pod.tolerations,
        "runtimeClassName": pod.runtime_class_name,
    }
    return {key: value for key, value in chosen.items() if value}


def _container(
    version: Version, cluster: ClusterSettings, configuration: DeploymentConfiguration | None, *, standard: bool
) -> Json:
    return {
        "name": CONTAINER,
        "image": cluster.image_for(version),
        "imagePullPolicy": "IfNotPresent",
        "env": _environment(version, cluster, configuration, standard=standard),
        "ports": [{"containerPort": sidecar.port(version), "protocol": "TCP"}],
        "readinessProbe": _readiness(version, standard=standard),
        # Beside a container of the user's, what the configuration says is for that one.
        "resources": _resources(None if version.framework == CONTAINER_FRAMEWORK else configuration),
        "securityContext": confined(),
        # The log's end becomes part of the pod's status, so a crash is explained without reading logs.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "work", "mountPath": WORK}, {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 -- in its pod
    }


def confined(**also: Any) -> Json:
    """The security context of a container of ours, which may do nothing but write to its volumes; and what is said also."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    } | also


def _readiness(version: Version, *, standard: bool) -> Json:
    probe: Json = {"httpGet": {"path": f"/v2/models/{version.id.model}/ready", "port": sidecar.port(version)}}
    # Knative's proxy looks every few milliseconds during a start; the kubelet looks once a second at most.
    return {**probe, "periodSeconds": 1} if standard else probe


def _environment(
    version: Version, cluster: ClusterSettings, configuration: DeploymentConfiguration | None, *, standard: bool
) -> list[Json]:
    own = {
        fetch.VERSION: str(version.id),
        fetch.ARTIFACT: version.artifact,
        # In mode Knative every request comes through the pod's own proxy.
        fetch.LISTEN: f"tcp:{'0.0.0.0' if standard else '127.0.0.1'}:{sidecar.port(version)}",  # noqa: S104 -- inside its pod
        startup.WORK: WORK,
        "HOME": "/tmp",  # noqa: S108 -- the pod's own, see TEMPORARY
    }
    if version.runtime is not None and version.runtime.layer:
        own |= {layers.LAYER: layout.layer(version.environment), layers.LAYER_DIGEST: version.runtime.layer}
    store = store_variables(version.id.service, cluster)
    if is_hashed(version.signature) and cluster.hash_key():
        store.append(hash_variable(version.id.service))
    told = [{"name": name, "value": value} for name, value in own.items()]
    ours = {variable["name"] for variable in (*told, *store)}
    asked = configuration.container.variables(without=ours) if configuration is not None else []
    return [*sorted((*asked, *told), key=lambda variable: str(variable["name"])), *store]


def _resources(configuration: DeploymentConfiguration | None) -> Json:
    """What the configuration asks for; the rest is a small share that any node has, without a limit on the processor."""
    resources = configuration.container.resources if configuration is not None else None
    limits = dict(resources.limits) if resources is not None else {}
    requests = dict(resources.requests) if resources is not None else {}
    # Kubernetes takes a limit for the request where none is given, so defaults are for what is in neither.
    defaults = {name: value for name, value in {"cpu": "100m", "memory": "128Mi"}.items() if name not in limits}
    return {"requests": defaults | requests, "limits": {"memory": "2Gi"} | limits}
