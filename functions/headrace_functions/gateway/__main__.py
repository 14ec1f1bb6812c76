"""``python -m headrace_functions.gateway``: a gateway in a cluster, told by its environment.

On one machine the controller's package starts the gateway, with the local node in the same process.
"""

import asyncio
import logging
import os
import sys

import uvloop

from headrace_functions.errors import HeadraceError
from headrace_functions.gateway.admission import Admission
from headrace_functions.gateway.app import Gateway, GatewaySettings
from headrace_functions.gateway.edge import Edge, EdgeSettings
from headrace_functions.gateway.exchange import Exchange
from headrace_functions.gateway.execution import SequenceRunner
from headrace_functions.gateway.incluster import InCluster, controller_voice
from headrace_functions.gateway.knative import KnativeLeases, KnativeUpstream
from headrace_functions.gateway.last_known import KnownByController
from headrace_functions.gateway.metrics import GatewayMetrics
from headrace_functions.gateway.private import GatewayPrivate
from headrace_functions.gateway.recorder import SealedInTime
from headrace_functions.gateway.reload import follow
from headrace_functions.gateway.resolve import Resolver
from headrace_functions.gateway.standby import Standbys
from headrace_functions.gateway.store_proxy import StoreProxy
from headrace_functions.gateway.tokens import VerifiedByController
from headrace_functions.gateway.tracing import Tracing, tracing_of
from headrace_functions.gateway.upstream import Upstream
from headrace_functions.platform_secret import PlatformSecret
from headrace_functions.recording.shipping import CollectorBell, Shipping
from headrace_functions.recording.spool import Spool
from headrace_functions.serving import WaitingServer, listening, told_to_stop
from headrace_functions.startup import cannot_start
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.storage.releases import ReleaseKey
from headrace_functions.storage.signed_documents import DocumentKey

log = logging.getLogger("headrace.gateway")


async def serve(settings: InCluster) -> None:
    """Serve until TERM; then finish what is open and ship the records."""
    stop, loop = told_to_stop(), asyncio.get_running_loop()

    objects = ObjectStore(settings.storage, impatient=True)
    secret = PlatformSecret(settings.secret, previous=settings.previous_secret)
    release_key = ReleaseKey(settings.release_key)
    upstream, controller = KnativeUpstream(), Upstream()
    documents = Documents(objects, DocumentKey(settings.release_key))
    resolver = Resolver(documents, KnownByController(controller, settings.controller, secret), release_key)
    measures = GatewayMetrics()
    standbys = Standbys(settings.standby, settings.standby_of, Upstream(), secret)
    why = controller_voice(upstream, settings.controller, secret)
    leases = KnativeLeases(settings.host_of, upstream, why, standbys, ingress=settings.ingress, woke=measures.woke)
    spool = Spool(settings.spool / "gateway")
    shipping = Shipping(settings.spool, ObjectStore(settings.storage), settings.collector)
    bell = CollectorBell(settings.collector)
    tracing = tracing_of(os.environ, settings.version)
    exchange = Exchange(leases, upstream, SealedInTime(spool), measures, secret, tracing)
    runner = SequenceRunner(exchange, measures)
    tokens = VerifiedByController(controller, settings.controller, secret)
    admission = Admission(documents, secret, tokens, required=settings.auth)
    await asyncio.to_thread(admission.open)
    gateway = Gateway(
        front_door(settings, secret, admission, tracing), resolver, exchange, runner, controller, measures
    )

    # The store proxy is patient, because what a pod waits for is worth waiting for.
    proxy = StoreProxy(ObjectStore(settings.storage), secret, bell.ring, release_key)
    servers = {
        settings.port: WaitingServer(Edge(gateway, EdgeSettings()), drain=settings.drain),
        settings.private_port: WaitingServer(GatewayPrivate(resolver, measures, secret), drain=1),
        settings.store_port: WaitingServer(proxy, drain=settings.drain),
    }
    serving = [
        loop.create_task(server.serve(sockets=[listening("0.0.0.0", port)]))  # noqa: S104 -- inside its pod
        for port, server in servers.items()
    ]
    shipping.start()
    bell.start()
    following = [loop.create_task(follow(resolver, objects))]
    if settings.standby:
        following.append(loop.create_task(standbys.follow(documents)))
    log.info("serving on port %d", settings.port)
    await stop.wait()

    log.info("draining")
    gateway.close()
    for server in servers.values():
        server.stop()
    await asyncio.wait(serving)
    await runner.drain(settings.drain)
    for task in following:
        task.cancel()
    await leases.close()
    standbys.close()
    upstream.close()
    controller.close()
    await resolver.close()
    spool.close()
    await asyncio.to_thread(shipping.close)
    await asyncio.to_thread(bell.close)
    await asyncio.to_thread(admission.close)
    tracing.close()
    log.info("stopped")


def front_door(settings: InCluster, secret: PlatformSecret, admission: Admission, tracing: Tracing) -> GatewaySettings:
    """Who may ask what, and where the rest of the platform is. Requests come through the ingress and Knative's proxy."""
    return GatewaySettings(
        settings.version,
        settings.controller_address,
        secret,
        open_bytes=settings.open_bytes,
        authentication=admission.authentication,
        learn=admission.learn if settings.auth else None,
        refused=admission.refusals.note,
        tracing=tracing,
        pages=settings.pages,
        forwarded=True,
    )


def main() -> int:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", datefmt="%Y-%m-%dT%H:%M:%S%z"
    )
    try:
        uvloop.run(serve(InCluster.from_environment(os.environ)))
    except HeadraceError as error:
        sys.exit(cannot_start(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
