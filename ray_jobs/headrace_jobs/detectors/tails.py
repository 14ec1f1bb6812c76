"""Exact tails of the hypergeometric law: how likely is it that the window has so many of the rows that are alike?

Given the pooled rows, under one distribution the rows of the window are a random choice of them, whatever the law: so these
p-values hold at every size, however unequal the sides are (Fisher 1935).
"""

from collections.abc import Sequence
from math import lgamma

import numpy as np

from headrace_functions.views import Array

TERMS = 12
"""Standard deviations of the tail that are summed; what lies beyond is nothing to float64."""


def two_sided(before: float, n: float, now: float, m: float) -> float:
    """p-value of ``now`` of ``m`` rows against ``before`` of ``n``: of all outcomes that are no more likely (Fisher's exact test).

    Effective counts need not be whole: they are rounded towards no difference.
    """
    n, m = round(n), round(m)
    hits = min(round(before + now), n + m)
    if not hits or not n or not m or hits == n + m:
        return 1.0
    if now * (n + m) < hits * m:  # the reference has more of them: count on its side
        before, n, now, m = now, m, before, n
    law = (m, hits, n + m)
    lowest, highest = max(0, hits - n), min(hits, m)
    k = min(max(int(np.floor(now + 1e-9)), lowest), highest)
    return float(min(1.0, _upper(k, *law) + _opposite(k, lowest, *law)))


def _opposite(k: int, lowest: int, drawn: int, hits: int, total: int) -> float:
    """Probability of the outcomes below the mean that are no more likely than ``k`` above it."""
    limit = _log_mass(k, drawn, hits, total) + 1e-7
    low, high = lowest - 1, min(int(np.ceil(hits * drawn / total)), k) - 1
    while low < high:  # the last place whose mass is within the limit
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _log_mass(middle, drawn, hits, total) <= limit else (low, middle - 1)
    return _upper(hits - low, total - drawn, hits, total) if low >= lowest else 0.0


def _upper(k: int, drawn: int, hits: int, total: int) -> float:
    """Probability of ``k`` or more of the ``hits`` among ``drawn`` of ``total``."""
    if k <= max(0, drawn + hits - total):
        return 1.0
    last = min(hits, drawn)
    share = hits / total
    length = int(TERMS * np.sqrt(drawn * share * (1 - share) * (1 - drawn / total) + 1)) + TERMS
    at = np.arange(k, min(last, k + length), dtype=np.float64)
    with np.errstate(divide="ignore"):
        steps = np.log(hits - at) + np.log(drawn - at) - np.log(at + 1) - np.log(total - hits - drawn + at + 1)
    logs = _log_mass(k, drawn, hits, total) + np.concatenate(([0.0], np.cumsum(steps)))
    return float(min(1.0, np.exp(logs).sum()))


def _log_mass(k: int, drawn: int, hits: int, total: int) -> float:
    return _log_choices(hits, k) + _log_choices(total - hits, drawn - k) - _log_choices(total, drawn)


def _log_choices(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def surprise(before: Array, n: float, now: Array, m: float) -> Array:
    """Likelihood ratio of each ``(before, now)`` against the rest ``(k,)``: which of many counts to test exactly."""
    pooled, total = before + now, n + m
    parts = [
        (now, pooled * m / total),
        (before, pooled * n / total),
        (m - now, (total - pooled) * m / total),
        (n - before, (total - pooled) * n / total),
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [np.where(seen > 0, seen * np.log(seen / expected), 0.0) for seen, expected in parts]
    return np.asarray(np.nan_to_num(sum(terms)))


def smallest(before: Array, n: float, now: Array, m: float, tests: int) -> tuple[float, int]:
    """The least two-sided p-value of the counts ``(k,)``, times ``tests``, and its place; the three most surprising are tried."""
    if not len(before):
        return 1.0, -1
    order = np.argsort(-surprise(before, n, now, m), kind="stable")[:3].tolist()
    found = [(two_sided(float(before[i]), n, float(now[i]), m), i) for i in order]
    p, at = min(found)
    return min(1.0, p * tests), at


def least(p_values: Sequence[tuple[float, float]]) -> float:
    """One p-value of some with weights that sum to at most 1: weighted Bonferroni, valid however they depend on each other."""
    return float(min([1.0, *(p / weight for p, weight in p_values)]))
