"""Errors of the domain. They know nothing of HTTP; ``protocol.problems`` holds the one table that maps them.

HeadraceError
├── InvalidInput          the request or definition is wrong; ``field`` names the place
│   ├── SignatureMismatch     tensors do not fit the signature
│   ├── Malformed             bytes that are not what the protocol says
│   ├── MethodNotAllowed      the path takes ``allowed``
│   └── UnsupportedEncoding   the body is compressed in a way that is not read here
├── TooLarge              a documented size limit
├── Unauthenticated       who asks is not known: no credentials, or wrong ones
├── Forbidden             who asks is known and may not
├── NotFound              no such model, version, alias, sequence, report…
├── Conflict              lost race, or the thing is in use
├── Overloaded            a queue is full; try again after ``retry_after`` seconds
├── NotReady              the version cannot serve now (load failed, starting, backing off)
├── DeadlineExceeded      the caller's or the definition's time is over
├── Cancelled             the caller hung up or took the call back before there was an answer
├── FunctionFailed        user code raised or answered what its signature forbids
├── Unreachable           the service's process went away with the request in flight
├── StorageFailed         object storage refuses or is away
└── DamagedDocument       a document of the store is not what the platform writes
"""

from collections.abc import Mapping


class HeadraceError(Exception):
    """An error a user may read: ``message`` says what is wrong, ``hint`` what to do next."""

    code = "error"

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        expected: str | None = None,
        got: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.expected = expected
        self.got = got
        self.hint = hint

    def details(self) -> dict[str, str]:
        """The members beyond the message that are set, ready for a problem document."""
        members: Mapping[str, str | None] = {
            "field": self.field,
            "expected": self.expected,
            "got": self.got,
            "hint": self.hint,
        }
        return {key: value for key, value in members.items() if value is not None}


class InvalidInput(HeadraceError):
    code = "invalid"


class SignatureMismatch(InvalidInput):
    code = "signature-mismatch"


class Malformed(InvalidInput):
    code = "malformed"


class MethodNotAllowed(InvalidInput):
    code = "method-not-allowed"

    def __init__(self, message: str, *, allowed: str = "", got: str | None = None) -> None:
        super().__init__(message, field="method", expected=allowed or None, got=got)
        self.allowed = allowed


class UnsupportedEncoding(InvalidInput):
    code = "unsupported-encoding"


class TooLarge(HeadraceError):
    code = "too-large"


class Unauthenticated(HeadraceError):
    code = "unauthenticated"


class Forbidden(HeadraceError):
    code = "forbidden"


class NotFound(HeadraceError):
    code = "not-found"


class Conflict(HeadraceError):
    code = "conflict"


class Overloaded(HeadraceError):
    code = "overloaded"

    def __init__(self, message: str, *, retry_after: float = 1.0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class NotReady(HeadraceError):
    code = "not-ready"

    def __init__(self, message: str, *, retry_after: float = 1.0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class DeadlineExceeded(HeadraceError):
    code = "deadline-exceeded"


class Cancelled(HeadraceError):
    code = "cancelled"


class FunctionFailed(HeadraceError):
    code = "function-failed"


class Unreachable(HeadraceError):
    code = "unreachable"


class StorageFailed(HeadraceError):
    code = "storage-failed"


class DamagedDocument(HeadraceError):
    """One document is unreadable; what it describes is out of order, everything else is not."""

    code = "damaged-document"
