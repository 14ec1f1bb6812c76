"""What both sides of a field look like in a report: their statistics, the distances between them, and the bars of their picture."""

from typing import Any

import numpy as np

from headrace_jobs.detectors import distances
from headrace_jobs.detectors.base import CategoryPair
from headrace_jobs.drift import charts
from headrace_jobs.report.models import Side
from headrace_jobs.scan import Reference, Summary
from headrace_jobs.statistics.categories import CategoryPartial, CategoryReference
from headrace_jobs.statistics.numbers import NumberPartial, NumberReference


def bars(before: Reference, now: Summary | None) -> tuple[Any, ...]:
    if isinstance(before, NumberReference) and isinstance(now, NumberPartial):
        return charts.number_bars(before, now)
    if isinstance(before, CategoryReference) and isinstance(now, CategoryPartial) and now.count:
        return charts.category_bars(before, now)
    return ()


def distances_of(before: Reference, now: Summary | None) -> dict[str, float]:
    if now is None or not before.count or not now.count:
        return {}
    if isinstance(before, NumberReference) and isinstance(now, NumberPartial):
        return _number_distances(before, now)
    if isinstance(before, CategoryReference) and isinstance(now, CategoryPartial):
        table = CategoryPair(before, now, ()).table()
        moved = distances.total_variation(CategoryPair(before, now, ()))
        return {**_divergences(table[0], table[1]), "total_variation": moved}
    return {}


def _number_distances(before: NumberReference, now: NumberPartial) -> dict[str, float]:
    if not len(before.grid):
        return {}
    found = _divergences(*distances.bin_counts(before, now))
    area = distances.wasserstein(before, now)
    if area is not None:
        found["wasserstein"] = area
        spread = before.profile.std
        if spread and np.isfinite(area / spread):
            found["wasserstein_sd"] = area / spread
    return found


def _divergences(before: Any, now: Any) -> dict[str, float]:
    return {
        "jensen_shannon": distances.jensen_shannon(before, now),
        "psi": distances.population_stability(before, now),
    }


def reference_side(before: Reference) -> Side:
    if isinstance(before, CategoryReference):
        return Side(rows=before.rows, missing=before.missing, distinct=before.profile.distinct)
    p = before.profile
    quantiles = dict(p.quantiles) if p.quantiles else None
    return Side(
        rows=before.rows,
        missing=before.missing,
        mean=p.mean,
        std=p.std,
        min=p.min,
        max=p.max,
        quantiles=quantiles,
        infinite=p.infinite,
        distinct=p.distinct,
    )


def window_side(now: Summary | None, lost: int) -> Side:
    if now is None:
        return Side(rows=lost, missing=lost)
    if isinstance(now, CategoryPartial):
        return Side(rows=now.rows + lost, missing=now.missing + lost, distinct=len(now.counts) + len(now.names))
    known = [x if np.isfinite(x) and now.finite else None for x in (now.mean, now.std, now.min, now.max)]
    mean, std, low, high = known
    rows, missing = now.rows + lost, now.missing + lost
    return Side(rows=rows, missing=missing, mean=mean, std=std, min=low, max=high, infinite=now.infinite)
