"""Schedules as CronJobs. Pure: what a schedule is in Kubernetes' words."""

from typing import Any

from headrace_controller.backends.kserve.credentials import PLATFORM_SECRET, SECRET
from headrace_controller.backends.kserve.manifests import MANAGED_BY, MANAGER, PLATFORM, confined
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_functions import startup

Json = dict[str, Any]

SCHEDULE = "headrace.dev/schedule"
LATE = 90
"""Seconds after which a tick that could not start is missed, where missed ones are skipped."""
LONGEST = 6 * 3600
"""Seconds that a run with its further attempts may take before Kubernetes gives up to wait for it."""


def name_of(schedule: str) -> str:
    """At most 49 characters; a CronJob may have 52."""
    return f"headrace-{schedule}"


def cron_job(schedule: str, cron: str, image: str, cluster: ClusterSettings, *, skip_missed: bool) -> Json:
    """A CronJob whose pod tells the controller of each tick and waits for its run; ``image`` is the controller's own."""
    labels = {MANAGED_BY: MANAGER, PLATFORM: cluster.platform, SCHEDULE: schedule}
    job_name = {"fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/job-name']"}}
    container = {
        "name": "tick",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", "headrace_controller.incluster.schedule_tick", schedule],
        "env": [
            {"name": "HEADRACE_NAMESPACE", "value": cluster.namespace},
            {"name": "HEADRACE_JOB_NAME", "valueFrom": job_name},
            {
                "name": startup.PLATFORM_SECRET,
                "valueFrom": {"secretKeyRef": {"name": PLATFORM_SECRET, "key": SECRET}},
            },
        ],
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": confined(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    pod = {
        "restartPolicy": "OnFailure",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "containers": [container],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name_of(schedule), "namespace": cluster.namespace, "labels": labels},
        "spec": {
            "schedule": cron,
            "timeZone": "Etc/UTC",
            # One run of a schedule at a time: the pod of a tick lives as long as its run.
            "concurrencyPolicy": "Forbid",
            **({"startingDeadlineSeconds": LATE} if skip_missed else {}),
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {
                "metadata": {"labels": labels},
                "spec": {
                    "backoffLimit": 3,
                    "activeDeadlineSeconds": LONGEST,
                    "template": {"metadata": {"labels": labels}, "spec": pod},
                },
            },
        },
    }
