"""From what is known of the columns of training data to the fields of a signature, and columns as the signature says they are."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from headrace_controller.training.summary import LISTED, Summary, is_truth
from headrace_functions.errors import InvalidInput
from headrace_functions.signature import Field, dtype_of

Array = np.ndarray[Any, Any]

MAX_CATEGORIES = LISTED
"""Text with more different values is ``text`` (or text of no listed categories), and lists none."""
MAX_INTEGER_CATEGORIES = 10
"""Integers with at most so many different values, each met at least ``MIN_REPEATS`` times on average, are categories."""
MIN_REPEATS = 10
MAX_WORD = 60
"""Characters: text that is longer on average is ``text``, even with few different values."""


def infer_fields(columns: Mapping[str, Summary], target: Iterable[str]) -> tuple[Field, ...]:
    """The input fields that the columns are: all but the ``target`` columns, in the columns' order."""
    labels = set(target)
    for name in sorted(labels - set(columns)):
        raise InvalidInput(
            f"target: the training data has no column {name!r}", field="target", expected=f"one of {', '.join(columns)}"
        )
    fields = tuple(complete(_bare(name, column), column) for name, column in columns.items() if name not in labels)
    if not fields:
        raise InvalidInput("target: the training data has no column besides the target", field="target")
    return fields


def complete_fields(
    fields: Iterable[Field], columns: Mapping[str, Summary], undeclared: Iterable[str] = ()
) -> tuple[Field, ...]:
    """Declared ``fields`` with the categories and ranges that they leave out; ``undeclared`` name those without a profile."""
    loose = set(undeclared)
    return tuple(complete(f, columns[f.name], profile=f.name in loose) if f.name in columns else f for f in fields)


def complete(field: Field, column: Summary, *, profile: bool = True) -> Field:
    """The field with its profile (where asked), categories and range as the column shows them."""
    if not field.is_scalar:
        return (
            replace(field, profile="numerical")
            if profile and field.dtype.is_number and field.profile == "none"
            else field
        )
    if profile and field.profile == "none":
        field = replace(field, profile=_profile(field, column))
    if field.profile == "categorical" and field.categories is None and column.listed:
        return replace(field, categories=_categories(field, column))
    if field.profile == "numerical" and field.range is None and column.low is not None and column.high is not None:
        return replace(field, range=(column.low, column.high))
    return field


def as_declared(field: Field, column: Array, *, gaps: bool | None = None, before: int = 0) -> Array:
    """The column with the field's type and shape ``(n, *shape)``; a whole-number column with gaps stays float64 (NaN).

    Of a part of a column, ``gaps`` says whether the whole has some, and ``before`` how many rows precede it. Raises ``InvalidInput``
    naming the column and row where values do not fit, so that a contract and its training data agree.
    """
    shaped = _shaped(field, column)
    if field.dtype.name == "string":
        return _text(shaped)
    if shaped.dtype == object and field.is_scalar:
        if field.dtype.name == "bool" and (is_truth(shaped) or not any(v is not None for v in shaped.tolist())):
            return shaped
        raise _unfit(field, "text")
    if shaped.dtype == object:
        return shaped
    if field.dtype.numpy.kind == "f":
        return shaped.astype(field.dtype.numpy)
    if field.dtype.name == "bool" and shaped.dtype == np.bool_:
        return shaped
    if gaps if gaps is not None else not np.isfinite(shaped).all():
        return shaped.astype(np.float64)
    with np.errstate(invalid="ignore"):
        cast = shaped.astype(field.dtype.numpy)
    if not (cast == shaped).all():
        place = np.argwhere(cast != shaped)[0]
        raise _unfit(field, f"{shaped[tuple(place)]} in row {before + int(place[0]) + 1:,}")
    return cast


def _bare(name: str, column: Summary) -> Field:
    return Field(name, dtype_of(np.empty(0, column.dtype)), column.shape)


def _profile(field: Field, column: Summary) -> str:
    if field.dtype.name == "bool":
        return "categorical"
    if field.dtype.name == "string":
        if column.words is None:  # numbers that the contract calls text
            return "categorical" if column.listed else "text"
        lengths = [len(v) for v in column.words.smallest]
        short = not lengths or sum(lengths) / len(lengths) <= MAX_WORD
        repeats = column.distinct <= MAX_CATEGORIES or column.distinct * MIN_REPEATS <= column.rows
        return "categorical" if short and repeats else "text"
    few = column.distinct <= MAX_INTEGER_CATEGORIES and column.distinct * MIN_REPEATS <= column.rows
    return "categorical" if field.dtype.numpy.kind in "iu" and few else "numerical"


def _categories(field: Field, column: Summary) -> tuple[Any, ...]:
    if field.dtype.name == "string" and column.words is None:
        return tuple(_text(np.array(column.listed)).tolist())
    return tuple(column.listed)


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
        return (
            np.array([v if v is None else str(v) for v in column.tolist()] + [None], object)[:-1]
            if is_truth(column)
            else column
        )
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
