"""Records: one exchange of one service as it is spooled, and the bytes of a segment file.

A segment is a run of frames, each ``magic, header length, request length, response length, CRC-32`` and the three parts.
Frames are self-contained, so a segment that lost its tail to a crash is read up to the last whole frame.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import orjson

Outcome = Literal["ok", "refused", "failed", "timeout", "unreachable", "not-ready", "overloaded"]

_FRAME = struct.Struct("<4sIIII")
_MAGIC = b"HRR1"


@dataclass(frozen=True, slots=True)
class RecordHeader:
    """What is known of an exchange besides its bodies. Times are nanoseconds since the epoch, latencies milliseconds."""

    request_id: str
    model: str
    version: int
    received: int
    """When the service got the request, nanoseconds since the epoch (UTC)."""
    latency_ms: float
    outcome: Outcome
    status: int
    """HTTP status of the answer."""
    protocol: Literal["v1", "v2"] = "v2"
    """``v1`` or ``v2``: how the bodies are to be read."""
    request_type: str = "application/json"
    request_json: int | None = None
    """Bytes of JSON in front of binary tensors in the request (``Inference-Header-Content-Length``)."""
    response_json: int | None = None
    sequence: str = ""
    stage: int = -1
    """Index of the stage in the sequence; -1 outside one."""
    variant: str = ""
    """The version that was chosen, as the sequence wrote it, e.g. ``churn:2``."""
    shadow: bool = False
    caller_time: int | None = None
    """The caller's own time from the header ``x-headrace-time``, nanoseconds since the epoch."""
    error: str = ""
    """Code and message of a failure, e.g. ``signature-mismatch: input 'age' is missing``."""
    traceparent: str = ""
    replica: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    header: RecordHeader
    request: bytes
    response: bytes


def encode(record: Record) -> bytes:
    """One frame of a segment."""
    header = orjson.dumps(record.header)
    crc = zlib.crc32(record.response, zlib.crc32(record.request, zlib.crc32(header)))
    head = _FRAME.pack(_MAGIC, len(header), len(record.request), len(record.response), crc)
    return b"".join((head, header, record.request, record.response))


def decode(segment: bytes) -> Iterator[Record]:
    """The whole frames of a segment, in order; stops at the first frame that is torn or damaged."""
    view = memoryview(segment)
    at = 0
    while at + _FRAME.size <= len(view):
        magic, n_header, n_request, n_response, crc = _FRAME.unpack_from(view, at)
        start = at + _FRAME.size
        end = start + n_header + n_request + n_response
        if magic != _MAGIC or end > len(view) or zlib.crc32(view[start:end]) != crc:
            return
        request_at = start + n_header
        response_at = request_at + n_request
        yield Record(
            RecordHeader(**orjson.loads(view[start:request_at])),
            bytes(view[request_at:response_at]),
            bytes(view[response_at:end]),
        )
        at = end


def whole_length(segment: bytes) -> int:
    """Bytes of the whole frames at the start of a segment; what follows is a torn tail."""
    return sum(_FRAME.size + n for n in _frame_sizes(segment))


def _frame_sizes(segment: bytes) -> Iterator[int]:
    view = memoryview(segment)
    at = 0
    while at + _FRAME.size <= len(view):
        magic, a, b, c, crc = _FRAME.unpack_from(view, at)
        start = at + _FRAME.size
        size = a + b + c
        if magic != _MAGIC or start + size > len(view) or zlib.crc32(view[start : start + size]) != crc:
            return
        yield size
        at = start + size
