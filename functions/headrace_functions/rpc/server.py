"""The gRPC server of one process: the service, health and reflection on one port."""

import asyncio
import contextlib
import ssl
from dataclasses import dataclass
from pathlib import Path

from headrace_functions.errors import Conflict, InvalidInput
from headrace_functions.rpc import reflection
from headrace_functions.rpc.calls import Calls
from headrace_functions.rpc.gateway import LONGEST, GatewayClient
from headrace_functions.rpc.health import Health
from headrace_functions.rpc.http2 import Connection
from headrace_functions.rpc.service import InferenceService

MAX_MESSAGE = 64 * 1024 * 1024 + 64 * 1024
"""Bytes of a message: the largest request body of a version by default, and what is around it. More ends in RESOURCE_EXHAUSTED."""
MAX_CALLS = 10_000
"""Calls open at once; one more is refused with RESOURCE_EXHAUSTED."""
MAX_CONNECTIONS = 10_000
"""Connections open at once; one more is closed."""
MAX_METADATA = 16 * 1024
"""Bytes of a call's metadata; more ends in RESOURCE_EXHAUSTED, and much more in the end of the connection."""
READINESS_EVERY = 1.0
"""Seconds between two looks at the gateway for the health service, and at calls that do not arrive."""
_CLOSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class RpcSettings:
    gateway: str
    """``unix:/path`` or ``tcp:host:port`` of the gateway's front door."""
    host: str = "127.0.0.1"
    port: int = 0
    """0 takes any free one."""
    certificate: Path | None = None
    """PEM chain of this server; with ``key`` calls are encrypted."""
    key: Path | None = None
    shared_port: bool = False
    """Whether another socket of this user may be bound to the port, as a supervisor's is that keeps it for the next start."""
    drain: float = 15.0
    """Seconds that open calls get when the server stops."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise InvalidInput(
                "a certificate and its key must be given together", field="key", expected="both files, or neither"
            )


class RpcServer:
    """Starts with ``start``; ``stop`` refuses new calls and waits for open ones."""

    def __init__(self, settings: RpcSettings) -> None:
        self._settings = settings
        self._gateway = GatewayClient(settings.gateway)
        self._health = Health()
        methods = {
            **InferenceService(self._gateway).methods(),
            **self._health.methods(),
            **reflection.methods(),
        }
        self._calls = Calls(methods, MAX_MESSAGE, MAX_CALLS, MAX_METADATA, LONGEST, max_connections=MAX_CONNECTIONS)
        self._server: asyncio.Server | None = None
        self._watching: list[asyncio.Task[None]] = []

    async def start(self) -> int:
        """Serve; the port. ``Conflict`` where it is taken, ``InvalidInput`` for a certificate that cannot be read."""
        settings, loop = self._settings, asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: Connection(self._calls),
                settings.host,
                settings.port,
                ssl=_tls(settings),
                backlog=4096,
                reuse_port=settings.shared_port or None,
            )
        except OSError as error:
            raise Conflict(
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}",
                field="grpc-port",
                hint="choose another port, or 0 for any free one",
            ) from error
        self._watching = [
            asyncio.create_task(self._health.follow(self._gateway, READINESS_EVERY)),
            asyncio.create_task(self._sweep()),
        ]
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(READINESS_EVERY)
            self._calls.sweep()

    async def stop(self) -> None:
        for task in self._watching:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._server is not None:
            self._server.close()
        self._health.end()
        for connection in list(self._calls.connections):
            connection.close()
        await self._ended(self._settings.drain)
        for connection in list(self._calls.connections):
            connection.abort()
        await self._ended(_CLOSE_SECONDS)
        self._gateway.close()

    async def _ended(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._calls.none.wait()


def _tls(settings: RpcSettings) -> ssl.SSLContext | None:
    if settings.certificate is None or settings.key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    try:
        context.load_cert_chain(settings.certificate, settings.key)
    except OSError as error:
        said = error.strerror or "it is no PEM file of a certificate and its key"
        raise InvalidInput(
            f"{settings.certificate} with {settings.key} cannot be used: {said}",
            field="grpc-certificate",
            expected="two PEM files",
        ) from error
    return context
