"""The mergeable profile of one series, and of the directions of a tensor."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.columns import Coded, Series
from headrace_jobs.statistics.distinct import Distinct
from headrace_jobs.statistics.moments import Moments
from headrace_jobs.statistics.sample import RowSample, lowest

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
    def of(cls, one: Series, priority: Array) -> "SeriesProfile":
        """``priority`` ``(n,)`` chooses the sample."""
        if isinstance(one, Coded):
            counts = one.counts()
            kept = _most(counts)
            missing = int((one.codes < 0).sum())
            dropped = counts.total() - sum(kept.values())
            found = Distinct.of_values(tuple(counts))
            return cls("category", len(one.codes), missing, found, counts=kept, dropped=dropped)
        values = one.values
        finite = np.isfinite(values)
        chosen = lowest(priority[finite], SAMPLE)
        sample = RowSample(SAMPLE, priority[finite][chosen], {"value": values[finite][chosen]})
        missing = int(np.isnan(values).sum())
        infinite = len(values) - missing - int(finite.sum())
        moments = Moments.of(values[finite])
        return cls("number", len(values), missing, Distinct.of_numbers(values), infinite, moments, sample)

    def merge(self, other: "SeriesProfile") -> "SeriesProfile":
        if self.kind != other.kind:  # a column that changed its type: ``looks`` reads both parts as the field's
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


@dataclass(frozen=True, slots=True)
class Directions:
    """Mean ``(d,)`` and scatter ``(d, d)`` of rows of numbers."""

    count: int
    mean: Array
    scatter: Array

    @classmethod
    def of(cls, rows: Array) -> "Directions":
        mean = rows.mean(axis=0) if len(rows) else np.zeros(rows.shape[1])
        centred = rows - mean
        return cls(len(rows), mean, centred.T @ centred)

    def merge(self, other: "Directions") -> "Directions":
        n = self.count + other.count
        step = other.mean - self.mean
        mean = self.mean + step * (other.count / n if n else 0.0)
        between = np.outer(step, step) * (self.count * other.count / n if n else 0.0)
        return Directions(n, mean, self.scatter + other.scatter + between)

    def shares(self, count: int) -> tuple[float, ...]:
        """Shares of the variance along the first principal directions, the largest first."""
        values = np.maximum(np.linalg.eigvalsh(self.scatter)[::-1], 0.0)
        total = float(values.sum())
        return tuple(float(v / total) for v in values[:count]) if total > 0 else ()


@dataclass(frozen=True, slots=True)
class Profiled:
    """A part of either side: statistics by the name people read; ``sides`` says whether it is an input or an output."""

    rows: int = 0
    failed: int = 0
    series: Mapping[str, SeriesProfile] = field(default_factory=dict)
    sides: Mapping[str, str] = field(default_factory=dict)
    directions: Mapping[str, Directions] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)

    def merge(self, other: "Profiled") -> "Profiled":
        return Profiled(
            self.rows + other.rows,
            self.failed + other.failed,
            _merged(self.series, other.series),
            {**self.sides, **other.sides},
            _merged(self.directions, other.directions),
            {**other.problems, **self.problems},
        )


def merge_all(*parts: Profiled) -> Profiled:
    """The sum of some parts, from left to right."""
    total = parts[0] if parts else Profiled()
    for part in parts[1:]:
        total = total.merge(part)
    return total


def _merged(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    return {k: a[k].merge(b[k]) if k in a and k in b else a.get(k, b.get(k)) for k in {**a, **b}}


def _most(counts: Mapping[Any, int]) -> dict[Any, int]:
    if len(counts) <= CATEGORIES:
        return dict(counts)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))[:CATEGORIES])
