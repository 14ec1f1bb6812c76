"""Handing a request on as it is, both bodies as streams: how the management API and the pages share the front door."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from headrace_functions.gateway.upstream import Upstream

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_HOP_BY_HOP = {b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"te", b"trailer", b"proxy-connection"}
_EXPECT = b"expect"
"""Answered by the gateway's own server (100 Continue): passed on, the upstream's interim answer would stand for the final one."""
_ANSWER_SECONDS = 600.0
_FORWARDED_FOR = b"x-forwarded-for"
_LONGEST_PEER = 200
_ODD = re.compile(r"[^0-9A-Za-z.:,_\[\] -]")
PEER = b"x-headrace-peer"
"""The address that a request came from, told to the controller, which sees the gateway alone; a caller's own is left out."""
_LEFT_OUT = frozenset((*_HOP_BY_HOP, _EXPECT, PEER))


def peer_of(scope: Scope, *, forwarded: bool = False) -> str:
    """The address that a request came from; empty over a Unix socket.

    ``forwarded`` gives what ``X-Forwarded-For`` says, if it says anything: the addresses that those in front of the gateway saw, the last
    one first-hand, those before it as they were told.
    """
    if forwarded:
        told = b", ".join(value for name, value in scope["headers"] if name == _FORWARDED_FOR)
        if told:
            return _ODD.sub("", told.decode("latin-1"))[-_LONGEST_PEER:]
    client = scope.get("client")
    return str(client[0]) if client else ""


async def pass_through(
    upstream: Upstream, address: str, scope: Scope, receive: Receive, send: Send, *, peer: str
) -> None:
    """Send the request to ``address`` and its answer back, piece by piece. Raises ``NotSent`` if nobody listens there."""
    length = next((v for k, v in scope["headers"] if k == b"content-length"), None)
    chunked = length is None and any(k == b"transfer-encoding" for k, _ in scope["headers"])
    deadline = asyncio.get_running_loop().time() + _ANSWER_SECONDS
    async with upstream.stream(
        address, _head(scope, peer, chunked=chunked), _body(receive, chunked=chunked), deadline
    ) as (
        reply,
        chunks,
    ):
        headers = [h for h in reply.headers if h[0] not in _HOP_BY_HOP]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _head(scope: Scope, peer: str, *, chunked: bool) -> bytes:
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    lines = [scope["method"].encode() + b" " + target + b" HTTP/1.1"]
    lines += [name + b": " + value for name, value in scope["headers"] if name not in _LEFT_OUT]
    lines.append(PEER + b": " + peer.encode("latin-1", "replace"))
    if chunked:
        lines.append(b"transfer-encoding: chunked")
    lines.append(b"connection: close\r\n\r\n")
    return b"\r\n".join(lines)


async def _body(receive: Receive, *, chunked: bool) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        piece = message.get("body", b"")
        if piece:
            yield b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece
        if not message.get("more_body"):
            break
    if chunked:
        yield b"0\r\n\r\n"
    while (await receive())["type"] != "http.disconnect":
        continue  # hold the stream open until the caller has gone
