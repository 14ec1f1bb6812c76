"""What names led to when the store was last readable: how a gateway that starts while the store is away can serve.

A cluster's gateway has no disk of its own and asks the controller, which keeps the definitions in memory. On one machine
they are files in the home (``embedded.remembered_routes`` of the controller's package).
"""

import asyncio
import logging
from typing import Protocol
from urllib.parse import quote, urlsplit

import orjson

from headrace_functions.errors import HeadraceError
from headrace_functions.gateway.routes import Route, route_from_document
from headrace_functions.gateway.upstream import Upstream
from headrace_functions.names import Reference
from headrace_functions.platform_secret import PlatformSecret

PATH = "/last-known/"
"""Where the controller answers in a cluster, followed by the reference."""
_ASK_SECONDS = 0.5
_OK = 200

log = logging.getLogger(__name__)


class LastKnown(Protocol):
    """Routes that outlive the process or belong to another one. No method raises."""

    async def recall(self, reference: Reference) -> Route | None:
        """What the name led to when that was last known; None where it is not known."""

    def remember(self, reference: Reference, route: Route) -> None:
        """The store says that this is what the name leads to."""

    def forget(self, reference: Reference) -> None:
        """The store says that the name leads nowhere."""


class NothingKnown:
    """``LastKnown`` of a gateway that has only what it read itself."""

    async def recall(self, _reference: Reference) -> Route | None:
        return None

    def remember(self, _reference: Reference, _route: Route) -> None:
        pass

    def forget(self, _reference: Reference) -> None:
        pass


class KnownByController(NothingKnown):
    """``LastKnown`` that asks the controller, which reads the whole catalogue every two minutes and at each change."""

    def __init__(self, upstream: Upstream, controller: str, secret: PlatformSecret) -> None:
        """``controller`` is the URL of the management API, ``secret`` what it knows the gateway by."""
        self._secret = secret
        where = urlsplit(controller)
        self._upstream = upstream
        self._host = where.hostname
        self._address = f"tcp:{where.hostname}:{where.port or 80}"
        self._loop = asyncio.get_running_loop()

    async def recall(self, reference: Reference) -> Route | None:
        head = f"GET {PATH}{quote(str(reference))} HTTP/1.1\r\nhost: {self._host}\r\n".encode()
        head += self._secret.proof_line() + b"\r\n"
        try:
            reply = await self._upstream.request(self._address, head, b"", self._loop.time() + _ASK_SECONDS)
            return route_from_document(orjson.loads(reply.body)) if reply.status == _OK else None
        except (HeadraceError, KeyError, TypeError, ValueError, IndexError) as error:
            log.warning("the controller does not say what %s led to: %s", reference, error)
            return None
