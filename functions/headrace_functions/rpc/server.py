"""The gRPC server of one process: the service, health and reflection on one port."""

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from headrace_functions.errors import Conflict, InvalidInput
from headrace_functions.rpc.descriptors import POOL, SERVICE
from headrace_functions.rpc.gateway import GatewayClient
from headrace_functions.rpc.service import InferenceService, watch_readiness

MAX_MESSAGE = 64 * 1024 * 1024 + 64 * 1024
"""Bytes of a message: the largest request body of a version by default, and what is around it. More ends in RESOURCE_EXHAUSTED."""
MAX_CALLS = 10_000
"""Calls open at once; one more is refused with RESOURCE_EXHAUSTED."""
READINESS_EVERY = 1.0
"""Seconds between two looks at the gateway for the health service."""


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
            raise InvalidInput("a certificate and its key go together", field="key", expected="both files, or neither")


class RpcServer:
    """Starts with ``start``; ``stop`` refuses new calls and waits for open ones."""

    def __init__(self, settings: RpcSettings) -> None:
        self._settings = settings
        self._gateway = GatewayClient(settings.gateway)
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", int(settings.shared_port)),
                ("grpc.max_metadata_size", 16 * 1024),
            ],
            maximum_concurrent_rpcs=MAX_CALLS,
        )
        self._health = health.aio.HealthServicer()
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Serve; the port. ``Conflict`` where it is taken, ``InvalidInput`` for a certificate that cannot be read."""
        settings = self._settings
        self._server.add_generic_rpc_handlers((InferenceService(self._gateway).handler(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        _add_to_pool(health_pb2.DESCRIPTOR.serialized_pb, reflection_pb2.DESCRIPTOR.serialized_pb)
        names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server, pool=_Symbols(POOL))
        where = f"[{settings.host}]:{settings.port}" if ":" in settings.host else f"{settings.host}:{settings.port}"
        try:
            port = self._open(where)
        except RuntimeError as error:
            raise Conflict(
                f"cannot listen on {where}: {error}",
                field="grpc-port",
                hint="choose another port, or 0 for any free one",
            ) from error
        await self._server.start()
        self._watching = asyncio.create_task(watch_readiness(self._gateway, self._tell_health, READINESS_EVERY))
        return port

    def _open(self, where: str) -> int:
        settings = self._settings
        if settings.certificate is None or settings.key is None:
            return int(self._server.add_insecure_port(where))
        try:
            pair = (settings.key.read_bytes(), settings.certificate.read_bytes())
        except OSError as error:
            raise InvalidInput(
                f"{error.filename} cannot be read: {error.strerror}", field="grpc-certificate", expected="a PEM file"
            ) from error
        return int(self._server.add_secure_port(where, grpc.ssl_server_credentials([pair])))

    async def _tell_health(self, ready: bool) -> None:
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", SERVICE):
            await self._health.set(name, status)

    async def stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        await self._health.enter_graceful_shutdown()
        await self._server.stop(self._settings.drain)
        self._gateway.close()


class _Symbols:
    """A pool that also finds the file of a method, as clients of reflection ask for it; protobuf's own knows types and services alone."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def FindFileContainingSymbol(self, symbol: str) -> Any:  # noqa: N802 -- protobuf's name
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service, _, method = symbol.rpartition(".")
            found = self._pool.FindServiceByName(service)
            if method not in found.methods_by_name:
                raise
            return found.file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)


def _add_to_pool(*files: bytes) -> None:
    """So that reflection can describe these services, too; adding the same file again changes nothing."""
    for file in files:
        POOL.AddSerializedFile(file)
