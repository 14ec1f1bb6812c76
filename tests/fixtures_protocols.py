"""One platform with gRPC, a function whose behaviour its input chooses, and one client a protocol with the same face."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import grpc
import httpx
import numpy as np
import orjson
import pytest

from fixtures_platform import RunningPlatform, body, until
from headrace_controller.embedded.home import holder_of
from headrace_functions.rpc.descriptors import SERVICE, message
from headrace_functions.rpc.status import PROBLEM

FAIL, BLOCK = -1.0, 7.0
CODE = """
import pathlib, time

def predict(model, x):
    time.sleep(0.003)  # never so fast that it runs on the event loop, where it could not be waited for
    if (x == -1).any():
        raise ValueError("minus one")
    if (x == 7).any():
        pathlib.Path(GATE + ".blocked").touch()
    while (x == 7).any() and not pathlib.Path(GATE).exists():
        time.sleep(0.005)
    return {"y": x + 1}
"""


@dataclass
class Answer:
    """What a caller got: ``ok`` and the numbers, or the problem's code."""

    code: str
    y: list[float] = field(default_factory=list)
    problem: dict[str, Any] = field(default_factory=dict)


class Calling(Protocol):
    """A client of one protocol."""

    name: str

    def call(self, target: str, x: float, request_id: str, hang_up: threading.Event | None = None) -> Answer:
        """Ask for one row. With ``hang_up`` the call is given up when the event is set, and its code is ``cancelled``."""


class HttpCalling:
    def __init__(self, url: str, *, binary: bool) -> None:
        self.name = "http-binary" if binary else "http-json"
        self._url = url
        self._binary = binary

    def call(self, target: str, x: float, request_id: str, hang_up: threading.Event | None = None) -> Answer:
        model, _, version = target.partition(":")
        path = f"/v2/models/{model}{f'/versions/{version}' if version else ''}/infer"
        content, headers = orjson.dumps(body(x)), {"content-type": "application/json"}
        if self._binary:
            tensor = {"name": "x", "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": 8}}
            text = orjson.dumps({"inputs": [tensor]})
            content, headers = text + np.float64(x).tobytes(), {"inference-header-content-length": str(len(text))}
        client = httpx.Client(base_url=self._url, timeout=30)
        if hang_up is not None:
            threading.Thread(target=lambda: (hang_up.wait(30), _shut(client)), daemon=True).start()
        try:
            with client:
                reply = client.post(path, content=content, headers={**headers, "x-request-id": request_id})
        except httpx.TransportError:
            return Answer("cancelled")
        document = reply.json()
        if reply.status_code != 200:
            return Answer(document["code"], problem=document)
        return Answer("ok", document["outputs"][0]["data"])


def _shut(client: httpx.Client) -> None:
    """Close the connection under a request that waits."""
    for connection in list(client._transport._pool.connections):  # type: ignore[attr-defined]
        stream = connection._connection._network_stream.get_extra_info("socket")
        stream.shutdown(2)


class GenerateCalling(HttpCalling):
    """``generate_stream``, read to its end; the pieces of a function that returns are one."""

    def __init__(self, url: str) -> None:
        super().__init__(url, binary=False)
        self.name = "stream"

    def call(self, target: str, x: float, request_id: str, hang_up: threading.Event | None = None) -> Answer:
        model, _, version = target.partition(":")
        path = f"/v2/models/{model}{f'/versions/{version}' if version else ''}/generate_stream"
        headers = {"accept": "application/x-ndjson", "x-request-id": request_id}
        client = httpx.Client(base_url=self._url, timeout=30)
        if hang_up is not None:
            threading.Thread(target=lambda: (hang_up.wait(30), _shut(client)), daemon=True).start()
        try:
            with client:
                reply = client.post(path, json={"x": x}, headers=headers)
        except httpx.TransportError:
            return Answer("cancelled")
        document = orjson.loads(reply.content.splitlines()[-1])
        if reply.status_code != 200:
            return Answer(document["code"], problem=document)
        return Answer("ok", [document["y"]])


class GrpcCalling:
    name = "grpc"

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address)
        self.infer = self.channel.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=message("inference.ModelInferResponse").FromString,
        )

    def call(self, target: str, x: float, request_id: str, hang_up: threading.Event | None = None) -> Answer:
        model, _, version = target.partition(":")
        request = message("inference.ModelInferRequest")(model_name=model, model_version=version)
        request.inputs.add(name="x", datatype="FP64", shape=[1]).contents.fp64_contents.append(x)
        future = self.infer.future(request, timeout=30, metadata=(("x-request-id", request_id),))
        if hang_up is not None:
            threading.Thread(target=lambda: (hang_up.wait(30), future.cancel()), daemon=True).start()
        try:
            response = future.result()
        except grpc.FutureCancelledError:
            return Answer("cancelled")
        except grpc.RpcError as error:
            problem = orjson.loads(dict(error.trailing_metadata())[PROBLEM])  # type: ignore[attr-defined]
            return Answer(problem["code"], problem=problem)
        return Answer("ok", np.frombuffer(response.raw_output_contents[0]).tolist())


@dataclass
class Served:
    """The platform, its gate (a file that lets blocked calls go on) and the clients."""

    platform: RunningPlatform
    gate: Path
    clients: dict[str, Calling]
    grpc: str
    expected: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Outcome and status in the log by request id, which tests add to and one test at the end looks at."""

    @property
    def blocked(self) -> Path:
        """There while, or after, a call waits for the gate."""
        return Path(f"{self.gate}.blocked")

    def open_gate(self) -> None:
        self.gate.touch()

    def close_gate(self) -> None:
        """Once nothing waits at it any more."""
        self.open_gate()
        until(lambda: self.clients["http-json"].call("steady", 1.0, "free").code == "ok", "the function is free")
        self.gate.unlink(missing_ok=True)
        self.blocked.unlink(missing_ok=True)


TARGETS = ("steady", "steady:1", "steady@prod", "steady-flow")
"""A model, a version, an alias and a sequence, all of which lead to ``steady:1``."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, shared_environments: Path) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("home")
    (home / "environments").symlink_to(shared_environments)
    running = RunningPlatform(
        home, "--grpc-port", "0", "--unconfined"
    ).start()  # its function looks for the gate in the home
    gate = home / "gate"
    try:
        code = CODE.replace("GATE", repr(str(gate)))
        running.apply_python("steady", code, home / "steady", limits={"queue": 1})
        _alias(running)
        running.apply(_sequence(home))
        holder = holder_of(running.settings)
        assert holder is not None
        clients: list[Calling] = [
            HttpCalling(running.url, binary=False),
            HttpCalling(running.url, binary=True),
            GenerateCalling(running.url),
            GrpcCalling(holder.grpc),
        ]
        yield Served(running, gate, {c.name: c for c in clients}, holder.grpc)
    finally:
        gate.touch()
        assert running.stop() == 0


def _alias(running: RunningPlatform) -> None:
    httpx.put(f"{running.url}/api/v1/models/steady/aliases/prod", json={"version": 1}).raise_for_status()


def _sequence(home: Path) -> Path:
    path = home / "flow.yaml"
    path.write_text("kind: Sequence\nname: steady-flow\npipeline:\n  - [{model: 'steady:1'}]\n")
    return path


@pytest.fixture
def in_threads() -> Iterator[Callable[[Callable[[], Answer]], "Later"]]:
    """Start calls beside the test; each gives its answer later."""
    later: list[Later] = []

    def start(ask: Callable[[], Answer]) -> "Later":
        later.append(Later(ask))
        return later[-1]

    yield start
    for one in later:
        one.result()


class Later:
    def __init__(self, ask: Callable[[], Answer]) -> None:
        self._answer: Answer | None = None

        def run() -> None:
            self._answer = ask()

        self._thread = threading.Thread(target=run)
        self._thread.start()

    @property
    def answered(self) -> bool:
        return self._answer is not None

    def result(self) -> Answer:
        self._thread.join(40)
        assert self._answer is not None
        return self._answer
