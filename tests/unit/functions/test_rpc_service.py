"""What the gateway says of an answer in headers is said by gRPC with the call's end."""

import asyncio
import contextlib

import orjson
import pytest

from headrace_functions.rpc.calls import Call
from headrace_functions.rpc.descriptors import SERVICE, message
from headrace_functions.rpc.gateway import GatewayClient
from headrace_functions.rpc.service import InferenceService
from headrace_functions.rpc.wire import CallFailed, Metadata

TOLD = (b"x-request-id: r\r\n", b"x-headrace-version: m:1\r\n", b"x-headrace-unlogged: 1\r\n")
REQUEST = message("inference.ModelInferRequest")(model_name="m").SerializeToString()


def ended(status: int, calls: int, method: str) -> Metadata:
    """The trailing metadata of one call with ``calls`` requests, all of which the gateway answers with ``status`` and ``TOLD``."""
    body = orjson.dumps({"outputs": [], "detail": "no"})
    answer = b"HTTP/1.1 %d X\r\n%bcontent-length: %d\r\n\r\n%b" % (status, b"".join(TOLD), len(body), body)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
                writer.write(answer)

    async def run() -> Metadata:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            client = GatewayClient(f"tcp:127.0.0.1:{server.sockets[0].getsockname()[1]}")
            served, call = InferenceService(client).methods()[f"/{SERVICE}/{method}".encode()], Call({}, None)

            async def requests():  # type: ignore[no-untyped-def]
                for _ in range(calls):
                    yield REQUEST

            try:
                if served.unary is None:
                    assert served.streaming is not None
                    assert calls == len([answer async for answer in served.streaming(requests(), call)])
                    return call.trailing
                await served.unary(REQUEST, call)
            except CallFailed as failed:
                return failed.trailing
            finally:
                client.close()
            return call.trailing

    return asyncio.run(run())


@pytest.mark.parametrize("status", [200, 422, 500])
@pytest.mark.parametrize(("method", "calls"), [("ModelInfer", 1), ("ModelStreamInfer", 3)])
def test_an_answer_that_could_not_be_logged_says_so_once_in_the_trailing_metadata(
    method: str, calls: int, status: int
) -> None:
    trailing = ended(status, calls, method)
    assert ["1"] == [value for name, value in trailing if name == "x-headrace-unlogged"]
    assert ["m:1"] == [value for name, value in trailing if name == "x-headrace-version"]
