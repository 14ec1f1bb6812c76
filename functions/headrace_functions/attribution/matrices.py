"""The inputs of a version as the matrix that a model was fitted on."""

from typing import Protocol

import numpy as np

from headrace_functions.attribution.ensembles import NotDirectError
from headrace_functions.signature import Signature
from headrace_functions.views import Array


class Fitted(Protocol):
    """What a model was fitted on."""

    @property
    def names(self) -> tuple[str, ...] | None:
        """Of the features in the model's order; None where it was fitted without names."""

    @property
    def features(self) -> int:
        """Their number."""


def in_order(signature: Signature, found: Fitted, rows: Array) -> Array:
    """Rows ``(n, d)`` of a signature's features in the model's order, as numbers; ``NotDirectError`` where they are not the model's."""
    try:
        x = np.where(rows == None, np.nan, rows).astype(np.float64)  # noqa: E711 - elementwise
    except ValueError as error:
        raise NotDirectError("its inputs are not all numbers") from error
    if x.shape[1] != found.features:
        raise NotDirectError(f"it takes {found.features} features, not {x.shape[1]}")
    return x[:, places(signature, found)]


def places(signature: Signature, found: Fitted) -> list[int]:
    """Where each feature of the model is among those of the signature: by name where the names are the same."""
    given = [f.name for f in signature.inputs]
    if found.names is None or sorted(found.names) != sorted(given):
        return list(range(found.features))
    return [given.index(name) for name in found.names]
