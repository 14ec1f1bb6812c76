"""The gateway's private side: the controller asks over a Unix socket of the home what runs, and says what changed.

Routes: ``POST /changed``, ``GET /services``, ``POST /services/<name>/wake``, ``POST /services/<name>/sleep``,
``DELETE /services/<name>``, ``GET /summary``; and ``/v2`` as at the front door, for the collector's metrics. Only the user who owns the home can open the socket, and who asks shows the platform's secret.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from headrace_controller.backends.base import ServiceSpec
from headrace_controller.backends.local.node import LocalNode
from headrace_functions.errors import Forbidden, HeadraceError, NotFound, NotReady
from headrace_functions.gateway.metrics import GatewayMetrics
from headrace_functions.gateway.passthrough import Receive, Scope, Send
from headrace_functions.gateway.resolve import Resolver
from headrace_functions.names import Reference, VersionId
from headrace_functions.platform_secret import PROOF, PlatformSecret
from headrace_functions.protocol.problems import problem
from headrace_functions.version import Version

ASGIApplication = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class KeptSecret:
    """The platform's secret, and how it is read anew."""

    value: PlatformSecret
    read: Callable[[], str]


class GatewayAdmin:
    def __init__(
        self,
        node: LocalNode,
        resolver: Resolver,
        measures: GatewayMetrics,
        spool: Path,
        door: ASGIApplication,
        secret: KeptSecret,
        learn: Callable[[], object] = lambda: None,
    ) -> None:
        """``learn`` reads anew who may do what."""
        self._secret = secret.value
        self._read_secret = secret.read
        self._learn = learn
        self._door = door
        self._spool = spool
        self._node = node
        self._resolver = resolver
        self._measures = measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"].startswith("/v2/"):
            await self._door(scope, receive, send)
            return
        try:
            self._check_proof(dict(scope["headers"]))
            status, document = 200, await self._answer(scope["method"], scope["path"].strip("/").split("/"))
            body = orjson.dumps(document)
        except HeadraceError as error:
            answer = problem(error)
            status, body = answer.status, answer.body
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _check_proof(self, headers: Mapping[bytes, bytes]) -> None:
        """Model code runs as the same user and may open this socket, so that is no proof."""
        if not self._secret.is_proof(headers.get(PROOF)):
            raise Forbidden("the gateway's private port is only for the platform's own processes")

    async def _remove_deleted(self, model: str) -> None:
        """Level-triggered: stop what runs of a model's versions that are no longer there."""
        for service in self._node.observe():
            version = VersionId.of_service(service)
            if version.model == model:
                try:
                    await self._resolver.resolve(Reference(model, number=version.number))
                except NotFound:
                    self._node.remove(service)

    async def _keep_awake(self, model: str) -> None:
        """Start what a model's versions want to have running without a request."""
        for number in self._resolver.versions_of(model):
            try:
                route = await self._resolver.resolve(Reference(model, number=number))
            except (NotFound, NotReady):
                continue
            if isinstance(route, Version) and route.scaling.min_replicas > 0:
                self._node.apply(ServiceSpec(route))

    async def _changed(self, names: Sequence[str]) -> None:
        """Forget what names meant; of the changed ones stop, start and learn what is due. No name means who may do what."""
        self._resolver.forget()
        if not names:
            await asyncio.to_thread(self._learn)
        for name in names:
            await self._remove_deleted(name)
            await self._keep_awake(name)
            await self._resolver.learn(name)

    async def _answer(self, method: str, parts: list[str]) -> Any:
        match (method, *parts):
            case ("POST", "changed", *names):
                await self._changed(names)
                return {}
            case ("POST", "renew", *how):
                # The file has the new secret already; who asks has proved the old one.
                self._secret.rotate(await asyncio.to_thread(self._read_secret), at_once=how == ["at-once"])
                self._node.renew()
                return {}
            case ("GET", "services"):
                return [
                    {"name": name, "version": str(VersionId.of_service(name)), **asdict(seen)}
                    for name, seen in self._node.observe().items()
                ]
            case ("POST", "services", name, "wake"):
                version = VersionId.of_service(name)
                route = await self._resolver.resolve(Reference(version.model, number=version.number))
                if isinstance(route, Version):
                    self._node.apply(ServiceSpec(route))
                    self._node.warm(route)
                return {}
            case ("POST", "services", name, "sleep"):
                self._node.sleep(name)
                return {}
            case ("DELETE", "services", name):
                self._node.remove(name)
                return {}
            case ("GET", "summary"):
                waiting = sum(f.stat().st_size for f in self._spool.glob("*/*/*.*") if f.is_file())
                return {**self._measures.summary(), "waiting_bytes": waiting}
        raise NotFound(f"the gateway's private port has no route for {method} /{'/'.join(parts)}")
