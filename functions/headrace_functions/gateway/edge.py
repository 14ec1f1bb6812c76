"""What the front door does for browsers and slow lines, around whatever answers: compressed answers, CORS, ``Server-Timing``.

An answer is compressed where the caller accepts that, it has a length (streams have none) and compressing pays. Origins that are not named
get no CORS headers, so browsers keep their pages from reading answers.
"""

import importlib
import re
import time
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

SMALLEST = 1400
"""Bytes of a body that is worth compressing; less fits one packet anyway."""
TIMING = b"x-headrace-timing"
"""A request with this header gets ``Server-Timing``: what of the time went where, in milliseconds."""
PREFLIGHT_SECONDS = 600
_METHODS = b"GET, HEAD, POST, DELETE, OPTIONS"
_EXPOSED = (
    b"x-request-id, x-headrace-version, x-headrace-unlogged, x-headrace-definitions, retry-after, "
    b"inference-header-content-length, server-timing, location, preference-applied"
)
_INFERENCE = ("/v1/", "/v2")
_PACKED_ALREADY = re.compile(rb"^(image|video|audio)/|zip|zstd|parquet")


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    origins: tuple[str, ...] = ()
    """Origins of pages that may read answers, such as ``https://app.example.org``; ``*`` for every one, without credentials."""


class Edge:
    """An ASGI application around another. Only requests that ask for something pay for it."""

    def __init__(self, app: Application, settings: EdgeSettings) -> None:
        self._app = app
        self._origins = {o.encode() for o in settings.origins}
        self._any = "*" in settings.origins

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(_INFERENCE):
            await self._app(scope, receive, send)
            return
        accepted, origin, timed = b"", b"", False
        for name, value in scope["headers"]:
            if name == b"accept-encoding":
                accepted = value
            elif name == b"origin":
                origin = value
            elif name == TIMING:
                timed = True
        allowed = origin if origin and (self._any or origin in self._origins) else b""
        if allowed and scope["method"] == "OPTIONS":
            await self._preflight(scope, allowed, send)
            return
        answering: Send = send
        if timed:
            answering = _timed(answering)
        if accepted and (coding := _chosen(accepted)):
            answering = _Compressed(answering, coding).send
        if allowed:
            answering = self._shared(answering, allowed)
        await self._app(scope, receive, answering)

    def _headers(self, origin: bytes) -> list[tuple[bytes, bytes]]:
        if self._any:
            return [(b"access-control-allow-origin", b"*")]
        return [(b"access-control-allow-origin", origin), (b"vary", b"origin")]

    def _shared(self, send: Send, origin: bytes) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = [*self._headers(origin), (b"access-control-expose-headers", _EXPOSED)]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        return sending

    async def _preflight(self, scope: Message, origin: bytes, send: Send) -> None:
        wanted = next((v for k, v in scope["headers"] if k == b"access-control-request-headers"), b"content-type")
        headers = [
            *self._headers(origin),
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", wanted[:2000]),
            (b"access-control-max-age", b"%d" % PREFLIGHT_SECONDS),
            (b"content-length", b"0"),
        ]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def _timed(send: Send) -> Send:
    started = time.perf_counter()

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            total = b"total;dur=%.3f" % ((time.perf_counter() - started) * 1000)
            message = {**message, "headers": [*message["headers"], (b"server-timing", total)]}
        await send(message)

    return sending


class _Compressed:
    """Compresses an answer of known length that comes in one piece."""

    def __init__(self, send: Send, coding: bytes) -> None:
        self._send = send
        self._coding = coding
        self._head: Message | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            found = dict(message["headers"])
            length = found.get(b"content-length", b"")
            if (
                length.isdigit()
                and int(length) >= SMALLEST
                and b"content-encoding" not in found
                and not _PACKED_ALREADY.search(found.get(b"content-type", b""))
            ):
                self._head = message
                return
        elif self._head is not None:
            head, self._head = self._head, None
            if message.get("more_body") or not message.get("body"):  # in pieces, or the answer to HEAD
                await self._send(head)
            else:
                body = compressed(message["body"], self._coding)
                kept = [h for h in head["headers"] if h[0] != b"content-length"]
                more = [
                    (b"content-length", b"%d" % len(body)),
                    (b"content-encoding", self._coding),
                    (b"vary", b"accept-encoding"),
                ]
                await self._send({**head, "headers": kept + more})
                message = {**message, "body": body}
        await self._send(message)


def compressed(body: bytes, coding: bytes) -> bytes:
    if coding == b"zstd":
        packed: bytes = importlib.import_module("zstandard").ZstdCompressor(level=3).compress(body)
        return packed
    window = 31 if coding == b"gzip" else 15
    packer = zlib.compressobj(6 if len(body) < 256 * 1024 else 1, zlib.DEFLATED, window)
    return packer.compress(body) + packer.flush()


def _chosen(accepted: bytes) -> bytes:
    """The coding that the caller likes best, of equal ones the quickest; empty for none."""
    best, liked = b"", 0.0
    given: dict[bytes, float] = {}
    for part in accepted.lower().split(b","):
        name, _, quality = part.strip().partition(b";")
        weight = quality.strip().removeprefix(b"q=")
        try:
            given[name.strip()] = float(weight) if weight else 1.0
        except ValueError:
            given[name.strip()] = 0.0
    for coding in (b"zstd", b"gzip", b"deflate"):
        weight_of = given.get(coding, given.get(b"*", 0.0))
        if weight_of > liked:
            best, liked = coding, weight_of
    return best
