"""Categories: have their shares changed, taken together or of any one of them, and how many rows are in categories never seen?

Both sides are samples. A category that one side alone has is no column of its own whose other count is 0 by choice: which categories are
looked at, and which are joined as rare, depends on the pooled counts alone.
"""

from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_functions.errors import InvalidInput
from headrace_functions.views import Array
from headrace_jobs.detectors import tails
from headrace_jobs.detectors.base import CategoryPair, Finding, TestResult
from headrace_jobs.detectors.distances import share_bound, shares_apart
from headrace_jobs.statistics.categories import CategoryPartial, CategoryReference

MIN_EXPECTED = 5.0
"""Cochran's rule: below it the chi-square approximation of a cell is poor, so rarer categories are joined."""
SURE = 5.0
"""Standard deviations of a count that chance does not reach."""
WEIGHT = 0.5
"""Of the error, what the test of all categories together has; the other half is the exact tests' of each."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Effective counts ``(2, k)`` of reference and window; the last column holds all rare categories where there are any."""

    table: Array

    @classmethod
    def of(cls, pair: CategoryPair) -> "Shares":
        """Categories that expect ``MIN_EXPECTED`` rows on the smaller side by their pooled count; all others are one.

        Of a reference with more categories than have names those with most of its rows have one, and that choice must not tell: only
        those count by themselves that by their pooled count would have been named whatever chance did.
        """
        before, now = pair.reference, pair.window
        known = [(n, now.counts.get(c, 0)) for c, n in before.counts.items()]
        new = list(now.names.values()) if before.complete else []  # else they may be among those without a name
        table = np.array([*known, *((0, n) for n in new)], np.float64).reshape(-1, 2)
        unnamed = now.unknown - sum(new)
        surely = table.sum(axis=1) * before.count / max(before.count + now.count, 1) >= _surely_named(before)
        table *= pair.scale
        pooled = table.sum(axis=1)
        rest = np.array([before.other, unnamed], np.float64) * pair.scale
        sides = table.sum(axis=0) + rest
        often = surely & (pooled * sides.min() / max(sides.sum(), 1e-300) >= MIN_EXPECTED)
        kept, rare = table[often], table[~often].sum(axis=0) + rest
        kept = kept[np.argsort(-kept.sum(axis=1), kind="stable")]
        return cls(np.concatenate((kept, rare[None])).T if rare.sum() > 0 else kept.T)

    @property
    def rows(self) -> tuple[float, float]:
        n, m = self.table.sum(axis=1)
        return float(n), float(m)

    def moved(self) -> tuple[float, float]:
        """Share of rows that would have to change their category, and its lower bound: by all categories, or by the one that changed most."""
        distance, low = shares_apart(self.table)
        n, m = self.rows
        a, b = self.table[0] / n, self.table[1] / m
        most = int(np.argmax(tails.surprise(self.table[0], n, self.table[1], m)))
        alone = share_bound(abs(float(a[most] - b[most])), float(a[most]), float(b[most]), n, m)
        return distance, max(low, alone)


def _surely_named(reference: CategoryReference) -> float:
    """Rows that a category of the reference must expect to have a name but for a chance in a million; 0 where all have one."""
    if reference.complete or not reference.counts:
        return 0.0
    fewest = min(reference.counts.values())
    return float(fewest + SURE * fewest**0.5 + SURE**2 / 2)


def contingency(pair: CategoryPair) -> TestResult:
    """The test that was chosen, or both of all categories together and of each by itself."""
    shares = Shares.of(pair)
    known = len(pair.reference.counts) + len(pair.window.names)
    if pair.method == "fisher" and known > 2:
        message = f"method: {pair.name} has {known} categories, and Fisher's exact test takes two"
        raise InvalidInput(message, field="method", got=f"{pair.name}=fisher", hint="choose chi2 or g")
    table = pool(shares.table)
    n, m = table.sum(axis=1)
    if table.shape[1] < 2:
        return TestResult("chi-square", 0.0, 1.0)
    if table.shape[1] == 2:
        p = tails.two_sided(float(table[0, 0]), float(n), float(table[1, 0]), float(m))
        return TestResult("Fisher", float(abs(table[0, 0] / n - table[1, 0] / m)), p)
    if pair.method:
        family, name = ("log-likelihood", "G") if pair.method == "g" else ("pearson", "chi-square")
        found = _stats().chi2_contingency(table, correction=False, lambda_=family)
        return TestResult(name, float(found.statistic), float(found.pvalue))
    statistic, together = chi_square(table)
    alone, _ = tails.smallest(table[0], float(n), table[1], float(m), table.shape[1])
    p = tails.least([(together, WEIGHT), (alone, 1 - WEIGHT)])
    return TestResult("chi-square and each category", statistic, p)


def chi_square(table: Array) -> tuple[float, float]:
    """Pearson's statistic of a ``(2, k)`` table and its p-value: a gamma distribution with the exact mean and variance of the
    statistic given both margins (Haldane 1940, Dawson 1954), which is right where some categories are rare too.
    """
    sides, columns = table.sum(axis=1), table.sum(axis=0)
    total = float(table.sum())
    expected = np.outer(sides, columns) / total
    statistic = float(((table - expected) ** 2 / expected).sum())
    k = table.shape[1]
    mean = total * (k - 1) / (total - 1)
    first = [(total - c) * (c - 1) / (total - 1) for c in (2, k)]
    second = [(total * (1 / margin).sum() - c**2) / (total - 2) for c, margin in ((2, sides), (k, columns))]
    variance = 2 * total / (total - 3) * (first[0] - second[0]) * (first[1] - second[1])
    variance = max(variance + total**2 / (total - 1) * second[0] * second[1], 2 * mean)
    scale = variance / mean
    return statistic, float(_stats().gamma.sf(statistic, mean / scale, scale=scale))


def pool(table: Array) -> Array:
    """Join the columns of a ``(2, k)`` table, rarest first, until each expects ``MIN_EXPECTED`` rows on both sides."""
    share = table.sum(axis=1).min() / max(table.sum(), 1e-300)
    columns = [table[:, group].sum(axis=1) for group in joined(table.sum(axis=0), float(share))]
    return np.stack(columns, axis=1) if columns else table


def joined(totals: Array, share: float) -> list[list[int]]:
    """Which categories of pooled counts ``(k,)`` are joined, rarest first, until each expects ``MIN_EXPECTED`` rows on a side with so
    small a ``share`` of them, or two are left.
    """
    groups = [[int(i)] for i in np.argsort(totals, kind="stable")]
    counts = np.sort(totals).tolist()
    while len(groups) > 2 and counts[0] * share < MIN_EXPECTED:
        group, count = groups.pop(0) + groups.pop(0), counts.pop(0) + counts.pop(0)
        place = bisect_right(counts, count)
        groups.insert(place, group)
        counts.insert(place, count)
    return groups


def new_categories(pair: CategoryPair) -> Finding | None:
    """Rows of the window in categories that the reference has not; None where there are none, or where not all are known by name.

    Given how often each category is met on both sides together, ``c`` times, all of them are on the window's side with probability
    ``(m / (n + m)) ** c``. Such events of different categories hinder each other, so that the bound of Chernoff (1952) of their sum holds: p is
    on the safe side whatever the law. How many rows are to be expected is the mass of the unseen (Good 1953), one more category to be safe.
    """
    before, now = pair.reference, pair.window
    if not now.unknown or not before.complete or not before.count:
        return None
    share = now.unknown / now.count
    expected = min(1.0, (before.singletons + 1) / (before.count + 1))
    if share <= expected:
        return None
    n, m = before.count * pair.scale[0], now.count * pair.scale[1]
    low = share_bound(share - expected, expected, share, n, m)
    return Finding("new-category", "Chernoff", share, _unseen(before, now, pair.scale), share, low, "defect")


def _unseen(before: CategoryReference, now: CategoryPartial, scale: tuple[float, float]) -> float:
    """Bound of the probability that so many rows of the window are in categories that the reference has not."""
    n, m = before.count * scale[0], now.count * scale[1]
    ones = now.unknown - sum(now.names.values())  # what is not known by name is as rare as can be
    known = [c * scale[0] + now.counts.get(v, 0) * scale[1] for v, c in before.counts.items()]
    unseen = [c * scale[1] for c in now.names.values()]
    counts, categories = np.unique(np.maximum(np.round([*known, *unseen, *[1.0] * ones]), 1.0), return_counts=True)
    seen = float(sum(unseen) + ones * scale[1])
    inside = counts * np.log(m / (n + m))
    outside = np.log(-np.expm1(inside))

    def bound(s: float) -> float:
        return float((categories * np.logaddexp(outside, inside + s * counts)).sum() - s * seen)

    found = min(bound(float(s)) for s in np.geomspace(1e-4, 20, 120))
    return float(np.exp(min(found, 0.0)))


def _stats() -> Any:
    from scipy import stats  # takes a second to import; an explanation does without

    return stats
