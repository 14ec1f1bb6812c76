"""Windows: the half-open slice of time ``[since, until)`` of a log that a job analyses, and which of its rows."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from headrace_functions.errors import InvalidInput
from headrace_jobs.event_time import RECEIVED

MAX_LENGTH = timedelta(days=3660)
MAX_CHUNKS = 500
"""Chunks that a window is cut into, at most."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LENGTH = re.compile(r"(\d{1,9})([smhdw])")
_ROWS = re.compile(r"([1-9]\d{0,8})rows")


@dataclass(frozen=True, slots=True)
class Window:
    """``length`` is as the user wrote it; both ends are in UTC."""

    since: datetime
    until: datetime
    length: str
    where: str = ""
    """A condition that its rows satisfy, in the SQL of log queries; all rows where it is empty."""
    time: str = RECEIVED
    """The column of the log that says when a row happened."""

    @classmethod
    def parse(cls, length: str, until: str | None = None) -> "Window":
        """A window of ``length`` (``30m``, ``24h``, ``7d``, ``2w``) that ends at ``until`` (RFC 3339; now if left out)."""
        end = end_of(until)
        span = _span(length)
        try:
            return cls(end - span, end, length)
        except OverflowError as error:
            raise InvalidInput(f"until: {until} is out of range", field="until", got=until) from error

    @classmethod
    def between(cls, ends: str) -> "Window":
        """A window ``START/END``, two times in RFC 3339."""
        since, _, until = ends.partition("/")
        start, end = _time(since, "against"), _time(until, "against")
        if start >= end:
            raise InvalidInput(f"against: {ends} ends before it starts", field="against", got=ends)
        return cls(start, end, ends)

    def previous(self) -> "Window":
        """The window as long as this one that ends where this one begins."""
        try:
            return replace(self, since=self.since - (self.until - self.since), until=self.since)
        except OverflowError as error:
            message = "against: the previous window is out of range"
            raise InvalidInput(message, field="against", got="previous") from error

    def chunks(self, length: str) -> "tuple[Window, ...]":
        """This window cut into windows of ``length`` from its start on; the last one may be shorter."""
        step = _span(length, "chunks")
        count = -(-(self.until - self.since) // step)
        if count > MAX_CHUNKS:
            message = f"chunks: {length} would cut {self.length} into {count:,} chunks"
            raise InvalidInput(message, field="chunks", expected=f"at most {MAX_CHUNKS}", got=length)
        starts = [self.since + step * i for i in range(count)]
        return tuple(replace(self, since=s, until=min(s + step, self.until), length=length) for s in starts)

    @property
    def slug(self) -> str:
        """The window as part of a key, e.g. ``24h-20261122T170000Z``."""
        return f"{self.length}-{self.until:%Y%m%dT%H%M%S}Z"

    def dates(self) -> tuple[str, str]:
        """First and last ``YYYY-MM-DD`` that the window touches: the partitions of a log."""
        return f"{self.since:%Y-%m-%d}", f"{self.until - timedelta(microseconds=1):%Y-%m-%d}"

    def microseconds(self) -> tuple[int, int]:
        """Both ends in microseconds since the epoch."""
        unit = timedelta(microseconds=1)
        return (self.since - EPOCH) // unit, (self.until - EPOCH) // unit


def text(moment: datetime) -> str:
    """RFC 3339 in UTC."""
    return moment.isoformat().replace("+00:00", "Z")


def rows_of(length: str) -> int | None:
    """The number of rows that a window such as ``10000rows`` asks for; None for a length of time."""
    match = _ROWS.fullmatch(length)
    return int(match[1]) if match else None


def end_of(until: str | None) -> datetime:
    """The end of a window: RFC 3339, or now."""
    return datetime.now(UTC) if until is None else _time(until)


def _span(length: str, field: str = "window") -> timedelta:
    match = _LENGTH.fullmatch(length)
    span = timedelta(seconds=min(int(match[1]) * _UNITS[match[2]], 10**12)) if match else timedelta(0)
    if not timedelta(0) < span <= MAX_LENGTH:
        expected = f"a number and s, m, h, d or w, up to {MAX_LENGTH.days} days, e.g. 24h or 7d"
        if field == "window":
            expected += "; or a number of rows, e.g. 10000rows"
        message = f"{field}: {length!r} is not a length of time"
        raise InvalidInput(message, field=field, expected=expected, got=repr(length))
    return span


def _time(moment: str, field: str = "until") -> datetime:
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        expected = "RFC 3339 with an offset, e.g. 2026-11-22T17:00:00Z"
        raise InvalidInput(f"{field}: {moment!r} is not a time", field=field, expected=expected, got=repr(moment))
    return parsed.astimezone(UTC)
