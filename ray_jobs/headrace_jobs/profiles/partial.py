"""The mergeable profile of some rows: of each series, and of the directions of a tensor."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headrace_functions.statistics.series import SeriesProfile
from headrace_functions.views import Array
from headrace_jobs.columns import Coded, Series


def of_series(one: Series, priority: Array) -> SeriesProfile:
    """The profile of some rows; ``priority`` ``(n,)`` chooses the sample."""
    if isinstance(one, Coded):
        return SeriesProfile.of_categories(one.counts(), len(one.codes))
    return SeriesProfile.of_numbers(one.values, priority)


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
