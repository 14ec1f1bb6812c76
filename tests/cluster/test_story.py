"""A version's life on a cluster, as its users see it."""

import asyncio
import io
import time
from collections.abc import Callable

import httpx
import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from headrace_controller.backends.base import ServiceSpec
from headrace_controller.backends.kserve.backend import KServeBackend
from headrace_controller.backends.kserve.cluster import Cluster
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_functions.gateway.upstream import Upstream
from headrace_functions.names import VersionId
from headrace_functions.signature import Field, Signature, dtype
from headrace_functions.version import Scaling, Version
from support.versions import number

from .conftest import Publisher

ROWS = np.array([[-2.0, 1.0], [2.0, -1.0], [0.5, 0.5]])


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)


@pytest.fixture
def model() -> LogisticRegression:
    features = np.random.default_rng(0).normal(size=(200, 2))
    return LogisticRegression().fit(features, (features[:, 0] > 0).astype(np.int64))


@pytest.fixture
def released(publisher: Publisher, model: LogisticRegression) -> Version:
    artifact = io.BytesIO()
    joblib.dump(model, artifact)
    outputs = (Field("label", dtype("int64")), Field("probabilities", dtype("float64"), (2,)))
    signature = Signature((number("a"), number("b")), outputs)
    version = Version(
        VersionId("churn", 1), "sklearn", signature, "", "e" * 20, "c" * 64, scaling=Scaling(idle_timeout=6.0)
    )
    return publisher.publish(version, {"model.joblib": artifact.getvalue()})


def request_of(rows: np.ndarray) -> dict[str, object]:
    return {
        "inputs": [
            {"name": name, "shape": [len(rows)], "datatype": "FP64", "data": rows[:, i].tolist()}
            for i, name in enumerate("ab")
        ]
    }


def test_a_released_version_answers_sleeps_and_is_woken(
    cluster_settings: ClusterSettings, released: Version, model: LogisticRegression
) -> None:
    """Applied: asleep and Ready without a pod. Asked: it wakes and answers as the model does. Left alone: no pod. Asked: again."""
    name = released.id.service
    expected = model.predict_proba(ROWS)

    async def story() -> None:
        backend = KServeBackend(Cluster(cluster_settings))
        await backend.open()
        upstream = Upstream()
        loop = asyncio.get_running_loop()
        try:
            backend.apply(ServiceSpec(released))
            await until(lambda: backend.observe()[name].address != "" and backend.observe()[name].state == "asleep")
            seen = backend.observe()[name]
            assert (seen.state, seen.replicas) == ("asleep", 0)

            # Through the cluster's gateway at KServe's own address: nothing of ours is in the way.
            async with httpx.AsyncClient(base_url=seen.address, timeout=60, trust_env=False) as outside:
                started = time.monotonic()
                answer = await outside.post("/v2/models/churn/infer", json=request_of(ROWS))
                print(f"\nfirst answer, woken from zero: {time.monotonic() - started:.2f} s")
            assert answer.status_code == 200, answer.text
            outputs = {o["name"]: o["data"] for o in answer.json()["outputs"]}
            assert np.allclose(np.reshape(outputs["probabilities"], (3, 2)), expected)
            assert outputs["label"] == model.predict(ROWS).tolist()

            await until(lambda: backend.observe()[name].state == "ready")
            await until(lambda: backend.observe()[name].state == "asleep")

            started = time.monotonic()
            async with backend.lease(released, deadline=loop.time() + 60) as endpoint:
                head = f"GET /v2/models/churn HTTP/1.1\r\nhost: {endpoint.host}\r\n\r\n".encode()
                reply = await upstream.request(endpoint.address, head, b"", loop.time() + 10)
                print(f"leased from zero: {time.monotonic() - started:.2f} s")
            assert reply.status == 200
            assert b'"probabilities"' in reply.body

            backend.remove(name)
            watcher = Cluster(cluster_settings)
            async with asyncio.timeout(60):
                while await asyncio.to_thread(watcher.find, name) is not None:
                    await asyncio.sleep(0.1)
            watcher.close()
        finally:
            upstream.close()
            await backend.close()

    asyncio.run(story())
