"""Shares of two groups held against each other, with intervals. ``z`` is the normal quantile of the wanted confidence."""

import math
from statistics import NormalDist


def quantile(comparisons: int, confidence: float = 0.95) -> float:
    """The normal quantile of intervals that hold together in ``confidence`` of cases (Bonferroni)."""
    return NormalDist().inv_cdf(1 - (1 - confidence) / 2 / max(comparisons, 1))


def wilson(hits: int, count: int, z: float) -> tuple[float, float]:
    """Score interval of a share (Wilson 1927); all of [0, 1] without rows."""
    if not count:
        return 0.0, 1.0
    share, part = hits / count, z * z / count
    middle = (share + part / 2) / (1 + part)
    half = z / (1 + part) * math.sqrt(share * (1 - share) / count + part / count / 4)
    return (0.0 if hits == 0 else max(middle - half, 0.0)), (1.0 if hits == count else min(middle + half, 1.0))


def ratio(hits: int, count: int, others: int, other_count: int, z: float) -> tuple[float, float, float] | None:
    """First share over the second with its interval on the logarithm (Katz, Baptista, Azen and Pike 1978); half a row is added to
    each count where one is 0. None where the second group was never selected, or there are no rows."""
    if not count or not other_count or not others:
        return None
    value = (hits / count) / (others / other_count)
    add = 0.5 if not hits else 0.0
    a, n, b, m = hits + add, count + add, others + add, other_count + add
    spread = z * math.sqrt(max(1 / a - 1 / n + 1 / b - 1 / m, 0.0))
    centre = math.log((a / n) / (b / m))
    return value, min(math.exp(centre - spread), value), max(math.exp(centre + spread), value)


def difference(hits: int, count: int, others: int, other_count: int, z: float) -> tuple[float, float, float] | None:
    """First share less the second with its hybrid score interval (Newcombe 1998, method 10); None where a group has no rows."""
    if not count or not other_count:
        return None
    first, second = hits / count, others / other_count
    (low, high), (other_low, other_high) = wilson(hits, count, z), wilson(others, other_count, z)
    value = first - second
    down = math.sqrt((first - low) ** 2 + (other_high - second) ** 2)
    up = math.sqrt((high - first) ** 2 + (second - other_low) ** 2)
    return value, value - down, value + up
