"""The standby's HTTP face, for gateways only.

======================================= ==========================================================================
``GET /standby``                        the lock of this image, and the versions it answers for now
``PUT /versions/churn:3/<sha-256>``     a function server for the version, fetched and loaded: 200 when it answers
``POST`` of a function server's paths   with ``x-headrace-standby: churn:3 <sha-256>``: its answer
``GET /v2/health/{live,ready}``         of the standby itself
======================================= ==========================================================================

``PUT`` and ``POST`` bear ``x-headrace-store-token``, the version's own, by which it is fetched. No function sees it.

A refusal is 503 with ``x-headrace-standby: refused``: no function has seen the request, so the gateway waits for the version's
own pod. An answer without a function's ``x-request-id`` and without that header may have been seen by one.
"""

import asyncio

import orjson

from headrace_functions.errors import DeadlineExceeded, HeadraceError, Malformed, NotFound, Unreachable
from headrace_functions.gateway.passthrough import Receive, Scope, Send, pass_through, peer_of
from headrace_functions.gateway.standby import HEADER, REFUSED, TOKEN
from headrace_functions.gateway.upstream import NotSent, Upstream
from headrace_functions.names import VersionId
from headrace_functions.protocol.headers import number
from headrace_functions.protocol.problems import problem
from headrace_functions.standby.artifact_cache import Wanted
from headrace_functions.standby.children import Children

_SHA256 = 64
_LONGEST_START = 600.0  # seconds; Knative gives up a request after as long


class StandbyApp:
    def __init__(self, children: Children, upstream: Upstream, lock: str) -> None:
        self._children = children
        self._upstream = upstream
        self._lock = lock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            await self._serve(scope, receive, send)
        except HeadraceError as error:
            # What broke after the function had the request is no refusal: it must not be sent again.
            refused = isinstance(error, NotSent) or not isinstance(error, Unreachable)
            await _answer(send, 503, problem(error).body if refused else b"{}", refused=refused)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        headers = dict(scope["headers"])
        named, token = headers.get(HEADER), headers.get(TOKEN, b"").decode("latin-1")
        if method == "POST" and named is not None:
            version, _, digest = named.decode("latin-1").partition(" ")
            scope["headers"] = [header for header in scope["headers"] if header[0] != TOKEN]
            await self._infer(_wanted(version, digest, token), scope, receive, send)
        elif method == "PUT" and path.startswith("/versions/"):
            version, _, digest = path.removeprefix("/versions/").partition("/")
            async with asyncio.timeout(_LONGEST_START), self._children.acquire(_wanted(version, digest, token)):
                await _answer(send, 200, b"{}")
        elif method == "GET" and path == "/standby":
            await _answer(send, 200, orjson.dumps({"lock": self._lock, "versions": self._children.answering()}))
        elif method == "GET" and path in ("/v2/health/live", "/v2/health/ready"):
            await _answer(send, 200, b"{}")
        else:
            raise NotFound(f"a standby has no route for {method} {path}")

    async def _infer(self, wanted: Wanted, scope: Scope, receive: Receive, send: Send) -> None:
        left = number(dict(scope["headers"]).get(b"x-headrace-timeout"))
        try:
            async with asyncio.timeout(_LONGEST_START if left is None else left / 1000) as limit:
                async with self._children.acquire(wanted) as child:
                    limit.reschedule(None)  # the function itself keeps the time from here
                    await pass_through(self._upstream, child.address, scope, receive, send, peer=peer_of(scope))
        except TimeoutError as error:
            raise DeadlineExceeded(f"{wanted.version} was not ready in time") from error


def _wanted(version: str, digest: str, token: str) -> Wanted:
    if len(digest) != _SHA256 or not set(digest) <= set("0123456789abcdef"):
        raise Malformed("the artifact's digest is not a SHA-256", field="artifact", got=digest[:100])
    return Wanted(VersionId.parse(version), digest, token)


async def _answer(send: Send, status: int, body: bytes, *, refused: bool = False) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refused:
        headers.append((HEADER, REFUSED))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
