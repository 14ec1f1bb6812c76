"""The front door as an ASGI application: ``/v2`` and ``/v1`` for every public name, the rest for the controller.

A public name is a model (its newest released version), ``model:3`` or ``model@alias``, or a sequence. Metadata and
readiness are answered here, so that asking about a sleeping version does not wake it: it is ready, for a request of it
would be answered.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

import orjson

from headrace_functions.access.audit import Entry, refusal
from headrace_functions.access.authentication import Authentication, Credentials
from headrace_functions.access.roles import EVERYTHING, Permission
from headrace_functions.errors import (
    Cancelled,
    Forbidden,
    HeadraceError,
    InvalidInput,
    Malformed,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    TooLarge,
    Unauthenticated,
)
from headrace_functions.gateway import embeddings, hydrosphere
from headrace_functions.gateway.allowance import Allowance
from headrace_functions.gateway.calls import REQUEST_ID, SOURCE, UNLOGGED, Call, Verb
from headrace_functions.gateway.calls import Protocol as WireProtocol
from headrace_functions.gateway.deferred import Deferred
from headrace_functions.gateway.deferred_http import LATER, accepted, looked_up, wants_later
from headrace_functions.gateway.edge import TIMING
from headrace_functions.gateway.exchange import Exchange
from headrace_functions.gateway.execution import SequenceRunner, not_explained
from headrace_functions.gateway.generation import Generation
from headrace_functions.gateway.lines import as_lines, from_lines
from headrace_functions.gateway.live_updates import LiveUpdates
from headrace_functions.gateway.metrics import GatewayMetrics
from headrace_functions.gateway.passthrough import Receive, Scope, Send, pass_through, peer_of
from headrace_functions.gateway.resolve import Resolver
from headrace_functions.gateway.routes import Route, SequenceRoute
from headrace_functions.gateway.tracing import Tracing, Untraced
from headrace_functions.gateway.uploads import as_object, from_upload, is_upload
from headrace_functions.gateway.upstream import Reply, Upstream
from headrace_functions.names import Reference, natural, usable_request_id
from headrace_functions.platform_secret import PROOF, PlatformSecret
from headrace_functions.protection import is_sensitive
from headrace_functions.protocol import metadata, openapi
from headrace_functions.protocol.budget import OPEN_BYTES, ByteBudget, HeldBytes
from headrace_functions.protocol.encodings import decoded
from headrace_functions.protocol.headers import JSON_LENGTH, number
from headrace_functions.protocol.ndjson import is_lines
from headrace_functions.protocol.problems import problem, status_of
from headrace_functions.serving import CancelledWithCaller
from headrace_functions.signature import Signature
from headrace_functions.version import Limits, Version

log = logging.getLogger("headrace.gateway")

MAX_BODY = Limits().max_body
"""Bytes of a request body before the name is resolved to a version's own limit."""
MAX_OPEN = 10_000
"""Requests open at once in one gateway; one more is refused with 429."""

STREAM_SECONDS = 3600.0
"""How much longer than one answer a stream may take; the function's own limit is the time between two pieces."""
MAX_PATHS = 20_000  # parsed inference paths that are remembered

LOG = b"x-headrace-log"
"""``off`` asks for a request to be left out of the log, by who may analyze the model."""
DEFINITIONS = b"x-headrace-definitions"
"""``last-known`` on an answer that was routed by a definition which could not be confirmed, because the store is away."""
_PASSED_ON = {
    b"content-type",
    b"content-length",
    JSON_LENGTH,
    b"retry-after",
    b"x-headrace-version",
    b"allow",
    b"server-timing",
    b"location",
    b"preference-applied",
    b"www-authenticate",
    DEFINITIONS,
    UNLOGGED,
}
_JSON = [(b"content-type", b"application/json")]


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
        self._generation = Generation(exchange, runner, _answer, _PASSED_ON)
        self._open = 0
        self._bytes = ByteBudget(settings.open_bytes)
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
            await self._problem(error, scope, send)
        except Exception as error:
            # The edge: whatever went wrong, the caller gets an answer with an id and the log says what it was.
            log.exception("request %s failed", _request_id(scope))
            await self._problem(error, scope, send)

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
                self._admit(scope, EVERYTHING, "view")
            await _answer(send, scope, self._fixed(path))

    def _admit(self, scope: Scope, name: str, *permissions: Permission) -> None:
        """Raise where whoever sent the request has none of the permissions on the name; before anything tells whether it is there.

        To be asked (``call``) without a log takes the permission to analyze too.
        """
        headers = dict(scope["headers"])
        credentials = Credentials.of(headers)
        try:
            caller = self._settings.authentication.admit(credentials, name, *permissions)
        except (Unauthenticated, Forbidden) as error:
            who = self._settings.authentication.who(credentials)
            peer = peer_of(scope, forwarded=self._settings.forwarded)
            entry = refusal(error, who, permissions[0], name, peer, _request_id(scope), status_of(error))
            self._settings.refused(entry)
            raise
        scope["caller"] = caller.subject
        if permissions[0] == "call" and scope["method"] == "POST":
            if self._settings.allowance is not None:
                self._settings.allowance.take_for(scope, caller.subject, self._settings.secret)
            if _unlogged(headers):
                self._admit(scope, name, "analyze")

    def _fixed(self, path: str) -> Reply:
        if path == "/v2":
            return _json(metadata.server_metadata(self._settings.version))
        if path in ("/v2/health/live", "/v2/health/ready"):
            return _json({path.rsplit("/", 1)[1]: True})
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
        self._admit(scope, reference.name, "call", "view")
        route = self._resolver.known(reference) or await self._resolver.resolve(reference)
        if rest == ["ready"]:
            await _answer(send, scope, _json(metadata.model_ready(parts[0], ready=True)))
        elif rest == ["openapi.json"]:
            await _answer(send, scope, _json(_described(parts[0], reference, route)))
        elif not rest:
            await _answer(send, scope, _json(await self._metadata(parts[0], route)))
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
        self._admit(scope, reference.name, "call", "view")
        await self._resolver.resolve(reference)
        await _answer(send, scope, _json(metadata.v1_model(part, ready=True)))

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
        self._admit(scope, reference.name, "call")
        with self._room() as held:
            route = self._resolver.known(reference) or await self._resolver.resolve(reference)
            call = await self._call(route, protocol, scope, receive, held)
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
            await _answer(send, scope, reply, call.request_id)

    async def ask(self, reference: Reference, call: Call) -> Reply:
        """Answer a call of a deferred request within its definition's own time."""
        route = self._resolver.known(reference) or await self._resolver.resolve(reference)
        call = replace(call, deadline=asyncio.get_running_loop().time() + _bounds(route)[1])
        return await self._traced(route, call, "deferred")

    async def _later(self, request_id: str, deferred: Deferred, scope: Scope, send: Send) -> None:
        """What became of a deferred request, or its end."""
        caller = self._settings.authentication.identify(Credentials.of(dict(scope["headers"]))).subject
        await _answer(send, scope, await looked_up(deferred, request_id, caller, scope["method"]))

    async def _embeddings(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Texts to vectors: asked as v2, and logged as such. What is no success is answered as it came."""
        _require(scope, "POST")
        # Who asks is told before anything is read; what they may do, once the body names the model.
        scope["caller"] = self._settings.authentication.identify(Credentials.of(dict(scope["headers"]))).subject
        with self._room() as held:
            asked = await self._read_call("v2", MAX_BODY, math.inf, scope, receive, held)
            wanted = embeddings.read(asked.body)
            reference = Reference.parse(wanted.model)
            self._admit(scope, reference.name, "call")
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
            await _answer(send, scope, reply, call.request_id)

    async def _generate(self, reference: Reference, verb: Verb, scope: Scope, receive: Receive, send: Send) -> None:
        """One row, answered whole or piece by piece; each piece is sent on as it comes."""
        _require(scope, "POST")
        self._admit(scope, reference.name, "call")
        with self._room() as held:
            route = self._resolver.known(reference) or await self._resolver.resolve(reference)
            call = await self._call(route, "v2", scope, receive, held)
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
        self._admit(scope, reference.name, "call")
        with self._room() as held:
            route = self._resolver.known(reference) or await self._resolver.resolve(reference)
            asked = await self._call(route, "v1", scope, receive, held)
            call = replace(
                asked, body=hydrosphere.question(asked.body), content_type=b"application/json", json_length=None
            )
            reply = await self._while_wanted(route, call, scope)
            if self._resolver.is_unconfirmed(reference):
                reply.headers.append((DEFINITIONS, b"last-known"))
            if reply.status == 200:
                signature = _signature(route)
                reply.body = hydrosphere.answer(reply.body, signature, batch=route.batch)
            await _answer(send, scope, reply, call.request_id)

    @contextlib.contextmanager
    def _room(self) -> Iterator[HeldBytes]:
        """A place among the open requests, with the bytes of its body."""
        if self._open >= MAX_OPEN:
            raise Overloaded(f"{MAX_OPEN} requests are open in this gateway")
        self._open += 1
        held = self._bytes.hold()
        try:
            yield held
        finally:
            self._open -= 1
            held.release()

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

    async def _call(
        self, route: Route, protocol: WireProtocol, scope: Scope, receive: Receive, held: HeldBytes
    ) -> Call:
        return await self._read_call(protocol, *_bounds(route), scope, receive, held)

    async def _read_call(
        self, protocol: WireProtocol, limit: int, seconds: float, scope: Scope, receive: Receive, held: HeldBytes
    ) -> Call:
        received = time.time_ns()
        headers = dict(scope["headers"])
        request_id = scope["request_id"] = usable_request_id(headers.get(REQUEST_ID, b"").decode("latin-1"))
        wanted = number(headers.get(b"x-headrace-timeout"))
        if wanted is not None:
            seconds = min(seconds, wanted / 1000)
        deadline = asyncio.get_running_loop().time() + seconds
        held.at_least(min(number(headers.get(b"content-length")) or 0, limit))
        body = decoded(await _read(receive, limit, held), headers.get(b"content-encoding"), limit)
        held.at_least(len(body))
        return Call(
            request_id,
            protocol,
            body,
            deadline,
            received,
            headers.get(b"content-type", b"application/json"),
            headers.get(JSON_LENGTH),
            headers.get(b"traceparent"),
            headers.get(b"x-headrace-time"),
            timed=TIMING in headers,
            unrecorded=headers.get(LOG) == b"off"
            or self._settings.secret.is_purpose(headers.get(b"x-headrace-purpose")),
            caller=scope["caller"],
            source=headers.get(SOURCE)
            if SOURCE in headers and self._settings.secret.is_proof(headers.get(PROOF))
            else None,
        )

    async def _problem(self, error: Exception, scope: Scope, send: Send) -> None:
        request_id = _request_id(scope)
        answer = problem(error, request_id)
        headers = [(name.encode(), value.encode()) for name, value in answer.headers]
        body = embeddings.refusal(answer.body) if scope["path"] == embeddings.PATH else answer.body
        await _answer(send, scope, Reply(answer.status, headers, body), request_id)


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


def _request_id(scope: Scope) -> str:
    if "request_id" not in scope:
        scope["request_id"] = usable_request_id(dict(scope["headers"]).get(REQUEST_ID, b"").decode("latin-1"))
    request_id: str = scope["request_id"]
    return request_id


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


def _unlogged(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the caller asks for the request to be left out of the log."""
    wanted = headers.get(LOG, b"on")
    if wanted not in (b"on", b"off"):
        raise InvalidInput(
            "x-headrace-log is neither on nor off",
            field="x-headrace-log",
            expected="on or off",
            got=repr(wanted.decode("latin-1")[:40]),
        )
    return wanted == b"off"


def _require(scope: Scope, method: str) -> None:
    got = scope["method"]
    if got != method and not (method == "GET" and got == "HEAD"):
        raise MethodNotAllowed(f"{scope['path']} accepts {method}, not {got}", allowed=method, got=got)


def _json(document: dict[str, Any]) -> Reply:
    return Reply(200, list(_JSON), orjson.dumps(document))


async def _read(receive: Receive, limit: int, held: HeldBytes) -> bytes:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Malformed("the caller disconnected before the request was complete")
    body: bytes = message.get("body", b"")
    if not message.get("more_body") and len(body) <= limit:
        return body
    pieces = [body]
    size = len(body)
    while size <= limit and message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Malformed("the caller disconnected before the request was complete")
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        held.at_least(size)
    if size > limit:
        raise TooLarge(
            "the request body is too large", expected=f"at most {limit} bytes", hint="send fewer rows per request"
        )
    return b"".join(pieces)


async def _answer(send: Send, scope: Scope, reply: Reply, request_id: str | None = None) -> None:
    headers = [h for h in reply.headers if h[0] in _PASSED_ON and h[0] != b"content-length"]
    headers.append((b"content-length", str(len(reply.body)).encode()))
    headers.append((REQUEST_ID, (request_id or _request_id(scope)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
