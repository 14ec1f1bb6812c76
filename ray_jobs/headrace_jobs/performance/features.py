"""Features: the inputs of a version as columns of numbers, for a model of its loss."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from headrace_functions.errors import InvalidInput
from headrace_functions.views import Array
from headrace_jobs.columns import Coded, Column, Numbers, Series, series

MAX_FEATURES = 300
"""Views that the model of the loss looks at; the rest are left out."""
MAX_CATEGORIES = 100
"""Categories that are told apart, the most frequent of training; the rest are one."""

Encoding = Mapping[Any, float]
"""The number of each category of a view; empty for a view of numbers."""


def encodings_of(found: Mapping[str, Series]) -> dict[str, Encoding]:
    """How each view is written as numbers, by key, learnt from the training data: categories by falling frequency."""
    learnt: dict[str, Encoding] = {}
    for key in list(found)[:MAX_FEATURES]:
        one = found[key]
        kept = one.counts().most_common(MAX_CATEGORIES) if isinstance(one, Coded) else ()
        learnt[key] = {value: float(i) for i, (value, _) in enumerate(kept)}
    return learnt


def encode(column: Column, values: Any | None, encodings: Mapping[str, Encoding], rows: Array) -> dict[str, Array]:
    """Some ``rows`` of an Arrow column as float64 ``(n,)`` by key; NaN where missing, unknown or not readable."""
    wanted = [key for key in encodings if key.startswith(f"{column.name}|")]
    result = {key: np.full(len(rows), np.nan) for key in wanted}
    if values is None:
        return result
    try:
        found = series(column.field, values)
    except InvalidInput:
        return result  # a column of another type says nothing to the model; the drift job reports it
    for view, one in found.items():
        key = column.key(view)
        if key in result:
            result[key] = numbers(one, encodings[key])[rows]
    return result


def numbers(one: Series, encoding: Encoding) -> Array:
    """A series as float64 ``(n,)``."""
    if isinstance(one, Numbers):
        return one.values
    return np.array([*(encoding.get(v, np.nan) for v in one.values), np.nan])[one.codes]
