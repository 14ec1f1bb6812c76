"""Records: one exchange of one service as it is spooled, and the bytes of a segment file.

A segment is a run of frames, each ``magic, header length, request length, response length, CRC-32`` and the three parts.
Frames are self-contained, so a segment that lost its tail to a crash is read up to the last whole frame.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal

import orjson

from headrace_functions.errors import HeadraceError
from headrace_functions.names import check_name, clean

Outcome = Literal[
    "ok", "refused", "failed", "timeout", "unreachable", "not-ready", "overloaded", "cancelled", "aborted"
]

EXTERNAL_SPOOL = "external-"
"""How the names of spools begin that hold exchanges of elsewhere: an id that is in the log already is not logged again."""

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
    latency_ms: float | None
    """None where nobody measured it, of an exchange with a model that runs elsewhere."""
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
    caller: str = ""
    """Who asked, as the gateway found out, e.g. ``key:ci``; empty where nobody is asked who they are."""
    source: str = ""
    """Of requests of a stream, the messages that the rows come from; of one that is answered later, when it was accepted (``sources``)."""


_REQUIRED = frozenset({"request_id", "model", "version", "received", "latency_ms", "outcome", "status"})
_TEXT = str
_OPTIONAL_NUMBER = (int, type(None))
_KINDS: dict[str, Any] = {
    "request_id": _TEXT, "model": _TEXT, "version": int, "received": int, "latency_ms": (int, float, type(None)), "outcome": _TEXT,
    "status": int, "protocol": _TEXT, "request_type": _TEXT, "request_json": _OPTIONAL_NUMBER,
    "response_json": _OPTIONAL_NUMBER, "sequence": _TEXT, "stage": int, "variant": _TEXT, "shadow": bool,
    "caller_time": _OPTIONAL_NUMBER, "error": _TEXT, "traceparent": _TEXT, "replica": _TEXT,
    "caller": _TEXT, "source": _TEXT,
}  # fmt: skip
_LATEST = 253_402_300_800 * 10**9
"""Nanoseconds at the end of the year 9999, the last that a log table can hold."""


@dataclass(frozen=True, slots=True)
class Record:
    header: RecordHeader
    request: bytes
    response: bytes


def encode(record: Record) -> bytes:
    """One frame of a segment. Text without a UTF-8 form, such as a lone surrogate in an error, is written with ``?`` in its place."""
    try:
        header = orjson.dumps(record.header)
    except TypeError:
        known = {f.name: getattr(record.header, f.name) for f in fields(record.header)}
        header = orjson.dumps({k: clean(v) if isinstance(v, str) else v for k, v in known.items()})
    crc = zlib.crc32(record.response, zlib.crc32(record.request, zlib.crc32(header)))
    head = _FRAME.pack(_MAGIC, len(header), len(record.request), len(record.response), crc)
    return b"".join((head, header, record.request, record.response))


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Bytes of a segment that are no record: a frame whose header does not say what it must, or everything after a broken frame."""

    data: bytes
    reason: str


def decode(segment: bytes) -> Iterator[Record]:
    """The records of a segment in order; what ``read`` finds unreadable is left out."""
    return (found for found in read(segment) if isinstance(found, Record))


def read(segment: bytes) -> Iterator[Record | Unreadable]:
    """Everything in a segment, in order.

    Headers of newer releases may have members that this one does not know; they are left out. A frame with whole bytes and a
    header that cannot be understood is ``Unreadable`` and the next one is read. Where the frame itself is broken nobody knows
    where the next one begins, so the rest is one ``Unreadable``.
    """
    view = memoryview(segment)
    at = 0
    while at < len(view):
        sizes = _sizes_at(view, at)
        if sizes is None:
            yield Unreadable(bytes(view[at:]), f"no whole record at byte {at} of {len(view)}")
            return
        request_at = at + _FRAME.size + sizes[0]
        response_at = request_at + sizes[1]
        end = response_at + sizes[2]
        try:
            header = _header(bytes(view[at + _FRAME.size : request_at]))
        except ValueError as error:
            yield Unreadable(bytes(view[at:end]), f"header at byte {at}: {error}")
        else:
            yield Record(header, bytes(view[request_at:response_at]), bytes(view[response_at:end]))
        at = end


def _header(data: bytes) -> RecordHeader:
    """``ValueError`` says what is wrong."""
    document = orjson.loads(data)
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    for name, kinds in _KINDS.items():
        if name not in document:
            if name in _REQUIRED:
                raise ValueError(f"{name!r} is missing")
        elif not isinstance(document[name], kinds) or isinstance(document[name], bool) is not (kinds is bool):
            raise ValueError(f"{name!r} is {document[name]!r}")
    if document["version"] < 1:
        raise ValueError(f"'version' is {document['version']!r}")
    if not 0 <= document["received"] < _LATEST:
        raise ValueError(f"'received' is {document['received']!r}, which is not a time in nanoseconds")
    try:
        check_name(document["model"], field="model")
    except HeadraceError as error:
        raise ValueError(error.message) from error
    return RecordHeader(**{name: value for name, value in document.items() if name in _KINDS})


def whole_length(segment: bytes) -> int:
    """Bytes of the whole frames at the start of a segment; what follows is a torn tail."""
    return sum(_FRAME.size + n for n in _frame_sizes(segment))


def _frame_sizes(segment: bytes) -> Iterator[int]:
    view = memoryview(segment)
    at = 0
    while (sizes := _sizes_at(view, at)) is not None:
        yield sum(sizes)
        at += _FRAME.size + sum(sizes)


def _sizes_at(view: memoryview, at: int) -> tuple[int, int, int] | None:
    """Bytes of header, request and response of the frame at ``at``; None where there is no whole one."""
    if at + _FRAME.size > len(view):
        return None
    magic, header, request, response, crc = _FRAME.unpack_from(view, at)
    start = at + _FRAME.size
    end = start + header + request + response
    if magic != _MAGIC or end > len(view) or zlib.crc32(view[start:end]) != crc:
        return None
    return header, request, response
