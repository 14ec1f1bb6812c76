"""Requests that the gateway hands on to the management API as they are."""

import asyncio
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import uvloop

from headrace_functions.gateway.passthrough import pass_through
from headrace_functions.gateway.upstream import Upstream

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def continuing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server as HTTP has it: it says 100 Continue to who expects it, then answers."""
    head = await reader.readuntil(b"\r\n\r\n")
    if b"expect: 100-continue" in head.lower():
        writer.write(CONTINUE)
    await reader.readexactly(2)
    writer.write(ANSWER)
    await writer.drain()
    writer.close()


async def asked(folder: Path, *headers: tuple[bytes, bytes]) -> list[MutableMapping[str, Any]]:
    """What a caller gets whose request has these headers."""
    server = await asyncio.start_unix_server(continuing, folder / "api.sock")
    scope = {"method": "POST", "raw_path": b"/api/v1/cloudevents", "query_string": b"", "headers": list(headers)}
    told: list[MutableMapping[str, Any]] = [{"type": "http.request", "body": b"{}"}]
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        if not told:
            await asyncio.Event().wait()  # the caller stays
        return told.pop()

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    upstream = Upstream()
    try:
        await pass_through(upstream, f"unix:{folder / 'api.sock'}", scope, receive, send, peer="127.0.0.1")
    finally:
        server.close()
    return sent


def test_a_caller_that_expects_100_continue_gets_the_final_answer(tmp_path: Path) -> None:
    sent = uvloop.run(asked(tmp_path, (b"content-length", b"2"), (b"expect", b"100-continue")))
    assert (200, b"ok") == (sent[0]["status"], b"".join(m.get("body", b"") for m in sent[1:]))
