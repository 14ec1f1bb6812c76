"""From the columns of training data to the fields of a signature, and columns as the signature says they are."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from headrace_functions.errors import InvalidInput
from headrace_functions.signature import Field, dtype_of

Array = np.ndarray[Any, Any]

MAX_CATEGORIES = 100
"""Text with more different values is ``text`` (or text of no listed categories), and lists none."""
MAX_INTEGER_CATEGORIES = 10
"""Integers with at most so many different values, each met at least ``MIN_REPEATS`` times on average, are categories."""
MIN_REPEATS = 10
MAX_WORD = 60
"""Characters: text that is longer on average is ``text``, even with few different values."""


def infer_fields(columns: Mapping[str, Array], target: Iterable[str]) -> tuple[Field, ...]:
    """The input fields that the columns are: all but the ``target`` columns, in the columns' order."""
    labels = set(target)
    for name in sorted(labels - set(columns)):
        raise InvalidInput(
            f"target: the training data has no column {name!r}", field="target", expected=f"one of {', '.join(columns)}"
        )
    fields = tuple(complete(_bare(name, column), column) for name, column in columns.items() if name not in labels)
    if not fields:
        raise InvalidInput("target: the training data has no column that is not a target", field="target")
    return fields


def complete_fields(
    fields: Iterable[Field], columns: Mapping[str, Array], undeclared: Iterable[str] = ()
) -> tuple[Field, ...]:
    """Declared ``fields`` with the categories and ranges that they leave out; ``undeclared`` name those without a profile."""
    loose = set(undeclared)
    return tuple(complete(f, columns[f.name], profile=f.name in loose) if f.name in columns else f for f in fields)


def complete(field: Field, column: Array, *, profile: bool = True) -> Field:
    """The field with its profile (where asked), categories and range as the column shows them."""
    if not field.is_scalar:
        return (
            replace(field, profile="numerical")
            if profile and field.dtype.is_number and field.profile == "none"
            else field
        )
    distinct = _distinct(column)
    if profile and field.profile == "none":
        field = replace(field, profile=_profile(field, column, distinct))
    if field.profile == "categorical" and field.categories is None and 0 < len(distinct) <= MAX_CATEGORIES:
        return replace(field, categories=tuple(distinct.tolist()))
    if field.profile == "numerical" and field.range is None:
        finite = column[np.isfinite(column)] if column.dtype.kind in "iuf" else np.empty(0)
        return replace(field, range=(float(finite.min()), float(finite.max()))) if len(finite) else field
    return field


def as_declared(field: Field, column: Array) -> Array:
    """The column with the field's type and shape ``(n, *shape)``; a whole-number column with gaps stays float64 (NaN).

    Raises ``InvalidInput`` naming the column where values do not fit, so that a contract and its training data agree.
    """
    shaped = _shaped(field, column)
    if field.dtype.name == "string":
        return _text(shaped)
    if shaped.dtype == object and field.is_scalar:
        raise _unfit(field, "text")
    if shaped.dtype == object:
        return shaped
    if field.dtype.numpy.kind == "f":
        return shaped.astype(field.dtype.numpy)
    if not np.isfinite(shaped).all():
        return shaped.astype(np.float64)
    with np.errstate(invalid="ignore"):
        cast = shaped.astype(field.dtype.numpy)
    if not (cast == shaped).all():
        raise _unfit(field, f"values such as {shaped[cast != shaped].flat[0]}")
    return cast


def _bare(name: str, column: Array) -> Field:
    if column.dtype == object and len(column) and isinstance(column[0], np.ndarray):
        return Field(name, dtype_of(column[0]), (-1,) * column[0].ndim)
    return Field(name, dtype_of(column), column.shape[1:])


def _distinct(column: Array) -> Array:
    """Sorted values without the missing ones. Numbers stay numbers of the column: as objects they would take ten times as much."""
    if column.dtype == object:
        found = sorted({v for v in column.tolist() if v is not None})
        return np.array(found, object) if found else np.empty(0, object)
    return np.unique(column[~np.isnan(column)] if column.dtype.kind == "f" else column)


def _profile(field: Field, column: Array, distinct: Array) -> str:
    if field.dtype.name == "bool":
        return "categorical"
    if field.dtype.name == "string":
        lengths = [len(v) for v in distinct[:1000].tolist()]
        short = not lengths or sum(lengths) / len(lengths) <= MAX_WORD
        repeats = len(distinct) <= MAX_CATEGORIES or len(distinct) * MIN_REPEATS <= len(column)
        return "categorical" if short and repeats else "text"
    few = len(distinct) <= MAX_INTEGER_CATEGORIES and len(distinct) * MIN_REPEATS <= len(column)
    return "categorical" if field.dtype.numpy.kind in "iu" and few else "numerical"


def _shaped(field: Field, column: Array) -> Array:
    have = column.shape[1:]
    if have == field.shape or column.dtype == object:
        return column
    if field.size is not None and have and int(np.prod(have)) == field.size:
        return column.reshape(len(column), *field.shape)
    if -1 in field.shape and len(have) == len(field.shape):
        return column
    raise InvalidInput(
        f"training-data: column {field.name!r} does not fit the contract",
        field=field.name,
        expected=f"rows of shape {list(field.shape)}",
        got=str(list(have)),
    )


def _text(column: Array) -> Array:
    if column.dtype == object:
        return column
    result = column.astype(str).astype(object)
    if column.dtype.kind == "f":
        result[np.isnan(column)] = None
    return result


def _unfit(field: Field, got: str) -> InvalidInput:
    return InvalidInput(
        f"training-data: column {field.name!r} does not fit the contract",
        field=field.name,
        expected=field.dtype.name,
        got=got,
        hint="correct the contract, or leave the field out to have it inferred",
    )
