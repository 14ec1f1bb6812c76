"""What clients send by default, byte for byte, is read by the HTTP side that gateway and function server share: body whole, no upgrade."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from headrace_functions.serving import WaitingServer

BODY = b'{"instances":[{"word":"a"}]}'
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
H2C = b"Connection: Upgrade, HTTP2-Settings\r\n%sHost: 127.0.0.1\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\n"
START = b"POST /v1/models/word:predict HTTP/1.1\r\n"
TYPE = b"content-type: application/json\r\n"

CLIENTS = {
    "java HttpClient": START + H2C % LENGTH + b"User-Agent: Java-http-client/17.0.17\r\n" + TYPE + b"\r\n" + BODY,
    "java HttpClient, body of unknown length": START
    + H2C % b"Transfer-encoding: chunked\r\n"
    + TYPE
    + b"\r\n"
    + CHUNKED,
    "curl": START + b"Host: 127.0.0.1:1\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n" + TYPE + LENGTH + b"\r\n" + BODY,
    "curl --http2": START + b"Host: a\r\nAccept: */*\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n" + TYPE + LENGTH + b"\r\n" + BODY,
    "go net/http": START
    + b"Host: a\r\nUser-Agent: Go-http-client/1.1\r\n"
    + LENGTH
    + b"Content-Type: application/json\r\n"
    b"Accept-Encoding: gzip\r\n\r\n" + BODY,
    "go net/http, a stream": START + b"Host: a\r\nUser-Agent: Go-http-client/1.1\r\nTransfer-Encoding: chunked\r\n"
    b"Accept-Encoding: gzip\r\n\r\n" + CHUNKED,
    "node fetch": START + b"host: a\r\nconnection: keep-alive\r\n" + TYPE + b"accept: */*\r\naccept-language: *\r\n"
    b"sec-fetch-mode: cors\r\nuser-agent: node\r\naccept-encoding: gzip, deflate\r\n" + LENGTH + b"\r\n" + BODY,
    "rust reqwest": START + TYPE + b"accept: */*\r\nhost: a\r\n" + LENGTH.lower() + b"\r\n" + BODY,
    "an offer of websocket": START
    + b"Host: a\r\nConnection: upgrade\r\nUPGRADE: websocket\r\n"
    + LENGTH
    + b"\r\n"
    + BODY,
}


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the body that came."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def connection() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = WaitingServer(echo, drain=1)
    serving = asyncio.get_running_loop().create_task(server.serve(sockets=[listener]))
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        server.stop()
        await serving


async def answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    if head.startswith(b"HTTP/1.1 100"):
        return head, b""
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head, await reader.readexactly(length)


def run(work: Any) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_the_body_of_a_request_is_read_whatever_its_client_offers_and_however_it_is_cut(client: str, step: int) -> None:
    async def asked() -> list[tuple[bytes, bytes]]:
        async with connection() as (reader, writer):
            found = []
            for _ in range(2):  # the connection is used again
                request = CLIENTS[client]
                for at in range(0, len(request), step):
                    writer.write(request[at : at + step])
                    await asyncio.sleep(0)
                found.append(await answer(reader))
            return found

    for head, body in run(asked()):
        assert head.startswith(b"HTTP/1.1 200")
        assert body == BODY


def test_a_body_that_holds_the_words_of_an_offer_stays_as_it_is() -> None:
    text = b'"\nUpgrade: h2c\r\n\r\nupgrade: x\r\n"'

    async def asked() -> bytes:
        async with connection() as (reader, writer):
            writer.write(START + b"Host: a\r\nContent-Length: %d\r\n\r\n" % len(text))
            writer.write(text[:9])
            await asyncio.sleep(0)
            writer.write(text[9:])
            return (await answer(reader))[1]

    assert text == run(asked())


def test_who_waits_for_100_continue_is_told_to_go_on() -> None:
    async def asked() -> tuple[bytes, bytes]:
        async with connection() as (reader, writer):
            writer.write(START + b"Host: a\r\nExpect: 100-continue\r\n" + LENGTH + b"\r\n")
            interim, _ = await answer(reader)
            writer.write(BODY)
            return interim, (await answer(reader))[1]

    interim, body = run(asked())
    assert interim.startswith(b"HTTP/1.1 100")
    assert body == BODY
