"""Inputs of models that take a matrix: a field a feature, or one vector; and the matrix made of a request again."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from headrace_functions.errors import InvalidInput
from headrace_functions.protocol.rows import Array, PackedRows
from headrace_functions.signature import Field, Tensors, dtype

WIDE = 1000
"""Features above which the input is one vector instead of a field each."""
_FLOAT = dtype("float64")
Codes = Mapping[str, Mapping[Any, int]]
"""By feature that is a category, the number of each of its values."""


def inputs(names: Sequence[str] | None, count: int, codes: Codes | None = None) -> tuple[Field, ...]:
    """Fields of a model fitted on ``count`` features; ``x0``, ``x1``, … where it has no names. Categories are text or whole numbers."""
    if count > WIDE and not codes:
        return (Field("x", _FLOAT, (count,), "numerical", tuple(names) if names else None),)
    return tuple(_field(name, (codes or {}).get(name)) for name in names or [f"x{i}" for i in range(count)])


def _field(name: str, codes: Mapping[Any, int] | None) -> Field:
    if codes is None:
        return Field(name, _FLOAT, (), "numerical")
    values = list(codes)
    whole = all(isinstance(v, int) and not isinstance(v, bool) for v in values)
    kind = dtype("int64") if whole else dtype("string")
    return Field(name, kind, (), "categorical", categories=tuple(values if whole else map(str, values)))


def matrix_of(
    fields: Sequence[Field], names: Sequence[str] | None, count: int, codes: Codes | None = None
) -> Callable[[Tensors], Array]:
    """Makes the matrix ``(n, count)`` of float64 in the order of the model's features, NaN where a value is missing or no known category.

    Fields are taken by name where the model has names and the fields are these, else in their order. Raises ``InvalidInput`` where they
    are not as many as the features, or one is of free size.
    """
    ordered = _in_order(fields, names)
    if any(f.size is None for f in ordered):
        raise InvalidInput(
            "an input of variable size cannot be a row of features", field="contract", expected="fixed shapes"
        )
    size = sum(f.size or 0 for f in ordered)
    if size != count:
        further = [f.name for f in fields if names is not None and f.name not in names]
        raise InvalidInput(
            f"the model takes {count} features, and the inputs have {size}",
            field=further[0] if further and size > count else "contract",
            expected=", ".join((names or [f"{count} numbers"])[:20]),
            got=", ".join(f.name for f in fields[:20]),
            hint="name a label column as 'target'; leave other columns out of the file, or declare the inputs in the contract",
        )
    given, coded = tuple(fields) == ordered, codes or {}

    def matrix(tensors: Tensors) -> Array:
        if given and not coded and isinstance(tensors, PackedRows):
            return tensors.matrix
        return np.hstack([_column(tensors[f.name], f, coded.get(f.name)) for f in ordered])

    return matrix


def _in_order(fields: Sequence[Field], names: Sequence[str] | None) -> tuple[Field, ...]:
    by_name = {f.name: f for f in fields}
    if names is None or len(names) != len(fields) or not all(n in by_name for n in names):
        return tuple(fields)
    return tuple(by_name[n] for n in names)


def _column(values: Array, field: Field, codes: Mapping[Any, int] | None) -> Array:
    if codes is None:
        return np.asarray(values, np.float64).reshape(len(values), field.size or 1)
    known = {str(value): code for value, code in codes.items()}
    found = [known.get(str(v), np.nan) if v is not None else np.nan for v in values.tolist()]
    return np.array(found, np.float64)[:, np.newaxis]
