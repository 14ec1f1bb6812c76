"""The store for pods that run users' code, on a port of the gateway's own: each by its token, nothing but what it was made for.

Functions and builds hold no credentials of the store. The gateway has them, always runs, and is at hand when a pod starts, so it
answers in the store's place: no start waits for another one, and no pod needs a way to the store.

``GET`` and ``HEAD /<key>``   the object as it comes from the store
``PUT /<key>``                an object; with ``if-none-match: *`` only if it is not there (409). Durable when it is answered.

``Authorization: Bearer <token>`` says who asks; ``storage.reach`` what that opens. 401 without a token of this platform, 403 for a
key beyond it, 413, 429 past ``TOGETHER`` requests of one holder or ``OPEN_BYTES`` of all, 503 while the store is away or the
platform's secret is not known yet. A pod that reads or sends slower than ``SLOWEST`` is hung up on. Whoever tries again does no harm: segments are created once, under the same key.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from headrace_functions.errors import (
    DeadlineExceeded,
    Forbidden,
    HeadraceError,
    InvalidInput,
    Malformed,
    MethodNotAllowed,
    NotFound,
    NotReady,
    Overloaded,
    TooLarge,
    Unauthenticated,
)
from headrace_functions.gateway.passthrough import Receive, Scope, Send
from headrace_functions.names import VersionId
from headrace_functions.platform_secret import FUNCTION, PlatformSecret
from headrace_functions.protocol.budget import ByteBudget, HeldBytes
from headrace_functions.protocol.problems import problem
from headrace_functions.serving import CancelledWithCaller
from headrace_functions.storage import layout, reach
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.storage.releases import ReleaseKey, read_release

TOGETHER = 16
"""Requests at once of one holder."""
OPEN_BYTES = 64 * 1024 * 1024
"""Bytes in memory at once for all; a download counts as ``_STREAMED``."""
SLOWEST, PATIENCE = 1024 * 1024, 60.0
"""Bytes a second beyond the first seconds: a pod that reads slowly must not keep others from starting."""
MAX_OBJECT = 256 * 1024 * 1024
"""Bytes of a segment, which is closed at 8 MiB and takes the largest record, and of the answers of a build."""
ARCHIVE, MAX_ARCHIVE = ".tar.zst", 5 * 1024**3
"""How the key of a layer's archive ends, and the bytes that a build may hand over as one."""
# Bytes. What is created once is held in memory; larger segments are written in pieces. Then what is in memory of objects in pieces.
_CREATED_WHOLE = 16 * 1024 * 1024
_STREAMED, _RECEIVED = 1024 * 1024, 16 * 1024 * 1024
_OCTETS = [(b"content-type", b"application/octet-stream")]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose token it is."""

    kind: str
    name: str

    @property
    def is_function(self) -> bool:
        return self.kind == FUNCTION


class StoreProxy:
    """An ASGI application. All of it belongs to one event loop."""

    def __init__(
        self,
        objects: ObjectStore,
        secret: PlatformSecret,
        arrived: Callable[[], object],
        release_key: ReleaseKey | None = None,
    ) -> None:
        """``arrived`` is told of each segment that is in the inbox now; it must return at once. With a ``release_key`` a version
        that is not signed is given to nobody."""
        self._objects = objects
        self._release_key = release_key
        self._secret = secret
        self._arrived = arrived
        self._open: Counter[Holder] = Counter()
        self._budget = ByteBudget(OPEN_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            holder = self._holder(scope)
            with CancelledWithCaller(scope), self._counted(holder) as held:
                await self._answer(holder, scope, receive, send, held)
        except HeadraceError as error:
            if isinstance(error, Forbidden):
                log.warning("%s", error.message)
            refusal = problem(error)
            headers = [(name.encode(), value.encode()) for name, value in refusal.headers]
            await _send(send, refusal.status, b"" if scope["method"] == "HEAD" else refusal.body, headers)

    async def _answer(self, holder: Holder, scope: Scope, receive: Receive, send: Send, held: HeldBytes) -> None:
        key = scope["path"].removeprefix("/")
        match scope["method"]:
            case "GET":
                await self._check_reads(holder, key)
                if holder.is_function and self._release_key is not None:
                    await self._check_release(VersionId.of_service(holder.name), key, self._release_key)
                held.at_least(_STREAMED)
                await self._download(key, send)
            case "HEAD":
                await self._check_reads(holder, key)
                size = await asyncio.to_thread(self._objects.size, key)
                start = {"type": "http.response.start", "status": 200, "headers": [*_OCTETS, _length(size)]}
                await send(start)
                await send({"type": "http.response.body", "body": b""})
            case "PUT":
                await self._check_writes(holder, key)
                await self._upload(holder, key, scope, receive, held)
                await _send(send, 201, b"", [])
            case method:
                raise MethodNotAllowed(
                    f"the store proxy does not support {method}", allowed="GET, HEAD, PUT", got=method
                )

    async def _check_release(self, version: VersionId, key: str, release_key: ReleaseKey) -> None:
        if key == layout.version_document(version):
            await asyncio.to_thread(read_release, self._objects, version, release_key)

    def _holder(self, scope: Scope) -> Holder:
        if not self._secret.value:
            raise NotReady("the gateway does not have the platform's secret yet")
        credentials = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        found = self._secret.holder_of(credentials.removeprefix("Bearer "))
        if found is None:
            raise Unauthenticated("the store proxy is only for pods of this platform, each with its token")
        return Holder(*found)

    @contextmanager
    def _counted(self, holder: Holder) -> Iterator[HeldBytes]:
        if self._open[holder] >= TOGETHER:
            raise Overloaded(f"{TOGETHER} requests of {holder.name} are open at the store proxy")
        self._open[holder] += 1
        held = self._budget.hold()
        try:
            yield held
        finally:
            held.release()
            self._open[holder] -= 1
            if not self._open[holder]:
                del self._open[holder]

    async def _check_reads(self, holder: Holder, key: str) -> None:
        if holder.is_function:
            version = VersionId.of_service(holder.name)
            if key in reach.function_reads(version):
                return
            if key.startswith(layout.ENVIRONMENTS) and key == await self._layer_of(version):
                return
        elif key == reach.build_question(holder.name) or key in await self._named(holder, reach.READS):
            return
        raise _beyond(holder, key)

    async def _layer_of(self, version: VersionId) -> str:
        return reach.layer_of(await self._document(layout.version_document(version)))

    async def _check_writes(self, holder: Holder, key: str) -> None:
        if holder.is_function:
            if reach.is_own_segment(holder.name, key):
                return
        elif key in await self._named(holder, reach.WRITES):
            return
        raise _beyond(holder, key)

    async def _named(self, holder: Holder, member: str) -> list[str]:
        """The keys that a build's question names; none once the build is over."""
        try:
            question = await self._document(reach.build_question(holder.name))
        except NotFound:
            return []
        return list(question.get(member, ()))

    async def _document(self, key: str) -> dict[str, Any]:
        content = await asyncio.to_thread(self._objects.get, key)
        try:
            document: dict[str, Any] = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise Malformed(f"{key} is not JSON: {error}") from error
        return document

    async def _download(self, key: str, send: Send) -> None:
        size, chunks = await self._objects.stream(key)
        await send({"type": "http.response.start", "status": 200, "headers": [*_OCTETS, _length(size)]})
        try:
            async with asyncio.timeout(PATIENCE + size / SLOWEST):
                async for chunk in chunks:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except (HeadraceError, TimeoutError) as error:
            # The answer has begun: it ends short of its length, which the pod sees, and asks again.
            log.warning("%s was sent in part: %s", key, error or "the pod reads too slowly")
            return
        await send({"type": "http.response.body", "body": b""})

    async def _upload(self, holder: Holder, key: str, scope: Scope, receive: Receive, held: HeldBytes) -> None:
        headers = dict(scope["headers"])
        length = _body_length(headers, MAX_ARCHIVE if key.endswith(ARCHIVE) else MAX_OBJECT)
        whole = headers.get(b"if-none-match") == b"*" and length <= _CREATED_WHOLE
        held.at_least(length if whole else _RECEIVED)
        body = _body(receive, length)
        try:
            async with asyncio.timeout(PATIENCE + length / SLOWEST):
                if whole:
                    data = b"".join([piece async for piece in body])
                    await asyncio.to_thread(self._objects.create, key, data)
                else:
                    # In pieces nothing can be created once; what a pod writes under a key of its own is the same each time.
                    await self._objects.receive(key, body)
        except TimeoutError as error:
            raise DeadlineExceeded(f"{key} did not arrive in time") from error
        if holder.is_function:
            self._arrived()


def _body_length(headers: dict[bytes, bytes], most: int) -> int:
    given = headers.get(b"content-length", b"")
    if not given.isdigit():
        raise InvalidInput("the body has no Content-Length", field="content-length", expected="a number of bytes")
    if int(given) > most:
        raise TooLarge(
            "the body is too large", field="content-length", expected=f"at most {most} bytes", got=given.decode()
        )
    return int(given)


async def _body(receive: Receive, length: int) -> AsyncIterator[bytes]:
    """The pieces of a body; ``Malformed`` where it ends early, so that no part of one is taken for the whole."""
    while length > 0:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Malformed(f"the connection ended {length} bytes before the end of the body")
        piece = message.get("body", b"")
        length -= len(piece)
        if piece:
            yield piece


def _beyond(holder: Holder, key: str) -> Forbidden:
    return Forbidden(
        f"the {holder.kind} {holder.name} may not reach {key[:200]!r} in the store", field="key", got=key[:200]
    )


def _length(size: int) -> tuple[bytes, bytes]:
    return b"content-length", str(size).encode()


async def _send(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [*headers, _length(len(body))]})
    await send({"type": "http.response.body", "body": body})
