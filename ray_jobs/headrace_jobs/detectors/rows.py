"""Whole rows of both sides as matrices of numbers, for tests that look at all inputs together."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from headrace_functions.views import Array

CATEGORIES = 8
"""Categories of a field with a column of their own, the most frequent of both sides."""
FAR = 20.0
"""Standard deviations beyond which a value counts as this far: one row shall not hide all others."""


def shared(reference: Mapping[str, Array], window: Mapping[str, Array]) -> tuple[list[str], int, int]:
    """Keys of views that both sides have, and how many rows each side has."""
    keys = [key for key in reference if key in window]
    return (keys, len(reference[keys[0]]), len(window[keys[0]])) if keys else ([], 0, 0)


def matrix(before: Mapping[str, Array], now: Mapping[str, Array], keys: list[str], n: int, m: int) -> Array:
    """The first ``n`` and ``m`` rows as float32 ``(n + m, c)``: columns of mean 0 and variance 1 over both sides together.

    What is missing is 0, and marked by a column of its own; a category is a column of marks.
    """
    columns = [column for key in keys for column in _columns(np.concatenate((before[key][:n], now[key][:m])))]
    return np.stack(columns, axis=1) if columns else np.empty((n + m, 0), np.float32)


def _columns(both: Array) -> list[Array]:
    if both.dtype == object:
        plain = both.tolist()
        kept = [value for value, _ in Counter(plain).most_common(CATEGORIES)]
        return [_standard(np.fromiter((v == value for v in plain), np.float64, len(plain))) for value in kept]
    missing = np.isnan(both)
    if not missing.any():
        return [_standard(both)]
    present = both[~missing]
    scores = np.zeros(len(both), np.float32)
    scores[~missing] = _standard(present)
    return [scores, _standard(missing.astype(np.float64))]


def _standard(values: Array) -> Array:
    """Infinite values, and those beyond float64 when squared, are ``FAR`` away."""
    known = np.clip(values, -1e150, 1e150)
    middle = known.mean() if len(known) else 0.0
    spread = known.std() if len(known) else 0.0
    scaled = (known - middle) / spread if spread > 1e-12 * abs(middle) else np.zeros(len(known))
    return np.clip(scaled, -FAR, FAR).astype(np.float32)
