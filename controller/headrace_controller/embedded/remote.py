"""The controller's client of the gateway's private side."""

import logging
from pathlib import Path
from typing import Any

import httpx

from headrace_functions.errors import Forbidden, HeadraceError, NotFound, Unreachable
from headrace_functions.platform_secret import PROOF

_SECONDS = 10.0

log = logging.getLogger(__name__)


class RemoteGateway:
    """What runs, and word of what changed. Fills the ``Services`` port of the use cases."""

    def __init__(self, socket: Path, secret: str) -> None:
        """``secret`` proves to the gateway that the platform asks."""
        self._client = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(socket)),
            base_url="http://gateway",
            timeout=_SECONDS,
            headers={PROOF.decode(): secret},
        )

    def observe(self) -> list[dict[str, Any]]:
        """Every service that the node holds: name, version, state, reason, replicas, open requests, since (epoch seconds)."""
        seen: list[dict[str, Any]] = self._ask("GET", "/services")
        return seen

    def changed(self, name: str = "") -> None:
        """Names may mean something else now. A gateway that is away reads everything anew when it comes back."""
        try:
            self._ask("POST", f"/changed/{name}" if name else "/changed")
        except Unreachable:
            return

    def renew(self, secret: str, *, at_once: bool = False) -> None:
        """Keys of the home have changed: functions are started anew with them. ``secret`` is what the platform's processes show from now on.

        A gateway that is away reads the keys when it comes back, and one that has just come back knows the new secret alone.
        """
        try:
            self._ask("POST", "/renew/at-once" if at_once else "/renew")
        except (Unreachable, Forbidden) as error:
            log.info("the gateway reads the keys as it starts: %s", error.message)
        finally:
            self._client.headers[PROOF.decode()] = secret

    def wake(self, service: str) -> None:
        self._ask("POST", f"/services/{service}/wake")

    def sleep(self, service: str) -> None:
        self._ask("POST", f"/services/{service}/sleep")

    def remove(self, service: str) -> None:
        self._ask("DELETE", f"/services/{service}")

    def summary(self) -> dict[str, Any]:
        """Totals of the gateway's counters."""
        totals: dict[str, Any] = self._ask("GET", "/summary")
        return totals

    def close(self) -> None:
        self._client.close()

    def _ask(self, method: str, path: str) -> Any:
        try:
            response = self._client.request(method, path)
        except httpx.TransportError as error:
            raise Unreachable(
                f"the gateway does not answer: {error}", hint="it is restarted when it ends; see log/gateway.log"
            ) from error
        document = response.json()
        if response.status_code == httpx.codes.NOT_FOUND:
            raise NotFound(document["detail"])
        if response.is_error:
            raise HeadraceError(document["detail"])
        return document
