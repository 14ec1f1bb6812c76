"""Problem documents as gRPC errors: the one table from HTTP statuses to status codes, and the details that go along."""

from typing import Any

import orjson
from google.protobuf import any_pb2

from headrace_functions.protocol.problems import problem
from headrace_functions.rpc.descriptors import message
from headrace_functions.rpc.wire import CallFailed, Code

_Status = message("google.rpc.Status")
_ErrorInfo = message("google.rpc.ErrorInfo")

PROBLEM = "headrace-problem-bin"
"""Trailing metadata with the whole problem document, as HTTP callers get it."""
DETAILS = "grpc-status-details-bin"
"""Trailing metadata in which gRPC libraries look for ``google.rpc.Status``."""
DOMAIN = "headrace"

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
    """Status, message and trailing metadata for a problem document that the gateway answered with ``status``."""
    code = CODES.get(status, Code.UNKNOWN)
    try:
        document: dict[str, Any] = orjson.loads(body)
    except ValueError:
        document = {"detail": f"the gateway answered with status {status}", "code": "unreachable"}
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
