"""Requests read from their connections, within the limits of number, bytes and time."""

import asyncio
import contextlib
import time
from collections.abc import Iterator

from headrace_functions.errors import Malformed, Overloaded, TooLarge
from headrace_functions.gateway.calls import REQUEST_ID, SOURCE, Call
from headrace_functions.gateway.calls import Protocol as WireProtocol
from headrace_functions.gateway.edge import TIMING
from headrace_functions.gateway.guard import LOG
from headrace_functions.gateway.passthrough import Receive, Scope
from headrace_functions.names import usable_request_id
from headrace_functions.platform_secret import PROOF, PlatformSecret
from headrace_functions.protocol.budget import ByteBudget, HeldBytes
from headrace_functions.protocol.encodings import decoded
from headrace_functions.protocol.headers import JSON_LENGTH, number

MAX_OPEN = 10_000
"""Requests open at once in one gateway; one more is refused with 429."""


class RequestReader:
    """Reads the requests of one gateway; ``open_bytes`` bounds the bytes of the bodies that it holds at once."""

    def __init__(self, secret: PlatformSecret, open_bytes: int) -> None:
        self._secret = secret
        self._open = 0
        self._bytes = ByteBudget(open_bytes)

    @contextlib.contextmanager
    def room(self) -> Iterator[HeldBytes]:
        """A place among the open requests, with the bytes of its body."""
        if self._open >= MAX_OPEN:
            raise Overloaded(f"{MAX_OPEN} requests are open in this gateway")
        self._open += 1
        held = self._bytes.hold()
        try:
            yield held
        finally:
            self._open -= 1
            held.release()

    async def read(
        self, protocol: WireProtocol, limit: int, seconds: float, scope: Scope, receive: Receive, held: HeldBytes
    ) -> Call:
        """A request as a call, its body decompressed, at most ``limit`` bytes; it is to be answered within ``seconds``, or earlier where the caller says so.

        ``Malformed`` where the caller disconnects before the end, ``TooLarge``, ``Overloaded`` where too many bytes are held.
        """
        received = time.time_ns()
        headers = dict(scope["headers"])
        request_id = scope["request_id"] = usable_request_id(headers.get(REQUEST_ID, b"").decode("latin-1"))
        wanted = number(headers.get(b"x-headrace-timeout"))
        if wanted is not None:
            seconds = min(seconds, wanted / 1000)
        deadline = asyncio.get_running_loop().time() + seconds
        held.at_least(min(number(headers.get(b"content-length")) or 0, limit))
        body = decoded(await _read(receive, limit, held), headers.get(b"content-encoding"), limit)
        held.at_least(len(body))
        return Call(
            request_id,
            protocol,
            body,
            deadline,
            received,
            headers.get(b"content-type", b"application/json"),
            headers.get(JSON_LENGTH),
            headers.get(b"traceparent"),
            headers.get(b"x-headrace-time"),
            timed=TIMING in headers,
            unrecorded=headers.get(LOG) == b"off" or self._secret.is_purpose(headers.get(b"x-headrace-purpose")),
            caller=scope["caller"],
            source=headers.get(SOURCE) if SOURCE in headers and self._secret.is_proof(headers.get(PROOF)) else None,
        )


async def _read(receive: Receive, limit: int, held: HeldBytes) -> bytes:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Malformed("the caller disconnected before the request was complete")
    body: bytes = message.get("body", b"")
    if not message.get("more_body") and len(body) <= limit:
        return body
    pieces = [body]
    size = len(body)
    while size <= limit and message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Malformed("the caller disconnected before the request was complete")
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        held.at_least(size)
    if size > limit:
        raise TooLarge(
            "the request body is too large", expected=f"at most {limit} bytes", hint="send fewer rows per request"
        )
    return b"".join(pieces)
