"""Calls over HTTP/2, by callers that do what a library of gRPC would not."""

import asyncio
import contextlib
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

import ngh2
import pytest

from headrace_functions.protocol.budget import ByteBudget
from headrace_functions.rpc.calls import Call, Calls, Method
from headrace_functions.rpc.http2 import Connection
from headrace_functions.rpc.wire import Code, framed

HEAD = [
    (b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a"), (b"te", b"trailers"), (b"content-type", b"application/grpc"),
]  # fmt: skip
MIB = 1024 * 1024


class Caller:
    """One connection by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.h2 = ngh2.Connection(ngh2.Role.CLIENT)
        self.h2.initiate_connection()
        self.reader, self.writer = reader, writer
        self.told: dict[int, dict[bytes, bytes]] = {}
        self.data: dict[int, bytes] = {}
        self.resets: dict[int, int] = {}
        self.ended: set[int] = set()
        self.gone = False

    def ask(
        self, path: bytes, *pieces: bytes, end: bool = True, more: Mapping[str, bytes] = MappingProxyType({})
    ) -> int:
        fields = [*HEAD, (b":path", path), *((k.encode(), v) for k, v in more.items())]
        number = self.h2.send_request(sorted(fields, key=lambda f: not f[0].startswith(b":")))
        for piece in pieces:
            self.h2.send_data(number, piece)
        if end:
            self.h2.end_stream(number)
        self.send()
        return number

    def send(self) -> None:
        self.writer.write(self.h2.data_to_send())

    async def until(self, done: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not done():
                data = await self.reader.read(65536)
                if not data:
                    self.gone = True
                    assert done(), "the connection was closed"
                    return
                self.h2.receive_data(data)
                for event in self.h2.events():
                    self._take(event)
                self.send()

    def _take(self, event: Any) -> None:
        if isinstance(event, ngh2.ResponseReceived | ngh2.TrailersReceived):
            self.told.setdefault(event.stream_id, {}).update(event.headers)
        elif isinstance(event, ngh2.DataReceived):
            self.data[event.stream_id] = self.data.get(event.stream_id, b"") + event.data
        elif isinstance(event, ngh2.StreamReset):
            self.resets[event.stream_id] = event.error_code
        elif isinstance(event, ngh2.StreamClosed):
            self.ended.add(event.stream_id)

    async def status(self, number: int) -> int:
        await self.until(lambda: number in self.ended)
        return int(self.told[number][b"grpc-status"])


class Handlers:
    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def echo(self, message: bytes, call: Call) -> bytes:
        call.trailing.append(("x-got", str(len(message))))
        return message

    async def wait(self, message: bytes, call: Call) -> bytes:
        del call
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return message

    async def size(self, message: bytes, call: Call) -> bytes:
        del call
        self.begun.set()
        await self.go.wait()
        return str(len(message)).encode()

    async def large(self, message: bytes, call: Call) -> bytes:
        del call
        return bytes(int(message))

    async def broken(self, message: bytes, call: Call) -> bytes:
        raise RuntimeError

    async def each_size(self, messages: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
        del call
        async for message in messages:
            yield str(len(message)).encode()
            await self.go.wait()

    async def each(self, messages: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
        del call
        async for message in messages:
            yield message

    async def many(self, messages: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
        del call
        async for message in messages:
            for _ in range(int(message)):
                yield bytes(64 * 1024)


def served(
    asked: Callable[[Caller, Handlers, Calls], Awaitable[None]], *, max_calls: int = 100, budget: int = 1 << 30
) -> None:
    """Let ``asked`` talk to a server with these handlers."""

    async def run() -> None:
        handlers = Handlers()
        methods = {
            f"/t/{name}".encode(): Method(unary=getattr(handlers, name))
            for name in ("echo", "wait", "size", "large", "broken")
        } | {f"/t/{name}".encode(): Method(streaming=getattr(handlers, name)) for name in ("each", "each_size", "many")}
        calls = Calls(methods, 8 * MIB, max_calls, 4096, 600.0, ByteBudget(budget))
        server = await asyncio.get_running_loop().create_server(lambda: Connection(calls), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        caller = Caller(reader, writer)
        await asked(caller, handlers, calls)
        writer.close()
        async with asyncio.timeout(5):
            await calls.none.wait()
        assert 0 == calls.open
        assert 0 == calls.budget.open
        server.close()
        await server.wait_closed()

    asyncio.run(run())


def test_a_message_in_pieces_larger_than_all_windows_is_answered() -> None:
    async def asked(caller: Caller, handlers: Handlers, calls: Calls) -> None:
        body = framed(bytes(5 * MIB))
        number = caller.ask(b"/t/echo", *(body[i : i + 70_000] for i in range(0, len(body), 70_000)))

        assert 0 == await caller.status(number)
        assert (str(5 * MIB).encode(), body) == (caller.told[number][b"x-got"], caller.data[number])

    served(asked)


def test_a_message_of_a_stream_larger_than_the_window_is_answered() -> None:
    async def asked(caller: Caller, handlers: Handlers, calls: Calls) -> None:
        number = caller.ask(b"/t/each", framed(bytes(3 * MIB)), framed(b"a"), framed(bytes(2 * MIB)))

        assert 0 == await caller.status(number)
        assert 5 * MIB + 1 + 15 == len(caller.data[number])

    served(asked)


def test_answers_that_nobody_reads_are_not_made_ahead() -> None:
    async def asked(caller: Caller, handlers: Handlers, calls: Calls) -> None:
        caller.ask(b"/t/many", framed(b"100000"), end=False)
        other = caller.ask(b"/t/echo", framed(b"x"))  # its answer comes once the stream's wait for the window
        caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
        (connection,) = calls.connections
        for _ in range(200):
            await asyncio.sleep(0.001)
        assert MIB > connection.unsent
        del other

    served(asked)


def test_a_call_that_is_taken_back_ends_its_handler() -> None:
    async def asked(caller: Caller, handlers: Handlers, calls: Calls) -> None:
        number = caller.ask(b"/t/wait", framed(b"x"))
        await handlers.begun.wait()
        caller.h2.reset_stream(number, 8)
        caller.send()
        async with asyncio.timeout(1):
            await handlers.cancelled.wait()

    served(asked)


def test_a_caller_that_hangs_up_ends_its_handlers() -> None:
    async def asked(caller: Caller, handlers: Handlers, calls: Calls) -> None:
        caller.ask(b"/t/wait", framed(b"x"))
        await handlers.begun.wait()
        caller.writer.transport.abort()
        async with asyncio.timeout(1):
            await handlers.cancelled.wait()

    served(asked)


@pytest.mark.parametrize(
    ("path", "pieces", "more", "code"),
    [
        (b"/t/nothing", (framed(b"x"),), {}, Code.UNIMPLEMENTED),
        (b"/t/echo", (), {}, Code.INTERNAL),
        (b"/t/echo", (framed(b"x"), framed(b"y")), {}, Code.INTERNAL),
        (b"/t/echo", (framed(b"xyz")[:-1],), {}, Code.INTERNAL),
        (b"/t/each", (framed(b"xyz")[:-1],), {}, Code.INTERNAL),
        (b"/t/echo", (b"\0\xff\xff\xff\xff",), {}, Code.RESOURCE_EXHAUSTED),
        (b"/t/echo", (framed(b"x"),), {"grpc-encoding": b"snappy"}, Code.UNIMPLEMENTED),
        (b"/t/echo", (framed(b"x"),), {"x-much": b"m" * 5000}, Code.RESOURCE_EXHAUSTED),
        (b"/t/broken", (framed(b"x"),), {}, Code.INTERNAL),
    ],
    ids=[
        "no such method", "no message", "two messages", "a message cut off", "a stream's message cut off", "too large", "unknown compression",
        "too much metadata", "a handler that fails",
    ],
)  # fmt: skip
def test_a_bad_call_ends_alone(path: bytes, pieces: tuple[bytes, ...], more: dict[str, bytes], code: Code) -> None:
    async def asked(caller: Caller, handlers: Handlers, calls: Calls) -> None:
        bad = caller.ask(path, *pieces, more=more)
        good = caller.ask(b"/t/echo", framed(b"x"))

        assert code == await caller.status(bad)
        assert 0 == await caller.status(good)

    served(asked)


def test_a_call_past_its_prefix_is_refused_before_its_body_has_come() -> None:
    async def asked(caller: Caller, handlers: Handlers, calls: Calls) -> None:
        number = caller.ask(b"/t/echo", (9 * MIB).to_bytes(5, "big"), end=False)

        assert Code.RESOURCE_EXHAUSTED == await caller.status(number)

    served(asked)


def test_a_call_that_never_becomes_whole_ends_with_its_deadline() -> None:
    async def asked(caller: Caller, handlers: Handlers, calls: Calls) -> None:
        number = caller.ask(b"/t/echo", framed(b"x")[:2], end=False, more={"grpc-timeout": b"1m"})
        await caller.until(lambda: calls.open == 1)
        await asyncio.sleep(0.002)
        calls.sweep()

        assert Code.DEADLINE_EXCEEDED == await caller.status(number)

    served(asked)


def test_more_calls_than_are_taken_are_refused() -> None:
    async def asked(caller: Caller, handlers: Handlers, calls: Calls) -> None:
        held = caller.ask(b"/t/wait", framed(b"x"))
        await handlers.begun.wait()
        calls.max_calls = 1

        assert Code.RESOURCE_EXHAUSTED == await caller.status(caller.ask(b"/t/echo", framed(b"x")))
        caller.h2.reset_stream(held, 8)
        caller.send()

    served(asked)


def test_bodies_past_the_budget_are_refused() -> None:
    async def asked(caller: Caller, handlers: Handlers, calls: Calls) -> None:
        held = caller.ask(b"/t/echo", framed(bytes(MIB))[: 512 * 1024], end=False)
        await caller.until(lambda: calls.budget.open >= 500_000)

        assert Code.RESOURCE_EXHAUSTED == await caller.status(caller.ask(b"/t/echo", framed(bytes(MIB))))
        caller.h2.reset_stream(held, 8)
        caller.send()

    served(asked, budget=MIB)


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", b"\0" * 100, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 50]
)
def test_what_is_not_http2_is_hung_up_on(said: bytes) -> None:
    async def asked(caller: Caller, handlers: Handlers, calls: Calls) -> None:
        reader, writer = await asyncio.open_connection(*caller.writer.get_extra_info("peername"))
        writer.write(said)
        async with asyncio.timeout(5):
            while await reader.read(4096):
                pass
        writer.close()
        assert 0 == await caller.status(caller.ask(b"/t/echo", framed(b"x")))

    served(asked)


def test_a_server_that_stops_finishes_what_is_open_and_asks_for_no_more() -> None:
    async def asked(caller: Caller, handlers: Handlers, calls: Calls) -> None:
        number = caller.ask(b"/t/each", framed(b"a"), end=False)
        await caller.until(lambda: caller.data.get(number))
        (connection,) = calls.connections
        connection.close()
        caller.h2.send_data(number, framed(b"b"), end_stream=True)
        caller.send()

        assert 0 == await caller.status(number)
        assert framed(b"a") + framed(b"b") == caller.data[number]
        await caller.until(lambda: caller.gone)

    served(asked)


def test_a_connection_that_says_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace_functions.rpc.http2.HANDSHAKE_SECONDS", 0.0)

    async def asked(caller: Caller, handlers: Handlers, calls: Calls) -> None:
        assert 0 == await caller.status(caller.ask(b"/t/echo", framed(b"x")))
        silent = socket.create_connection(caller.writer.get_extra_info("peername"))
        silent.setblocking(False)
        while len(calls.connections) < 2:
            await asyncio.sleep(0.001)
        calls.sweep()
        async with asyncio.timeout(5):
            while await asyncio.get_running_loop().sock_recv(silent, 4096):
                pass
        silent.close()
        assert 0 == await caller.status(caller.ask(b"/t/echo", framed(b"x")))

    served(asked)


def taken_back(caller: Caller, path: bytes, *pieces: bytes, method: bytes = b"POST") -> int:
    """Ask and take the call back in one write, so that the server hears of both at once."""
    fields = [(k, method if k == b":method" else v) for k, v in HEAD]
    number = caller.h2.send_request(sorted([*fields, (b":path", path)], key=lambda f: not f[0].startswith(b":")))
    for piece in pieces:
        caller.h2.send_data(number, piece)
    asked = caller.h2.data_to_send()
    caller.h2.reset_stream(number, 8)
    caller.writer.write(asked + caller.h2.data_to_send())
    return number


@pytest.mark.parametrize(
    ("path", "pieces", "method"),
    [
        (b"/t/nothing", (), b"POST"),
        (b"/t/echo", (), b"GET"),
        (b"/t/echo", (b"\5\0\0\0\0",), b"POST"),
        (b"/t/each", (b"\5\0\0\0\0",), b"POST"),
        (b"/t/echo", (framed(b"x")[:2],), b"POST"),
    ],
    ids=["no such method", "no gRPC", "a bad message", "a stream's bad message", "a message cut off"],
)
def test_a_bad_call_that_is_taken_back_at_once_ends_alone(
    path: bytes, pieces: tuple[bytes, ...], method: bytes
) -> None:
    async def asked(caller: Caller, handlers: Handlers, calls: Calls) -> None:
        await caller.status(caller.ask(b"/t/echo", framed(b"x")))
        waiting = caller.ask(b"/t/size", framed(b"abc"))
        taken_back(caller, path, *pieces, method=method)
        await handlers.begun.wait()
        handlers.go.set()

        assert 0 == await caller.status(waiting)

    served(asked)


def test_what_calls_that_were_taken_back_have_sent_leaves_room_for_others() -> None:
    async def asked(caller: Caller, handlers: Handlers, calls: Calls) -> None:
        for _ in range(300):  # 18 MiB, twice the connection's window
            await caller.status(caller.ask(b"/t/echo", framed(b"x")))
            taken_back(caller, b"/t/echo", framed(bytes(80_000))[:60_000])

        assert 0 == await caller.status(caller.ask(b"/t/echo", framed(bytes(4 * MIB))))

    served(asked)


def test_nothing_is_taken_after_a_calls_message() -> None:
    async def asked(caller: Caller, handlers: Handlers, calls: Calls) -> None:
        endless = caller.ask(b"/t/echo", framed(b""), b"z", end=False)

        assert Code.INTERNAL == await caller.status(endless)
        assert 0 == calls.open

    served(asked)


def test_messages_count_as_what_they_are_decompressed_to() -> None:
    bomb = b"\1" + framed(gzip.compress(bytes(6 * MIB)))[1:]

    async def asked(caller: Caller, handlers: Handlers, calls: Calls) -> None:
        more = {"grpc-encoding": b"gzip"}
        first = caller.ask(b"/t/size", bomb, more=more)
        await handlers.begun.wait()

        assert Code.RESOURCE_EXHAUSTED == await caller.status(caller.ask(b"/t/size", bomb, more=more))
        handlers.go.set()
        assert 0 == await caller.status(first)
        assert framed(b"%d" % (6 * MIB)) == caller.data[first]

    served(asked, budget=8 * MIB)


def test_messages_of_a_stream_that_wait_are_not_decompressed_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = b"\1" + framed(gzip.compress(bytes(6 * MIB)))[1:]

    async def asked(caller: Caller, handlers: Handlers, calls: Calls) -> None:
        number = caller.ask(b"/t/each_size", *(bomb for _ in range(20)), more={"grpc-encoding": b"gzip"})
        await caller.until(lambda: caller.data.get(number))

        assert 6 * MIB == calls.budget.open
        handlers.go.set()
        assert 0 == await caller.status(number)
        assert framed(b"%d" % (6 * MIB)) * 20 == caller.data[number]

    served(asked)


def window_of(caller: Caller, size: int) -> None:
    """Let the server send so much of each answer and no more."""
    caller.h2.update_settings({ngh2.Setting.INITIAL_WINDOW_SIZE: size})
    caller.send()


def test_answers_that_nobody_reads_count_and_end() -> None:
    async def asked(caller: Caller, handlers: Handlers, calls: Calls) -> None:
        await caller.status(caller.ask(b"/t/echo", framed(b"x")))
        window_of(caller, 0)
        unread = caller.ask(b"/t/large", framed(b"%d" % (6 * MIB)))
        await caller.until(lambda: unread in caller.told)

        assert Code.RESOURCE_EXHAUSTED == await caller.status(caller.ask(b"/t/large", framed(b"%d" % (6 * MIB))))
        calls.sweep()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("headrace_functions.rpc.http2.UNREAD_SECONDS", 0.0)
            calls.sweep()
        await caller.until(lambda: unread in caller.ended)
        assert 8 == caller.resets[unread]
        assert 0 == calls.budget.open

    served(asked, budget=8 * MIB)


def test_a_connection_that_reads_nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace_functions.rpc.http2.UNREAD_SECONDS", 0.0)
    monkeypatch.setattr("headrace_functions.rpc.http2._GOODBYE_SECONDS", 0.01)

    async def asked(caller: Caller, handlers: Handlers, calls: Calls) -> None:
        deaf = Caller(*await asyncio.open_connection(*caller.writer.get_extra_info("peername"), limit=1024))
        window_of(deaf, 64 * MIB)
        deaf.h2.set_local_window_size(64 * MIB)
        for _ in range(4):
            deaf.ask(b"/t/large", framed(b"%d" % (7 * MIB)))
        deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(10):
            while len(calls.connections) < 2 or calls.budget.open < 20 * MIB:
                await asyncio.sleep(0.01)
            while len(calls.connections) > 1:
                calls.sweep()
                await asyncio.sleep(0.01)
        assert 0 == await caller.status(caller.ask(b"/t/echo", framed(b"x")))
        deaf.writer.transport.abort()

    served(asked)


def test_one_connection_more_than_are_taken_is_closed() -> None:
    async def asked(caller: Caller, handlers: Handlers, calls: Calls) -> None:
        calls.max_connections = 1
        await caller.status(caller.ask(b"/t/echo", framed(b"x")))
        reader, writer = await asyncio.open_connection(*caller.writer.get_extra_info("peername"))
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                while await reader.read(100):
                    pass
        writer.close()

        assert 0 == await caller.status(caller.ask(b"/t/echo", framed(b"x")))

    served(asked)
