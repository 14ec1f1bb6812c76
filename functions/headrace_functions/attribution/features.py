"""Features: the inputs of a signature as the columns of one matrix, and back to tensors for the endpoint.

A scalar is a feature, whatever its type; a tensor of numbers of fixed size is a feature an element.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_functions.errors import InvalidInput
from headrace_functions.signature import Field, Signature, Tensors
from headrace_functions.views import Array

MAX_FEATURES = 1000
"""More features need more questions than a person waits for."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of the matrix: a field, or element ``place`` of it."""

    field: Field
    place: int | None = None

    @property
    def name(self) -> str:
        if self.place is None:
            return self.field.name
        named = self.field.columns
        label = named[self.place] if named and len(named) == self.field.size else str(self.place)
        return f"{self.field.name}[{label}]"


def features_of(signature: Signature) -> tuple[Feature, ...]:
    """The features of a signature; ``InvalidInput`` naming the field for one that cannot be taken apart."""
    features: list[Feature] = []
    for field in signature.inputs:
        if field.is_scalar:
            features.append(Feature(field))
        elif field.size is None or not field.dtype.is_number:
            raise InvalidInput(
                f"{field.name}: inputs of variable size or of several texts cannot be explained",
                field=field.name,
                expected="scalars, or numbers of fixed shape",
            )
        else:
            features += [Feature(field, i) for i in range(field.size)]
    if len(features) > MAX_FEATURES:
        message = f"{len(features)} features are more than can be explained"
        raise InvalidInput(message, field="model", expected=f"at most {MAX_FEATURES}", got=str(len(features)))
    return tuple(features)


def matrix(signature: Signature, columns: dict[str, list[Any]]) -> Array:
    """Rows of Python values by field as objects ``(n, d)``; lists are taken apart in row-major order."""
    parts = []
    for field in signature.inputs:
        values = columns[field.name]
        part = np.empty((len(values), field.size or 1), object)
        for i, value in enumerate(values):
            part[i, :] = np.asarray(value).reshape(-1) if not field.is_scalar else [value]
        parts.append(part)
    return np.concatenate(parts, axis=1)


def tensors(signature: Signature, rows: Array) -> Tensors:
    """Rows ``(n, d)`` of objects as the tensors of a request; a missing number is NaN."""
    result: Tensors = {}
    at = 0
    for field in signature.inputs:
        width = field.size or 1
        block = rows[:, at : at + width]
        at += width
        if field.dtype.numpy.kind == "f":
            block = np.where(block == None, np.nan, block)  # noqa: E711 - elementwise
        result[field.name] = block.astype(field.dtype.numpy).reshape(len(rows), *field.shape)
    return result
