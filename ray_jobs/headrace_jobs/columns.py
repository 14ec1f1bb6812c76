"""Columns of Arrow tables as statistics look at them: numbers as float64, categories as codes of a dictionary."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_functions.errors import InvalidInput
from headrace_functions.logtable import input_column, output_column
from headrace_functions.signature import Field, Signature
from headrace_functions.views import Array, ViewName, categories, names, views


@dataclass(frozen=True, slots=True)
class Column:
    """A field of the signature, and its column in the log."""

    field: Field
    side: str
    """``input`` or ``output``."""
    name: str
    """In the log table; with the label of a view it makes the key of a statistic."""

    def key(self, view: ViewName) -> str:
        return f"{self.name}|{view.label}"


@dataclass(frozen=True, slots=True)
class Numbers:
    """Float64 ``(n,)``, NaN where missing."""

    values: Array


@dataclass(frozen=True, slots=True)
class Coded:
    """Categories: ``values[code]`` for each row, code -1 where missing; ``codes`` is ``(n,)``."""

    codes: Array
    values: tuple[Any, ...]

    def counts(self) -> Counter[Any]:
        found = np.bincount(self.codes[self.codes >= 0], minlength=len(self.values)).tolist()
        return Counter({value: n for value, n in zip(self.values, found, strict=True) if n})

    def take(self, rows: Array) -> Array:
        """The categories of some rows as objects, None where missing."""
        return np.array([*self.values, None], object)[self.codes[rows]]


Series = Numbers | Coded


def columns_of(signature: Signature) -> tuple[Column, ...]:
    """Every input, then every output."""
    inputs = (Column(f, "input", input_column(f)) for f in signature.inputs)
    outputs = (Column(f, "output", output_column(f)) for f in signature.outputs)
    return (*inputs, *outputs)


def series(field: Field, column: Any) -> dict[ViewName, Series]:
    """The views of an Arrow column; ``InvalidInput`` naming the field where the column cannot be read as the field's type."""
    try:
        found = _scalar(field, column) if field.is_scalar else _tensor(field, column)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError, TypeError) as error:
        message = f"{field.name}: a column of {column.type} cannot be read as {field.dtype.name} {list(field.shape)}"
        raise InvalidInput(message, field=field.name, expected=field.dtype.name, got=str(column.type)) from error
    return found


def _scalar(field: Field, column: Any) -> dict[ViewName, Series]:
    (view,) = names(field)
    if view.kind == "category":
        return {view: _coded(field, column)}
    if view.label == "length":
        return {view: Numbers(_floats(pc.utf8_length(column.cast(pa.string()))))}
    return {view: Numbers(_floats(column))}


def _floats(column: Any) -> Array:
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_time(kind) or pa.types.is_boolean(kind):
        column = column.cast(pa.int64() if pa.types.is_timestamp(kind) or pa.types.is_date64(kind) else pa.int32())
    elif not (
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)
    ):
        raise TypeError(f"{kind} is not a number")
    array = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.asarray(array, np.float64)


def _coded(field: Field, column: Any) -> Coded:
    """Values are cast to the field's type, so that a training column of int32 and a log of int64 have equal categories."""
    kind = pa.string() if field.dtype.name == "string" else pa.from_numpy_dtype(field.dtype.numpy)
    found = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    encoded = _encoded(column if found == kind else column.cast(kind), kind)
    values = categories(np.array([*encoded.dictionary.to_pylist(), None], object))[:-1]
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    nothing = np.array([v is None for v in values] + [True])  # a NaN is a value to Arrow; code -1 meets the last place
    return Coded(np.where(nothing[codes], -1, codes), tuple(values))


def _encoded(column: Any, kind: pa.DataType) -> Any:
    """A column as one array of codes and their dictionary."""
    if not len(column):
        return pa.array([], kind).dictionary_encode()
    if isinstance(column, pa.ChunkedArray):
        whole = column.unify_dictionaries() if pa.types.is_dictionary(column.type) else column
        column = whole.combine_chunks()
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    return encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded


def _tensor(field: Field, column: Any) -> dict[ViewName, Series]:
    """Lists of elements in row-major order; rows of equal length go through numpy as one matrix."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks)
    if not (
        pa.types.is_list(whole.type) or pa.types.is_large_list(whole.type) or pa.types.is_fixed_size_list(whole.type)
    ):
        raise TypeError(f"{whole.type} is not a list")
    flat = whole.flatten()
    even = field.size is not None and not whole.null_count and len(flat) == len(whole) * field.size
    if even and field.dtype.is_number and not flat.null_count:
        array = flat.to_numpy(zero_copy_only=False).reshape(len(whole), -1)
    else:
        array = np.empty(len(whole), object)
        array[:] = whole.to_pylist()
    return {ViewName(v.label, v.kind): Numbers(v.values) for v in views(field, array)}
