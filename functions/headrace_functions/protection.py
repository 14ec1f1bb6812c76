"""What is kept of sensitive fields: applied before a record is written, and to training data, so that both can still be compared.

``drop`` keeps a constant in the value's place (``""``, 0, false, NaN) · ``hash`` a keyed hash of the same type, so equal values stay equal ·
``mask`` the first letter of a text. Types stay what they are: checks, health and drift go on, on what is kept. A hash without a key is a
drop. The hash is HMAC-SHA256 with the platform's key: without the key nobody can try values until one fits.
"""

import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from headrace_functions.signature import Field, Signature, Tensors

MASKED = "***"
_HASH = 16
"""Hexadecimal digits of a hashed text (64 bits)."""
_POSITIVE = (1 << 62) - 1

Array = np.ndarray[Any, Any]


def is_sensitive(signature: Signature) -> bool:
    return any(f.sensitive for f in (*signature.inputs, *signature.outputs))


def is_hashed(signature: Signature) -> bool:
    """Whether values of a field are kept as hashes, for which a function needs the platform's key."""
    return any(f.sensitive == "hash" for f in (*signature.inputs, *signature.outputs))


def protect(fields: Sequence[Field], tensors: Mapping[str, Array], key: bytes) -> Tensors:
    """The tensors as they may be kept; fields that are not sensitive are the same arrays."""
    kept = dict(tensors)
    for field in fields:
        if field.sensitive and field.name in kept:
            kept[field.name] = _protected(field, kept[field.name], key)
    return kept


def _protected(field: Field, array: Array, key: bytes) -> Array:
    if field.sensitive == "mask" and array.dtype == object:
        return _each(array, _masked)
    if field.sensitive == "hash" and key:
        if array.dtype == object:
            return _each(array, lambda value: _digest(key, field, _bytes(value)).hex()[:_HASH])
        return _hashed_numbers(field, array, key)
    return _constant(array)


def _constant(array: Array) -> Array:
    if array.dtype == object:
        return _each(array, lambda _value: "")
    return np.full_like(array, np.nan if array.dtype.kind == "f" else 0)


def _hashed_numbers(field: Field, array: Array, key: bytes) -> Array:
    values, places = np.unique(array, return_inverse=True)
    hashed = [int.from_bytes(_digest(key, field, str(v).encode())[:8], "big") & _POSITIVE for v in values.tolist()]
    return np.asarray(hashed, array.dtype)[places].reshape(array.shape)


def _each(array: Array, change: Callable[[Any], str]) -> Array:
    """Texts changed one by one; missing ones stay missing."""
    changed = np.empty(array.shape, object)
    for place, value in enumerate(array.flat):
        changed.flat[place] = None if value is None else change(value)
    return changed


def _masked(value: Any) -> str:
    text = _bytes(value).decode(errors="replace")
    return text[:1] + MASKED if text else ""


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


def _digest(key: bytes, field: Field, value: bytes) -> bytes:
    # By name of the field, so that equal values of two fields cannot be told to be equal.
    return hmac.digest(key, field.name.encode() + b"\x00" + value, "sha256")
