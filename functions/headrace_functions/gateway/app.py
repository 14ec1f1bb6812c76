"""The front door as an ASGI application: ``/v2`` and ``/v1`` for every public name, the rest for the controller.

A public name is a model (its newest released version), ``model:3`` or ``model@alias``, or a sequence. Metadata and
readiness are answered here, so that asking about a sleeping version does not wake it: it is ready, for a request of it
would be answered.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

from headrace_functions.access.audit import Entry
from headrace_functions.access.authentication import Authentication, Credentials
from headrace_functions.access.roles import EVERYTHING
from headrace_functions.errors import (
    Cancelled,
    HeadraceError,
    InvalidInput,
    MethodNotAllowed,
    NotFound,
    TooLarge,
)
from headrace_functions.gateway import embeddings, hydrosphere
from headrace_functions.gateway.allowance import Allowance
from headrace_functions.gateway.calls import DEFINITIONS, Call, Verb
from headrace_functions.gateway.calls import Protocol as WireProtocol
from headrace_functions.gateway.deferred import Deferred
from headrace_functions.gateway.deferred_http import LATER, accepted, looked_up, wants_later
from headrace_functions.gateway.exchange import Exchange
from headrace_functions.gateway.execution import SequenceRunner, not_explained
from headrace_functions.gateway.generation import Generation
from headrace_functions.gateway.guard import Guard
from headrace_functions.gateway.lines import as_lines, from_lines
from headrace_functions.gateway.live_updates import LiveUpdates
from headrace_functions.gateway.metrics import GatewayMetrics
from headrace_functions.gateway.passthrough import Receive, Scope, Send, pass_through, peer_of
from headrace_functions.gateway.replies import answer, answer_problem, json_reply, request_id_of
from headrace_functions.gateway.request_reading import RequestReader
from headrace_functions.gateway.resolve import Resolver
from headrace_functions.gateway.routes import Route, SequenceRoute
from headrace_functions.gateway.tracing import Tracing, Untraced
from headrace_functions.gateway.uploads import as_object, from_upload, is_upload
from headrace_functions.gateway.upstream import Reply, Upstream
from headrace_functions.names import Reference, natural
from headrace_functions.platform_secret import PROOF, PlatformSecret
from headrace_functions.protection import is_sensitive
from headrace_functions.protocol import metadata, openapi
from headrace_functions.protocol.budget import OPEN_BYTES
from headrace_functions.protocol.ndjson import is_lines
from headrace_functions.protocol.problems import status_of
from headrace_functions.serving import CancelledWithCaller
from headrace_functions.signature import Signature
from headrace_functions.version import Limits, Version

log = logging.getLogger("headrace.gateway")

MAX_BODY = Limits().max_body
"""Bytes of a request body before the name is resolved to a version's own limit."""
STREAM_SECONDS = 3600.0
"""How much longer than one answer a stream may take; the function's own limit is the time between two pieces."""
MAX_PATHS = 20_000  # parsed inference paths that are remembered


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    version: str
    """The platform's version, told at ``/v2``."""
    controller: str | None = None
    """Address of the management API, which gets every path the gateway does not serve and is asked for what pages show; None for 404."""
    secret: PlatformSecret = field(default_factory=PlatformSecret)
    """Who sends it with ``x-headrace-purpose: explain <secret>`` is the platform itself: not traffic, so not logged."""
    allowance: Allowance | None = None
    """What one caller may use; None is no limit."""
    open_bytes: int = OPEN_BYTES
    """Bytes of request bodies that are held at once; one more request is refused with 429. A body is in memory about three times."""
    authentication: Authentication = field(default_factory=lambda: Authentication(None, PlatformSecret()))
    """Who may ask what; without another one, everybody everything."""
    learn: Callable[[Credentials], Awaitable[None]] | None = None
    """Called before ``authentication`` is asked, where it cannot answer by itself."""
    refused: Callable[[Entry], None] = lambda _entry: None
    """Hears of each request that was refused for who sent it; must not wait."""
    tracing: Tracing = field(default_factory=Untraced)
    pages: bool = True
    """Whether callers reach the management API and the pages here. Without, those who show the platform's proof alone may follow pages."""
    forwarded: bool = False
    """Whether something in front of the gateway tells in ``X-Forwarded-For`` where a request came from."""


class Gateway:
    def __init__(
        self,
        settings: GatewaySettings,
        resolver: Resolver,
        exchange: Exchange,
        runner: SequenceRunner,
        upstream: Upstream,
        measures: GatewayMetrics,
    ) -> None:
        self._settings = settings
        self._resolver = resolver
        self._exchange = exchange
        self._runner = runner
        self._upstream = upstream
        self._measures = measures
        self._live = (
            LiveUpdates(
                upstream,
                settings.controller,
                lambda: measures.answered,
                settings.secret if settings.authentication.required else None,
            )
            if settings.controller
            else None
        )
        self.deferred: Deferred | None = None
        """Takes requests that want to be answered later; None answers them at once."""
        self._generation = Generation(exchange, runner)
        self._requests = RequestReader(settings.secret, settings.open_bytes)
        self._guard = Guard(
            settings.authentication, settings.allowance, settings.secret, settings.refused, forwarded=settings.forwarded
        )
        self._inference: dict[bytes, tuple[Reference, WireProtocol]] = {}

    def close(self) -> None:
        """End the streams of live pages, which would else be waited for."""
        if self._live is not None:
            self._live.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        try:
            if path.startswith(("/v2", "/v1", hydrosphere.PREFIX)) or path == "/metrics":
                if self._settings.learn is not None:
                    await self._settings.learn(Credentials.of(dict(scope["headers"])))
                await self._serve(path, scope, receive, send)
            elif path == "/events" and self._live is not None and self._may_follow(scope):
                await self._live.serve(scope, receive, send)
            elif self._settings.controller is not None and self._settings.pages:
                peer = peer_of(scope, forwarded=self._settings.forwarded)
                await pass_through(self._upstream, self._settings.controller, scope, receive, send, peer=peer)
            else:
                raise NotFound(f"there is no route for {path}")
        except HeadraceError as error:
            await answer_problem(send, scope, error)
        except Exception as error:
            # The edge: whatever went wrong, the caller gets an answer with an id and the log says what it was.
            log.exception("request %s failed", request_id_of(scope))
            await answer_problem(send, scope, error)

    def _may_follow(self, scope: Scope) -> bool:
        if b"page=" not in scope["query_string"]:
            return False
        return self._settings.pages or self._settings.secret.is_proof(dict(scope["headers"]).get(PROOF))

    async def _serve(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        known = self._inference.get(scope["raw_path"])
        if known is not None:
            await self._infer(*known, scope, receive, send)
            return
        parts = [unquote(p) for p in scope["raw_path"].decode("latin-1").strip("/").split("/")]
        version = parts[0]
        if version == "v2" and len(parts) >= 3 and parts[1] == "models":
            await self._v2_model(parts[2:], scope, receive, send)
        elif version == "v1" and len(parts) == 3 and parts[1] == "models":
            await self._v1_model(parts[2], scope, receive, send)
        elif path.startswith(LATER) and self.deferred is not None:
            await self._later(path.removeprefix(LATER), self.deferred, scope, send)
        elif path.startswith(hydrosphere.PREFIX) and len(parts) == 3:
            await self._application(Reference.parse(parts[2].replace("_", "-")), scope, receive, send)
        elif path == embeddings.PATH:
            await self._embeddings(scope, receive, send)
        else:
            if path == "/metrics":
                self._guard.admit(scope, EVERYTHING, "view")
            await answer(send, scope, self._fixed(path))

    def _fixed(self, path: str) -> Reply:
        if path == "/v2":
            return json_reply(metadata.server_metadata(self._settings.version))
        if path in ("/v2/health/live", "/v2/health/ready"):
            return json_reply({path.rsplit("/", 1)[1]: True})
        if path == "/metrics":
            text = self._measures.prometheus(self._resolver.unconfirmed)
            return Reply(200, [(b"content-type", b"text/plain; version=0.0.4")], text.encode())
        raise NotFound(f"there is no route for {path}", hint="docs/http-api.md lists the routes")

    async def _v2_model(self, parts: list[str], scope: Scope, receive: Receive, send: Send) -> None:
        reference = Reference.parse(parts[0])
        rest = parts[1:]
        if len(rest) >= 2 and rest[0] == "versions":
            version = natural(rest[1])
            if version is None:
                raise InvalidInput(f"version {rest[1][:80]!r} is not a number", field="version")
            reference = Reference(reference.name, number=version)
            rest = rest[2:]
        if rest == ["infer"]:
            await self._remember(reference, "v2", scope, receive, send)
            return
        if rest == ["explain"]:
            await self._infer(reference, "v2", scope, receive, send, explain=True)
            return
        if rest in (["generate"], ["generate_stream"]):
            await self._generate(
                reference, "generate_stream" if rest[0].endswith("stream") else "generate", scope, receive, send
            )
            return
        _require(scope, "GET")
        self._guard.admit(scope, reference.name, "call", "view")
        route = self._resolver.known(reference) or await self._resolver.resolve(reference)
        if rest == ["ready"]:
            await answer(send, scope, json_reply(metadata.model_ready(parts[0], ready=True)))
        elif rest == ["openapi.json"]:
            await answer(send, scope, json_reply(_described(parts[0], reference, route)))
        elif not rest:
            await answer(send, scope, json_reply(await self._metadata(parts[0], route)))
        else:
            raise NotFound(f"there is no route for {scope['path']}", hint="docs/http-api.md lists the routes")

    async def _v1_model(self, part: str, scope: Scope, receive: Receive, send: Send) -> None:
        name, _, verb = part.rpartition(":")
        if verb == "predict" and name:
            await self._remember(Reference.parse(name), "v1", scope, receive, send)
            return
        if verb == "explain" and name:
            await self._infer(Reference.parse(name), "v1", scope, receive, send, explain=True)
            return
        _require(scope, "GET")
        reference = Reference.parse(part)
        self._guard.admit(scope, reference.name, "call", "view")
        await self._resolver.resolve(reference)
        await answer(send, scope, json_reply(metadata.v1_model(part, ready=True)))

    async def _metadata(self, name: str, route: Route) -> dict[str, Any]:
        if isinstance(route, SequenceRoute):
            return metadata.model_metadata(
                name, [str(route.revision)], "headrace_sequence", route.sequence.signature, batch=route.batch
            )
        numbers = [str(n) for n in await self._resolver.numbers_of(route.id.model)]
        return metadata.model_metadata(name, numbers, f"headrace_{route.framework}", route.signature, batch=route.batch)

    async def _remember(
        self, reference: Reference, protocol: WireProtocol, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve an inference path for the first time; the next one finds its name already parsed."""
        await self._infer(reference, protocol, scope, receive, send)
        if len(self._inference) >= MAX_PATHS:
            self._inference.clear()
        self._inference[scope["raw_path"]] = (reference, protocol)

    async def _infer(
        self,
        reference: Reference,
        protocol: WireProtocol,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        explain: bool = False,
    ) -> None:
        _require(scope, "POST")
        self._guard.admit(scope, reference.name, "call")
        with self._requests.room() as held:
            route = self._resolver.known(reference) or await self._resolver.resolve(reference)
            call = await self._requests.read(protocol, *_bounds(route), scope, receive, held)
            if explain:
                if isinstance(route, SequenceRoute):
                    raise not_explained(route.sequence.name)
                call = replace(call, verb="explain")
            lines = is_lines(call.content_type)
            if lines:
                call = from_lines(call)
            upload = is_upload(call.content_type)
            if upload:
                call = from_upload(call, _signature(route), batch=route.batch)
            if self.deferred is not None and not lines and not upload and wants_later(scope):
                _require_storable(route)
                reply = await accepted(self.deferred, reference, call, scope)
            else:
                reply = await self._while_wanted(route, call, scope)
            if lines and reply.status == 200:
                reply = as_lines(reply, route)
            elif upload and reply.status == 200 and not explain:
                reply = as_object(reply, _signature(route))
            if self._resolver.is_unconfirmed(reference):
                reply.headers.append((DEFINITIONS, b"last-known"))
            await answer(send, scope, reply, call.request_id)

    async def ask(self, reference: Reference, call: Call) -> Reply:
        """Answer a call of a deferred request within its definition's own time."""
        route = self._resolver.known(reference) or await self._resolver.resolve(reference)
        call = replace(call, deadline=asyncio.get_running_loop().time() + _bounds(route)[1])
        return await self._traced(route, call, "deferred")

    async def _later(self, request_id: str, deferred: Deferred, scope: Scope, send: Send) -> None:
        """What became of a deferred request, or its end."""
        await answer(send, scope, await looked_up(deferred, request_id, self._guard.identify(scope), scope["method"]))

    async def _embeddings(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Texts to vectors: asked as v2, and logged as such. What is no success is answered as it came."""
        _require(scope, "POST")
        self._guard.identify(
            scope
        )  # before anything is read; what the caller may do is known once the body names the model
        with self._requests.room() as held:
            asked = await self._requests.read("v2", MAX_BODY, math.inf, scope, receive, held)
            wanted = embeddings.read(asked.body)
            reference = Reference.parse(wanted.model)
            self._guard.admit(scope, reference.name, "call")
            route = self._resolver.known(reference) or await self._resolver.resolve(reference)
            signature = _signature(route)
            fields = embeddings.fields_of(wanted.model, signature, batch=route.batch)
            limit, seconds = _bounds(route)
            if len(asked.body) > limit:
                raise TooLarge(
                    "the request body is too large",
                    expected=f"at most {limit} bytes",
                    hint="send fewer texts per request",
                )
            deadline = min(asked.deadline, asyncio.get_running_loop().time() + seconds)
            call = replace(
                asked,
                body=embeddings.question(wanted, *fields),
                deadline=deadline,
                content_type=b"application/json",
                json_length=None,
            )
            reply = await self._while_wanted(route, call, scope)
            if self._resolver.is_unconfirmed(reference):
                reply.headers.append((DEFINITIONS, b"last-known"))
            reply.body = (
                embeddings.answer(wanted, reply.body) if reply.status == 200 else embeddings.refusal(reply.body)
            )
            await answer(send, scope, reply, call.request_id)

    async def _generate(self, reference: Reference, verb: Verb, scope: Scope, receive: Receive, send: Send) -> None:
        """One row, answered whole or piece by piece; each piece is sent on as it comes."""
        _require(scope, "POST")
        self._guard.admit(scope, reference.name, "call")
        with self._requests.room() as held:
            route = self._resolver.known(reference) or await self._resolver.resolve(reference)
            call = await self._requests.read("v2", *_bounds(route), scope, receive, held)
            call = replace(call, verb=verb, accept=dict(scope["headers"]).get(b"accept"))
            if verb == "generate_stream":
                gap = max(0.001, call.deadline - asyncio.get_running_loop().time())
                call = replace(call, deadline=call.deadline + STREAM_SECONDS, gap=gap)
            with CancelledWithCaller(scope):
                await self._generation.pass_on(route, call, scope, send)

    async def _while_wanted(self, route: Route, call: Call, scope: Scope) -> Reply:
        """Ask what the route leads to; if the caller hangs up, ``Cancelled``."""
        with CancelledWithCaller(scope):
            return await self._traced(route, call, scope["path"])

    async def _traced(self, route: Route, call: Call, path: str) -> Reply:
        name = route.sequence.name if isinstance(route, SequenceRoute) else route.id
        with self._settings.tracing.request(name, path, call) as traced:
            try:
                if isinstance(route, SequenceRoute):
                    reply = await self._sequence(route, traced.call)
                else:
                    reply = await self._exchange.ask(route, traced.call)
            except HeadraceError as error:
                traced.failed(error)
                raise
            traced.answered(reply)
            return reply

    async def _application(self, reference: Reference, scope: Scope, receive: Receive, send: Send) -> None:
        """Inputs by name in, outputs by name out: asked as v1, and logged as such."""
        _require(scope, "POST")
        self._guard.admit(scope, reference.name, "call")
        with self._requests.room() as held:
            route = self._resolver.known(reference) or await self._resolver.resolve(reference)
            asked = await self._requests.read("v1", *_bounds(route), scope, receive, held)
            call = replace(
                asked, body=hydrosphere.question(asked.body), content_type=b"application/json", json_length=None
            )
            reply = await self._while_wanted(route, call, scope)
            if self._resolver.is_unconfirmed(reference):
                reply.headers.append((DEFINITIONS, b"last-known"))
            if reply.status == 200:
                signature = _signature(route)
                reply.body = hydrosphere.answer(reply.body, signature, batch=route.batch)
            await answer(send, scope, reply, call.request_id)

    async def _sequence(self, route: SequenceRoute, call: Call) -> Reply:
        try:
            reply = await self._runner.run(route, call)
        except HeadraceError as error:
            self._measures.sequence(route.sequence.name, status_of(error))
            raise
        except asyncio.CancelledError:
            self._measures.sequence(route.sequence.name, status_of(Cancelled("")))
            raise
        self._measures.sequence(route.sequence.name, reply.status)
        return reply


def _described(name: str, reference: Reference, route: Route) -> dict[str, Any]:
    if isinstance(route, SequenceRoute):
        return openapi.document(name, str(route.revision), route.sequence.signature, batch=route.batch)
    number = reference.number
    return openapi.document(name, str(route.id.number), route.signature, batch=route.batch, number=number)


def _bounds(route: Route) -> tuple[int, float]:
    """Bytes of a request and seconds until its answer."""
    if isinstance(route, Version):
        return route.limits.max_body, route.limits.start_timeout + route.limits.predict_timeout
    return MAX_BODY, route.sequence.timeout


def _require_storable(route: Route) -> None:
    """A request that is answered later waits in the store, where values of sensitive fields must not be."""
    versions = [route] if isinstance(route, Version) else list(route.versions.values())
    for version in versions:
        if is_sensitive(version.signature):
            raise InvalidInput(
                f"{version.id} has sensitive fields, so its requests cannot be stored to be answered later",
                field="prefer",
                hint="send the request without 'Prefer: respond-async'",
            )


def _signature(route: Route) -> Signature:
    return route.sequence.signature if isinstance(route, SequenceRoute) else route.signature


def _require(scope: Scope, method: str) -> None:
    got = scope["method"]
    if got != method and not (method == "GET" and got == "HEAD"):
        raise MethodNotAllowed(f"{scope['path']} accepts {method}, not {got}", allowed=method, got=got)
