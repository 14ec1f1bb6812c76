"""Element values: JSON data and arrays of one type into arrays of another, without silent loss.

Rules. A JSON number fits a type that can hold it: an integer fits a floating field, ``3.0`` fits an integer field,
``3.5`` does not, ``300`` does not fit ``uint8``; decimal fractions are rounded to the field's floating type as usual, but one
that would become infinite is refused. ``null``, ``NaN`` and ``"NaN"`` are NaN for floating fields, ``Infinity``,
``"Infinity"`` and their negatives infinite. ``null`` in a string or bool field is a missing value, ``None`` in the array.
Between declared types only safe widening happens (``INT32`` to ``int64`` or ``float64``, ``FP32`` to ``float64``).
"""

from itertools import chain
from typing import Any

import numpy as np

from headrace_functions.errors import Malformed, SignatureMismatch
from headrace_functions.protocol.jsontext import shown
from headrace_functions.protocol.rows import Array
from headrace_functions.signature import DType, Field

_NUMBERS = {int, float}
_FLOAT_VALUES = {int, float, str, type(None)}
_WORDS = {
    None: np.nan,
    "nan": np.nan,
    "infinity": np.inf,
    "+infinity": np.inf,
    "-infinity": -np.inf,
    "inf": np.inf,
    "+inf": np.inf,
    "-inf": -np.inf,
}
_EXACT = 2.0**53  # beyond it a float64 skips integers


def flatten(data: Any, shape: tuple[int, ...], name: str) -> list[Any]:
    """``data`` of a tensor, flat or nested as its shape says, as a flat list in row-major order.

    Raises ``Malformed`` where the nesting is ragged or the number of elements is not the shape's.
    """
    flat: list[Any] = data if isinstance(data, list) else [data]
    level = 0
    while flat and type(flat[0]) is list:
        if set(map(type, flat)) != {list} or len(set(map(len, flat))) != 1:
            raise Malformed(
                f"{name!r} is ragged",
                field=name,
                expected=f"lists of equal length for shape {list(shape)}",
                got="ragged lists",
            )
        flat = list(chain.from_iterable(flat))
        level += 1
    size = 1
    for n in shape:
        size *= n
    if len(flat) != size or level > max(len(shape) - 1, 0):
        raise Malformed(
            f"{name!r}: data does not match its shape",
            field=name,
            expected=f"{size} elements for shape {list(shape)}, flat or nested as the shape",
            got=f"{len(flat)} elements" if len(flat) != size else f"{level + 1} levels of nesting",
        )
    return flat


def from_json(flat: list[Any], dtype: DType, name: str) -> Array:
    """A one-dimensional array of ``dtype`` from JSON values; ``SignatureMismatch`` names the first that does not fit."""
    kinds = set(map(type, flat))
    kind = dtype.numpy.kind
    if kind == "f":
        return _floats(flat, kinds, dtype, name)
    if kind in "iu":
        return _integers(flat, kinds, dtype, name)
    if kind == "b":
        if kinds - {bool, type(None)}:
            raise misfit(name, dtype, next(v for v in flat if type(v) not in (bool, type(None))))
        return objects(flat) if type(None) in kinds else np.array(flat, dtype=np.bool_)
    if kinds - {str, bytes, type(None)}:
        raise misfit(name, dtype, next(v for v in flat if not isinstance(v, str | bytes | None)))
    return objects(flat)


def objects(values: list[Any]) -> Array:
    """A one-dimensional object array of ``values``, whatever they are."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _floats(flat: list[Any], kinds: set[type], dtype: DType, name: str) -> Array:
    if kinds - _FLOAT_VALUES:
        raise misfit(name, dtype, next(v for v in flat if type(v) not in _FLOAT_VALUES))
    if kinds - _NUMBERS:
        flat = [v if type(v) in _NUMBERS else _word(v, dtype, name) for v in flat]
    try:
        array = np.array(flat, dtype=np.float64)
    except OverflowError:
        raise misfit(name, dtype, max(flat, key=abs)) from None
    return array if dtype.numpy == array.dtype else narrow_floats(array, dtype, name)


def _word(value: str | None, dtype: DType, name: str) -> float:
    number = _WORDS.get(value.lower() if value is not None else None)
    if number is None:
        raise misfit(name, dtype, value)
    return number


def narrow_floats(array: Array, dtype: DType, name: str) -> Array:
    """Round to a smaller floating type; ``SignatureMismatch`` where a finite value would become infinite."""
    with np.errstate(over="ignore"):
        narrowed = array.astype(dtype.numpy)
    lost = np.isinf(narrowed) & np.isfinite(array)
    if lost.any():
        raise misfit(name, dtype, float(array[lost][0]))
    return narrowed


def _integers(flat: list[Any], kinds: set[type], dtype: DType, name: str) -> Array:
    if kinds - _NUMBERS:
        raise misfit(name, dtype, next(v for v in flat if type(v) not in _NUMBERS))
    if float in kinds:
        for v in flat:
            if type(v) is float and not (v.is_integer() and abs(v) <= _EXACT):
                raise misfit(name, dtype, v)
        flat = [int(v) for v in flat]
    limits = np.iinfo(dtype.numpy)
    low, high = (min(flat), max(flat)) if flat else (0, 0)
    if low < limits.min or high > limits.max:
        raise misfit(name, dtype, low if low < limits.min else high)
    return np.array(flat, dtype=dtype.numpy)


def widen(array: Array, have: DType, field: Field, side: str = "input") -> Array:
    """The array in the field's type if that cannot lose anything; else ``SignatureMismatch``."""
    want = field.dtype
    if have is want:
        return array if have.name != "string" or array.dtype == object else array.astype(object)
    if have.is_number and want.is_number and np.can_cast(have.numpy, want.numpy, "safe"):
        return array.astype(want.numpy)
    raise SignatureMismatch(
        f"{side} {field.name!r} has the wrong type",
        field=field.name,
        expected=f"{want.wire} ({want.name})",
        got=f"{have.wire} ({have.name})",
        hint="only widening that loses nothing is done for you, e.g. INT32 to INT64 or FP64",
    )


def by_value(column: Array, field: Field) -> Array:
    """A column of packed rows in the field's type: packed rows have one type for all fields, so the values decide.

    Integers must be whole and in range, truth values 0 or 1; floating types round. ``column`` is one-dimensional.
    """
    want = field.dtype
    if column.dtype == want.numpy:
        return column
    if column.dtype.kind not in "biuf" or want.name == "string":
        return from_json(column.tolist(), want, field.name)
    if want.numpy.kind == "f":
        return narrow_floats(column.astype(np.float64), want, field.name)
    if want.name == "bool":
        if not np.isin(column, (0, 1)).all():
            raise misfit(field.name, want, column[~np.isin(column, (0, 1))][0].item())
        return column.astype(np.bool_)
    return from_json(column.tolist(), want, field.name)


def misfit(name: str, dtype: DType, value: Any) -> SignatureMismatch:
    """The error for one value that a type cannot hold."""
    said = shown(value)
    return SignatureMismatch(
        f"{name!r}: {said} is not of type {dtype.name}", field=name, expected=f"{dtype.wire} ({dtype.name})", got=said
    )
