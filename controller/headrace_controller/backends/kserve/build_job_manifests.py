"""What a step of a build is in Kubernetes' words: pure functions from questions to Jobs.

Each Job runs in the runtime image of the version, so a function is tried where it will be served and a layer made for what is
there. It asks nothing of the Kubernetes API, ends by itself, and is removed after it ended even if nobody is left to do so.
It runs users' code (a function, or what a source distribution does while it is installed), so it has a token for its own question
and result and no credentials of the store.
"""

from typing import Any

from headrace_controller.backends.kserve.build_settings import BuildSettings
from headrace_controller.backends.kserve.credentials import store_variables, token_secret
from headrace_controller.backends.kserve.manifests import USER, WORK, confined, selector
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_functions import startup
from headrace_functions.building import job_contract
from headrace_functions.platform_secret import BUILD as BUILD_TOKEN
from headrace_functions.runtime import layers
from headrace_functions.storage import layout
from headrace_functions.version import Runtime

Json = dict[str, Any]

CONTAINER = "build"
BUILD = "headrace.dev/build"
"""Label of build Jobs and their pods: ``ask`` or ``layer``."""
START = 300
"""Seconds beyond the work's own time: to find a node, pull the image and fetch."""
KEPT = 300
"""Seconds after which the cluster removes a Job that ended, where no controller did."""
INDEX_FILES = "/etc/headrace/index"
_UV = f"{WORK}/bin/uv"
_SIZE = "12Gi"  # of the work folder; a layer, its archive and uv's cache


def ask_job(
    name: str,
    cluster: ClusterSettings,
    builds: BuildSettings,
    runtime: Runtime,
    environment: str,
    exchange: tuple[str, str],
    timeout: float,
) -> Json:
    """The Job that asks a function; ``exchange`` are the keys of question and result, ``timeout`` the child's seconds."""
    variables = _variables(runtime.lock, exchange)
    if runtime.layer:
        variables |= {layers.LAYER: layout.layer(environment), layers.LAYER_DIGEST: runtime.layer}
    container = _container(name, runtime.image, "ask", variables, cluster, builds)
    return _job(name, "ask", cluster, timeout, {"containers": [container]})


def layer_job(
    name: str,
    cluster: ClusterSettings,
    builds: BuildSettings,
    runtime: Runtime,
    exchange: tuple[str, str, str],
) -> Json:
    """The Job that makes the layer of a list of requirements; uv comes from the builder image.

    ``exchange`` are the keys of question, result and the layer's archive.
    """
    variables = _variables(runtime.lock, exchange[:2]) | {job_contract.UV: _UV, job_contract.ARCHIVE: exchange[2]}
    container = _container(name, runtime.image, "layer", variables, cluster, builds)
    container["envFrom"] = [{"secretRef": {"name": builds.index_secret, "optional": True}}]
    container["volumeMounts"].append({"name": "index", "mountPath": INDEX_FILES, "readOnly": True})
    bring_uv = {
        "name": "uv",
        "image": builds.builder_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c", f"mkdir -p {WORK}/bin && cp /uv {_UV}"],
        "securityContext": confined(runAsGroup=USER),
        "resources": container["resources"],
        "volumeMounts": container["volumeMounts"][:1],
    }
    index = {"name": "index", "secret": {"secretName": builds.index_secret, "optional": True}}
    pod = {"initContainers": [bring_uv], "containers": [container], "volumes": [index]}
    return _job(name, "layer", cluster, job_contract.LAYER_TIMEOUT, pod)


def build_token(job: Json, cluster: ClusterSettings) -> Json:
    """The Secret by which a build Job's pod reaches its question and its result."""
    return token_secret(BUILD_TOKEN, job["metadata"]["name"], cluster, job["metadata"]["labels"])


def _variables(lock: str, exchange: tuple[str, str]) -> dict[str, str]:
    question, result = exchange
    own = {
        startup.WORK: WORK,
        job_contract.QUESTION: question,
        job_contract.RESULT: result,
    }
    return own | ({job_contract.IMAGE_LOCK: lock} if lock else {})


def _container(
    name: str, image: str, module: str, variables: dict[str, str], cluster: ClusterSettings, builds: BuildSettings
) -> Json:
    return {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", f"headrace_functions.building.{module}"],
        "env": [*({"name": k, "value": v} for k, v in sorted(variables.items())), *store_variables(name, cluster)],
        "resources": {
            "requests": {"cpu": "100m", "memory": "256Mi"},
            "limits": {"cpu": builds.cpu, "memory": builds.memory},
        },
        "securityContext": confined(runAsGroup=USER),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "work", "mountPath": WORK}],
    }


def _job(name: str, step: str, cluster: ClusterSettings, timeout: float, pod: Json) -> Json:
    labels = selector(cluster) | {BUILD: step}
    work = {"name": "work", "emptyDir": {"sizeLimit": _SIZE}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": cluster.namespace, "labels": labels},
        "spec": {
            "backoffLimit": 0,  # user code that failed fails again
            "activeDeadlineSeconds": int(timeout) + START,
            "ttlSecondsAfterFinished": KEPT,
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    **pod,
                    "restartPolicy": "Never",
                    "serviceAccountName": cluster.account,
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "securityContext": {"fsGroup": USER},
                    "volumes": [work, *pod.get("volumes", [])],
                },
            },
        },
    }
