"""The composition root of one machine: puts use cases, HTTP and processes together. The cluster's is ``__main__``."""

import logging
import os
import threading
from collections.abc import Callable

import httpx
import waitress
from waitress.server import BaseWSGIServer

from headrace_controller import pages
from headrace_controller.api.application import create_app
from headrace_controller.backends.kserve.manifests import manifests_for
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_controller.embedded.home import replace_file
from headrace_controller.embedded.remote import RemoteGateway
from headrace_controller.embedded.supervisor import Addresses, Supervisor
from headrace_controller.gateway_client import SECONDS, GatewayAsking
from headrace_controller.logging_setup import set_up_logging
from headrace_controller.service.assembly import MAX_UPLOAD
from headrace_controller.service.batch_places import places_of
from headrace_controller.service.platform import Platform, create_platform
from headrace_controller.settings import PURPOSE_TOKEN, Settings
from headrace_functions.errors import HeadraceError

log = logging.getLogger("headrace.controller")

THREADS = 32
"""Requests that the management API works on at once; each open event stream takes one."""


def up(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Run an embedded platform until TERM or INT."""
    set_up_logging()
    Supervisor(settings, EmbeddedController).run(on_ready)


class EmbeddedController:
    """The use cases of an embedded platform behind HTTP on the controller's socket."""

    def __init__(self, settings: Settings, gateway: RemoteGateway, purpose_token: str, addresses: Addresses) -> None:
        os.environ[PURPOSE_TOKEN] = purpose_token
        self._settings = settings
        self._gateway = gateway
        cluster = ClusterSettings.from_environment(os.environ, settings.storage_url)
        self._platform: Platform = create_platform(
            settings, gateway, addresses.public, manifests_for(cluster), gateway=addresses.inside
        )
        self._asking = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(settings.gateway_socket)), base_url="http://gateway", timeout=SECONDS
        )
        self._platform.trust.secret.value = purpose_token
        self._platform.jobs.places = places_of(os.environ)
        self._platform.rotation.renew = gateway.renew
        asking = GatewayAsking(self._asking, settings.purpose.read_text)
        self._platform.replays.ask = self._platform.evaluations.ask = asking
        settings.controller_socket.unlink(missing_ok=True)
        self._server: BaseWSGIServer = waitress.create_server(
            create_app(self._platform, pages.blueprint(self._platform)),
            unix_socket=str(settings.controller_socket),
            unix_socket_perms="600",
            threads=THREADS,
            ident=None,
            # The gateway is the only caller and passes pieces on as they come, so nothing is held back here.
            send_bytes=1,
            channel_timeout=3600,
            max_request_body_size=MAX_UPLOAD,
        )
        self._serving = threading.Thread(target=self._server.run, name="management API", daemon=True)

    def start(self) -> None:
        self._platform.open()
        self._see_to_an_administrator()
        self._serving.start()

    def _see_to_an_administrator(self) -> None:
        """Where callers are asked who they are and nobody may administer, make a key and leave it to the owner of the home."""
        self._platform.trust.see_to_an_administrator(
            lambda key: replace_file(self._settings.first_key, f"{key}\n".encode())
        )

    def on_metric(self, attached: Callable[[], None]) -> None:
        self._platform.metrics.on_attach(attached)
        self._platform.exchanges.on_arrival(attached)

    def gateway_is_up(self) -> None:
        # Beside the start, not in its way: it looks at every version once.
        threading.Thread(target=self._wake_minimum, name="wake minimum", daemon=True).start()

    def _wake_minimum(self) -> None:
        for found in self._platform.catalog.versions():
            if found.version is not None and found.released and found.version.scaling.min_replicas > 0:
                try:
                    self._gateway.wake(found.version.id.service)
                except HeadraceError as error:
                    log.warning("%s stays asleep: %s", found.version.id, error.message)

    def close(self) -> None:
        self._platform.close()
        self._asking.close()
        self._server.close()
