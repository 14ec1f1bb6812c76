"""The one table from domain errors to HTTP: status, title and a problem document (RFC 9457)."""

import math
from dataclasses import dataclass

import orjson

from headrace_functions import errors
from headrace_functions.names import clean

PROBLEM_TYPE = "application/problem+json"

_TABLE: dict[type[errors.HeadraceError], tuple[int, str]] = {
    errors.Malformed: (400, "The request cannot be read"),
    errors.SignatureMismatch: (422, "The tensors do not fit the signature"),
    errors.InvalidInput: (400, "The request is not valid"),
    errors.MethodNotAllowed: (405, "The method is not allowed here"),
    errors.UnsupportedEncoding: (415, "The body's encoding is not supported"),
    errors.TooLarge: (413, "The body is too large"),
    errors.Unauthenticated: (401, "Authentication is required"),
    errors.Forbidden: (403, "Not allowed"),
    errors.NotFound: (404, "Not found"),
    errors.Conflict: (409, "Conflict: it is in use, or somebody else changed it"),
    errors.Overloaded: (429, "Too many requests are waiting"),
    errors.NotReady: (503, "The version cannot serve requests now"),
    errors.DeadlineExceeded: (504, "The deadline has passed"),
    errors.Cancelled: (499, "The caller went away"),
    errors.FunctionFailed: (500, "The function failed"),
    errors.Unreachable: (502, "The service ended the connection"),
    errors.StorageFailed: (503, "The object store is unavailable"),
    errors.DamagedDocument: (500, "A document of the store is damaged"),
}
_INTERNAL = (500, "Internal error")


@dataclass(frozen=True, slots=True)
class Problem:
    """An answer for an error. ``headers`` are the ones beyond length and ``x-request-id``: content type, Retry-After."""

    status: int
    code: str
    body: bytes
    headers: tuple[tuple[str, str], ...]


def status_of(error: BaseException) -> int:
    return _entry(error)[0]


def problem(error: BaseException, request_id: str = "", *, instance: str = "") -> Problem:
    """The problem document of an error; one that does not belong to this platform says nothing of itself but the request id.

    Members: ``type`` (``urn:headrace:problem:<code>``), ``title``, ``status``, ``detail``, ``code``, ``request_id``,
    and where they are known ``field``, ``expected``, ``got``, ``hint``, ``instance``. ``error`` is the detail once more: clients of the
    Open Inference Protocol and of v1 read that member and no other.
    """
    status, title = _entry(error)
    code, detail, details = "internal", "an internal error; the log has it under the request id", {}
    if isinstance(error, errors.HeadraceError):
        code, detail, details = error.code, error.message, error.details()
    document: dict[str, object] = {
        "type": f"urn:headrace:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "error": detail,
    }
    if request_id:
        document["request_id"] = request_id
    if instance:
        document["instance"] = instance
    document.update(details)
    document = {k: clean(v) if isinstance(v, str) else v for k, v in document.items()}
    headers = [("content-type", PROBLEM_TYPE)]
    retry = getattr(error, "retry_after", None)
    if retry is not None:
        headers.append(("retry-after", str(max(1, math.ceil(retry)))))
    if isinstance(error, errors.Unauthenticated):
        headers.append(("www-authenticate", "Bearer"))
    if isinstance(error, errors.MethodNotAllowed) and error.allowed:
        headers.append(("allow", error.allowed))
    return Problem(status, code, orjson.dumps(document), tuple(headers))


def _entry(error: BaseException) -> tuple[int, str]:
    for kind in type(error).__mro__:
        found = _TABLE.get(kind)
        if found is not None:
            return found
    return _INTERNAL
