"""Calls over HTTP/2: one connection's bytes in, handlers asked, answers out.

nghttp2 (by ngh2, which is imported here alone) reads and writes frames, header fields and windows. A stream is a call from its header
fields until its trailer, or until the caller takes it back; its handler is cancelled then.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import cast

import ngh2

from headrace_functions.errors import Overloaded
from headrace_functions.rpc.calls import Call, Calls, Stream, Streaming, Unary
from headrace_functions.rpc.wire import (
    ENCODINGS,
    CallFailed,
    Code,
    Header,
    Metadata,
    framed,
    framed_size,
    seconds,
    size_of,
    trailer,
    unframed,
)

log = logging.getLogger("headrace.grpc")

STREAM_WINDOW = 1024 * 1024
"""Bytes of a call that may be on their way to us."""
CONNECTION_WINDOW = 8 * 1024 * 1024
SEND_AT_ONCE = 256 * 1024
"""Bytes that are written to a socket at once; of a stream of answers, those that may wait for the caller to read."""
HANDSHAKE_SECONDS = 20.0
"""Until a new connection must have said that it speaks HTTP/2."""
UNREAD_SECONDS = 60.0
"""After which a call ends whose caller takes nothing of an answer that is there, and a connection that takes nothing at all."""
_GOODBYE_SECONDS = 1.0  # for the last words on a connection whose peer may not read
_SMALL = 64 * 1024  # bytes of a message that are not counted: most are whole at once
_INLINE = 4 * 1024  # bytes of a compressed message, at most a thousand times as many, that hold nobody up
_SHOWN = 200  # characters of what a caller sent that an error says again
_RESETS = (10_000, 1_000)  # burst, and a second: calls that a caller may take back on one connection
_HEAD = ((b":status", b"200"), (b"content-type", b"application/grpc"))
_ENDED = trailer(Code.OK, "", [])
_NO_ERROR, _CANCEL = 0x00, 0x08


class Connection(asyncio.Protocol):
    """One connection. ``close`` lets open calls end, ``abort`` does not."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._loop = asyncio.get_running_loop()
        self._streams: dict[int, Stream] = {}
        self._transport: asyncio.Transport | None = None
        self._h2 = ngh2.Connection(
            ngh2.Role.SERVER,
            ngh2.Configuration(
                auto_window_update=False,
                stream_reset_rate_limit=_RESETS,
                # More than we take ends the connection; from our own limit to there, the call is told.
                max_inbound_header_list_size=4 * calls.max_metadata,
            ),
        )
        self._paused = self._flushing = self._closing = self._last = self._begun = False
        self._since = self._paused_since = self._loop.time()
        self._written: list[asyncio.Future[None]] = []

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if len(self._calls.connections) >= self._calls.max_connections:
            log.warning("a connection is refused: %d are open", len(self._calls.connections))
            self._transport.abort()
            return
        self._calls.opened(self)
        setting = ngh2.Setting
        self._h2.initiate_connection(
            {
                setting.MAX_CONCURRENT_STREAMS: self._calls.max_calls,
                setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
                setting.MAX_HEADER_LIST_SIZE: self._calls.max_metadata,
            }
        )
        self._h2.set_local_window_size(CONNECTION_WINDOW)
        self._flush()

    def data_received(self, data: bytes) -> None:
        try:
            self._h2.receive_data(data)
            self._take_events()
        except ngh2.NGH2Error as error:
            log.info("a connection ends: %s", error)
            self.abort()
            return
        self._flush()

    def pause_writing(self) -> None:
        self._paused = True
        self._paused_since = self._loop.time()

    def resume_writing(self) -> None:
        self._paused = False
        self._flush()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None
        self._calls.closed(self)
        for number in list(self._streams):
            self._closed(number)
        self._wake()

    # -- what came

    def _take_events(self) -> None:
        for event in self._h2.events():
            self._begun = True
            if isinstance(event, ngh2.DataReceived):
                self._data(event.stream_id, event.data, event.end_stream)
            elif isinstance(event, ngh2.RequestReceived):
                self._request(event)
            elif isinstance(event, ngh2.StreamClosed):
                self._closed(event.stream_id)
            elif isinstance(event, ngh2.TrailersReceived):  # callers have nothing to say in them; their data ends here
                self._data(event.stream_id, b"", ended=True)
            elif isinstance(event, ngh2.PingAcknowledged) and self._closing:
                self._h2.send_goaway()
                self._last = True

    def _request(self, event: ngh2.RequestReceived) -> None:
        number, fields = event.stream_id, dict(event.headers)
        if fields.get(b":method") != b"POST" or not fields.get(b"content-type", b"").startswith(b"application/grpc"):
            status = b"405" if fields.get(b":method") != b"POST" else b"415"
            self._respond(number, [(b":status", status)])
            return
        refused = self._refused(event.headers, fields)
        if refused is not None:
            self._fail(number, refused, whole=event.end_stream)
            return
        told, now = seconds(fields.get(b"grpc-timeout")), self._loop.time()
        call = Call(fields, None if told is None else now + told)
        encoding = fields.get(b"grpc-encoding", b"identity")
        stream = self._streams[number] = Stream(self._calls.methods[fields[b":path"]], call, encoding, now)
        self._calls.open += 1
        if stream.method.streaming is not None:
            stream.messages = asyncio.Queue()
            stream.task = self._loop.create_task(self._serve_stream(number, stream, stream.method.streaming))
        if event.end_stream:
            self._data(number, b"", ended=True)

    def _refused(self, headers: tuple[Header, ...], fields: dict[bytes, bytes]) -> CallFailed | None:
        path = fields.get(b":path", b"")
        if path not in self._calls.methods:
            return CallFailed(Code.UNIMPLEMENTED, f"there is no method {path.decode('latin-1')[:_SHOWN]}")
        if self._calls.open >= self._calls.max_calls:
            return CallFailed(Code.RESOURCE_EXHAUSTED, f"{self._calls.max_calls} calls are open in this server")
        if size_of(headers) > self._calls.max_metadata:
            return CallFailed(
                Code.RESOURCE_EXHAUSTED,
                f"the metadata is too large (expected at most {self._calls.max_metadata} bytes)",
            )
        encoding = fields.get(b"grpc-encoding", b"identity")
        if encoding not in ENCODINGS:
            known = b",".join(ENCODINGS).decode()
            return CallFailed(
                Code.UNIMPLEMENTED,
                f"grpc-encoding {encoding.decode('latin-1')[:_SHOWN]} is not known (expected one of {known})",
                [("grpc-accept-encoding", known)],
            )
        return None

    def _data(self, number: int, data: bytes, ended: bool) -> None:
        stream = self._streams.get(number)
        if stream is None:
            self._h2.acknowledge_received_data(len(data), number)
            return
        stream.buffer += data
        stream.ended = ended
        try:
            self._hold(stream, len(stream.buffer))
            if stream.messages is None:
                self._h2.acknowledge_received_data(len(data), number)
                self._whole(number, stream)
            else:
                stream.unread += len(data)
                self._queue(number, stream)
        except (CallFailed, Overloaded) as error:
            self._refuse(number, stream, error)

    def _whole(self, number: int, stream: Stream) -> None:
        """Begin to answer a call with one message once that is there, and take nothing more after it."""
        size, come = framed_size(stream.buffer, self._calls.max_message), len(stream.buffer)
        if (size is not None and come > size) or (stream.ended and come != size):
            raise CallFailed(Code.INTERNAL, "the call has not exactly one message")
        if not stream.ended:
            return
        frame, stream.buffer = stream.buffer, bytearray()
        assert stream.method.unary is not None
        stream.task = self._loop.create_task(self._serve(number, stream, stream.method.unary, frame))

    def _queue(self, number: int, stream: Stream) -> None:
        """Let messages that are whole wait as they came, which the window bounds, until the handler asks for them."""
        assert stream.messages is not None
        while (size := framed_size(stream.buffer, self._calls.max_message)) is not None and size <= len(stream.buffer):
            stream.messages.put_nowait(bytes(memoryview(stream.buffer)[:size]))
            del stream.buffer[:size]
        if stream.ended:
            cut = CallFailed(Code.INTERNAL, "the last message is cut off") if stream.buffer else None
            stream.messages.put_nowait(cut)
        self._read_on(number, stream)

    async def _unframed(self, stream: Stream, frame: bytes | bytearray) -> bytes:
        """The message of a frame, counted as what it is decompressed to. ``CallFailed``."""
        limit = self._calls.max_message
        if frame[0] and len(frame) > _INLINE:
            message = await asyncio.to_thread(unframed, frame, limit, stream.encoding)
        else:
            message = unframed(frame, limit, stream.encoding)
        self._count(stream, len(message))
        return message

    def _count(self, stream: Stream, size: int) -> None:
        """Hold bytes of a message, of a call that is open. ``CallFailed`` where others leave no room for them."""
        try:
            self._hold(stream, size)
        except Overloaded as error:
            raise CallFailed(Code.RESOURCE_EXHAUSTED, error.message) from error

    def _read_on(self, number: int, stream: Stream) -> None:
        """Let the caller send more unless messages wait, so that what waits is bounded by the window."""
        if stream.messages is not None and stream.messages.empty() and stream.unread:
            self._h2.acknowledge_received_data(stream.unread, number)
            stream.unread = 0
            self._flush_soon()

    def _hold(self, stream: Stream, size: int) -> None:
        if size > _SMALL and not stream.closed:
            if stream.held is None:
                stream.held = self._calls.budget.hold()
            stream.held.at_least(size)

    def _refuse(self, number: int, stream: Stream, error: CallFailed | Overloaded) -> None:
        """End a call that is not whole."""
        if stream.task is not None:
            stream.task.cancel()
            stream.task = None
        failed = error if isinstance(error, CallFailed) else CallFailed(Code.RESOURCE_EXHAUSTED, error.message)
        ended = stream.ended
        self._closed(number)
        self._fail(number, failed, whole=ended)

    def _closed(self, number: int) -> None:
        stream = self._streams.pop(number, None)
        if stream is None:
            return
        self._calls.open -= 1
        stream.closed = True
        if stream.held is not None:
            stream.held.release()
        if stream.task is not None and not stream.task.done():
            stream.task.cancel()

    # -- what goes

    async def _serve(self, number: int, stream: Stream, handler: Unary, frame: bytes | bytearray) -> None:
        try:
            answer = framed(await handler(await self._unframed(stream, frame), stream.call))
            if stream.held is not None:
                stream.held.release()  # the request is over; what counts now is its answer
            self._count(stream, len(answer))
        except CallFailed as failed:
            if number in self._streams:
                self._fail(number, failed, whole=True)
        except Exception:
            log.exception("a call failed")
            if number in self._streams:
                self._fail(number, CallFailed(Code.INTERNAL, "the server failed; its log says why"), whole=True)
        else:
            if number in self._streams:
                self._h2.send_response(number, _HEAD)
                self._h2.send_data(number, answer)
                self._h2.send_trailers(number, _with(stream.call.trailing))
        self._flush_soon()

    async def _serve_stream(self, number: int, stream: Stream, handler: Streaming) -> None:
        started = False
        ending = _ENDED
        try:
            async with asyncio.timeout_at(stream.call.deadline):
                async for answer in handler(self._messages(number, stream), stream.call):
                    if not started:
                        self._h2.send_response(number, _HEAD)
                        started = True
                    self._count(stream, self._h2.queued_body_size(number) + len(answer))
                    self._h2.send_data(number, framed(answer))
                    self._flush_soon()
                    await self._read(number)
        except TimeoutError:
            ending = trailer(Code.DEADLINE_EXCEEDED, "the deadline passed before the stream ended", [])
        except CallFailed as failed:
            ending = trailer(failed.code, failed.text, failed.trailing)
        except ngh2.StreamUnavailableError:
            return  # the caller took it back
        except Exception:
            log.exception("a stream failed")
            ending = trailer(Code.INTERNAL, "the server failed; its log says why", [])
        if number not in self._streams:
            return
        if started:
            self._h2.send_trailers(number, ending)
        else:
            self._h2.send_response(number, [*_HEAD, *ending], end_stream=True)
        self._flush()
        if not stream.ended:  # nobody reads what may still come
            self._reset(number, _NO_ERROR)

    async def _messages(self, number: int, stream: Stream) -> AsyncIterator[bytes]:
        assert stream.messages is not None
        while (found := await stream.messages.get()) is not None:
            if isinstance(found, CallFailed):
                raise found
            self._read_on(number, stream)
            yield await self._unframed(stream, found)

    async def _read(self, number: int) -> None:
        """Return once the caller has read most of what was sent to it."""
        while number in self._streams and self._h2.queued_body_size(number) > SEND_AT_ONCE:
            waiter = self._loop.create_future()
            self._written.append(waiter)
            await waiter

    def _fail(self, number: int, failed: CallFailed, *, whole: bool) -> None:
        ending = trailer(failed.code, failed.text, failed.trailing)
        self._respond(number, [*_HEAD, *ending])
        if not whole:
            self._flush()
            self._reset(number, _NO_ERROR)
        self._flush_soon()

    def _respond(self, number: int, fields: list[Header]) -> None:
        """Header fields that are the whole answer. A caller that took the call back already ends this call alone."""
        with contextlib.suppress(ngh2.StreamUnavailableError):
            self._h2.send_response(number, fields, end_stream=True)

    def _reset(self, number: int, code: int) -> None:
        try:
            self._h2.reset_stream(number, code)
        except ngh2.NGH2Error:
            return  # it is over already
        self._flush_soon()

    def _flush_soon(self) -> None:
        """Once for all answers that are ready in this round of the loop."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        transport = self._transport
        if transport is None:
            return
        try:
            while not self._paused:
                data = self._h2.data_to_send(SEND_AT_ONCE)
                if data:
                    transport.write(data)
                if len(data) < SEND_AT_ONCE:
                    break
            self._take_events()  # what was sent whole is over
        except ngh2.NGH2Error as error:
            log.info("a connection ends: %s", error)
            self.abort()
            return
        self._wake()
        over = self._last and not self._streams
        if (
            over or not self._h2.want_read
        ) and not self._h2.want_write:  # it wants to read no more after what is no HTTP/2
            self.abort()

    def _wake(self) -> None:
        if self._written:
            waiting, self._written = self._written, []
            for waiter in waiting:
                if not waiter.done():
                    waiter.set_result(None)

    # -- what its server does

    @property
    def unsent(self) -> int:
        """Bytes of answers that wait for the caller to read."""
        return self._h2.queued_body_size()

    def sweep(self) -> None:
        """End what does not arrive, and what is not read, in time."""
        now = self._loop.time()
        if not self._begun and now - self._since > HANDSHAKE_SECONDS:
            self.abort()
            return
        if self._paused and now - self._paused_since > UNREAD_SECONDS:
            log.info("a connection ends: its peer reads nothing")
            self.abort()
            return
        for number, stream in list(self._streams.items()):
            limit = stream.call.deadline if stream.call.deadline is not None else stream.since + self._calls.longest
            if stream.task is None and now > limit:
                failed = CallFailed(Code.DEADLINE_EXCEEDED, "the deadline passed before the call was whole")
                self._refuse(number, stream, failed)
            elif stream.unread_for(self._h2.queued_body_size(number), now) > UNREAD_SECONDS:
                self._reset(number, _CANCEL)

    def close(self) -> None:
        """Ask the caller for no more calls, and close when the open ones have ended."""
        if self._closing:
            return
        self._closing = True
        try:
            self._h2.send_shutdown_notice()
            self._h2.ping(b"headrace")  # once it is answered, the caller has read the notice
        except ngh2.NGH2Error:
            self.abort()
            return
        self._flush()

    def abort(self) -> None:
        """Close now. What the peer did wrong is told if it can be."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()
            self._loop.call_later(_GOODBYE_SECONDS, self._transport.abort)  # a peer that reads nothing never hears it


def _with(trailing: Metadata) -> list[Header]:
    return trailer(Code.OK, "", trailing) if trailing else _ENDED
