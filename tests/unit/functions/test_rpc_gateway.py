"""The gRPC server's way to its gateway, by an ingress that may not know the gateway yet."""

import asyncio
import contextlib

import pytest

from headrace_functions.errors import Unreachable
from headrace_functions.rpc.gateway import GatewayClient

KNOWS = b"HTTP/1.1 200 OK\r\nx-request-id: r1\r\ncontent-length: 2\r\n\r\n{}"
DOES_NOT = b"HTTP/1.1 404 Not Found\r\nserver: envoy\r\ncontent-length: 0\r\n\r\n"


def asked(*connections: bytes) -> tuple[int, list[bytes]]:
    """The status that the client comes to; each connection gives one answer again and again, further ones that of the last. And the hosts it named."""
    hosts: list[bytes] = []

    async def run() -> int:
        answers = list(connections)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError):
                while head := await reader.readuntil(b"\r\n\r\n"):
                    hosts.append(head.split(b"host: ")[1].split(b"\r\n")[0])
                    writer.write(answer)

        ended: set[asyncio.Task[None]] = set()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            ended.add(task)
            await serve(reader, writer)

        async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            client = GatewayClient(f"tcp:127.0.0.1:{port}")
            try:
                return (await client.ask("GET", "/v2", b"", seconds=5.0)).status
            finally:
                client.close()
                await asyncio.wait(ended, timeout=5)

    return asyncio.run(run()), hosts


def test_a_connection_by_which_the_ingress_does_not_know_the_gateway_is_not_used_again() -> None:
    status, hosts = asked(DOES_NOT, DOES_NOT, KNOWS)
    assert (200, [b"127.0.0.1"] * 3) == (status, hosts)


def test_an_ingress_that_never_knows_it_is_a_gateway_that_is_away() -> None:
    with pytest.raises(Unreachable, match="the ingress answered 404 and not the gateway"):
        asked(DOES_NOT)
