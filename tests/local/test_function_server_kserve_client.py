"""KServe's own client speaks to the function server, in JSON and with binary tensors."""

import asyncio
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from function_support import Deployed, Home, scalars, serving
from headrace_functions.signature import Field, Signature, dtype

SIGNATURE = Signature(
    (
        *scalars("a"),
        Field("picture", dtype("float16"), (2, 2)),
        Field("word", dtype("string")),
        Field("flag", dtype("bool")),
    ),
    (
        Field("mean", dtype("float16")),
        Field("word", dtype("string")),
        Field("a", dtype("float64")),
        Field("flag", dtype("bool")),
    ),
)
CODE = """
def predict(model, a, picture, word, flag):
    mean = picture.mean(axis=(1, 2))
    return {"mean": mean, "word": [w.upper() for w in word], "a": a * 2, "flag": ~flag}
"""


@pytest.fixture
def kserve(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "argv", sys.argv[:1])  # it reads the command line when it is imported
    return pytest.importorskip("kserve")


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[tuple[Deployed, str]]:
    version = Home(tmp_path).version(SIGNATURE, code=CODE)
    port = _free_port()
    version = replace(version, settings=replace(version.settings, listen=f"tcp:127.0.0.1:{port}"))
    with serving(version):
        yield version, f"http://127.0.0.1:{port}"


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("binary", [True, False])
def test_kserves_client_gets_the_answer(kserve: Any, deployed: tuple[Deployed, str], binary: bool) -> None:
    """Every kind of tensor there and back: FP64, FP16, BYTES, BOOL; ready and live; the id is echoed."""
    _, url = deployed
    picture = np.array([[[1, 2], [3, 4]], [[0, 0], [0, 1]]], dtype=np.float16 if binary else np.float32)
    given = {
        "a": np.array([1.5, 2.5]),
        "picture": picture,
        "word": np.array(["ä", "b"], dtype=object),
        "flag": np.array([True, False]),
    }
    wire = {"a": "FP64", "picture": "FP16" if binary else "FP32", "word": "BYTES", "flag": "BOOL"}
    inputs = []
    for name, array in given.items():
        tensor = kserve.InferInput(name, list(array.shape), wire[name])
        tensor.set_data_from_numpy(array, binary_data=binary)
        inputs.append(tensor)
    parameters = {"binary_data_output": True} if binary else None
    request = kserve.InferRequest("m", inputs, request_id="r-7", parameters=parameters)

    async def ask() -> tuple[Any, bool, bool, bool]:
        client = kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v2"))
        try:
            return (
                await client.infer(url, request, model_name="m"),
                await client.is_server_live(url),
                await client.is_server_ready(url),
                await client.is_model_ready(url, "m"),
            )
        finally:
            await client.close()

    answer, live, ready, model_ready = asyncio.run(ask())
    outputs = {o.name: o.as_numpy() for o in answer.outputs}

    assert (True, True, True) == (live, ready, model_ready)
    assert ("r-7", "m") == (answer.id, answer.model_name)
    assert [3.0, 5.0] == outputs["a"].tolist()
    assert [2.5, 0.25] == outputs["mean"].tolist()
    assert ["Ä", "B"] == [w.decode() if isinstance(w, bytes) else w for w in outputs["word"].tolist()]
    assert [False, True] == outputs["flag"].tolist()


@pytest.mark.filterwarnings("default")
def test_kserves_client_speaks_v1(kserve: Any, deployed: tuple[Deployed, str]) -> None:
    _, url = deployed
    row = {"a": 1.0, "picture": [[1, 2], [3, 4]], "word": "x", "flag": True}

    async def ask() -> Any:
        client = kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v1"))
        try:
            return await client.infer(url, {"instances": [row]}, model_name="m"), await client.is_model_ready(url, "m")
        finally:
            await client.close()

    answer, ready = asyncio.run(ask())

    assert ready
    assert {"predictions": [{"mean": 2.5, "word": "X", "a": 2.0, "flag": False}]} == answer
