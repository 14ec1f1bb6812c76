"""Intervals of paired differences, and how many rows it takes to tell one. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Z95 = 1.959964
_POWER80 = 0.841621
_FEW = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def told(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def share(hits: int, n: int) -> Estimate:
    """A share of ``n`` (Wilson 1927)."""
    p, z2 = hits / n, Z95 * Z95
    middle, spread = p + z2 / (2 * n), Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return Estimate(p, max(0.0, (middle - spread) / (1 + z2 / n)), min(1.0, (middle + spread) / (1 + z2 / n)))


def difference_of_shares(first: Array, second: Array) -> Estimate:
    """Share of ``second`` less that of ``first``, of the same rows ``(n,)`` of truth values (Agresti and Min 2005: half a row more in each cell)."""
    n = len(first)
    gained, lost = int((second & ~first).sum()), int((first & ~second).sum())
    value, m = (gained - lost) / n, n + 2
    middle = (gained - lost) / m
    spread = Z95 * math.sqrt(max(0.0, gained + lost + 1 - (gained - lost) ** 2 / m)) / m
    return Estimate(value, min(value, max(-1.0, middle - spread)), max(value, min(1.0, middle + spread)))


def mean_difference(differences: Array) -> Estimate:
    """Mean of paired differences ``(n,)`` by Student's t; without width where they are all the same."""
    n, value = len(differences), float(differences.mean())
    if n < 2:
        return Estimate(value, -math.inf, math.inf)
    spread = _student(n - 1) * float(differences.std(ddof=1)) / math.sqrt(n)
    return Estimate(value, value - spread, value + spread)


def median_difference(differences: Array) -> Estimate:
    """Median of paired differences ``(n,)``; the interval's ends are order statistics, so it holds for any law (binomial, by its normal form)."""
    ordered = np.sort(differences)
    n = len(ordered)
    reach = Z95 * math.sqrt(n) / 2
    low, high = math.floor((n - 1) / 2 - reach), math.ceil((n - 1) / 2 + reach)
    return Estimate(
        float(np.median(ordered)),
        float(ordered[low]) if low >= 0 else -math.inf,
        float(ordered[high]) if high < n else math.inf,
    )


def rows_needed(found: Estimate, n: int) -> int | None:
    """Rows after which a difference of this size is told in four of five samples; None where it is told already or there is none."""
    width = (found.high - found.low) / 2
    if found.told or found.value == 0 or not math.isfinite(width):
        return None
    return math.ceil(n * (width / abs(found.value)) ** 2 * ((Z95 + _POWER80) / Z95) ** 2)


def _student(freedom: int) -> float:
    """The 97.5 % point of Student's t: tabulated below ten degrees of freedom, beyond by Cornish and Fisher (1938)."""
    if freedom <= len(_FEW):
        return _FEW[freedom - 1]
    z, d = Z95, freedom
    terms: Sequence[float] = (
        z,
        (z**3 + z) / (4 * d),
        (5 * z**5 + 16 * z**3 + 3 * z) / (96 * d**2),
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * d**3),
    )
    return sum(terms)
