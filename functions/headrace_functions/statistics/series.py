"""The mergeable profile of one series: of every row what can be counted, of a bounded sample what has to be sorted.

Counts, extremes and moments are of every row. Quantiles, histogram and distinct values are exact while every finite number is in the
sample, else of the sample, or estimated.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headrace_functions.profile import (
    BINS,
    CategoryProfile,
    NumberProfile,
    ViewProfile,
    category_profile,
    number_profile,
)
from headrace_functions.statistics.distinct import Distinct
from headrace_functions.statistics.moments import Moments
from headrace_functions.statistics.sample import RowSample, lowest
from headrace_functions.views import Array, ViewName

SAMPLE = 50_000
"""Values that quantiles are taken from: exact up to as many rows, else of a random sample, always the same one."""
CATEGORIES = 10_000
"""Categories that are counted by name; of more, the rarest are dropped and only their rows counted."""


@dataclass(frozen=True, slots=True)
class SeriesProfile:
    """A part's statistics; ``moments`` and ``sample`` of numbers, ``counts`` and ``dropped`` of categories."""

    kind: str
    rows: int
    missing: int
    distinct: Distinct
    infinite: int = 0
    moments: Moments = field(default_factory=Moments)
    sample: RowSample | None = None
    counts: Mapping[Any, int] = field(default_factory=dict)
    dropped: int = 0

    @classmethod
    def of_numbers(cls, values: Array, priority: Array, size: int = SAMPLE) -> "SeriesProfile":
        """Of float64 ``(n,)`` with NaN where missing; ``priority`` ``(n,)`` chooses the sample of at most ``size``."""
        finite = np.isfinite(values)
        chosen = lowest(priority[finite], size)
        sample = RowSample(size, priority[finite][chosen], {"value": values[finite][chosen]})
        missing = int(np.isnan(values).sum())
        infinite = len(values) - missing - int(finite.sum())
        moments = Moments.of(values[finite])
        return cls("number", len(values), missing, Distinct.of_numbers(values), infinite, moments, sample)

    @classmethod
    def of_categories(cls, counts: Counter[Any], rows: int) -> "SeriesProfile":
        """Of ``counts`` of the values that are not missing, of ``rows`` in all."""
        kept = _most(counts)
        present = counts.total()
        found = Distinct.of_values(tuple(counts))
        return cls("category", rows, rows - present, found, counts=kept, dropped=present - sum(kept.values()))

    def merge(self, other: "SeriesProfile") -> "SeriesProfile":
        if self.kind != other.kind:  # a column that changed its type: whoever looks reads both parts as the field's
            raise TypeError("a series cannot be numbers and categories")
        counts = Counter(self.counts) + Counter(other.counts)
        kept = _most(counts)
        return SeriesProfile(
            self.kind,
            self.rows + other.rows,
            self.missing + other.missing,
            self.distinct.merge(other.distinct),
            self.infinite + other.infinite,
            self.moments.merge(other.moments),
            self.sample.merge(other.sample) if self.sample and other.sample else self.sample or other.sample,
            kept,
            self.dropped + other.dropped + counts.total() - sum(kept.values()),
        )

    @property
    def values(self) -> Array:
        """The sample in ascending order."""
        return np.sort(self.sample.columns["value"]) if self.sample is not None else np.empty(0)

    def to_view(self, view: ViewName) -> ViewProfile:
        """What the profile of a version says of a view."""
        if self.kind == "number":
            return ViewProfile(view.label, view.kind, self.rows, self.missing, _numbers(self))
        kept = category_profile(self.counts)
        distinct = max(self.distinct.estimate, len(kept.values) + 1) if self.dropped else kept.distinct
        categories = CategoryProfile(kept.values, distinct, kept.other + self.dropped)
        return ViewProfile(view.label, view.kind, self.rows, self.missing, None, categories)


def _most(counts: Mapping[Any, int]) -> dict[Any, int]:
    if len(counts) <= CATEGORIES:
        return dict(counts)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))[:CATEGORIES])


def _numbers(one: SeriesProfile) -> NumberProfile:
    """Figures of the sample, with those put in that are known of every row."""
    m = one.moments
    if not m.count:
        return NumberProfile(infinite=one.infinite)
    sampled = number_profile(np.clip(one.values, m.min, m.max), one.infinite)
    if m.count == len(one.values):
        return sampled
    return NumberProfile(
        m.min,
        m.max,
        mean=_known(m.mean),
        std=_known(m.variance**0.5),
        skewness=_known(m.skewness),
        kurtosis=_known(m.kurtosis),
        distinct=one.distinct.estimate,
        infinite=one.infinite,
        quantiles=sampled.quantiles,
        histogram=_histogram(one.values, m.min, m.max, m.count),
    )


def _known(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def _histogram(sample: Array, low: float, high: float, count: int) -> tuple[int, ...]:
    """Counts of all values in equal bins, by the shares of the sample's; they add up to ``count``."""
    edges = np.linspace(low, high, BINS + 1)
    if not np.isfinite(edges).all() or not (np.diff(edges) > 0).all():
        return (count,)
    upto = np.concatenate(([0], np.cumsum(np.histogram(sample, edges)[0])))
    return tuple(np.diff(np.rint(upto / len(sample) * count).astype(np.int64)).tolist())
