"""A function that is a server in a container beside it: waited for, held against what it says of itself, asked for each request."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace_functions.errors import FunctionFailed, InvalidInput, SignatureMismatch
from headrace_functions.runtime.loading import load_function
from headrace_functions.signature import Field, Signature, dtype

SIGNATURE = Signature((Field("x", dtype("float64")),), (Field("y", dtype("float64")),))


class ModelServer:
    """Doubles ``x``. Not ready until ``looks`` were in vain; ``metadata`` is what it says of itself, None nothing."""

    def __init__(self) -> None:
        self.looks = 0
        self.metadata: dict[str, Any] | None = None
        self.asked: list[dict[str, Any]] = []
        self.status = 200

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler) -> None:  # noqa: N805
                if handler.path == "/ready":
                    self.looks -= 1
                    handler.answer(503 if self.looks >= 0 else 200, {})
                else:
                    handler.answer(404 if self.metadata is None else 200, self.metadata or {})

            def do_POST(handler) -> None:  # noqa: N805
                request = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
                self.asked.append(request)
                data = [2 * x for x in request["inputs"][0]["data"]]
                outputs = [{"name": "y", "datatype": "FP64", "shape": [len(data)], "data": data}]
                handler.answer(self.status, {"model_name": "m", "outputs": outputs})

            def answer(handler, status: int, document: dict[str, Any]) -> None:  # noqa: N805
                body = json.dumps(document).encode()
                handler.send_response(status)
                handler.send_header("content-length", str(len(body)))
                handler.end_headers()
                handler.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nothing on the test's output."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True

    def options(self, **more: Any) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.http.server_address[1]}/v2/models/m"
        return {"url": url, "timeout": 5.0, "readiness": "/ready", "start-timeout": 10.0, **more}


@pytest.fixture
def server() -> Iterator[ModelServer]:
    made = ModelServer()
    thread = threading.Thread(target=made.http.serve_forever, daemon=True)
    thread.start()
    yield made
    made.http.shutdown()
    made.http.server_close()
    thread.join()


def test_a_request_is_passed_on_once_the_container_is_ready(server: ModelServer, tmp_path: Path) -> None:
    server.looks = 3
    function = load_function("container", tmp_path, server.options(), SIGNATURE)
    assert -1 == server.looks, "asked until it was ready, and no more"
    assert [3.0, 5.0] == function({"x": np.array([1.5, 2.5])})["y"].tolist()
    assert [[1.5, 2.5]] == [r["inputs"][0]["data"] for r in server.asked]


def test_a_container_that_never_is_ready_ends_the_start_with_what_it_said(server: ModelServer, tmp_path: Path) -> None:
    server.looks = 1000
    with pytest.raises(InvalidInput) as refused:
        load_function("container", tmp_path, server.options(**{"start-timeout": 0.3}), SIGNATURE)
    assert ("container.readiness", "it answered 503") == (refused.value.field, refused.value.got)


def test_where_nobody_listens_the_start_ends_with_that(tmp_path: Path) -> None:
    options = {"url": "http://127.0.0.1:9/v2/models/m", "readiness": "/ready", "start-timeout": 0.2}
    with pytest.raises(InvalidInput, match=r"not ready after 0\.2 s.*refused"):
        load_function("container", tmp_path, options, SIGNATURE)


def tensors(*named: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"name": n, "datatype": t, "shape": [-1]} for n, t in named]


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"inputs": tensors(("z", "FP64")), "outputs": tensors(("y", "FP64"))}, "x"),
        ({"inputs": tensors(("x", "INT64")), "outputs": tensors(("y", "FP64"))}, "x"),
        ({"inputs": tensors(("x", "FP64"), ("more", "FP64")), "outputs": tensors(("y", "FP64"))}, "more"),
        ({"inputs": tensors(("x", "FP64")), "outputs": tensors(("score", "FP64"))}, "y"),
    ],
)
def test_a_contract_that_the_container_contradicts_is_told_when_it_starts(
    server: ModelServer, tmp_path: Path, metadata: dict[str, Any], field: str
) -> None:
    server.metadata = metadata
    with pytest.raises(SignatureMismatch) as refused:
        load_function("container", tmp_path, server.options(), SIGNATURE)
    assert field == refused.value.field


@pytest.mark.parametrize(
    "metadata",
    [
        {"inputs": tensors(("x", "FP64")), "outputs": tensors(("y", "FP64"), ("more", "FP64"))},
        {"inputs": [], "outputs": []},
        {"name": "m"},
        {"inputs": [{"name": "x", "datatype": "something"}]},
    ],
)
def test_one_that_says_nothing_or_gives_more_is_believed(
    server: ModelServer, tmp_path: Path, metadata: dict[str, Any]
) -> None:
    server.metadata = metadata
    function = load_function("container", tmp_path, server.options(), SIGNATURE)
    assert [2.0] == function({"x": np.array([1.0])})["y"].tolist()


def test_a_refusal_of_the_container_fails_the_request(server: ModelServer, tmp_path: Path) -> None:
    function = load_function("container", tmp_path, server.options(), SIGNATURE)
    server.status = 500
    with pytest.raises(FunctionFailed):
        function({"x": np.array([1.0])})
