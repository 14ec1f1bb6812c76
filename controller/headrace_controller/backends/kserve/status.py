"""What a cluster's words about a service mean to a person: pure functions from documents to ``Observed``.

An InferenceService speaks through the conditions of its status, which sum up those of its Knative Service and Revision;
why a start fails is told by the pods. A reason ends with what a person can do.
"""

import calendar
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from headrace_controller.backends.base import Observed, ServiceState
from headrace_controller.backends.kserve.manifests import CONTAINER

Json = Mapping[str, Any]

_PULL = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
_SETUP = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_TAIL_LINES = 12
_TAIL_CHARACTERS = 1500

# Words of messages that the API server, KServe and Knative write: what to do about it.
_ADVICE: tuple[tuple[str, str], ...] = (
    ("exceeded quota", "raise the namespace's ResourceQuota or ask for fewer resources"),
    ("Unable to fetch image", "check the image's name, and that the cluster may pull it"),
    ("denied the request", "the cluster's admission refuses it: change the deployment configuration"),
    ("forbidden", "give the platform's account this permission"),
)


# Controllers of the cluster that were in each other's way try again by themselves within a second.
_PASSING = ("the object has been modified", "please apply your changes to the latest version")

# A kubelet, container runtime or registry that was late or away: the kubelet tries again by itself within seconds. On a busy
# node it has a Secret a moment after it wanted to mount it, and says so as if the container could not be made.
_LATE = (
    "timed out",
    "timeout",
    "deadline exceeded",
    "failed to sync",
    "is reserved for",
    "connection refused",
    "connection reset",
    "temporary failure in name resolution",
    "too many requests",
    "service unavailable",
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a pod does not serve. ``final`` if waiting alone will not help."""

    reason: str
    final: bool = True


def observed(service: Json | None, pods: Iterable[Json], open_requests: int = 0) -> Observed:
    """The service as its InferenceService (None: not made yet) and its pods show it."""
    if service is None:
        return Observed("asleep", open_requests=open_requests)
    address = url(service)
    since = _since(service)
    if service["metadata"].get("deletionTimestamp"):
        return Observed("removing", open_requests=open_requests, address=address, since=since)
    alive = [p for p in pods if not p["metadata"].get("deletionTimestamp")]
    ready = sum(is_ready(p) for p in alive)
    trouble = next((t for t in map(pod_trouble, alive) if t is not None), None)
    condition = conditions(service).get("Ready", {}).get("status", "Unknown")
    if ready and condition == "True":
        return Observed("ready", "", ready, open_requests, address, since)
    if trouble is not None:
        return Observed("failed" if trouble.final else "starting", trouble.reason, ready, open_requests, address, since)
    if condition == "False" and not _passing(refusal(service)):
        # Knative gives a revision up when its pod is late, and takes it back when the pod is there after all; in mode Standard
        # the Deployment is unavailable until its first pod is.
        state: ServiceState = "starting" if alive else "failed"
        return Observed(state, refusal(service), ready, open_requests, address, since)
    if condition == "True" and not alive:
        return Observed("asleep", "", 0, open_requests, address, since)
    return Observed("starting", "", ready, open_requests, address, since)


def conditions(resource: Json) -> dict[str, Json]:
    """Conditions of a status by type."""
    return {c["type"]: c for c in resource.get("status", {}).get("conditions", [])}


def can_wake(service: Json) -> bool:
    """Whether there is a revision that a request could wake; without one its address answers 404 for ever."""
    predictor = service.get("status", {}).get("components", {}).get("predictor", {})
    return bool(predictor.get("latestReadyRevision")) or conditions(service).get("Ready", {}).get("status") == "True"


def url(service: Json) -> str:
    """Where callers outside find it, empty until KServe says so."""
    found: str = service.get("status", {}).get("url", "")
    return found


def local_host(service: Json) -> str:
    """Host name by which the cluster's own workloads find the predictor, empty until KServe says so."""
    status = service.get("status", {})
    address = status.get("components", {}).get("predictor", {}).get("address") or status.get("address") or {}
    return urlsplit(address.get("url", "")).hostname or ""


def refusal(service: Json) -> str:
    """Why KServe or Knative could not make the service, with what to do about it."""
    found = conditions(service)
    # The summary repeats what its part says, often without the message.
    for kind in ("PredictorReady", "PredictorConfigurationReady", "PredictorRouteReady", "IngressReady", "Ready"):
        condition = found.get(kind, {})
        if condition.get("status") == "False" and condition.get("message"):
            return advised(str(condition["message"]))
    reason = found.get("Ready", {}).get("reason", "no reason was given")
    return f"the cluster could not make it: {reason}"


def _passing(message: str) -> bool:
    return any(words in message for words in _PASSING)


def advised(message: str) -> str:
    """A message of the cluster with what a person can do about it."""
    for words, advice in _ADVICE:
        if words in message:
            return f"{message}; {advice}"
    return message


def is_ready(pod: Json) -> bool:
    return conditions(pod).get("Ready", {}).get("status") == "True"


def pod_trouble(pod: Json) -> Trouble | None:
    """What keeps a pod from serving; None while it starts as it should, or serves."""
    if is_ready(pod):
        return None
    scheduled = conditions(pod).get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return Trouble(
            f"no node takes the pod: {scheduled.get('message', 'unschedulable')}; "
            "ask for fewer resources, change where it may run, or add a node",
            final=False,  # a cluster that grows by itself may be adding the node now
        )
    statuses: Sequence[Json] = pod.get("status", {}).get("containerStatuses", [])
    for status in sorted(statuses, key=lambda s: bool(s["name"] != CONTAINER)):
        found = _container_trouble(status)
        if found is not None:
            return found
    if pod.get("status", {}).get("reason") == "Evicted":
        return Trouble(f"the node evicted the pod: {pod['status'].get('message', '')}", final=False)
    return None


def _container_trouble(status: Json) -> Trouble | None:
    state = status.get("state", {})
    waiting = state.get("waiting", {})
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _PULL:
        return Trouble(
            f"the image {status.get('image', '')} cannot be pulled: {message or reason}; "
            "check its name, and that the cluster may pull it",
            final=not _late(message),
        )
    if reason in _SETUP and _late(message):
        return Trouble(f"the container is not made yet: {message}; the node tries again by itself", final=False)
    if reason in _SETUP:
        return Trouble(f"the container cannot be made: {message or reason}; does the secret exist in the namespace?")
    ended = state.get("terminated") or status.get("lastState", {}).get("terminated")
    if not ended or ended.get("exitCode") == 0:
        return None
    if ended.get("reason") == "OOMKilled":
        return Trouble("it ran out of memory; raise container.resources.limits.memory in its deployment configuration")
    tail = _tail(ended.get("message", ""))
    return Trouble(
        f"the process ended with exit code {ended.get('exitCode')}" + (f"; its log ends:\n{tail}" if tail else "")
    )


def _late(message: str) -> bool:
    return any(words in message.lower() for words in _LATE)


def _tail(text: str) -> str:
    return "\n".join(text.strip()[-_TAIL_CHARACTERS:].splitlines()[-_TAIL_LINES:])


def _since(service: Json) -> float:
    moment = conditions(service).get("Ready", {}).get("lastTransitionTime") or service["metadata"].get(
        "creationTimestamp"
    )
    return float(calendar.timegm(time.strptime(moment, "%Y-%m-%dT%H:%M:%SZ"))) if moment else 0.0
