"""Where a gateway in a cluster finds its platform: settings from the environment, and the controller's word on a service."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from headrace_functions.errors import HeadraceError, InvalidInput
from headrace_functions.gateway.knative import Why, nobody_knows
from headrace_functions.gateway.upstream import Upstream
from headrace_functions.names import VersionId
from headrace_functions.platform_secret import PlatformSecret
from headrace_functions.startup import (
    AUTH,
    NAMESPACE,
    PLATFORM_SECRET,
    PREVIOUS_SECRET,
    RELEASE_KEY,
    STORAGE,
    WORK,
    port,
    required,
    switched_on,
)

VERSION = "HEADRACE_PLATFORM_VERSION"
STANDBY = "HEADRACE_STANDBY"
"""Names of the runtime images that have a standby, separated by commas; empty for none."""
PAGES = "HEADRACE_PAGES"
"""``1``: the management API and the pages are reached through the gateway too; with ``AUTH`` alone."""
OPEN_BYTES = "HEADRACE_OPEN_BYTES"
"""Bytes of request bodies that one gateway holds at once."""
MANY_BYTES = 128 * 1024 * 1024
"""For the 512 MiB that ``knative/base`` gives a gateway."""
_SETTER = "knative/base sets it"
STORE_PORT = 8082
"""Where pods that run users' code reach what they need of the store, ``store_proxy``."""
PRIVATE_PORT = 8081
"""Where the controller finds each gateway's private side; not the one port that Knative routes to."""
_ASK_SECONDS = 2.0
_OK = 200

log = logging.getLogger(__name__)


def store_proxy(namespace: str) -> str:
    """Where pods of a namespace find the store proxy; a Service of ``knative/base``."""
    return f"http://headrace-store-proxy.{namespace}.svc:{STORE_PORT}"


@dataclass(frozen=True, slots=True)
class InCluster:
    """Settings of one gateway process."""

    storage: str
    namespace: str
    spool: Path
    auth: bool = False
    """Whether callers are asked who they are."""
    pages: bool = False
    """Whether the management API and the pages are reached through the gateway."""
    secret: str = field(default="", repr=False)
    previous_secret: str = field(default="", repr=False)
    release_key: str = field(default="", repr=False)
    controller: str = ""
    """URL of the management API, empty for none: then nobody says why a service cannot start."""
    collector: str = ""
    port: int = 8080
    private_port: int = PRIVATE_PORT
    store_port: int = STORE_PORT
    drain: float = 30.0
    """Seconds that open requests get after TERM; Knative has waited for them before it sends it."""
    version: str = ""
    standby: tuple[str, ...] = ()
    """Names of the runtime images that have a standby."""
    open_bytes: int = MANY_BYTES

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "InCluster":
        """``InvalidInput`` names the variable that is missing or wrong."""
        namespace = required(environment, NAMESPACE, hint=_SETTER)
        given = environment.get(OPEN_BYTES, "") or str(MANY_BYTES)
        if not given.isascii() or not given.isdigit() or int(given) < 1:
            raise InvalidInput(
                f"{OPEN_BYTES}: {given!r} is not a number of bytes", field=OPEN_BYTES, expected="e.g. 134217728"
            )
        auth, pages = switched_on(environment, AUTH), switched_on(environment, PAGES)
        if pages and not auth:
            raise InvalidInput(
                f"{PAGES}: anyone who can reach the gateway could change the platform",
                field=PAGES,
                expected=f"{AUTH}=1 with it",
            )
        return cls(
            storage=required(environment, STORAGE, hint=_SETTER),
            namespace=namespace,
            spool=Path(required(environment, WORK, hint=_SETTER)) / "spool",
            auth=auth,
            pages=pages,
            secret=required(environment, PLATFORM_SECRET, hint=_SETTER),
            previous_secret=environment.get(PREVIOUS_SECRET, ""),
            release_key=required(environment, RELEASE_KEY, hint=_SETTER),
            controller=f"http://headrace-controller.{namespace}.svc",
            collector=f"http://headrace-collector.{namespace}.svc",
            port=port(environment),
            version=environment.get(VERSION, ""),
            open_bytes=int(given),
            standby=tuple(filter(None, (name.strip() for name in environment.get(STANDBY, "").split(",")))),
        )

    @property
    def controller_address(self) -> str | None:
        """Of the management API, as ``Upstream`` takes it."""
        where = urlsplit(self.controller)
        return f"tcp:{where.hostname}:{where.port or 80}" if self.controller else None

    @property
    def ingress(self) -> str:
        """A name that leads to the cluster's own ingress: that of a Knative Service which is always there, like all of them."""
        return f"headrace-collector.{self.namespace}.svc"

    def host_of(self, service: str) -> str:
        """The cluster-local host of a service's predictor; without the cluster's own domain, which may be another one."""
        return f"{service}-predictor.{self.namespace}.svc"

    def standby_of(self, image: str) -> str:
        """The cluster-local host of a runtime image's standby."""
        return f"headrace-standby-{image}.{self.namespace}.svc"


def controller_voice(upstream: Upstream, controller: str, secret: PlatformSecret) -> Why:
    """``Why`` that asks the management API at a URL, as one of the platform's own. Where it does not answer nothing is known to be wrong."""
    if not controller:
        return nobody_knows
    where = urlsplit(controller)
    address, host = f"tcp:{where.hostname}:{where.port or 80}", where.hostname
    loop = asyncio.get_running_loop()

    async def why(version: VersionId) -> str:
        head = f"GET /api/v1/services/{version.model}/{version.number} HTTP/1.1\r\nhost: {host}\r\n".encode()
        head += secret.proof_line() + b"\r\n"
        try:
            reply = await upstream.request(address, head, b"", loop.time() + _ASK_SECONDS)
            service = orjson.loads(reply.body) if reply.status == _OK else {}
        except (HeadraceError, orjson.JSONDecodeError) as error:
            log.info("the controller does not say what keeps %s: %s", version, error)
            return ""
        return str(service.get("reason", "")) if service.get("state") == "failed" else ""

    return why
