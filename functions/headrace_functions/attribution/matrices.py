"""The inputs of a version as the matrix that an ensemble was fitted on."""

import numpy as np

from headrace_functions.attribution.ensembles import Ensemble, NotDirectError
from headrace_functions.signature import Signature
from headrace_functions.views import Array


def in_order(signature: Signature, found: Ensemble, rows: Array) -> Array:
    """Rows ``(n, d)`` of a signature's features as the trees look at them; ``NotDirectError`` where these are not the model's numbers."""
    try:
        x = np.where(rows == None, np.nan, rows).astype(np.float64)  # noqa: E711 - elementwise
    except ValueError as error:
        raise NotDirectError("its inputs are not all numbers") from error
    if x.shape[1] != found.features:
        raise NotDirectError(f"it takes {found.features} features, not {x.shape[1]}")
    return found.seen(x[:, places(signature, found)])


def places(signature: Signature, found: Ensemble) -> list[int]:
    """Where each feature of the model is among those of the signature: by name where the names are the same."""
    given = [f.name for f in signature.inputs]
    if found.names is None or sorted(found.names) != sorted(given):
        return list(range(found.features))
    return [given.index(name) for name in found.names]
