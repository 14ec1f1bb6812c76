"""Cold starts on a cluster in stages: our function images beside KServe's ModelServer, in turn.

Two pairs: one scikit-learn model, whose library takes both the same time, and a function that doubles, which shows what is theirs and
ours alone.

Not part of ``make bench``, for it needs a cluster; each of the four is an InferenceService of the same shape that scales to zero::

    cluster build-image -t dev.local/headrace-kserve-peer:1 -f tests/benchmarks/peers/kserve.Dockerfile CONTEXT
    cluster exec -- env HEADRACE_FUNCTION_IMAGE=dev.local/headrace-function-{framework}:TAG HEADRACE_TEST_S3_HOST=10.250.0.1 \\
        HEADRACE_PEER_IMAGE=dev.local/headrace-kserve-peer:1 python -m pytest tests/benchmarks/cluster_cold_start.py -s

CONTEXT is a folder with ``peers/kserve_server.py`` and a ``model.joblib``. Theirs has the model in its image; ours fetches version and artifact
from the store and spools a record. What is timed in each wake:

========== ==========================================================================================
scheduled  from the request to the pod having a node, as a watch of the pods sees it
started    to the container's first line, which its shell writes before it becomes the server, as the container runtime dates it
ready      to the line that says that it serves, dated likewise: what is ours or theirs
answered   to the first answer
========== ==========================================================================================
"""

import copy
import io
import os
import statistics
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import httpx
import joblib
import numpy as np
import pytest
from kubernetes import client, watch
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

from cluster.conftest import Publisher, api, cluster_settings, publisher, storage  # noqa: F401 -- fixtures
from cluster.installed import kubectl, until
from headrace_controller.backends.base import ServiceSpec
from headrace_controller.backends.kserve.manifests import inference_service
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_functions.names import VersionId
from headrace_functions.runtime.frameworks import find
from headrace_functions.signature import Signature
from headrace_functions.version import Scaling, Version
from support.versions import number

ROUNDS = int(os.environ.get("HEADRACE_BENCH_WAKES", "12"))
TARGET = 4.0
"""Container start to ready, theirs over ours, medians. Half of it fails the run: machines and neighbours differ."""
STAGES = ("scheduled", "started", "ready", "answered")
STARTING = "starting"
FEATURES = 30
PEER = "python kserve_server.py"

pytestmark = pytest.mark.timeout(3600)


@dataclass(frozen=True)
class Subject:
    """One of the four: its InferenceService, what it runs, the words of its log that say that it serves, and what it is asked."""

    name: str
    service: str
    program: str
    serving: str
    rows: int

    def command(self) -> list[str]:
        return ["sh", "-c", f"echo {STARTING}; exec {self.program}"]

    def body(self) -> dict[str, Any]:
        shape = [1, self.rows]
        return {"inputs": [{"name": "x", "shape": shape, "datatype": "FP64", "data": [1.0] * self.rows}]}


FUNCTION = "python -m headrace_functions.runtime"
PAIRS = {
    "scikit-learn model": (
        Subject("Headrace", "m-v1", FUNCTION, "ready: m:1", FEATURES),
        Subject("KServe ModelServer", "peer-v1", f"{PEER} model.joblib 8080", "Uvicorn running on", FEATURES),
    ),
    "plain function": (
        Subject("Headrace", "m-v2", FUNCTION, "ready: m:2", 1),
        Subject("KServe ModelServer", "peer-v2", f"{PEER} - 8080", "Uvicorn running on", 1),
    ),
}


@pytest.fixture
def services(publisher: Publisher, cluster_settings: ClusterSettings) -> None:  # noqa: F811
    """The four services, made."""
    custom = client.CustomObjectsApi()
    for version, pair in zip(versions(publisher), PAIRS.values(), strict=True):
        ours = inference_service(ServiceSpec(version), cluster_settings, None)
        ours["spec"]["predictor"]["containers"][0]["command"] = pair[0].command()
        for document in (ours, peer(ours, pair[1])):
            custom.create_namespaced_custom_object(
                "serving.kserve.io", "v1beta1", cluster_settings.namespace, "inferenceservices", document
            )


def versions(publisher: Publisher) -> list[Version]:  # noqa: F811
    """A classifier of breast cancers, and a function."""
    rows, labels = load_breast_cancer(return_X_y=True)
    model, packed, scaling = LogisticRegression(max_iter=5000).fit(rows, labels), io.BytesIO(), Scaling(idle_timeout=6)
    joblib.dump(model, packed)
    described = find("sklearn").describe(model, {})
    assert described.inputs is not None
    assert described.outputs is not None
    fields = (("sklearn", described.inputs, described.outputs), ("python", (number("x"),), (number("y"),)))
    payloads = (
        {"model.joblib": packed.getvalue()},
        {"function.py": b"def predict(model, x):\n    return {'y': x * 2}\n"},
    )
    return [
        publisher.publish(
            Version(VersionId("m", n), framework, Signature(inputs, outputs), "a" * 64, "e", "c", scaling=scaling),
            payload,
        )
        for n, ((framework, inputs, outputs), payload) in enumerate(zip(fields, payloads, strict=True), 1)
    ]


def peer(ours: dict[str, Any], subject: Subject) -> dict[str, Any]:
    """KServe's server in the shape of ours: same resources, probe, security and scaling."""
    theirs = copy.deepcopy(ours)
    theirs["metadata"]["name"] = subject.service
    theirs["metadata"].pop("labels")
    container = theirs["spec"]["predictor"]["containers"][0]
    container["command"] = subject.command()
    container["image"] = os.environ["HEADRACE_PEER_IMAGE"]
    del container["envFrom"]
    container["env"] = [{"name": "OMP_NUM_THREADS", "value": "1"}]
    return theirs


class Scheduled(threading.Thread):
    """When the next pod of a service was given a node."""

    def __init__(self, namespace: str, service: str) -> None:
        super().__init__(daemon=True)
        self.at = 0.0
        self.pod = ""
        self._namespace = namespace
        self._selector = f"serving.kserve.io/inferenceservice={service}"
        self._core = client.CoreV1Api()
        self._from = self._core.list_namespaced_pod(namespace, label_selector=self._selector).metadata.resource_version

    def run(self) -> None:
        events = watch.Watch().stream(
            self._core.list_namespaced_pod,
            self._namespace,
            label_selector=self._selector,
            resource_version=self._from,
            timeout_seconds=170,
        )
        for event in events:
            pod = event["object"]
            if pod.spec.node_name and pod.metadata.deletion_timestamp is None:
                self.at, self.pod = time.time(), pod.metadata.name
                return


def wake(subject: Subject, namespace: str) -> list[float]:
    """Seconds of each stage of one wake-up, and of all."""
    selector = f"serving.kserve.io/inferenceservice={subject.service}"
    of_pods = ("get", "pods", "-n", namespace, "-l", selector, "-o", "name")
    until(lambda: not kubectl(*of_pods).strip(), f"{subject.name} sleeps", 180)
    url = kubectl("get", "isvc", subject.service, "-n", namespace, "-o", "jsonpath={.status.url}")
    scheduled = Scheduled(namespace, subject.service)
    scheduled.start()
    asked = time.time()
    answer = httpx.post(f"{url}/v2/models/m/infer", json=subject.body(), timeout=150, trust_env=False)
    answered = time.time()
    assert answer.status_code == 200, answer.text
    scheduled.join()
    log = kubectl("logs", scheduled.pod, "-n", namespace, "-c", "kserve-container", "--timestamps")
    started, ready = (moment(log, words) for words in (STARTING, subject.serving))
    moments = [asked, scheduled.at, started, ready, answered]
    return [b - a for a, b in pairwise(moments)] + [answered - asked]


def moment(log: str, words: str) -> float:
    """When the line with these words was written, seconds since the epoch."""
    line = next(line for line in log.splitlines() if words in line)
    return datetime.fromisoformat(line.split()[0]).timestamp()


@pytest.mark.usefixtures("services")
def test_cold_starts_in_stages(cluster_settings: ClusterSettings) -> None:  # noqa: F811
    namespace = cluster_settings.namespace
    subjects = [subject for pair in PAIRS.values() for subject in pair]
    for subject in subjects:
        kubectl("wait", "--for=condition=Ready", f"isvc/{subject.service}", "-n", namespace, "--timeout=120s")
        wake(subject, namespace)  # the image's pages are read once
    seen: dict[Subject, list[list[float]]] = {subject: [] for subject in subjects}
    for _ in range(ROUNDS):
        for subject, wakes in seen.items():
            wakes.append(wake(subject, namespace))
            print(subject.name, subject.service, [round(s, 3) for s in wakes[-1]], flush=True)
    print("| what | server | quantile | " + " | ".join(STAGES) + " | in all |")
    for what, pair in PAIRS.items():
        for subject in pair:
            for name, at in (("p50", 0.5), ("p95", 0.95)):
                figures = [f"{np.quantile(column, at):.2f} s" for column in zip(*seen[subject], strict=True)]
                print(f"| {what} | {subject.name} | {name} | " + " | ".join(figures) + " |")
    for what, pair in PAIRS.items():
        ours, theirs = (statistics.median(w[2] for w in seen[subject]) for subject in pair)
        print(f"container start to ready, {what}: {theirs / ours:.1f} x (target {TARGET:.0f})")
    assert theirs / ours >= TARGET / 2, "of the plain function"
