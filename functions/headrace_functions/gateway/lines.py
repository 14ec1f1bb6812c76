"""Calls whose body is lines of JSON, one row a line: asked as v1, answered as lines."""

from dataclasses import replace

from headrace_functions.gateway.calls import Call
from headrace_functions.gateway.routes import Route, SequenceRoute
from headrace_functions.gateway.upstream import Reply
from headrace_functions.protocol.ndjson import TYPE, from_v1, to_v1


def from_lines(call: Call) -> Call:
    """The call that functions understand. ``Malformed`` names the first line that is no row."""
    return replace(call, protocol="v1", body=to_v1(call.body), content_type=b"application/json")


def as_lines(reply: Reply, route: Route) -> Reply:
    """The answer to such a call as its caller reads it."""
    signature = route.sequence.signature if isinstance(route, SequenceRoute) else route.signature
    headers = [h for h in reply.headers if h[0] != b"content-type"]
    body = from_v1(reply.body, [f.name for f in signature.outputs])
    return Reply(reply.status, [*headers, (b"content-type", TYPE)], body)
