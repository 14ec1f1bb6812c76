"""Problem documents as gRPC errors: the one table from HTTP statuses to status codes, and the details that go along."""

from typing import Any

import grpc
import orjson
from google.protobuf import any_pb2

from headrace_functions.protocol.problems import problem
from headrace_functions.rpc.descriptors import message

_Status = message("google.rpc.Status")
_ErrorInfo = message("google.rpc.ErrorInfo")

PROBLEM = "headrace-problem-bin"
"""Trailing metadata with the whole problem document, as HTTP callers get it."""
DETAILS = "grpc-status-details-bin"
"""Trailing metadata in which gRPC libraries look for ``google.rpc.Status``."""
DOMAIN = "headrace"

CODES: dict[int, grpc.StatusCode] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    405: grpc.StatusCode.UNIMPLEMENTED,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    499: grpc.StatusCode.CANCELLED,
    500: grpc.StatusCode.INTERNAL,
    502: grpc.StatusCode.UNAVAILABLE,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}

Metadata = list[tuple[str, str | bytes]]


def of_problem(status: int, body: bytes) -> tuple[grpc.StatusCode, str, Metadata]:
    """Code, message and trailing metadata for a problem document that the gateway answered with ``status``."""
    code = CODES.get(status, grpc.StatusCode.UNKNOWN)
    try:
        document: dict[str, Any] = orjson.loads(body)
    except ValueError:
        document = {"detail": f"the gateway answered with status {status}", "code": "unreachable"}
    text = _words(document)
    told = {k: str(v) for k, v in document.items() if k not in ("error", "detail", "code", "title", "type")}
    info = _ErrorInfo(reason=str(document.get("code", "")).upper().replace("-", "_"), domain=DOMAIN, metadata=told)
    detail = any_pb2.Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=info.SerializeToString())
    rich = _Status(code=code.value[0], message=text)
    rich.details.add(type_url=detail.type_url, value=detail.value)
    return code, text, [(DETAILS, rich.SerializeToString()), (PROBLEM, body)]


def of_error(error: BaseException, request_id: str) -> tuple[grpc.StatusCode, str, Metadata]:
    """The same for an error that was met here."""
    told = problem(error, request_id)
    return of_problem(told.status, told.body)


def _words(document: dict[str, Any]) -> str:
    """What a person reads who looks at the status message alone."""
    said = str(document.get("detail", ""))
    more = [f"{name} {document[name]}" for name in ("expected", "got") if document.get(name)]
    return f"{said} ({', '.join(more)})" if more else said
