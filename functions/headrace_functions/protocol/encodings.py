"""Compressed request bodies: the one reading of ``Content-Encoding``, by gateway and function server."""

import importlib
import zlib
from typing import Any, Protocol

from headrace_functions.errors import Malformed, TooLarge, UnsupportedEncoding

SUPPORTED = ("gzip", "deflate", "zstd")
MAX_ENCODINGS = 3
"""Encodings of one body that are undone, one after another."""


class _Inflater(Protocol):
    def decompress(self, data: bytes, max_length: int = ...) -> bytes: ...


def decoded(body: bytes, encoding: bytes | None, limit: int) -> bytes:
    """The body as it was before ``Content-Encoding``; at most ``limit`` bytes, whatever the compressed size.

    Raises ``UnsupportedEncoding`` for an encoding that is not ``SUPPORTED``, ``Malformed`` for data that is not what it says, and
    ``TooLarge`` as soon as more than ``limit`` bytes come out.
    """
    if not encoding:
        return body
    names = [name.strip().lower() for name in encoding.decode("latin-1").split(",")]
    wanted = [name.removeprefix("x-") for name in names if name not in ("", "identity")]
    if len(wanted) > MAX_ENCODINGS or any(name not in SUPPORTED for name in wanted):
        raise _unsupported(", ".join(names))
    for name in reversed(wanted):
        body = _inflated(body, name, limit)
    return body


def _inflated(body: bytes, name: str, limit: int) -> bytes:
    try:
        found = _zstd(body, limit + 1) if name == "zstd" else _zlib(body, name, limit + 1)
    except (zlib.error, ValueError, EOFError) as error:
        raise Malformed(
            f"the body is not {name}: {error}",
            field="content-encoding",
            expected=f"a body compressed with {name}, or no Content-Encoding",
            got=f"{len(body)} bytes",
        ) from error
    if len(found) > limit:
        raise TooLarge(
            f"the body is more than {limit} bytes once it is decompressed",
            field="body",
            expected=f"at most {limit} bytes",
            hint="send fewer rows in a request",
        )
    return found


def _zlib(body: bytes, name: str, most: int) -> bytes:
    """gzip of one or several members; deflate with the wrapper that its specification asks for, or bare as some clients send it."""
    window = (
        31 if name == "gzip" else 15 if body[:1] and body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0 else -15
    )
    parts: list[bytes] = []
    size = 0
    while body and size < most:
        stream = zlib.decompressobj(window)
        part = stream.decompress(body, most - size)
        parts.append(part)
        size += len(part)
        if not stream.eof and size < most:
            raise EOFError("it ends too early")
        body = stream.unused_data
    if not parts:
        raise EOFError("it is empty")
    return b"".join(parts)


def _zstd(body: bytes, most: int) -> bytes:
    try:
        zstandard: Any = importlib.import_module("zstandard")  # at the first request that needs it
    except ImportError as error:
        raise _unsupported("zstd") from error
    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(body, read_across_frames=True) as stream:
            found: bytes = stream.read(most)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
    if not found:
        raise EOFError("it ends too early")
    return found


def _unsupported(got: str) -> UnsupportedEncoding:
    return UnsupportedEncoding(
        f"Content-Encoding {got[:60]!r} is not supported",
        field="content-encoding",
        expected=f"{', '.join(SUPPORTED)}, or no Content-Encoding",
        got=got[:60],
    )
