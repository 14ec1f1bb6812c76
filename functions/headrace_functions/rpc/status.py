"""Problem documents as gRPC errors: the one table from HTTP statuses to status codes, and the details that go along."""

from typing import Any

import orjson
from google.protobuf import any_pb2

from headrace_functions.protocol.problems import problem
from headrace_functions.rpc.descriptors import message
from headrace_functions.rpc.wire import CallFailed, Code, size_of, trailer

_Status = message("google.rpc.Status")
_ErrorInfo = message("google.rpc.ErrorInfo")

PROBLEM = "headrace-problem-bin"
"""Trailing metadata with the problem document, as HTTP callers get it."""
DETAILS = "grpc-status-details-bin"
"""Trailing metadata in which gRPC libraries look for ``google.rpc.Status``."""
DOMAIN = "headrace"

MAX_TRAILING = 6 * 1024
"""Bytes of what tells of an error. Clients take 8 KiB of metadata or more, and one that gets more than it takes loses the status, too."""
_MOST = (
    1000,
    300,
    100,
    30,
)  # bytes of each text of a problem that is longer, one after another until it is short enough

CODES: dict[int, Code] = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    405: Code.UNIMPLEMENTED,
    409: Code.FAILED_PRECONDITION,
    413: Code.RESOURCE_EXHAUSTED,
    415: Code.INVALID_ARGUMENT,
    422: Code.INVALID_ARGUMENT,
    429: Code.RESOURCE_EXHAUSTED,
    499: Code.CANCELLED,
    500: Code.INTERNAL,
    502: Code.UNAVAILABLE,
    503: Code.UNAVAILABLE,
    504: Code.DEADLINE_EXCEEDED,
}


def of_problem(status: int, body: bytes) -> CallFailed:
    """Status, message and trailing metadata for a problem document that the gateway answered with ``status``; long texts are cut and end with an ellipsis."""
    code = CODES.get(status, Code.UNKNOWN)
    try:
        document = orjson.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        document = {"detail": f"the gateway answered with status {status}", "code": "unreachable"}
        body = orjson.dumps(document)
    failed = _failed(code, document, body)
    for most in _MOST:
        if size_of(trailer(failed.code, failed.text, failed.trailing)) <= MAX_TRAILING:
            break
        shorter = {name: _cut(value, most) for name, value in document.items()}
        failed = _failed(code, shorter, orjson.dumps(shorter))
    return failed


def _cut(value: Any, most: int) -> Any:
    """A text of at most ``most`` bytes; what holds others, as such a text of its JSON where that is longer."""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    encoded = text.encode()
    return value if len(encoded) <= most else encoded[:most].decode(errors="ignore") + "…"


def _failed(code: Code, document: dict[str, Any], body: bytes) -> CallFailed:
    text = _words(document)
    told = {k: str(v) for k, v in document.items() if k not in ("error", "detail", "code", "title", "type")}
    info = _ErrorInfo(reason=str(document.get("code", "")).upper().replace("-", "_"), domain=DOMAIN, metadata=told)
    detail = any_pb2.Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=info.SerializeToString())
    rich = _Status(code=code, message=text)
    rich.details.add(type_url=detail.type_url, value=detail.value)
    return CallFailed(code, text, [(DETAILS, rich.SerializeToString()), (PROBLEM, body)])


def of_error(error: BaseException, request_id: str) -> CallFailed:
    """The same for an error that was met here."""
    told = problem(error, request_id)
    return of_problem(told.status, told.body)


def _words(document: dict[str, Any]) -> str:
    """What a person reads who looks at the status message alone."""
    said = str(document.get("detail", ""))
    more = [f"{name} {document[name]}" for name in ("expected", "got") if document.get(name)]
    return f"{said} ({', '.join(more)})" if more else said
