"""A replica that dies loses the requests that it has, and no request that it could have been spared."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from headrace_functions.errors import Unreachable
from headrace_functions.gateway.upstream import NotSent, Upstream

ASK = b"POST /v2/models/m/infer HTTP/1.1\r\nhost: m\r\ncontent-length: 2\r\n\r\n"
BODY = b"{}"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
SECONDS = 30.0


class Replica:
    """A server on a Unix socket that does with each connection what the test says, and notes what it was asked.

    It works on threads of its own, so it can die while the gateway's loop is held.
    """

    def __init__(self, folder: Path) -> None:
        self.address = f"unix:{folder / 'replica.sock'}"
        self.asked: list[str] = []
        self.dies = threading.Event()
        self.connections: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / "replica.sock"))
        self._listener.listen()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def hang_up(self) -> None:
        """End every connection; new ones can be made, as with a process whose end is not complete."""
        for connection in self.connections:
            connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(SECONDS)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections.append(connection)
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while request := connection.recv(65536):
                self.asked.append(request.split(b" ", 2)[1].decode())
                if self.dies.is_set():
                    return
                connection.sendall(ANSWER)


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    running = Replica(tmp_path)
    yield running
    with contextlib.suppress(OSError):
        running.hang_up()
    running.close()


def asking(test: Callable[[Replica, Upstream, Callable[[], Awaitable[bytes]]], Awaitable[None]]) -> Callable[..., None]:
    """Run the test on uvloop, as the gateway does, with a verb that asks the replica once."""

    def wrapped(replica: Replica) -> None:
        async def run() -> None:
            upstream = Upstream()

            async def ask() -> bytes:
                deadline = asyncio.get_running_loop().time() + SECONDS
                return (await upstream.request(replica.address, ASK, BODY, deadline)).body

            await test(replica, upstream, ask)
            upstream.close()

        uvloop.run(run())

    wrapped.__name__, wrapped.__doc__ = test.__name__, test.__doc__
    return wrapped


@asking
async def test_a_connection_is_used_again(
    replica: Replica, upstream: Upstream, ask: Callable[[], Awaitable[bytes]]
) -> None:
    assert [await ask(), await ask()] == [b"ok", b"ok"]
    assert len(replica.connections) == 1


@asking
async def test_a_connection_whose_end_the_loop_has_not_heard_of_is_not_used_again(
    replica: Replica, upstream: Upstream, ask: Callable[[], Awaitable[bytes]]
) -> None:
    assert await ask() == b"ok"
    replica.hang_up()  # the loop is held by this very function, so it cannot have noticed
    assert await ask() == b"ok"
    assert replica.asked == ["/v2/models/m/infer"] * 2
    assert len(replica.connections) == 2


@asking
async def test_after_a_connection_broke_nothing_is_sent_to_who_does_not_answer(
    replica: Replica, upstream: Upstream, ask: Callable[[], Awaitable[bytes]]
) -> None:
    replica.dies.set()
    with pytest.raises(Unreachable) as broke:
        await ask()
    assert not isinstance(broke.value, NotSent), "the replica may have seen it"

    for _ in range(3):
        with pytest.raises(NotSent):
            await ask()

    assert replica.asked == ["/v2/models/m/infer", *["/v2/health/live"] * 3]


@asking
async def test_one_answer_ends_the_doubt_and_the_request_follows_on_that_connection(
    replica: Replica, upstream: Upstream, ask: Callable[[], Awaitable[bytes]]
) -> None:
    replica.dies.set()
    with pytest.raises(Unreachable):
        await ask()
    replica.dies.clear()

    assert [await ask(), await ask()] == [b"ok", b"ok"]

    assert replica.asked == ["/v2/models/m/infer", "/v2/health/live", "/v2/models/m/infer", "/v2/models/m/infer"]
    assert len(replica.connections) == 2


@asking
async def test_one_broken_connection_closes_the_idle_ones(
    replica: Replica, upstream: Upstream, ask: Callable[[], Awaitable[bytes]]
) -> None:
    await asyncio.gather(ask(), ask(), ask())
    replica.dies.set()
    with pytest.raises(Unreachable):
        await ask()
    with pytest.raises(NotSent):
        await ask()
    assert replica.asked.count("/v2/models/m/infer") == 4
