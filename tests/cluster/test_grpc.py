"""gRPC in a cluster: Triton's and KServe's clients as they are, through the cluster's own ingress, with records that reach the log."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from .installed import Installed, install, until

CODE = "def predict(model, x, word):\n    return {'y': x + 1, 'loud': [w.upper() for w in word]}\n"
NUMBER, TEXT = {"shape": "scalar", "type": "double"}, {"shape": "scalar", "type": "string"}

KSERVE = """
import asyncio, sys
from kserve import InferenceGRPCClient, InferInput, InferRequest

async def asked(address):
    x, word = InferInput("x", [1], "FP64", [1.0]), InferInput("word", [1], "BYTES", ["a"])
    async with InferenceGRPCClient(address) as client:
        reply = await client.infer(InferRequest("adder", [x, word]), timeout=60)
    print([o.as_numpy().tolist()[0] for o in reply.outputs if o.name == "y"])

address = sys.argv.pop()
asyncio.run(asked(address))
"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, storage: str) -> Iterator[Installed]:
    folder = tmp_path_factory.mktemp("grpc")
    for found in install(folder, f"{storage}/grpc", ("grpc",)):
        contract = {"inputs": {"x": NUMBER, "word": TEXT}, "outputs": {"y": NUMBER, "loud": TEXT}}
        found.apply_python(folder / "adder", "adder", CODE, contract)
        yield found


@pytest.fixture(scope="module")
def address(platform: Installed) -> str:
    url = platform.kubectl("get", "ksvc", "headrace-grpc", "-o", "jsonpath={.status.url}")
    return f"{url.removeprefix('http://')}:80"


def question() -> list[triton.InferInput]:
    x, word = triton.InferInput("x", [2], "FP64"), triton.InferInput("word", [2], "BYTES")
    x.set_data_from_numpy(np.array([1.0, 41.0]))
    word.set_data_from_numpy(np.array([b"a", b"b"], dtype=np.object_))
    return [x, word]


def test_tritons_client_wakes_a_version_and_its_exchange_is_logged(platform: Installed, address: str) -> None:
    with triton.InferenceServerClient(address) as client:
        assert client.is_server_ready()
        answer = client.infer("adder", question(), headers={"x-request-id": "by-triton"}, client_timeout=120)
        again = client.infer("adder", question(), model_version="1")
    assert [2.0, 42.0] == answer.as_numpy("y").tolist() == again.as_numpy("y").tolist()
    assert [b"A", b"B"] == answer.as_numpy("loud").tolist()

    def rows() -> list[dict[str, object]]:
        found: list[dict[str, object]] = platform.headrace("log", "query", "adder:1", "--json")
        return [r for r in found if r["request_id"] == "by-triton"]

    until(lambda: len(rows()) == 2, "both rows are logged")


def test_kserves_client_and_errors_through_the_ingress(address: str) -> None:
    # In a process of its own: its descriptors and those of Triton's client have the same names.
    done = subprocess.run(
        [sys.executable, "-c", KSERVE, address], capture_output=True, text=True, timeout=120, check=False
    )
    assert (0, "[2.0]") == (done.returncode, done.stdout.strip()), done.stderr
    with triton.InferenceServerClient(address) as client:
        with pytest.raises(InferenceServerException) as error:
            client.infer("ghost", question())
        assert "NOT_FOUND" in str(error.value.status())
        with pytest.raises(InferenceServerException) as late:
            client.infer("adder", question(), client_timeout=1e-6)
        assert grpc.StatusCode.DEADLINE_EXCEEDED.name in str(late.value.status())


def test_a_gateway_that_is_replaced_costs_no_call(platform: Installed, address: str, tmp_path: Path) -> None:
    del tmp_path
    with triton.InferenceServerClient(address) as client:
        client.infer("adder", question(), client_timeout=60)
        for pod in platform.pods("app.kubernetes.io/name=headrace-gateway"):
            platform.kubectl("delete", "pod", pod, "--wait=false")
        answers = [client.infer("adder", question(), client_timeout=60).as_numpy("y").tolist() for _ in range(50)]
    assert [[2.0, 42.0]] * 50 == answers
