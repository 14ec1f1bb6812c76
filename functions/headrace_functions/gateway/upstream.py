"""HTTP/1.1 to services: pooled keep-alive connections over Unix sockets or TCP, parsed by httptools.

Small on purpose, because every microsecond here is on the path of every request: one request at a time on a connection,
no redirects, no cookies, no compression, bodies as bytes. ``stream`` serves long answers (events, downloads) as they come.
"""

import asyncio
import contextlib
import select
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import cast

import httptools

from headrace_functions.errors import DeadlineExceeded, Unreachable

Headers = list[tuple[bytes, bytes]]

_IDLE_SECONDS = 30.0  # below the function server's keep-alive of 75 s, so that it is we who close first
_COPIED = 64 * 1024
_STREAM_WINDOW = 256 * 1024
_PROOF = b"GET /v2/health/live HTTP/1.1\r\nhost: headrace\r\n\r\n"
"""Changes nothing, and whatever the answer is, somebody is there."""


@dataclass(slots=True)
class Reply:
    """An answer; header names are lower case."""

    status: int = 0
    headers: Headers = field(default_factory=list)
    body: bytes = b""

    def header(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key == name), None)


class NotSent(Unreachable):
    """The service could not be reached before a byte was sent: asking again is safe."""

    code = "unreachable"


class _Connection(asyncio.Protocol):
    """One connection. ``send`` once, await the reply, ``send`` again."""

    def __init__(self, on_lost: Callable[["_Connection"], None]) -> None:
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._poll = select.poll()
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._reply = Reply()
        self._body: list[bytes] = []
        self._done: asyncio.Future[Reply] | None = None
        self._head: asyncio.Future[Reply] | None = None
        self._chunks: asyncio.Queue[bytes | None] | None = None
        self._queued = 0
        self._writable = asyncio.Event()
        self._writable.set()
        self.closed = False
        self.complete = False
        self.reusable = True
        self.idle_since = 0.0

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its ancestors
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(Unreachable(f"the service's response is not HTTP: {error}"))
            self.close()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._writable.set()
        self._on_lost(self)
        self._fail(Unreachable(f"the service closed the connection{f': {exc}' if exc else ''}"))

    # -- httptools

    def on_message_begin(self) -> None:
        self._reply = Reply()
        self._body = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._reply.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._reply.status = self._parser.get_status_code()
        if self._head is not None and not self._head.done():
            self._head.set_result(self._reply)

    def on_body(self, body: bytes) -> None:
        if self._chunks is None:
            self._body.append(body)
            return
        self._chunks.put_nowait(body)
        self._queued += len(body)
        if self._queued > _STREAM_WINDOW and self._transport is not None:
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        self.reusable = self._parser.should_keep_alive()
        self.complete = True
        if self._chunks is not None:
            self._chunks.put_nowait(None)
        if self._done is not None and not self._done.done():
            self._reply.body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            self._done.set_result(self._reply)

    # -- what the pool does

    def is_quiet(self) -> bool:
        """Open, with nothing to read. The loop may not have told yet that the other side has hung up; the socket knows."""
        return not self.closed and not self._poll.poll(0)

    def send(self, head: bytes, body: bytes) -> "asyncio.Future[Reply]":
        assert self._transport is not None
        self._done = self._loop.create_future()
        if len(body) < _COPIED:
            self._transport.write(head + body)  # one buffer is sent quicker than two
        else:
            self._transport.writelines((head, body))
        return self._done

    def begin_stream(self, head: bytes) -> "asyncio.Future[Reply]":
        assert self._transport is not None
        self._chunks = asyncio.Queue()
        self._head = self._loop.create_future()
        self._transport.write(head)
        return self._head

    async def write(self, data: bytes) -> None:
        assert self._transport is not None
        await self._writable.wait()
        if self.closed:
            raise Unreachable("the service closed the connection")
        self._transport.write(data)

    async def chunks(self) -> AsyncIterator[bytes]:
        assert self._chunks is not None
        assert self._transport is not None
        while (chunk := await self._chunks.get()) is not None:
            self._queued -= len(chunk)
            if self._queued <= _STREAM_WINDOW // 2 and not self.closed:
                self._transport.resume_reading()
            yield chunk

    async def whole(self) -> AsyncIterator[bytes]:
        """As ``chunks``; ``Unreachable`` where the answer is cut off."""
        async for chunk in self.chunks():
            yield chunk
        if not self.complete:
            raise Unreachable("the service closed the connection in the middle of its answer")

    def close(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.close()

    def _fail(self, error: Exception) -> None:
        for future in (self._done, self._head):
            if future is not None and not future.done():
                future.set_exception(error)
        if self._chunks is not None:
            self._chunks.put_nowait(None)


class Upstream:
    """Connections to services, reused while they are fresh.

    A connection that breaks leaves its service in doubt. A process that is being killed may still hold some of its sockets, or
    let others be made, so the next request goes out only on a new connection on which something harmless was answered first.
    """

    def __init__(self) -> None:
        self._idle: dict[str, list[_Connection]] = {}
        self._doubted: set[str] = set()
        self._loop = asyncio.get_running_loop()

    async def request(self, address: str, head: bytes, body: bytes, deadline: float) -> Reply:
        """Send one request (``head`` ends with the blank line) and return the whole answer.

        ``NotSent`` before anything went out, ``Unreachable`` when the connection broke after that,
        ``DeadlineExceeded`` when ``deadline`` (loop time) passes; the connection is then given up, not reused.
        """
        connection = self._take(address) or await self._new(address, deadline)
        try:
            reply = await self._ask(connection, head, body, deadline)
        except Unreachable:
            self.forget(address)
            self._doubted.add(address)
            raise
        self._give_back(address, connection)
        return reply

    async def _ask(self, connection: _Connection, head: bytes, body: bytes, deadline: float) -> Reply:
        done = connection.send(head, body)
        timer = self._loop.call_at(deadline, _expire, done)
        try:
            return await done
        except BaseException:
            connection.close()
            raise
        finally:
            timer.cancel()

    @contextlib.asynccontextmanager
    async def stream(
        self, address: str, head: bytes, body: AsyncIterator[bytes], deadline: float, *, whole: bool = False
    ) -> AsyncIterator[tuple[Reply, AsyncIterator[bytes]]]:
        """Send a request whose body arrives piece by piece; yields status and headers, and the answer's pieces as they come.

        ``body`` must not end before the caller has gone: its end closes the connection, so that a service stops sending
        events to nobody. With ``whole``, an answer that is cut off ends in ``Unreachable``.
        """
        connection = await self._connect(address, deadline)
        pump: asyncio.Task[None] | None = None
        try:
            head_reply = connection.begin_stream(head)
            pump = self._loop.create_task(_pump(connection, body))
            yield await head_reply, connection.whole() if whole else connection.chunks()
        finally:
            if pump is not None:
                pump.cancel()
            connection.close()

    def forget(self, address: str) -> None:
        """Close the idle connections of a service that stopped."""
        for connection in self._idle.pop(address, ()):
            connection.close()

    def close(self) -> None:
        for address in list(self._idle):
            self.forget(address)

    def _take(self, address: str) -> _Connection | None:
        idle = self._idle.get(address)
        while idle:
            connection = idle.pop()
            if self._loop.time() - connection.idle_since < _IDLE_SECONDS and connection.is_quiet():
                return connection
            connection.close()
        return None

    def _give_back(self, address: str, connection: _Connection) -> None:
        if connection.reusable and not connection.closed:
            connection.idle_since = self._loop.time()
            self._idle.setdefault(address, []).append(connection)
        else:
            connection.close()

    async def _new(self, address: str, deadline: float) -> _Connection:
        """A new connection; where the service is in doubt, one that has been answered on. ``NotSent`` where there is none."""
        connection = await self._connect(address, deadline)
        if address not in self._doubted:
            return connection
        try:
            await self._ask(connection, _PROOF, b"", deadline)
        except Unreachable as error:
            raise NotSent(f"the service cannot be reached: {error.message}") from error
        self._doubted.discard(address)
        if connection.reusable:
            return connection
        connection.close()
        return await self._connect(address, deadline)

    async def _connect(self, address: str, deadline: float) -> _Connection:
        kind, _, where = address.partition(":")

        def lost(connection: _Connection) -> None:
            # A stopped replica must not leave its connections behind: addresses are never used twice.
            idle = self._idle.get(address)
            if idle and connection in idle:
                idle.remove(connection)
            if not idle:
                self._idle.pop(address, None)

        def new() -> _Connection:
            return _Connection(lost)

        try:
            async with asyncio.timeout_at(deadline):
                if kind == "unix":
                    _, connection = await self._loop.create_unix_connection(new, where)
                else:
                    host, _, port = where.rpartition(":")
                    _, connection = await self._loop.create_connection(new, host, int(port))
        except TimeoutError as error:
            raise DeadlineExceeded("the service did not accept a connection in time") from error
        except OSError as error:
            self._doubted.discard(
                address
            )  # nobody is there, which is no doubt; names of replicas that ended are not kept
            raise NotSent(f"the service cannot be reached: {error.strerror or error}") from error
        return connection


def _expire(done: "asyncio.Future[Reply]") -> None:
    if not done.done():
        done.set_exception(DeadlineExceeded("the service did not answer in time"))


async def _pump(connection: _Connection, body: AsyncIterator[bytes]) -> None:
    async for piece in body:
        await connection.write(piece)
    connection.close()
