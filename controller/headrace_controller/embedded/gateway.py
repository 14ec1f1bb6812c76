"""The gateway's process: front door, sequences and the local node on one event loop.

    python -m headrace_controller.embedded.gateway SETTINGS.json FD PARENT INSIDE [DOOR]

``FD`` is the public listening socket, opened by the supervisor, so that callers wait in its queue while a killed gateway
comes back; ``INSIDE`` is one for the platform's own processes, the same where it speaks no TLS, and ``DOOR`` one for the gRPC server. Replicas survive a killed gateway and are adopted by the next one.
"""

import asyncio
import importlib.metadata
import logging
import os
import signal
import socket
import ssl
import sys
from pathlib import Path

import uvloop

from headrace_controller.backends.local.launcher import LocalLauncher
from headrace_controller.backends.local.node import LocalNode
from headrace_controller.embedded import certificate
from headrace_controller.embedded.admin import GatewayAdmin, KeptSecret
from headrace_controller.embedded.admission import Admission
from headrace_controller.embedded.prepare import Preparation
from headrace_controller.embedded.process import die_with, settings_of
from headrace_controller.embedded.remembered_routes import RememberedRoutes
from headrace_controller.logging_setup import set_up_logging
from headrace_controller.settings import Settings
from headrace_functions.gateway.allowance import Allowance
from headrace_functions.gateway.app import Gateway, GatewaySettings
from headrace_functions.gateway.callbacks import Callbacks
from headrace_functions.gateway.deferred import Deferred
from headrace_functions.gateway.edge import Edge, EdgeSettings
from headrace_functions.gateway.exchange import Exchange
from headrace_functions.gateway.execution import SequenceRunner
from headrace_functions.gateway.metrics import GatewayMetrics
from headrace_functions.gateway.recorder import SealedInTime
from headrace_functions.gateway.resolve import Resolver
from headrace_functions.gateway.tracing import tracing_of
from headrace_functions.gateway.upstream import Upstream
from headrace_functions.platform_secret import PlatformSecret
from headrace_functions.recording.spool import Spool
from headrace_functions.serving import WaitingServer
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore

log = logging.getLogger("headrace.gateway")


async def serve(settings: Settings, public: socket.socket, *inside: socket.socket) -> None:
    """``inside`` are more sockets, without TLS, for the platform's own processes. Serve until TERM; then stop accepting, finish what is open, stop the functions."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    objects = ObjectStore(settings.storage_url)
    documents = Documents(ObjectStore(settings.storage_url, impatient=True))
    # A directory is away only with the disk that the home is on too.
    remembered = None if objects.directory else RememberedRoutes(settings.home / "definitions")
    measures = GatewayMetrics()
    launcher = LocalLauncher(settings, Preparation(settings, objects).prepare, measures.woke)
    node = LocalNode(launcher)
    await node.open()
    resolver, upstream = Resolver(documents, remembered), Upstream()
    spool = Spool(settings.spool / "gateway", cap_bytes=settings.spool_cap)
    secret = PlatformSecret(settings.purpose.read_text())
    version = importlib.metadata.version("headrace")
    tracing = tracing_of(os.environ, version)
    exchange = Exchange(node, upstream, SealedInTime(spool), measures, secret, tracing)
    runner = SequenceRunner(exchange, measures)
    admission = Admission(settings, documents, objects, secret)
    await asyncio.to_thread(admission.open)
    given = GatewaySettings(
        version,
        f"unix:{settings.controller_socket}",
        secret,
        authentication=admission.authentication,
        allowance=Allowance(settings.caller_requests, settings.caller_bytes),
        refused=admission.refusals.note,
        tracing=tracing,
    )
    gateway = Gateway(given, resolver, exchange, runner, upstream, measures)

    deferred = Deferred(
        ObjectStore(settings.storage_url, impatient=True), gateway.ask, Callbacks(settings.callback_hosts)
    )
    gateway.deferred = deferred
    await deferred.open()

    private = _private_socket(settings)
    admin = GatewayAdmin(
        node,
        resolver,
        measures,
        settings.spool,
        gateway,
        KeptSecret(secret, settings.purpose.read_text),
        admission.learn,
    )
    fronts, following = _fronts(settings, Edge(gateway, EdgeSettings(settings.cors_origins)), public, *inside)
    servers = [*fronts, (WaitingServer(admin, drain=settings.drain), private)]
    serving = [loop.create_task(server.serve(sockets=[s])) for server, s in servers]
    log.info("serving")
    await stop.wait()

    log.info("draining")
    if following is not None:
        following.cancel()
    gateway.close()
    for server, _ in servers:
        server.stop()
    await asyncio.wait(serving)
    await deferred.close()
    await runner.drain(settings.drain)
    await node.close()
    upstream.close()
    await resolver.close()
    if remembered is not None:
        remembered.close()
    spool.close()
    admission.close()
    tracing.close()
    log.info("stopped")


def _private_socket(settings: Settings) -> socket.socket:
    """The socket of the private side, for its owner alone."""
    settings.gateway_socket.unlink(missing_ok=True)
    private = socket.socket(socket.AF_UNIX)
    private.bind(str(settings.gateway_socket))
    settings.gateway_socket.chmod(0o600)
    return private


def _fronts(
    settings: Settings, door: Edge, public: socket.socket, *inside: socket.socket
) -> tuple[list[tuple[WaitingServer, socket.socket]], asyncio.Task[None] | None]:
    """The servers of the front door, and what follows the files of its certificate; None where it speaks plain HTTP."""
    plain = [(WaitingServer(door, drain=settings.drain), s) for s in inside]
    if not settings.tls_certificate:
        return [(WaitingServer(door, drain=settings.drain), public), *plain], None
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.load(tls, settings)
    fronts = [(WaitingServer(certificate.OverTls(door, settings), drain=settings.drain, tls=tls), public)]
    return fronts + plain, asyncio.get_running_loop().create_task(certificate.follow(tls, settings))


def main(path: str, fd: str, parent: str, *inner: str) -> int:
    set_up_logging()
    die_with(int(parent))
    public = socket.socket(fileno=int(fd))
    inside = [socket.socket(fileno=int(i)) for i in inner if i != fd]
    uvloop.run(serve(settings_of(Path(path)), public, *inside))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
