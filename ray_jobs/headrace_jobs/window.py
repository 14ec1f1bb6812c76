"""Windows: the half-open slice of time ``[since, until)`` of a log that a job analyses."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from headrace_functions.errors import InvalidInput

MAX_LENGTH = timedelta(days=3660)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LENGTH = re.compile(r"(\d{1,9})([smhdw])")


@dataclass(frozen=True, slots=True)
class Window:
    """``length`` is as the user wrote it; both ends are in UTC."""

    since: datetime
    until: datetime
    length: str

    @classmethod
    def parse(cls, length: str, until: str | None = None) -> "Window":
        """A window of ``length`` (``30m``, ``24h``, ``7d``, ``2w``) that ends at ``until`` (RFC 3339; now if left out)."""
        end = datetime.now(UTC) if until is None else _time(until)
        span = _span(length)
        try:
            return cls(end - span, end, length)
        except OverflowError as error:
            raise InvalidInput(f"until: {until} is out of reach", field="until", got=until) from error

    @property
    def slug(self) -> str:
        """The window as part of a key, e.g. ``24h-20261122T170000Z``."""
        return f"{self.length}-{self.until:%Y%m%dT%H%M%S}Z"

    def dates(self) -> tuple[str, str]:
        """First and last ``YYYY-MM-DD`` that the window touches: the partitions of a log."""
        return f"{self.since:%Y-%m-%d}", f"{self.until - timedelta(microseconds=1):%Y-%m-%d}"

    def microseconds(self) -> tuple[int, int]:
        """Both ends in microseconds since the epoch."""
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        unit = timedelta(microseconds=1)
        return (self.since - epoch) // unit, (self.until - epoch) // unit


def text(moment: datetime) -> str:
    """RFC 3339 in UTC."""
    return moment.isoformat().replace("+00:00", "Z")


def _span(length: str) -> timedelta:
    match = _LENGTH.fullmatch(length)
    span = timedelta(seconds=min(int(match[1]) * _UNITS[match[2]], 10**12)) if match else timedelta(0)
    if not timedelta(0) < span <= MAX_LENGTH:
        expected = f"a number and s, m, h, d or w, up to {MAX_LENGTH.days} days, e.g. 24h or 7d"
        raise InvalidInput(
            f"window: {length!r} is not a length of time", field="window", expected=expected, got=repr(length)
        )
    return span


def _time(moment: str) -> datetime:
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        expected = "RFC 3339 with an offset, e.g. 2026-11-22T17:00:00Z"
        raise InvalidInput(f"until: {moment!r} is not a time", field="until", expected=expected, got=repr(moment))
    return parsed.astimezone(UTC)
