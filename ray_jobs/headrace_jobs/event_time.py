"""The time at which a row happened: when it was received, when its caller says, or what a field says.

Logs of replays and back-fills were received at once and happened over months. A row without a time of its own counts at the time at which it was
received.
"""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_functions.errors import InvalidInput
from headrace_functions.views import Array

RECEIVED = "received"
_KIND = pa.timestamp("us", "UTC")
_UNITS = ((10**11, 10**6), (10**14, 10**3), (10**17, 1))
"""Numbers less than the first are seconds, milliseconds and microseconds, all others nanoseconds: true of every day from 1973 to 5138. Beside each
how many microseconds it is."""
ENOUGH = 10
"""Texts of a file of which one must be a time."""
_MOST = int(2.5e17)
"""Microseconds that a datetime holds."""


def event_times(column: pa.ChunkedArray, received: pa.ChunkedArray) -> pa.ChunkedArray:
    """Microseconds in UTC ``(rows,)`` without nulls of a column of times, numbers since the epoch or text in RFC 3339.

    Text without an offset is UTC. What says no time is as if it were missing. Raises ``InvalidInput`` for a column of another kind.
    """
    kind = column.type
    if pa.types.is_timestamp(kind):
        found = column.cast(_KIND)
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        found = _of_numbers(column)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind):
        found = _of_text(column)
        _refuse_if_nothing_reads(column, found)
    else:
        raise InvalidInput(
            f"time: values of type {kind} are not times",
            field="time",
            expected="a time, a number or text",
            got=str(kind),
        )
    return pc.coalesce(found, received.cast(_KIND))


def _refuse_if_nothing_reads(column: pa.ChunkedArray, found: pa.Array) -> None:
    """A few unreadable texts are a few rows without a time; a column of them says no time at all."""
    written = len(column) - column.null_count
    if written >= ENOUGH and found.null_count == len(found):
        some = next(v for v in column.cast(pa.string()).to_pylist() if v is not None)
        raise InvalidInput(
            f"time: none of {written} values is a time, e.g. {some[:40]!r}",
            field="time",
            expected="text in RFC 3339, e.g. 2026-11-22T17:00:00Z",
            got=some[:40],
        )


def _of_numbers(column: pa.ChunkedArray) -> pa.Array:
    numbers: Array
    floats = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), np.float64)
    usable = np.isfinite(floats) & (np.abs(floats) < 2**63)
    if pa.types.is_signed_integer(column.type) and not column.null_count:
        numbers = np.asarray(column.to_numpy()).astype(np.int64)  # nanoseconds have more digits than float64
        size = np.abs(numbers)
        micro = np.where(size < _UNITS[-1][0], numbers, numbers // 1000)
    else:
        numbers, size = floats, np.abs(floats)
        micro = np.where(usable & (size >= _UNITS[-1][0]), floats / 1000, floats)
    for limit, factor in reversed(_UNITS):
        micro = np.where(size < limit, numbers * factor if factor > 1 else numbers, micro)
    usable &= np.abs(micro) < _MOST
    return pa.array(np.where(usable, micro, 0).astype(np.int64), mask=~usable).cast(_KIND)


def _of_text(column: pa.ChunkedArray) -> pa.Array:
    texts = column.cast(pa.string()).combine_chunks().dictionary_encode()
    texts = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    times = pa.array([_time(text) for text in texts.dictionary.to_pylist()], _KIND)
    return times.take(texts.indices)


def _time(text: str | None) -> datetime | None:
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
