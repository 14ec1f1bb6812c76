"""Views: what statistics look at in a field – the field's own values, or numbers derived from them, a row each.

A scalar number is looked at as it is, a category as its value, a text as its length. A small tensor is looked at element
by element, a big one by the mean and the Euclidean norm of each row. Checks, profiles and drift share these views, so a
name such as ``probabilities[yes]`` means the same everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from headrace_functions.signature import Field

MAX_ELEMENTS = 32  # tensors of more elements a row are looked at by mean and norm alone

Kind = Literal["number", "category"]
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class View:
    """One series of a field: ``values`` is float64 with NaN where missing, or objects with None where missing."""

    label: str
    """Empty for the field itself, ``length``, ``mean``, ``norm`` or the name of an element."""
    kind: Kind
    values: Array


@dataclass(frozen=True, slots=True)
class ViewName:
    """A view without its values: what a field will be looked at as."""

    label: str
    kind: Kind

    @property
    def derived(self) -> bool:
        """True where the numbers are not the field's own values."""
        return self.label in DERIVED

    def of(self, field: Field) -> str:
        """How people read it: ``age``, ``comment length``, ``probabilities[yes]``."""
        if not self.label:
            return field.name
        return f"{field.name} {self.label}" if self.derived else f"{field.name}[{self.label}]"


DERIVED = ("length", "mean", "norm")


def names(field: Field) -> tuple[ViewName, ...]:
    """The views of a field, in order."""
    if field.is_scalar:
        if field.profile == "text":
            return (ViewName("length", "number"),)
        categorical = field.profile == "categorical" or not field.dtype.is_number
        return (ViewName("", "category" if categorical else "number"),)
    if not field.dtype.is_number:
        return (ViewName("length", "number"),)
    if field.size is not None and field.size <= MAX_ELEMENTS:
        return tuple(ViewName(label, "number") for label in _elements(field, field.size))
    return (ViewName("mean", "number"), ViewName("norm", "number"))


def views(field: Field, array: Array) -> tuple[View, ...]:
    """The views of rows ``array`` of shape ``(n, *field.shape)``, or ``(n,)`` objects of rows where a size is free.

    Missing rows are None (or NaN in an array of floats). Numbers become float64, so integers beyond 2**53 are rounded.
    """
    kinds = names(field)
    if field.is_scalar:
        label, kind = kinds[0].label, kinds[0].kind
        if label == "length":
            return (View(label, kind, _lengths(array)),)
        return (View(label, kind, numbers(array) if kind == "number" else categories(array)),)
    rows = array if array.dtype == object and array.ndim == 1 else array.reshape(len(array), -1)
    if kinds[0].label == "length":
        return (View("length", "number", _lengths(rows)),)
    if kinds[0].label == "mean":
        return tuple(View(k.label, k.kind, _per_row(rows, k.label)) for k in kinds)
    matrix = _matrix(rows, len(kinds))
    return tuple(View(k.label, k.kind, matrix[:, i]) for i, k in enumerate(kinds))


def numbers(array: Array) -> Array:
    """The values as float64; None becomes NaN."""
    if array.dtype.kind in "biuf":
        return array.astype(np.float64)
    return np.array([np.nan if v is None else float(v) for v in array.tolist()], np.float64)


def categories(array: Array) -> Array:
    """The values as objects: text, bool, int or float; None and NaN become None, bytes become text."""
    result = np.empty(len(array), object)
    result[:] = [_category(v) for v in array.tolist()]
    return result


def _category(value: Any) -> str | int | float | bool | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if value is None or value != value:
        return None
    return value if isinstance(value, str | bool | int | float) else str(value)


def _elements(field: Field, size: int) -> Sequence[str]:
    if field.columns is not None and len(field.columns) == size:
        return field.columns
    if len(field.shape) == 1:
        return [str(i) for i in range(size)]
    return [",".join(str(i) for i in index) for index in np.ndindex(field.shape)]


def _lengths(rows: Array) -> Array:
    """Characters of a text, elements of a list of texts; NaN where missing."""
    if rows.ndim > 1:
        return np.full(len(rows), float(rows.shape[1]))
    values = categories(rows) if rows.dtype.kind in "SUO" and not _holds_lists(rows) else rows
    return np.array([np.nan if v is None else len(v) for v in values.tolist()], np.float64)


def _holds_lists(rows: Array) -> bool:
    return any(isinstance(v, list | tuple | np.ndarray) for v in rows[:100].tolist())


def _matrix(rows: Array, width: int) -> Array:
    """Rows as float64 ``(n, width)``; a missing row is NaN throughout."""
    if rows.ndim == 2:
        return rows.astype(np.float64)
    empty = np.full(width, np.nan)
    return np.array([empty if r is None else _flat(r) for r in rows], np.float64).reshape(len(rows), width)


def _per_row(rows: Array, label: str) -> Array:
    with np.errstate(invalid="ignore", over="ignore"):
        if rows.ndim == 2:
            matrix = rows.astype(np.float64)
            return np.asarray(matrix.mean(axis=1) if label == "mean" else np.sqrt((matrix**2).sum(axis=1)))
        function = np.mean if label == "mean" else np.linalg.norm
        return np.array([np.nan if r is None or not len(r) else function(_flat(r)) for r in rows], np.float64)


def _flat(row: Any) -> Array:
    return np.asarray(row, np.float64).reshape(-1)
