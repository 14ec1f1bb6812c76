"""What the cluster says, and what a person is told: a table."""

from typing import Any

import pytest

from headrace_controller.backends.kserve import status

Json = dict[str, Any]
CREATED = "2026-11-22T09:00:00Z"


def service(ready: str = "True", *, message: str = "", deleted: bool = False, revision: str = "r") -> Json:
    conditions = [{"type": "Ready", "status": ready, "lastTransitionTime": "2026-11-22T09:00:10Z"}]
    if message:
        conditions.append({"type": "PredictorReady", "status": "False", "message": message})
    return {
        "metadata": {"creationTimestamp": CREATED} | ({"deletionTimestamp": CREATED} if deleted else {}),
        "status": {
            "url": "http://churn-v1-predictor.models.example",
            "conditions": conditions,
            "components": {
                "predictor": {
                    "latestReadyRevision": revision,
                    "address": {"url": "http://churn-v1-predictor.models.svc.cluster.local"},
                }
            },
        },
    }


def pod(
    *, ready: bool = False, state: Json | None = None, last: Json | None = None, unschedulable: str = "", **meta: Any
) -> Json:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    if unschedulable:
        conditions.append({"type": "PodScheduled", "status": "False", "message": unschedulable})
    containers = [
        {"name": "queue-proxy", "state": {"running": {}}},
        {"name": "kserve-container", "image": "function:1", "state": state or {"running": {}}, "lastState": last or {}},
    ]
    return {"metadata": meta, "status": {"conditions": conditions, "containerStatuses": containers}}


def waiting(reason: str, message: str = "") -> Json:
    return {"waiting": {"reason": reason, "message": message}}


def ended(code: int, message: str = "", reason: str = "Error") -> Json:
    return {"terminated": {"exitCode": code, "message": message, "reason": reason}}


CRASH = ended(1, "loading\nValueError: no such column: age\n")

TABLE: dict[str, tuple[Json | None, list[Json], str, str]] = {
    "not made yet": (None, [], "asleep", ""),
    "made, no word yet": ({"metadata": {"creationTimestamp": CREATED}}, [], "starting", ""),
    "scaled to zero": (service(), [], "asleep", ""),
    "being removed": (service(deleted=True), [pod(ready=True)], "removing", ""),
    "a pod starts": (service(), [pod()], "starting", ""),
    "a pod serves": (service(), [pod(ready=True)], "ready", ""),
    "a pod serves, the route does not yet": (service("Unknown"), [pod(ready=True)], "starting", ""),
    "the last pod ends": (service(), [pod(ready=True, deletionTimestamp=CREATED)], "asleep", ""),
    "one serves, another crashed": (service(), [pod(ready=True), pod(state=CRASH)], "ready", ""),
    "image": (service("Unknown"), [pod(state=waiting("ImagePullBackOff", "no such tag"))], "failed", "no such tag"),
    "image without a message": (
        service(),
        [pod(state=waiting("ErrImagePull"))],
        "failed",
        "function:1 cannot be pulled",
    ),
    "secret": (
        service(),
        [pod(state=waiting("CreateContainerConfigError", 'secret "s" not found'))],
        "failed",
        'secret "s" not found; does the secret exist',
    ),
    "the node was late with a secret": (
        service("Unknown"),
        [
            pod(
                state=waiting(
                    "CreateContainerConfigError", "failed to sync secret cache: timed out waiting for the condition"
                )
            )
        ],
        "starting",
        "not made yet: failed to sync secret cache: timed out",
    ),
    "the registry was away": (
        service("Unknown"),
        [pod(state=waiting("ErrImagePull", "dial tcp 10.0.0.1:443: connect: connection refused"))],
        "starting",
        "connection refused",
    ),
    "crash": (
        service(),
        [pod(state=CRASH)],
        "failed",
        "exit code 1; its log ends:\nloading\nValueError: no such column",
    ),
    "crash, backing off": (
        service("False"),
        [pod(state=waiting("CrashLoopBackOff", "back-off 10s"), last=CRASH)],
        "failed",
        "ValueError: no such column: age",
    ),
    "memory": (
        service(),
        [pod(last=ended(137, reason="OOMKilled"))],
        "failed",
        "raise container.resources.limits.memory",
    ),
    "an orderly end": (service(), [pod(last=ended(0))], "starting", ""),
    "unschedulable": (service(), [pod(unschedulable="0/3 nodes: Insufficient cpu")], "starting", "Insufficient cpu"),
    "quota": (
        service("False", message='pods "x" is forbidden: exceeded quota: small'),
        [],
        "failed",
        "raise the namespace's ResourceQuota",
    ),
    "webhook": (
        service("False", message='admission webhook "w" denied the request: must not set runtimeClassName'),
        [],
        "failed",
        "change the deployment configuration",
    ),
    "controllers in each other's way": (
        service("False", message='cannot be fulfilled on services "x": the object has been modified; try again'),
        [],
        "starting",
        "",
    ),
    "no reason": ({**service("False")}, [], "failed", "no reason was given"),
}


@pytest.mark.parametrize("case", TABLE)
def test_what_the_cluster_shows_is_told_with_what_to_do(case: str) -> None:
    document, pods, state, reason = TABLE[case]
    seen = status.observed(document, pods)
    assert seen.state == state
    assert reason in seen.reason
    assert bool(reason) == bool(seen.reason)


def test_replicas_are_the_pods_that_serve() -> None:
    pods = [pod(ready=True), pod(ready=True), pod(), pod(ready=True, deletionTimestamp=CREATED)]
    assert status.observed(service(), pods, 3).replicas == 2
    assert status.observed(service(), pods, 3).open_requests == 3


def test_the_last_lines_of_a_long_log_are_the_reason() -> None:
    text = "\n".join(f"line {i}" for i in range(1000))
    reason = status.observed(service(), [pod(state=ended(3, text))]).reason
    assert reason.endswith("line 999")
    assert "line 900" not in reason


def test_a_service_without_a_revision_cannot_be_woken() -> None:
    assert status.can_wake(service())
    assert status.can_wake(service("False"))
    assert not status.can_wake(service("False", revision=""))
    assert not status.can_wake({"metadata": {}})


def test_addresses_are_those_that_the_cluster_gave() -> None:
    assert status.url(service()) == "http://churn-v1-predictor.models.example"
    assert status.local_host(service()) == "churn-v1-predictor.models.svc.cluster.local"
    assert (status.url({"metadata": {}}), status.local_host({"metadata": {}})) == ("", "")


def test_since_is_the_time_of_the_last_change_in_seconds_since_the_epoch() -> None:
    assert status.observed(service(), []).since == 1795338010.0
