"""Content: what is in texts and vectors as a few numbers a row, so that a test can look at the whole of it.

A text is how often its runs of three bytes fall into each of ``BUCKETS`` hashed buckets, which hears a language, and which of ``WORDS`` hashed
buckets some word of it falls into, which hears a few odd texts; a vector of many elements is its projection on ``DIRECTIONS`` random directions (Johnson and Lindenstrauss 1984).
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_functions.signature import Field
from headrace_functions.views import MAX_ELEMENTS, Array
from headrace_jobs.columns import Column

BUCKETS = 256
WORDS = 512
DIRECTIONS = 64
SPACE = 32
"""Bytes up to it are no part of a word."""
CHARACTERS = 1000
"""Of a text that are looked at."""
LABEL = "content"


def key(column: Column) -> str:
    """Where rows of content are among the rows of views."""
    return f"{column.name}|{LABEL}"


def has_content(field: Field) -> bool:
    """Whether a field is looked at by content: a text, an embedding, or a tensor of numbers too big to be looked at by element."""
    if field.is_scalar:
        return field.profile == "text"
    if not field.dtype.is_number or field.size is None:
        return False
    return field.profile == "embedding" or field.size > MAX_ELEMENTS


def content_of(field: Field, column: Any, rows: Array) -> Array | None:
    """Some rows of an Arrow column as float32 ``(len(rows), k)``, NaN throughout where missing; None where it cannot be read as that."""
    chosen = column.take(pa.array(rows))
    chosen = chosen.combine_chunks() if isinstance(chosen, pa.ChunkedArray) else chosen
    try:
        return _texts(chosen) if field.is_scalar else _vectors(chosen, int(field.size or 0))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError, TypeError):
        return None


def text_hashes(column: Any) -> Array:
    """A hash of each text, uint64 ``(n,)``, 0 where missing."""
    data, starts, ends = _bytes(column)
    row = np.repeat(np.arange(len(starts)), ends - starts)
    place = np.arange(len(data), dtype=np.uint64) - starts[row].astype(np.uint64)
    with np.errstate(over="ignore"):
        mixed = (data.astype(np.uint64) + np.uint64(1)) * _power(place)
        total = np.concatenate((np.zeros(1, np.uint64), np.cumsum(mixed, dtype=np.uint64)))
        return np.asarray(total[ends] - total[starts])


def _power(place: Array) -> Array:
    with np.errstate(over="ignore"):
        found = (place + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        return np.asarray((found ^ (found >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) | np.uint64(1))


def _texts(column: Any) -> Array:
    data, starts, ends = _bytes(pc.utf8_slice_codeunits(pc.utf8_lower(column.cast(pa.large_string())), 0, CHARACTERS))
    row = np.repeat(np.arange(len(starts)), ends - starts)
    inside = np.flatnonzero(np.arange(len(data)) + 2 < ends[row])
    wide = data.astype(np.uint64)
    with np.errstate(over="ignore"):
        run = wide[inside] * np.uint64(65_536) + wide[inside + 1] * np.uint64(256) + wide[inside + 2]
        bucket = (run * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(56)).astype(np.int64)
    counts = np.bincount(row[inside] * BUCKETS + bucket, minlength=len(starts) * BUCKETS)
    runs = np.sqrt(counts.reshape(len(starts), BUCKETS)).astype(np.float32)
    found = np.concatenate((runs, _words(data, row, len(starts))), axis=1)
    found[column.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return np.asarray(found)


def _words(data: Array, row: Array, rows: int) -> Array:
    """1 where some word of a text, a run of bytes without a space, falls into the bucket; float32 ``(rows, WORDS)``."""
    found = np.zeros((rows, WORDS), np.float32)
    inside = data > SPACE
    before = np.concatenate(([False], inside[:-1] & (row[1:] == row[:-1]))) if len(data) else inside
    starts = np.flatnonzero(inside & ~before)
    if not len(starts):
        return found
    word = np.cumsum(inside & ~before) - 1
    place = (np.arange(len(data)) - starts[np.maximum(word, 0)]).astype(np.uint64)
    with np.errstate(over="ignore"):
        mixed = np.where(inside, (data.astype(np.uint64) + np.uint64(1)) * _power(place), np.uint64(0))
        hashes = np.add.reduceat(mixed, starts) * np.uint64(0x9E3779B97F4A7C15)
    found[row[starts], (hashes >> np.uint64(55)).astype(np.int64)] = 1
    return found


def _bytes(column: Any) -> tuple[Array, Array, Array]:
    """The UTF-8 bytes of all texts, and where each starts and ends."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    whole = pc.fill_null(whole.cast(pa.large_string()), "")
    whole = pa.concat_arrays([whole])  # without an offset
    _, offsets, data = whole.buffers()
    places = np.frombuffer(offsets, np.int64)[whole.offset : whole.offset + len(whole) + 1]
    if data is None or not len(whole):
        return np.empty(0, np.uint8), np.zeros(len(whole), np.int64), np.zeros(len(whole), np.int64)
    return np.frombuffer(data, np.uint8)[places[0] : places[-1]], places[:-1] - places[0], places[1:] - places[0]


def _vectors(column: Any, size: int) -> Array:
    found = np.full((len(column), size), np.nan, np.float32)
    rows = column.to_pylist()
    for i, row in enumerate(rows):
        if row is not None and len(row) == size:
            found[i] = np.asarray([np.nan if v is None else v for v in row], np.float32)
    if size <= DIRECTIONS:
        return found
    directions = np.random.default_rng(0).normal(size=(size, DIRECTIONS)) / np.sqrt(DIRECTIONS)
    return np.asarray(found @ directions.astype(np.float32))
