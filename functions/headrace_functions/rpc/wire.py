"""What gRPC writes into HTTP/2: messages behind their length, time-outs, metadata, status. Pure functions over bytes."""

import base64
import binascii
import re
import zlib
from collections.abc import Iterable, Sequence
from enum import IntEnum
from urllib.parse import quote

Metadata = list[tuple[str, str | bytes]]
"""Names in lower case; a value of bytes has a name that ends with ``-bin``."""
Header = tuple[bytes, bytes]

PREFIX = 5
"""Bytes before each message: whether it is compressed, and its length."""
ENCODINGS = (b"identity", b"deflate", b"gzip")
"""What a message may be compressed with. Answers never are."""
_PRINTABLE = " !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"  # and letters and digits: all of ASCII that can be seen, but "%"
_TIMEOUT = re.compile(rb"(\d{1,8})([HMSmun])")
_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


class Code(IntEnum):
    """gRPC's status codes."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class CallFailed(Exception):
    """A call ends with a status other than ``OK``."""

    def __init__(self, code: Code, text: str, trailing: Metadata | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.trailing: Metadata = [] if trailing is None else trailing


def framed(message: bytes) -> bytes:
    """A message behind its prefix, not compressed."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def framed_size(buffer: bytes | bytearray, limit: int) -> int | None:
    """Bytes of the first message of a stream's data with its prefix, which says so before they have come; None while there is no prefix.

    ``CallFailed`` for more than ``limit`` bytes and for what is no prefix.
    """
    if len(buffer) < PREFIX:
        return None
    compressed, length = buffer[0], int.from_bytes(buffer[1:PREFIX], "big")
    if compressed > 1:
        raise CallFailed(Code.INTERNAL, "a message begins with neither 0 nor 1")
    if length > limit:
        raise CallFailed(
            Code.RESOURCE_EXHAUSTED, f"a message of {length} bytes is too large (expected at most {limit})"
        )
    return PREFIX + length


def unframed(frame: bytes | bytearray, limit: int, encoding: bytes = b"identity") -> bytes:
    """The message of a whole frame. ``CallFailed`` for one that cannot be decompressed, or to more than ``limit`` bytes."""
    message = bytes(memoryview(frame)[PREFIX:])
    return _decompressed(message, limit, encoding) if frame[0] else message


def _decompressed(message: bytes, limit: int, encoding: bytes) -> bytes:
    if encoding == b"identity":
        raise CallFailed(Code.INTERNAL, "a message is compressed, and grpc-encoding does not say how")
    reader = zlib.decompressobj(31 if encoding == b"gzip" else 15)
    try:
        plain = reader.decompress(message, limit + 1)
    except zlib.error as error:
        raise CallFailed(Code.INTERNAL, f"a message cannot be decompressed: {error}") from error
    if len(plain) > limit:
        raise CallFailed(
            Code.RESOURCE_EXHAUSTED, f"a decompressed message is too large (expected at most {limit} bytes)"
        )
    if not reader.eof:
        raise CallFailed(Code.INTERNAL, "a compressed message is cut off")
    return plain


def seconds(timeout: bytes | None) -> float | None:
    """What ``grpc-timeout`` says; None where there is none or it cannot be read."""
    read = _TIMEOUT.fullmatch(timeout) if timeout is not None else None
    return int(read[1]) * _SECONDS[read[2]] if read else None


def header_lines(metadata: Iterable[tuple[str, str | bytes]]) -> list[Header]:
    """Metadata as header fields."""
    return [
        (name.encode("latin-1"), value.encode("latin-1") if isinstance(value, str) else _base64(value))
        for name, value in metadata
    ]


def trailer(code: int, text: str, metadata: Metadata) -> list[Header]:
    """The header fields that end a call."""
    lines = [(b"grpc-status", b"%d" % code)]
    if text:
        lines.append((b"grpc-message", quote(text, safe=_PRINTABLE).encode("ascii")))
    return lines + header_lines(metadata)


def binary(value: bytes) -> bytes | None:
    """The bytes of a ``-bin`` value, with or without padding; None where it is no Base64."""
    try:
        return base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except binascii.Error:
        return None


def size_of(headers: Sequence[Header]) -> int:
    """Bytes of a list of header fields as HTTP/2 counts them."""
    return sum(len(name) + len(value) + 32 for name, value in headers)


def _base64(value: bytes) -> bytes:
    return base64.b64encode(value).rstrip(b"=")
