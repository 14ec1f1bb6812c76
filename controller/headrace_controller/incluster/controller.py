"""The controller's process in a cluster: ``python -m headrace_controller``.

Serves the management API, builds versions, keeps their services as the catalogue says, follows jobs. What it holds in memory
can be read anew; one that is killed is missed by nobody who calls a model.
"""

import logging
import signal
import threading
from collections.abc import Callable

import waitress

from headrace_controller.catalog.snapshot import CatalogSnapshot
from headrace_controller.incluster.gateway_passthrough import Application, Front, figures_alone, for_platform_alone
from headrace_controller.incluster.settings import InCluster
from headrace_controller.service.assembly import MAX_UPLOAD
from headrace_functions.access.roles import Caller
from headrace_functions.errors import HeadraceError
from headrace_functions.platform_secret import PlatformSecret
from headrace_functions.recording.shipping import wake
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore

log = logging.getLogger("headrace.controller")

THREADS = 32
"""Requests that the management API works on at once; each open event stream takes one."""
_KEPT_OPEN = 3600
FIGURES_PORT = 9090
"""Where Prometheus asks; no other way into the management API."""


def serve(
    settings: InCluster,
    management: Application,
    known: Callable[[], CatalogSnapshot],
    runs_users_code: Callable[[str], bool],
    secret: PlatformSecret,
    verify: Callable[[str], tuple[Caller, float]],
) -> None:
    """Answer until TERM or INT. ``known`` is what the catalogue held when it was last read whole; addresses of pods that run users'
    code are refused; ``verify`` tells gateways whose a bearer token is."""
    front = Front(management, settings.gateway, known, secret, verify)
    server = waitress.create_server(
        for_platform_alone(front, runs_users_code),
        host=settings.platform.host,
        port=settings.platform.port,
        threads=THREADS,
        ident=None,
        send_bytes=1,  # events and logs as they come
        channel_timeout=_KEPT_OPEN,
        max_request_body_size=MAX_UPLOAD,
    )
    figures = waitress.create_server(
        for_platform_alone(figures_alone(management, secret), runs_users_code),
        host=settings.platform.host,
        port=FIGURES_PORT,
        threads=1,
        ident=None,
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=server.run, name="management API", daemon=True).start()
    threading.Thread(target=figures.run, name="figures", daemon=True).start()
    log.info("serving on port %d", settings.platform.port)
    stop.wait()
    server.close()
    figures.close()
    front.close()


def look_after_inbox(settings: InCluster) -> Callable[[], None]:
    """Wakes the collector where records wait, in case that nobody else could; to be called now and then."""
    objects = ObjectStore(settings.platform.storage_url)

    def look() -> None:
        try:
            waiting = bool(settings.collector) and bool(objects.folders(layout.INBOX))
        except HeadraceError as error:
            log.warning("cannot look into the inbox: %s", error.message)
            return
        if waiting:
            wake(settings.collector)

    return look


def tell_collector(settings: InCluster) -> Callable[[], None]:
    """Wakes the collector, from a thread: one that sleeps answers when it is up. Where it does not hear, the next record tells it."""

    def tell() -> None:
        if settings.collector:
            threading.Thread(target=wake, args=(settings.collector,), name="wake collector", daemon=True).start()

    return tell
