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
from headrace_functions.runtime.fetch import platform_secret
from headrace_functions.serving import WaitingServer, listening, told_to_stop
from headrace_functions.standby.app import StandbyApp
from headrace_functions.standby.artifact_cache import Stock
from headrace_functions.standby.children import Children
from headrace_functions.standby.settings import StandbySettings
from headrace_functions.startup import cannot_start
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore

LOCK = Path(sys.prefix) / "lock.txt"
"""What a runtime image was made from; functions/Dockerfile puts it there."""
_PASSED = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")  # what functions need of the image's variables; no credentials

log = logging.getLogger("headrace.standby")


async def serve(settings: StandbySettings) -> None:
    """Serve until TERM; then finish what is open and ship the records."""
    stop, loop = told_to_stop(), asyncio.get_running_loop()

    store = ObjectStore(settings.storage)
    stock = Stock(store, settings.work / "stock", settings.disk_bytes)
    children = Children(
        settings, stock, {k: v for k, v in os.environ.items() if k in _PASSED}, lambda: platform_secret(store)
    )
    shipping = Shipping(settings.work / "spool", settings.storage, settings.collector)
    upstream = Upstream()
    await children.open()
    await asyncio.to_thread(
        store.exists, layout.CHANGES
    )  # a store that cannot be reached is said now, and the connection is made
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
