"""Responses to callers: which headers of a service's response they see, and the problem document of an error."""

from typing import Any

import orjson

from headrace_functions.gateway import embeddings
from headrace_functions.gateway.calls import DEFINITIONS, REQUEST_ID, UNLOGGED, VERSION
from headrace_functions.gateway.passthrough import Scope, Send
from headrace_functions.gateway.upstream import Reply
from headrace_functions.names import usable_request_id
from headrace_functions.protocol.headers import JSON_LENGTH
from headrace_functions.protocol.problems import problem

PASSED_ON = {
    b"content-type",
    b"content-length",
    JSON_LENGTH,
    b"retry-after",
    VERSION,
    b"allow",
    b"server-timing",
    b"location",
    b"preference-applied",
    b"www-authenticate",
    DEFINITIONS,
    UNLOGGED,
}
_JSON = [(b"content-type", b"application/json")]


def request_id_of(scope: Scope) -> str:
    """The caller's ``x-request-id`` where it is usable, or a new one that stays with the request."""
    if "request_id" not in scope:
        scope["request_id"] = usable_request_id(dict(scope["headers"]).get(REQUEST_ID, b"").decode("latin-1"))
    request_id: str = scope["request_id"]
    return request_id


def json_reply(document: dict[str, Any]) -> Reply:
    return Reply(200, list(_JSON), orjson.dumps(document))


async def answer(send: Send, scope: Scope, reply: Reply, request_id: str | None = None) -> None:
    headers = [h for h in reply.headers if h[0] in PASSED_ON and h[0] != b"content-length"]
    headers.append((b"content-length", str(len(reply.body)).encode()))
    headers.append((REQUEST_ID, (request_id or request_id_of(scope)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


async def answer_problem(send: Send, scope: Scope, error: Exception) -> None:
    """The problem document of an error, in the form that the route's callers read."""
    request_id = request_id_of(scope)
    told = problem(error, request_id)
    headers = [(name.encode(), value.encode()) for name, value in told.headers]
    body = embeddings.refusal(told.body) if scope["path"] == embeddings.PATH else told.body
    await answer(send, scope, Reply(told.status, headers, body), request_id)
