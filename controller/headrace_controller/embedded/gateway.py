"""The gateway's process: front door, sequences and the local node on one event loop.

    python -m headrace_controller.embedded.gateway SETTINGS.json FD PARENT

``FD`` is the public listening socket, opened by the supervisor, so that callers wait in its queue while a killed gateway
comes back. Replicas survive a killed gateway and are adopted by the next one.
"""

import asyncio
import importlib.metadata
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import uvloop

from headrace_controller.backends.local.launcher import LocalLauncher
from headrace_controller.backends.local.node import LocalNode
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


async def serve(settings: Settings, public: socket.socket) -> None:
    """Serve until TERM; then stop accepting, finish what is open, stop the functions."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    objects = ObjectStore(settings.storage_url)
    documents = Documents(ObjectStore(settings.storage_url, impatient=True))
    # A directory is away only with the disk that the home is on too.
    remembered = None if objects.directory else RememberedRoutes(settings.home / "definitions")
    launcher = LocalLauncher(settings, Preparation(settings, objects).prepare)
    node = LocalNode(launcher)
    await node.open()
    resolver, measures, upstream = Resolver(documents, remembered), GatewayMetrics(), Upstream()
    spool = Spool(settings.spool / "gateway", cap_bytes=settings.spool_cap)
    secret = PlatformSecret(settings.purpose.read_text())
    version = importlib.metadata.version("headrace")
    tracing = tracing_of(os.environ, version)
    exchange = Exchange(node, upstream, SealedInTime(spool), measures, secret, tracing)
    runner = SequenceRunner(exchange, measures)
    admission = Admission(settings, documents, objects, secret)
    await asyncio.to_thread(admission.open)
    door = GatewaySettings(
        version,
        f"unix:{settings.controller_socket}",
        secret,
        authentication=admission.authentication,
        allowance=Allowance(settings.caller_requests, settings.caller_bytes),
        refused=admission.refusals.note,
        tracing=tracing,
    )
    gateway = Gateway(door, resolver, exchange, runner, upstream, measures)

    deferred = Deferred(
        ObjectStore(settings.storage_url, impatient=True), gateway.ask, Callbacks(settings.callback_hosts)
    )
    gateway.deferred = deferred
    await deferred.open()

    settings.gateway_socket.unlink(missing_ok=True)
    private = socket.socket(socket.AF_UNIX)
    private.bind(str(settings.gateway_socket))
    settings.gateway_socket.chmod(0o600)
    servers = [
        (WaitingServer(Edge(gateway, EdgeSettings(settings.cors_origins)), drain=settings.drain), public),
        (
            WaitingServer(
                GatewayAdmin(
                    node,
                    resolver,
                    measures,
                    settings.spool,
                    gateway,
                    KeptSecret(secret, settings.purpose.read_text),
                    admission.learn,
                ),
                drain=settings.drain,
            ),
            private,
        ),
    ]
    serving = [loop.create_task(server.serve(sockets=[s])) for server, s in servers]
    log.info("serving")
    await stop.wait()

    log.info("draining")
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


def main(path: str, fd: str, parent: str) -> int:
    set_up_logging()
    die_with(int(parent))
    public = socket.socket(fileno=int(fd))
    uvloop.run(serve(settings_of(Path(path)), public))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
