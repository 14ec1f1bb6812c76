"""What a run of ``headrace_jobs`` is in Kubernetes' words: a RayJob where KubeRay is installed, else a Job with Ray inside. Pure."""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from headrace_controller.backends.kserve.credentials import PLATFORM_SECRET, SECRET
from headrace_controller.backends.kserve.manifests import USER, WORK, confined, selector
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_controller.environments.named import Engine
from headrace_controller.settings import PURPOSE_TOKEN
from headrace_functions.errors import InvalidInput

Json = dict[str, Any]

JOBS_IMAGE = "HEADRACE_JOBS_IMAGE"
ALIBI_IMAGE = "HEADRACE_JOBS_ALIBI_IMAGE"
WORKERS = "HEADRACE_RAY_WORKERS"
CPU = "HEADRACE_JOBS_CPU"
MEMORY = "HEADRACE_JOBS_MEMORY"

JOB = "headrace.dev/job"
"""Label of a run's objects and pods: the id of the job."""
CONTAINER, SUBMITTER = "analysis", "ray-job-submitter"
START = 300
"""Seconds beyond the run's own time: to find a node, pull the image, start Ray."""
KEPT = 600
"""Seconds after which the cluster removes a run that ended, where no controller did."""
RAY_VERSION = "2.60.0"
"""Ray in the image, see ``requirements/jobs-cluster.txt``."""


@dataclass(frozen=True, slots=True)
class AnalysisSettings:
    """The analysis side of one platform in a cluster."""

    image: str = "headrace-jobs:{version}"
    """Image of ``ray_jobs/Dockerfile``; ``{version}`` (of Headrace) is filled in."""
    alibi_image: str = ""
    """An image with Alibi Detect, which nobody gets without asking for it; empty for none."""
    workers: int = 0
    """Ray workers beside the head of a RayJob."""
    cpu: str = "2"
    """Processors that a pod may use at most; Ray counts whole ones."""
    memory: str = "4Gi"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "AnalysisSettings":
        """Settings of variables; what is not set keeps its default."""
        texts = {"image": JOBS_IMAGE, "alibi_image": ALIBI_IMAGE, "cpu": CPU, "memory": MEMORY}
        workers = environment.get(WORKERS) or "0"
        if not workers.isdigit():
            raise InvalidInput(
                f"{WORKERS}: {workers!r} is not a number", field=WORKERS, expected="0 or more", got=workers
            )
        return cls(workers=int(workers), **{f: environment[v] for f, v in texts.items() if environment.get(v)})

    def image_of(self, engine: Engine) -> str:
        """The image with an engine; ``InvalidInput`` where the platform has none."""
        chosen = self.alibi_image if engine == "alibi" else self.image
        if not chosen:
            raise InvalidInput(
                "engine: this platform has no image that contains Alibi Detect",
                field="engine",
                got=engine,
                hint=f"build one from ray_jobs/Dockerfile with requirements/jobs-alibi.txt and name it in {ALIBI_IMAGE}; "
                "for its licence see docs/licences.md",
            )
        return chosen.replace("{version}", metadata.version("headrace"))


@dataclass(frozen=True, slots=True)
class Analysis:
    """One run."""

    job: str
    image: str
    arguments: Sequence[str]
    """After ``python``."""
    timeout: float

    @property
    def name(self) -> str:
        return f"headrace-{self.job}"

    @property
    def deadline(self) -> int:
        return math.ceil(self.timeout) + START


def job(analysis: Analysis, cluster: ClusterSettings, settings: AnalysisSettings) -> Json:
    """A Job whose one pod does everything."""
    container = _container(analysis, cluster, settings) | {
        "name": CONTAINER,
        "command": ["python", *analysis.arguments],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(analysis, cluster),
        "spec": {
            "backoffLimit": 0,  # the platform tries again, where somebody wants that
            "activeDeadlineSeconds": analysis.deadline,
            "ttlSecondsAfterFinished": KEPT,
            "template": _pod(analysis, cluster, container),
        },
    }


def ray_job(analysis: Analysis, cluster: ClusterSettings, settings: AnalysisSettings) -> Json:
    """A RayJob: a cluster of its own for the run, which ends with it. Whoever reaches a Ray runs code in it, so it asks for a token."""
    submitter = _container(analysis, cluster, settings) | {"name": SUBMITTER}
    submitter["resources"] = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}
    head = _container(analysis, cluster, settings) | {"name": "ray-head"}
    worker = _container(analysis, cluster, settings) | {"name": "ray-worker"}
    group = {
        "groupName": "workers",
        "replicas": settings.workers,
        "minReplicas": settings.workers,
        "maxReplicas": settings.workers,
        "rayStartParams": {},
        "template": _pod(analysis, cluster, worker),
    }
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": _metadata(analysis, cluster),
        "spec": {
            "entrypoint": shlex.join(["python", *analysis.arguments]),
            "submissionMode": "K8sJobMode",
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": KEPT,
            "activeDeadlineSeconds": analysis.deadline,
            "backoffLimit": 0,
            "submitterPodTemplate": _pod(analysis, cluster, submitter),
            "rayClusterSpec": {
                "rayVersion": RAY_VERSION,
                "authOptions": {"mode": "token"},
                "headGroupSpec": {
                    "rayStartParams": {"num-cpus": settings.cpu, "dashboard-host": "0.0.0.0"},  # noqa: S104 -- its pod
                    "template": _pod(analysis, cluster, head),
                },
                **({"workerGroupSpecs": [group]} if settings.workers else {}),
            },
        },
    }


def _metadata(analysis: Analysis, cluster: ClusterSettings) -> Json:
    return {"name": analysis.name, "namespace": cluster.namespace, "labels": _labels(analysis, cluster)}


def _labels(analysis: Analysis, cluster: ClusterSettings) -> dict[str, str]:
    return selector(cluster) | {JOB: analysis.job}


def _container(analysis: Analysis, cluster: ClusterSettings, settings: AnalysisSettings) -> Json:
    variables = {"HOME": WORK, "TMPDIR": "/tmp"}  # noqa: S108
    # The word that keeps the run's own questions out of the log.
    purpose = {"name": PURPOSE_TOKEN, "valueFrom": {"secretKeyRef": {"name": PLATFORM_SECRET, "key": SECRET}}}
    return {
        "image": analysis.image,
        "imagePullPolicy": "IfNotPresent",
        "env": [*({"name": name, "value": value} for name, value in sorted(variables.items())), purpose],
        "envFrom": [{"secretRef": {"name": cluster.storage_secret}}],
        "resources": {
            "requests": {"cpu": "200m", "memory": "512Mi"},
            "limits": {"cpu": settings.cpu, "memory": settings.memory},
        },
        "securityContext": confined(runAsGroup=USER),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "work", "mountPath": WORK}, {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
    }


def _pod(analysis: Analysis, cluster: ClusterSettings, container: Json) -> Json:
    return {
        "metadata": {"labels": _labels(analysis, cluster)},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {"fsGroup": USER},
            "containers": [container],
            "volumes": [{"name": "work", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}],
        },
    }
