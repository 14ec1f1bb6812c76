"""One exchange of a function server: reading it from HTTP, what it ended in, and what its record says of it."""

import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from headrace_functions.errors import (
    Cancelled,
    DeadlineExceeded,
    FunctionFailed,
    HeadraceError,
    Malformed,
    NotReady,
    Overloaded,
    TooLarge,
)
from headrace_functions.names import clean, usable_request_id
from headrace_functions.protocol.headers import JSON_LENGTH, number
from headrace_functions.protocol.messages import EncodedBody
from headrace_functions.protocol.problems import problem
from headrace_functions.record import Outcome
from headrace_functions.runtime.confinement import explained
from headrace_functions.user_text import repr_of, text_of
from headrace_functions.version import Version

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Headers = Mapping[bytes, bytes]
RawHeaders = list[tuple[bytes, bytes]]

_ERROR_TEXT = 1000  # characters of an error kept in a record
_OUTCOMES: tuple[tuple[type[HeadraceError], Outcome], ...] = (
    (DeadlineExceeded, "timeout"),
    (Overloaded, "overloaded"),
    (NotReady, "not-ready"),
    (Cancelled, "cancelled"),
    (FunctionFailed, "failed"),
    (HeadraceError, "refused"),
)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Answer:
    """How an exchange ended. ``headers`` lack the length and the request id."""

    status: int
    outcome: Outcome
    headers: RawHeaders
    body: bytes
    json_length: int | None = None
    error: str = ""


def success(encoded: EncodedBody) -> Answer:
    return Answer(200, "ok", _content(encoded), encoded.body, encoded.json_length)


def failure(error: BaseException, request_id: str, version: Version | None = None) -> Answer:
    """The answer for an error. Of user code's own exception it says what ``version`` allows, and where the traceback is."""
    told = problem(_for_caller(error, request_id, version), request_id)
    headers = [(k.encode(), v.encode()) for k, v in told.headers]
    if isinstance(error, TooLarge):
        headers.append((b"connection", b"close"))  # the rest of the body is not read
    return Answer(told.status, _outcome(error), headers, told.body, error=_described(error))


def _for_caller(error: BaseException, request_id: str, version: Version | None) -> BaseException:
    cause = error.__cause__
    if version is None or not isinstance(error, FunctionFailed) or cause is None or isinstance(cause, HeadraceError):
        return error
    said = next((line for line in reversed(text_of(cause).splitlines()) if line.strip()), "")
    detailed = version.errors == "detailed" and said
    return FunctionFailed(
        f"{error.message}: {said[:_ERROR_TEXT]}" if detailed else error.message,
        hint=f"its traceback: headrace service log {version.id} --request {request_id}",
    )


async def read_body(receive: Receive, headers: Headers, limit: int) -> bytes:
    """The request's body; ``TooLarge`` above ``limit`` bytes, as soon as that is known. ``Malformed`` if the caller goes away."""
    announced = number(headers.get(b"content-length"))
    if announced is not None and announced > limit:
        raise _too_large(limit, f"{announced} bytes")
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        parts = [body]
        size = len(body)
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Malformed("the caller disconnected before the body was complete", field="body")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                raise _too_large(limit, f"more than {limit} bytes")
        body = b"".join(parts)
    if len(body) > limit:
        raise _too_large(limit, f"{len(body)} bytes")
    return body


def _too_large(limit: int, got: str) -> TooLarge:
    return TooLarge("the request's body is too large", field="body", expected=f"at most {limit} bytes", got=got)


def _content(encoded: EncodedBody) -> RawHeaders:
    headers = [(b"content-type", encoded.content_type.encode())]
    if encoded.json_length is not None:
        headers.append((JSON_LENGTH, b"%d" % encoded.json_length))
    return headers


def request_id_of(headers: Headers) -> str:
    return usable_request_id(text(headers, b"x-request-id"))


def text(headers: Headers, name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")


def forwarded(headers: Headers, *, by_gateway: bool) -> dict[str, Any]:
    """What the caller says of an exchange, and the gateway where it is one, as members of the record's header."""
    told: dict[str, Any] = _said_by_gateway(headers) if by_gateway else {}
    if b"x-headrace-time" in headers:
        told["caller_time"] = number(headers.get(b"x-headrace-time"))
    if b"traceparent" in headers:
        told["traceparent"] = text(headers, b"traceparent")
    return told


def _said_by_gateway(headers: Headers) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if b"x-headrace-sequence" in headers:
        told["sequence"] = text(headers, b"x-headrace-sequence")
        stage = number(headers.get(b"x-headrace-stage"))
        told["stage"] = stage if stage is not None else -1
    if b"x-headrace-variant" in headers:
        told["variant"] = text(headers, b"x-headrace-variant")
    if b"x-headrace-source" in headers:
        told["source"] = text(headers, b"x-headrace-source")
    if b"x-headrace-shadow" in headers:
        told["shadow"] = headers[b"x-headrace-shadow"] == b"1"
    if b"x-headrace-caller" in headers:
        told["caller"] = text(headers, b"x-headrace-caller")
    return told


def _log_without_values(error: BaseException, request_id: str) -> None:
    cause = error.__cause__ or error
    if isinstance(error, FunctionFailed) or not isinstance(error, HeadraceError):
        frames = "".join(traceback.format_tb(cause.__traceback__))
        kind = type(cause).__name__
        log.error("request %s failed: %s, whose message may hold sensitive values\n%s", request_id, kind, frames)


def _outcome(error: BaseException) -> Outcome:
    for kind, outcome in _OUTCOMES:
        if isinstance(error, kind):
            return outcome
    return "failed"


def _described(error: BaseException) -> str:
    """Code and message for the record; of user code's own error the log reader sees what it said."""
    code, message = (
        ("internal", repr_of(error)) if not isinstance(error, HeadraceError) else (error.code, error.message)
    )
    cause = error.__cause__ if isinstance(error, FunctionFailed) else None
    said = f": {text_of(cause)}" if cause is not None and not isinstance(cause, HeadraceError) else ""
    return clean(f"{code}: {message}{said}")[:_ERROR_TEXT]


def log_failure(error: BaseException, request_id: str, *, sensitive: bool = False) -> None:
    """Refusals are the caller's business; what failed here is told with its traceback, of ``sensitive`` values without its message."""
    if sensitive:
        _log_without_values(error, request_id)
        return
    if isinstance(error, FunctionFailed) or not isinstance(error, HeadraceError):
        log.error("request %s failed", request_id, exc_info=error)
        if hint := explained(error.__cause__ or error):
            log.error("request %s: %s", request_id, hint)
    elif isinstance(error, DeadlineExceeded):
        log.warning("request %s: %s", request_id, error.message)
