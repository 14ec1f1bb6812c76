"""uvicorn as both our servers use it: an answer in one write, no polling, signals left to the owner.

uvicorn writes an answer's head and body apart and uvloop sends each at once: two system calls here, two packets and two
wake-ups there, which is a good part of the time of a small answer. Its main loop looks ten times a second whether to stop;
an idle process should not.
"""

import asyncio
import contextlib
import re
import signal
import socket
import ssl
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import Server

from headrace_functions.errors import Cancelled

ON_DISCONNECT = "headrace.on_disconnect"
"""Key of an ASGI scope: what an application leaves there is called if the caller hangs up before the answer is complete."""


class CancelledWithCaller:
    """Within the block, what waits is cancelled if the caller of an ASGI ``scope`` hangs up, and the block raises ``Cancelled``.

    A class, and not a generator, because each request of the hot path enters one.
    """

    __slots__ = ("_gone", "_scope", "_task")

    def __init__(self, scope: MutableMapping[str, Any]) -> None:
        self._scope = scope
        self._task = asyncio.current_task()
        self._gone = False

    def __enter__(self) -> None:
        assert self._task is not None, "only a task can be cancelled"
        self._scope[ON_DISCONNECT] = self._hang_up

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        del self._scope[ON_DISCONNECT]
        # Without the caller's hang-up the server stops, and waits no longer.
        if self._gone and isinstance(error, asyncio.CancelledError):
            raise Cancelled("the caller disconnected before the response") from None

    def _hang_up(self) -> None:
        self._gone = True
        if self._task is not None:
            self._task.cancel()


_HEAD = b"HTTP/1.1 "
_INTERIM = b"HTTP/1.1 1"
_END = b"\r\n\r\n"
_OFFER = b"upgrade:"
_OFFERED = re.compile(rb"\nupgrade[ \t]*:", re.IGNORECASE)
_IGNORED = b"\nx-ignored-offer:"
_OVERLAP = 3  # bytes of the end of a head that may be in an earlier piece


class JoinedWrites:
    """Holds a response's head back until its body is written, at most until the loop's next round; all else passes."""

    __slots__ = ("_held", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""

    def write(self, data: bytes) -> None:
        if self._held:
            data, self._held = self._held + data, b""
        elif data.endswith(_END) and data.startswith(_HEAD) and not data.startswith(_INTERIM):
            self._held = data
            self._loop.call_soon(self._flush)  # an answer without a body has no second write
            return
        self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            data, self._held = self._held, b""
            self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class JoinedHttp(HttpToolsProtocol):
    """uvicorn's protocol on joined writes, which ignores offers of an upgrade.

    Java's HTTP client offers ``Upgrade: h2c`` with its first request on a connection. A server may ignore that, but the parser stops reading
    a request with such a header, so the header gets another name on its way to the parser.
    """

    _in_head = True
    _held = b""
    """The start of a line that may become ``Upgrade:``, while the rest of it has not come."""
    _before = b""
    """The last bytes of the head that the parser has seen."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(JoinedWrites(transport, asyncio.get_running_loop()))  # type: ignore[arg-type]

    def connection_lost(self, exc: Exception | None) -> None:
        cycle = getattr(self, "cycle", None)
        open_scope = cast(MutableMapping[str, Any], self.scope) if cycle and not cycle.response_complete else {}
        hang_up: Callable[[], object] | None = open_scope.get(ON_DISCONNECT)
        super().connection_lost(exc)
        if hang_up is not None:
            hang_up()

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            data = self._without_offer(self._held + data)
        if data:
            super().data_received(data)

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        super().on_message_complete()

    def _without_offer(self, data: bytes) -> bytes:
        """What the parser may see of ``data``, which belongs to a head up to the empty line; a piece may begin or end anywhere."""
        before, self._held = self._before, b""
        end = (before + data).find(_END)
        cut = len(data) if end < 0 else end + len(_END) - len(before)
        head, rest = data[:cut], data[cut:]
        line = head[head.rfind(b"\n") + 1 :]
        starts = b"\n" in head or before.endswith(b"\n")
        if end < 0 and line and starts and len(line) < len(_OFFER) and _OFFER.startswith(line.lower()):
            head, self._held = head[: -len(line)], line
        self._before = b"" if end >= 0 else (before + head)[-_OVERLAP:]
        if before.endswith(b"\n"):
            return _OFFERED.sub(_IGNORED, b"\n" + head)[1:] + rest
        return _OFFERED.sub(_IGNORED, head) + rest


class WaitingServer(Server):
    """Serves until ``stop``; then it accepts no more, finishes open requests for at most ``drain`` seconds, and returns."""

    def __init__(self, app: Any, *, drain: float, backlog: int = 4096, tls: ssl.SSLContext | None = None) -> None:
        """``tls`` has the certificate that callers are shown; None serves plain HTTP."""
        super().__init__(
            Config(
                app,
                loop="none",
                http=JoinedHttp,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                backlog=backlog,
                timeout_graceful_shutdown=max(1, round(drain)),
                timeout_keep_alive=75,  # longer than the gateway keeps an idle connection, so that it closes first
            )
        )
        if tls is not None:  # a context of our own, so that its certificate can be replaced
            self.config.load()
            self.config.ssl = tls
        self._stopped = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The owner decides what a signal means; uvicorn's own way would raise it again at the end."""
        yield

    async def main_loop(self) -> None:
        await self._stopped.wait()

    def stop(self) -> None:
        self.should_exit = True
        self._stopped.set()


def told_to_stop() -> asyncio.Event:
    """Set at TERM or INT, from now on."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def listening(host: str, port: int, backlog: int = 4096) -> socket.socket:
    """A TCP socket that takes connections, also right after one of another process on this port."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.bind((host, port))
    opened.listen(backlog)
    return opened
