"""Deferred requests as HTTP has them: ``Prefer: respond-async``, 202 with a location, and what is found there."""

from typing import Any

import orjson

from headrace_functions.errors import Cancelled, MethodNotAllowed
from headrace_functions.gateway.callbacks import Callback
from headrace_functions.gateway.calls import Call
from headrace_functions.gateway.deferred import Deferred
from headrace_functions.gateway.passthrough import Scope
from headrace_functions.gateway.upstream import Reply
from headrace_functions.names import Reference
from headrace_functions.protocol.problems import status_of

LATER = "/v2/requests/"
CANCELLED = status_of(Cancelled(""))
_JSON = (b"content-type", b"application/json")


def wants_later(scope: Scope) -> bool:
    """Whether a request says ``Prefer: respond-async`` (RFC 7240, section 2), with or without parameters."""
    return any(
        preference.partition(b";")[0].partition(b"=")[0].strip().lower() == b"respond-async"
        for name, value in scope["headers"]
        if name == b"prefer"
        for preference in value.split(b",")
    )


async def accepted(deferred: Deferred, reference: Reference, call: Call, scope: Scope) -> Reply:
    """Accept a call; 202 with the place of its result."""
    headers = dict(scope["headers"])
    url = headers.get(b"x-headrace-callback")
    callback = None
    if url is not None:
        secret = headers.get(b"x-headrace-callback-secret", b"").decode("latin-1")
        callback = Callback.of(url.decode("latin-1"), secret)
    request_id = await deferred.accept(reference, call, scope["caller"], callback)
    place = f"{LATER}{request_id}"
    more = [(b"location", place.encode()), (b"preference-applied", b"respond-async")]
    return Reply(202, [_JSON, *more], _status(request_id, "waiting", place))


async def looked_up(deferred: Deferred, request_id: str, caller: str, method: str) -> Reply:
    """The result as it would have been answered; 202 while there is none. ``DELETE`` cancels what has none, and says what there is."""
    if method == "DELETE":
        await deferred.cancel(request_id, caller)
        kept = await deferred.result(request_id, caller)
        state = "cancelled" if kept is None or kept.status == CANCELLED else "answered"
        return Reply(200, [_JSON], _status(request_id, state))
    if method not in ("GET", "HEAD"):
        raise MethodNotAllowed(f"{LATER}ID accepts GET or DELETE, not {method}", allowed="GET, DELETE", got=method)
    found = await deferred.result(request_id, caller)
    if found is not None:
        return found
    return Reply(202, [_JSON, (b"retry-after", b"1")], _status(request_id, "waiting"))


def _status(request_id: str, state: str, place: str = "") -> bytes:
    document: dict[str, Any] = {"id": request_id, "status": state}
    if place:
        document["location"] = place
    return orjson.dumps(document)
