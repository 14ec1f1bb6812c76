"""The controller's word to the gateways: each pod is told at once what changed, and asked what it counted.

Gateways come and go with the load. Who is not told (it starts just now, it does not answer) sees the mark in the store.
"""

import logging
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from headrace_functions.errors import HeadraceError
from headrace_functions.gateway.incluster import PRIVATE_PORT
from headrace_functions.gateway.metrics import GatewayMetrics
from headrace_functions.platform_secret import PROOF
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore

_SECONDS = 2.0
_TOGETHER = 8

log = logging.getLogger(__name__)


class Gateways:
    def __init__(self, addresses: Callable[[], list[str]], objects: ObjectStore, secret: str) -> None:
        """``addresses`` gives the IP addresses of the gateways' pods now, ``secret`` is what they know the controller by."""
        self._addresses = addresses
        self._objects = objects
        self._client = httpx.Client(timeout=_SECONDS, trust_env=False, headers={PROOF.decode(): secret})
        self._callers = ThreadPoolExecutor(_TOGETHER, thread_name_prefix="gateways")

    def changed(self) -> None:
        """Names may mean something else. Raises ``StorageFailed`` where not even the mark could be left."""
        self._objects.put(layout.CHANGES, uuid.uuid4().hex.encode())
        self._ask_all("POST", "/changed")

    def summary(self) -> dict[str, int]:
        """Totals over the gateways that run now; one that slept counts from anew."""
        # Of what waits to be shipped the gateways know nothing; each pod ships its own.
        totals = Counter({**GatewayMetrics().summary(), "waiting_bytes": 0})
        for document in self._ask_all("GET", "/summary"):
            totals.update(document)
        return dict(totals)

    def close(self) -> None:
        self._callers.shutdown()
        self._client.close()

    def _ask_all(self, method: str, path: str) -> list[dict[str, Any]]:
        try:
            addresses = self._addresses()
        except HeadraceError as error:
            log.warning("cannot find the gateways: %s", error.message)
            return []
        answers = self._callers.map(lambda address: self._ask(address, method, path), addresses)
        return [answer for answer in answers if answer is not None]

    def _ask(self, address: str, method: str, path: str) -> dict[str, Any] | None:
        try:
            response = self._client.request(method, f"http://{address}:{PRIVATE_PORT}{path}")
            response.raise_for_status()
            answer: dict[str, Any] = response.json()
        except (httpx.HTTPError, ValueError) as error:
            log.warning("the gateway at %s did not hear %s: %s", address, path, error)
            return None
        return answer
