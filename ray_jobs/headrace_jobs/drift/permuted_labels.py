"""Do labels go with strata in one way on both sides? Exact p-values, however rare a label and however unequal the sides are.

If labels of a stratum have one distribution, then given the labels of both sides together those of the window are a random choice of them
(Fisher 1935; by strata, Birch 1964): its counts are multivariate hypergeometric, whatever the law. Both statistics are compared with draws
from it until enough of them are as extreme (sequential Monte Carlo p-values, Besag and Clifford 1991), and the largest of many contrasts with
the largest of each draw (Westfall and Young 1993), so that contrasts that overlap do not pay for each other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.detectors.contingency import MIN_EXPECTED, joined

MOST_DRAWS = 19_999
MOST_COUNTS = 4_000_000
"""Counts that are drawn at most, of all strata and labels: fewer draws where there are many of these."""
LEAST_DRAWS = 999
EXTREME = 100
"""Draws as extreme as the window after which no more are made."""
BATCH = 50_000
"""Counts that are drawn at a time; at first fewer, for most windows need no more."""
CLOSE = 1e-9
"""Of a statistic: what rounding may take from one that is as large."""
STRAIGHT = 1e-4
"""Skewness below which a contrast is as good as normal."""


@dataclass(frozen=True)
class Strata:
    """Counts ``(strata, labels)`` of two sides, with rows of both in each stratum."""

    before: Array
    now: Array

    @cached_property
    def n(self) -> Array:
        return np.asarray(self.before.sum(axis=1))

    @cached_property
    def m(self) -> Array:
        return np.asarray(self.now.sum(axis=1))

    @cached_property
    def both(self) -> Array:
        return np.asarray(self.before + self.now)

    @cached_property
    def expected(self) -> Array:
        """Of the window, given both sides together."""
        return np.asarray(self.both * (self.m / (self.n + self.m))[:, None])

    @cached_property
    def variance(self) -> Array:
        """Of the window's counts, hypergeometric."""
        total = (self.n + self.m)[:, None]
        share = self.both / total
        return np.asarray((self.n * self.m)[:, None] * share * (1 - share) / (total - 1))

    @cached_property
    def third_moment(self) -> Array:
        """Central, of the window's counts, hypergeometric."""
        total = (self.n + self.m)[:, None]
        lean = (total - 2 * self.both) / total * (1 - 2 * self.m[:, None] / total)
        return np.asarray(self.variance * lean * total / np.maximum(total - 2, 1))

    def draws(self, count: int, random: np.random.Generator) -> Array:
        """Counts ``(count, strata, labels)`` of windows whose labels are a random choice of those of both sides."""
        found = np.zeros((count, *self.both.shape))
        for place, labels in enumerate(self.both.astype(np.int64)):
            seen = np.flatnonzero(labels)
            found[:, place, seen] = random.multivariate_hypergeometric(
                labels[seen], int(self.m[place]), count, method="marginals"
            )
        return found


class ChiSquare:
    """Pearson's statistic, summed over the strata; labels that expect few rows in a stratum are joined there.

    What expects less than one row counts as if it expected one: a single row would outweigh everything else.
    """

    def __init__(self, strata: Strata) -> None:
        self.expected = strata.expected
        columns: list[Array] = []
        weights: list[float] = []
        for place, (labels, n, m) in enumerate(zip(strata.both, strata.n, strata.m, strict=True)):
            seen = np.flatnonzero(labels)
            share = float(min(n, m) / (n + m))
            groups = joined(labels[seen], share)
            for group in groups if len(groups) > 1 else []:
                column = np.zeros_like(strata.both)
                column[place, seen[group]] = 1
                columns.append(column.reshape(-1))
                weights.append(float((n + m) ** 2 / (max(labels[seen[group]].sum(), 1 / share) * n * m)))
        self.columns, self.weights = np.array(columns).T, np.array(weights)

    def __call__(self, counts: Array) -> Array:
        """Of windows ``(k, strata, labels)``; all 0 where no stratum has two labels."""
        if not len(self.weights):
            return np.zeros(len(counts))
        apart = (counts - self.expected).reshape(len(counts), -1) @ self.columns
        return np.asarray(apart**2 @ self.weights)


class Contrasts:
    """How the share of a label rose in the upper strata and fell in the lower, at each cut and without one.

    In the largest of them, those of rare labels, which are far from normal, must not drown the others: so each is standardized by its mean,
    variance and skewness (the cube root of Wilson and Hilferty 1931), and labels that expect few rows on a side have no cuts.
    """

    def __init__(self, strata: Strata) -> None:
        places, width = strata.both.shape
        self.labels = slice(1 if width == 2 else 0, width)  # of two labels one tells all
        self.expected = strata.expected[:, self.labels]
        share, self.per_row = strata.m / strata.m.sum(), 1 / strata.m + 1 / strata.n
        order = np.arange(places)
        signs = np.where(order < order[:, None], -1.0, 1.0) * share
        if width == 2 and (flipped := _flipped(strata, share)) is not None:
            signs = np.concatenate((signs, flipped[None]))
        self.weights = signs * self.per_row
        self.strata = strata
        variance, third = strata.variance[:, self.labels], strata.third_moment[:, self.labels]
        smaller = np.minimum(strata.n, strata.m) / (strata.n + strata.m)
        few = smaller @ strata.both < MIN_EXPECTED
        self.error = np.sqrt(self.weights**2 @ variance)
        self.error[1:, few[self.labels]] = 0
        with np.errstate(divide="ignore", invalid="ignore"):
            self.skewness = np.where(self.error > 0, self.weights**3 @ third / self.error**3, 0.0)

    @property
    def tests(self) -> int:
        return int((self.error > 0).sum())

    def __call__(self, counts: Array) -> Array:
        """The largest of windows ``(k, strata, labels)``, in standard deviations of the normal law."""
        return np.asarray(np.abs(self._normal(self._apart(counts))).reshape(len(counts), -1).max(axis=1))

    def clearest(self) -> tuple[float, float]:
        """Effect of the contrast that is the largest of the window, and its standard error if the shares of the sides differ."""
        apart = self._apart(self.strata.now[None])
        contrast, label = np.unravel_index(int(np.abs(self._normal(apart)[0]).argmax()), self.error.shape)
        pooled = (self.strata.both[:, self.labels][:, label] + 0.5) / (self.strata.n + self.strata.m + 1)
        variance = self.weights[contrast] ** 2 @ (pooled * (1 - pooled) / self.per_row)
        return float(abs(apart[0, contrast, label])), float(np.sqrt(variance))

    def _apart(self, counts: Array) -> Array:
        """Differences of the sides' shares ``(k, contrasts, labels)``."""
        return np.asarray(self.weights @ (counts[:, :, self.labels] - self.expected))

    def _normal(self, apart: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.where(self.error > 0, apart / self.error, 0.0)
            bent = 6 / self.skewness * (np.cbrt(self.skewness * z / 2 + 1) - 1) + self.skewness / 6
        return np.where(np.abs(self.skewness) > STRAIGHT, bent, z)


def p_values(strata: Strata, statistics: Sequence[Callable[[Array], Array]]) -> list[float]:
    """The probability, for each statistic, of windows whose value is at least that of the window."""
    random = np.random.default_rng(0)
    counts = strata.both.size
    most = int(np.clip(MOST_COUNTS // counts, LEAST_DRAWS, MOST_DRAWS))
    limits = [float(of(strata.now[None])[0]) * (1 - CLOSE) for of in statistics]
    extreme: list[Array] = [np.empty(0, np.int64) for _ in statistics]
    made = 0
    while made < most and any(len(places) < EXTREME for places in extreme):
        drawn = strata.draws(min(most - made, max(made, 2 * EXTREME), max(BATCH // counts, 1)), random)
        for at, of in enumerate(statistics):
            extreme[at] = np.concatenate((extreme[at], made + 1 + np.flatnonzero(of(drawn) >= limits[at])))
        made += len(drawn)
    return [
        EXTREME / int(places[EXTREME - 1]) if len(places) >= EXTREME else (len(places) + 1) / (made + 1)
        for places in extreme
    ]


def _flipped(strata: Strata, share: Array) -> Array | None:
    """Coefficients of the strata for labels that were exchanged at random: gaps are then a share of 1 - 2 p, for which this is the best
    estimate (where a label expects less than one row, as if it expected one). None where all answers are a half.
    """
    pooled = (strata.both[:, 1] + 0.5) / (strata.n + strata.m + 1)
    slope = 1 - 2 * pooled
    weight = share * slope / np.maximum(pooled * (1 - pooled), 1 / np.minimum(strata.n, strata.m))
    total = float(weight @ slope)
    return np.asarray(weight * float(share @ np.abs(slope)) / total) if total > 1e-9 else None
