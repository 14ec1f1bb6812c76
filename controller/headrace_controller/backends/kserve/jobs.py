"""The Jobs of a platform: the second client of the Kubernetes API beside ``cluster``, over the same connection. Blocking."""

import contextlib
from collections.abc import Callable
from typing import Any

import urllib3
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from headrace_controller.backends.kserve.cluster import TIMEOUT, Cluster, asked, explained
from headrace_controller.backends.kserve.manifests import MANAGER, selector
from headrace_controller.backends.kserve.secrets import Secrets
from headrace_functions.errors import Conflict, NotFound, Unreachable

Json = dict[str, Any]
RAY, RAY_VERSION = "ray.io", "v1"
MAX_LOG = 8 * 1024 * 1024
"""Bytes of a pod's log that are read."""
_WITH_OWNED = client.V1DeleteOptions(propagation_policy="Background")


class Jobs:
    """Creates, looks at and deletes Jobs of one namespace. ``Unreachable`` while the API server is away."""

    def __init__(self, cluster: Cluster) -> None:
        self._namespace = cluster.settings.namespace
        self._selector = ",".join(f"{k}={v}" for k, v in selector(cluster.settings).items())
        self._batch = client.BatchV1Api(cluster.api)
        self._core = client.CoreV1Api(cluster.api)
        self._secrets = Secrets(cluster)

    def create(self, document: Json, token: Json | None = None) -> bool:
        """Create a Job; False if one of that name is there. ``InvalidInput`` for what the cluster refuses.

        ``token`` is a Secret that its pod needs; it belongs to the Job, so the cluster removes both together.
        """
        name = document["metadata"]["name"]
        if token is not None:
            self._secrets.apply(token)  # before the pod, which would be said to lack it
        try:
            made = self._call(self._batch.create_namespaced_job, f"create Job {name}", body=document)
        except Conflict:
            return False
        if token is not None:
            owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": made["metadata"]["uid"]}
            self._secrets.apply(token | {"metadata": token["metadata"] | {"ownerReferences": [owner]}})
        return True

    def find(self, name: str) -> Json | None:
        try:
            return self._call(self._batch.read_namespaced_job, f"read Job {name}", name=name)
        except NotFound:
            return None

    def delete(self, name: str) -> None:
        """Delete a Job and its pods; the absent is deleted."""
        self._delete(self._batch.delete_namespaced_job, f"delete Job {name}", name)

    def pod(self, job: str) -> Json | None:
        """The pod of a Job; None until there is one."""
        pods = self._call(
            self._core.list_namespaced_pod,
            f"list the pods of Job {job}",
            label_selector=f"batch.kubernetes.io/job-name={job}",
        )["items"]
        return pods[0] if pods else None

    def labelled(self, label: str, value: str) -> list[Json]:
        """Pods that bear a label."""
        what = f"list the pods of {label}={value}"
        found: list[Json] = self._call(self._core.list_namespaced_pod, what, label_selector=f"{label}={value}")["items"]
        return found

    def has_ray_jobs(self) -> bool:
        """Whether KubeRay is installed."""
        try:
            client.CustomObjectsApi(self._core.api_client).get_api_resources(RAY, RAY_VERSION, _request_timeout=TIMEOUT)
        except ApiException as error:
            if error.status == 404:
                return False
            raise explained(error, "ask for RayJobs") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(f"the API server does not answer: {error}") from error
        return True

    def create_ray(self, document: Json) -> bool:
        """Create a RayJob; False if one of that name is there. ``InvalidInput`` for what the cluster refuses."""
        try:
            self._ray("create", document["metadata"]["name"], body=document)
        except Conflict:
            return False
        return True

    def find_ray(self, name: str) -> Json | None:
        try:
            return self._ray("get", name, name=name)
        except NotFound:
            return None

    def delete_ray(self, name: str) -> None:
        """Delete a RayJob with its cluster and pods; the absent is deleted."""
        with contextlib.suppress(NotFound):
            self._ray("delete", name, name=name, body=_WITH_OWNED)

    def apply_cron(self, document: Json) -> None:
        """Make a CronJob what the document says."""
        name = document["metadata"]["name"]
        self._call(
            self._batch.patch_namespaced_cron_job,
            f"apply CronJob {name}",
            name=name,
            body=document,
            field_manager=MANAGER,
            force=True,
            _content_type="application/apply-patch+yaml",
        )

    def crons(self) -> list[str]:
        """Names of the CronJobs of this platform."""
        found = self._call(self._batch.list_namespaced_cron_job, "list CronJobs", label_selector=self._selector)
        return [item["metadata"]["name"] for item in found["items"]]

    def delete_cron(self, name: str) -> None:
        """Delete a CronJob with the Jobs it made; the absent is deleted."""
        self._delete(self._batch.delete_namespaced_cron_job, f"delete CronJob {name}", name)

    def _delete(self, call: Callable[..., Any], what: str, name: str) -> None:
        with contextlib.suppress(NotFound):
            self._call(call, what, name=name, body=_WITH_OWNED)

    def _ray(self, verb: str, subject: str, **options: Any) -> Json:
        call = getattr(client.CustomObjectsApi(self._core.api_client), f"{verb}_namespaced_custom_object")
        return self._call(call, f"{verb} RayJob {subject}", group=RAY, version=RAY_VERSION, plural="rayjobs", **options)

    def log(self, pod: str, container: str) -> list[str]:
        """Lines of a container's log so far; none while it has not started."""
        try:
            answer = self._core.read_namespaced_pod_log(
                pod,
                self._namespace,
                container=container,
                limit_bytes=MAX_LOG,
                _preload_content=False,
                _request_timeout=TIMEOUT,
            )
            text: str = answer.data.decode("utf-8", "replace")
        except ApiException as error:
            if error.status in (400, 404):  # no container yet, or no pod any more
                return []
            raise explained(error, f"read the log of pod {pod}") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(f"cannot read the log of pod {pod}: the API server does not answer: {error}") from error
        return text.splitlines()

    def refusals(self, job: str) -> str:
        """Why the cluster makes no pod for a Job, by its last event; empty where it does not say."""
        events = self._call(
            self._core.list_namespaced_event,
            f"list the events of Job {job}",
            field_selector=f"involvedObject.kind=Job,involvedObject.name={job},reason=FailedCreate",
        )["items"]
        return str(events[-1]["message"]) if events else ""

    def _call(self, verb: Callable[..., Any], what: str, **options: Any) -> Json:
        return asked(verb, what, namespace=self._namespace, **options)
