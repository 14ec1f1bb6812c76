"""History: how the values of a view spread over a few bins, in equal steps of the window's time."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.columns import Coded, Numbers, Series
from headrace_jobs.statistics.categories import Category, CategoryReference
from headrace_jobs.statistics.numbers import BINS, NumberReference

STEPS = 24
ROWS = 65_536
"""Rows of a file that the history looks at; of more, every k-th. It shows when something changed and decides nothing."""


def step_of(received: Array, since: int, until: int) -> Array:
    """The step ``0 … STEPS - 1`` of each time, all in microseconds since the epoch."""
    return np.asarray(np.minimum((received - since) * STEPS // max(until - since, 1), STEPS - 1))


def count(series: Series, steps: Array, reference: NumberReference | CategoryReference, stride: int) -> Array:
    """Counts ``(STEPS, bins)`` of every ``stride``-th value, scaled up; missing values are in the last bin."""
    width = width_of(reference)
    if isinstance(series, Numbers) and isinstance(reference, NumberReference):
        values = series.values[::stride]
        bins = np.zeros(len(values), np.int64)
        for edge in reference.edges:
            bins += values >= edge  # a few comparisons of all are faster than a search for each
        bins[np.isnan(values)] = width - 1
    elif isinstance(series, Coded) and isinstance(reference, CategoryReference):
        codes = series.codes[::stride]
        bins = np.where(codes < 0, width - 1, _bins(series.values, reference)[codes])
    else:
        raise TypeError("a series and its reference are of different kinds")
    flat = np.bincount(steps[::stride] * width + bins, minlength=STEPS * width)
    return np.asarray(flat.reshape(STEPS, width) * stride)


def width_of(reference: NumberReference | CategoryReference) -> int:
    """Bins of a history: those of the values, and one for missing."""
    return len(reference.cuts) + 2 if isinstance(reference, NumberReference) else len(leading(reference.counts)) + 2


def shares(reference: NumberReference | CategoryReference) -> Array:
    """The reference's own share of each bin; zeros where it is empty."""
    if isinstance(reference, NumberReference):
        found = [*reference.bins(), reference.missing]
    else:
        kept = [reference.counts[c] for c in leading(reference.counts)]
        found = [*kept, reference.count - sum(kept), reference.missing]
    return np.asarray(np.array(found, np.float64) / max(reference.rows, 1))


def leading(counts: Mapping[Category, int]) -> Sequence[Category]:
    """The most frequent categories, which have a bin each; all others share the last one."""
    return sorted(counts, key=lambda c: (-counts[c], str(c)))[: BINS - 1]


def _bins(values: tuple[Any, ...], reference: CategoryReference) -> Array:
    place = {category: i for i, category in enumerate(leading(reference.counts))}
    return np.array([place.get(v, len(place)) for v in values] or [0])
