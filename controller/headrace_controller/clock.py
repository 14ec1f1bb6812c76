"""Times as documents write them: RFC 3339 in UTC."""

from datetime import UTC, datetime, timedelta
from typing import Literal

from headrace_functions.errors import InvalidInput


def now() -> str:
    """The present to the millisecond, e.g. ``2026-11-22T09:30:00.125Z``."""
    return show(datetime.now(UTC))


def show(moment: datetime, precision: Literal["milliseconds", "microseconds"] = "milliseconds") -> str:
    return moment.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def parse(text: str, *, field: str) -> datetime:
    """An RFC 3339 time or a date; one without a zone is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(
            f"{field}: {text!r} is not a time",
            field=field,
            expected="e.g. 2026-11-22T09:30:00Z, or a duration such as 1h",
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def from_seconds(seconds: float) -> datetime:
    """A moment given in seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC)


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)
