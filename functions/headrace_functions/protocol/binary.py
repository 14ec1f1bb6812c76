"""Raw tensor data of the binary tensor extension.

Elements are little-endian in row-major order; ``BYTES`` elements are a 4-byte little-endian length and that many bytes;
``BOOL`` is one byte. Source: the Open Inference Protocol's binary tensor data extension.
"""

import struct

import numpy as np

from headrace_functions.errors import Malformed
from headrace_functions.protocol.rows import Array
from headrace_functions.protocol.values import objects
from headrace_functions.signature import DType

_LENGTH = struct.Struct("<I")


def unpack(data: memoryview, dtype: DType, shape: tuple[int, ...], name: str) -> Array:
    """The tensor in ``data``, a copy that may be written to; ``Malformed`` where the bytes are not the shape's."""
    size = 1
    for n in shape:
        size *= n
    if dtype.name == "string":
        return _unpack_bytes(data, size, name).reshape(shape)
    if len(data) != size * dtype.numpy.itemsize:
        raise Malformed(
            f"tensor {name!r}: wrong number of bytes",
            field=name,
            expected=f"{size * dtype.numpy.itemsize} bytes for {dtype.wire} {list(shape)}",
            got=f"{len(data)} bytes",
        )
    if dtype.name == "bool":
        return np.frombuffer(data, dtype=np.uint8).astype(np.bool_).reshape(shape)
    return np.frombuffer(data, dtype=dtype.numpy).reshape(shape).copy()


def _unpack_bytes(data: memoryview, size: int, name: str) -> Array:
    elements: list[bytes] = []
    at = 0
    while at + 4 <= len(data) and len(elements) < size:
        (length,) = _LENGTH.unpack_from(data, at)
        at += 4
        if at + length > len(data):
            break
        elements.append(bytes(data[at : at + length]))
        at += length
    if at != len(data) or len(elements) != size:
        raise Malformed(
            f"tensor {name!r}: BYTES data is incomplete",
            field=name,
            expected=f"{size} elements, each with a 4-byte little-endian length in front",
            got=f"{len(elements)} whole elements in {len(data)} bytes",
        )
    try:
        return objects([e.decode() for e in elements])
    except UnicodeDecodeError:
        return objects(elements)


def pack(array: Array, dtype: DType) -> bytes:
    """The raw data of a tensor. Strings must have no missing values (``None``); text is UTF-8."""
    if dtype.name != "string":
        return array.astype(dtype.numpy, copy=False).tobytes()
    parts: list[bytes] = []
    for element in array.ravel().tolist():
        data = element if isinstance(element, bytes) else str(element).encode()
        parts.append(_LENGTH.pack(len(data)))
        parts.append(data)
    return b"".join(parts)


def has_missing(array: Array, dtype: DType) -> bool:
    """True where a tensor of text or truth values holds a missing value, which binary data cannot say."""
    return array.dtype == object and dtype.name in ("string", "bool") and None in array.ravel().tolist()
