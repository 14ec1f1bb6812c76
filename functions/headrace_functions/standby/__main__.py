"""``python -m headrace_functions.standby``: the standby of the runtime image that it runs in, told by its environment."""

import asyncio
import logging
import os
import sys
from pathlib import Path

import uvloop

from headrace_functions.errors import HeadraceError
from headrace_functions.gateway.upstream import Upstream
from headrace_functions.recording.shipping import Shipping
from headrace_functions.serving import WaitingServer, listening, told_to_stop
from headrace_functions.standby.app import StandbyApp
from headrace_functions.standby.artifact_cache import Stock
from headrace_functions.standby.children import Children
from headrace_functions.standby.kept_tokens import KeptTokens
from headrace_functions.standby.settings import StandbySettings
from headrace_functions.startup import cannot_start
from headrace_functions.storage.proxied import ProxiedStore

LOCK = Path(sys.prefix) / "lock.txt"
"""What a runtime image was made from; functions/Dockerfile puts it there."""
_PASSED = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")  # what functions need of the image's variables; no credentials

_PATIENCE = 5.0  # seconds for a store that is away: the version's own pod is on its way too

log = logging.getLogger("headrace.standby")


async def serve(settings: StandbySettings) -> None:
    """Serve until TERM; then finish what is open and ship the records."""
    stop, loop = told_to_stop(), asyncio.get_running_loop()

    def opened(token: str) -> ProxiedStore:
        return ProxiedStore(settings.proxy, token, patience=_PATIENCE)

    stock = Stock(lambda wanted: opened(wanted.token), settings.work / "stock", settings.disk_bytes)
    tokens = KeptTokens(settings.work / "tokens", opened)
    children = Children(settings, stock, {k: v for k, v in os.environ.items() if k in _PASSED}, tokens)
    shipping = Shipping(settings.work / "spool", tokens)
    upstream = Upstream()
    await children.open()
    server = WaitingServer(StandbyApp(children, upstream, settings.lock), drain=settings.drain)
    shipping.start()
    serving = loop.create_task(server.serve(sockets=[listening(settings.host, settings.port)]))
    log.info("standing by for versions of lock %s on port %d", settings.lock[:16], settings.port)
    await stop.wait()

    log.info("draining")
    server.stop()
    await serving
    await children.close()
    upstream.close()
    await asyncio.to_thread(shipping.close)
    log.info("stopped")


def main() -> int:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", datefmt="%Y-%m-%dT%H:%M:%S%z"
    )
    try:
        uvloop.run(serve(StandbySettings.from_environment(os.environ, LOCK)))
    except HeadraceError as error:
        sys.exit(cannot_start(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
