"""Rows in groups: tests that let whole groups change sides, where the rows of a group may depend on each other in any way.

Under one distribution of groups, which of them are the window's is chance, whatever their rows share and however unequal they are. So
scores of rows are summed over blocks of whole groups, and the differences of both sides are held against those of blocks that change sides at
random (block permutation): p is exact for every dependence within groups. How many rows of a group are worth one that depends on none
is told by how much its sums vary (design effect, Kish 1965), field by field.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.detectors import tails

ROWS = 20_000
"""Rows of a side that are looked at, in whole groups."""
FEWEST = 30
"""Groups that a side must have."""
BLOCKS, SMALLER = 400, 50
"""Blocks of both sides together that are wanted, and of the smaller side at least, where it has so many groups."""
UNEQUAL = 40
"""Times as many groups as the smaller side has, of which more tell nothing new."""
LOT, LOTS = 1000, 6
"""Permutations that are drawn at a time: the first for every field, all where fewer than ``ENOUGH`` are as far out."""
ENOUGH = 10
LEVELS = 5
NARROWEST = 12
"""Pooled rows that an interval, a value or a category has at least."""
TIES, TIE = 16, 0.01
CATEGORIES = 64
NUMBER_WEIGHTS = (0.4, 0.2, 0.4)
"""Of the error: shift, spread, intervals and frequent values."""
CATEGORY_WEIGHTS = (0.5, 0.5)
"""Of the error: all categories together, and each by itself."""
METHOD = "block permutation"


@dataclass(frozen=True, slots=True)
class Grouped:
    """What blocks say of one view: p-values of where its values are and of the missing ones, and effective rows a row of either side."""

    statistic: float
    p: float
    missing: float
    scale: tuple[float, float]


@dataclass(frozen=True)
class Blocks:
    """Which rows of reference and window ``(rows,)`` are of which block: those of the window come last. Rows without one are -1."""

    before: Array
    now: Array
    sides: tuple[int, int]
    """Blocks of either side."""

    @classmethod
    def of(cls, before: Array, now: Array) -> "Blocks | None":
        """From the groups of rows, float64 or objects with None where missing; None where a side has fewer than ``FEWEST``."""
        (first, a), (second, b) = _codes(before), _codes(now)
        if min(a, b) < FEWEST:
            return None
        random = np.random.default_rng(3)
        kept = min(a, b) * UNEQUAL
        size = max(1, min(-(-(min(a, kept) + min(b, kept)) // BLOCKS), min(a, b) // SMALLER))
        n, m = min(a, kept) // size, min(b, kept) // size
        return cls(_dealt(random, a, n, size)[first], n + _dealt(random, b, m, size, -n - 1)[second], (n, m))

    @property
    def count(self) -> int:
        return sum(self.sides)

    @property
    def rows(self) -> Array:
        """The block of each row of both sides."""
        return np.concatenate((self.before, self.now))

    @cached_property
    def first(self) -> Array:
        return self.lot(0)

    def lot(self, place: int) -> Array:
        """Weights ``(LOT, blocks)`` under which sums over blocks are differences of the sides' means, sides changed at random."""
        return np.random.default_rng([5, place]).permuted(np.tile(self.weights, (LOT, 1)), axis=1)

    @property
    def weights(self) -> Array:
        n, m = self.sides
        return np.concatenate((np.full(n, -1 / n), np.full(m, 1 / m))).astype(np.float32)

    def tested(self, before: Array, now: Array) -> Grouped:
        """One view: values ``(rows,)`` of both sides, float64 or objects with None where missing."""
        both, rows = np.concatenate((before, now)), self.rows
        kept = rows >= 0
        both, rows = both[kept], rows[kept]
        gone = np.array([v is None for v in both.tolist()]) if both.dtype == object else np.isnan(both)
        missing = (
            self._p(self._scores(rows, np.ones(len(rows), bool), gone[:, None] * 1.0), _one)[1] if gone.any() else 1.0
        )
        known = both[~gone]
        if not len(known):
            return Grouped(0.0, 1.0, missing, (1.0, 1.0))
        columns, parts, wide = (_categories if both.dtype == object else _numbers)(known)
        scores = self._scores(rows, ~gone, columns)
        found = [(self._p(_some(scores, part), tail), weight) for part, tail, weight in parts if part.stop > part.start]
        p = tails.least([(p, weight) for (_, p), weight in found])
        return Grouped(found[0][0][0] if found else 0.0, p, missing, self._scale(scores, wide, columns))

    def _scores(self, rows: Array, known: Array, columns: Array) -> "_Sums":
        """Columns ``(known rows, k)`` summed over blocks."""
        place = rows[known]
        sums = np.stack([np.bincount(place, column, self.count) for column in columns.T], axis=1)
        return _Sums(sums, np.bincount(place, minlength=self.count) * 1.0)

    def _p(self, sums: "_Sums", statistic: Callable[[Array], Array]) -> tuple[float, float]:
        """A statistic of the standardised differences, and its p-value."""
        off = sums.off()
        spread = np.sqrt((off**2).mean(axis=0) * (1 / self.sides[0] + 1 / self.sides[1]))
        scaled = (off / np.where(spread > 1e-12, spread, np.inf)).astype(np.float32)
        own = float(statistic((self.weights @ scaled)[None])[0])
        null = statistic(self.first @ scaled)
        for place in range(1, LOTS):
            if (null >= own * (1 - 1e-5)).sum() >= ENOUGH:
                break
            null = np.concatenate((null, statistic(self.lot(place) @ scaled)))
        beyond = int((null >= own * (1 - 1e-5)).sum())
        counted = (beyond + 1) / (len(null) + 1)
        return own, counted if beyond >= ENOUGH else min(counted, _tail(own, null))

    def _scale(self, sums: "_Sums", wide: slice, columns: Array) -> tuple[float, float]:
        """Effective rows a row of either side, by the score of ``wide`` whose sums vary most."""
        of_row = columns[:, wide].var(axis=0)
        found = []
        for side in (slice(0, self.sides[0]), slice(self.sides[0], None)):
            own = _Sums(sums.sums[side, wide], sums.rows[side])
            total = own.rows.sum()
            worth = (own.off() ** 2).sum(axis=0) / np.maximum(total * of_row, 1e-12)
            found.append(1 / max(float(worth.max(initial=1.0)), 1.0))
        return found[0], found[1]


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums of scores ``(blocks, k)`` and rows ``(blocks,)``."""

    sums: Array
    rows: Array

    def off(self) -> Array:
        """How far the sums are from those of blocks that are all alike."""
        return np.asarray(self.sums - self.rows[:, None] * self.sums.sum(axis=0) / max(self.rows.sum(), 1.0))


def _some(sums: _Sums, part: slice) -> _Sums:
    return _Sums(sums.sums[:, part], sums.rows)


def _codes(groups: Array) -> tuple[Array, int]:
    """The place of each row's group, and how many there are; what is missing is one group."""
    if groups.dtype == object:
        known: dict[Any, int] = {}
        return np.array([known.setdefault(v, len(known)) for v in groups.tolist()], np.int64), len(known)
    values, place = np.unique(groups, return_inverse=True)
    return place, len(values)


def _dealt(random: np.random.Generator, groups: int, blocks: int, size: int, none: int = -1) -> Array:
    """The block of each group, dealt at random; those that fill none have ``none``."""
    place = random.permutation(groups) // size
    return np.where(place < blocks, place, none)


Parts = list[tuple[slice, Callable[[Array], Array], float]]
"""Columns that are tested together, by which statistic, with which part of the error."""


def _one(differences: Array) -> Array:
    return np.asarray((differences**2).max(axis=1))


def _all(differences: Array) -> Array:
    return np.asarray((differences**2).sum(axis=1))


def _numbers(values: Array) -> tuple[Array, Parts, slice]:
    """Scores ``(n, k)`` of numbers: the rank, its square, intervals of ranks each half as wide as those before, and frequent values."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    rank = ((np.cumsum(counts) - counts / 2) / len(values))[place]
    finest = np.minimum((rank * 2**LEVELS).astype(np.int64), 2**LEVELS - 1)
    columns, wide = [rank, (rank - 0.5) ** 2], 2
    for level in range(1, LEVELS + 1):
        inside = finest >> (LEVELS - level)
        many = np.bincount(inside, minlength=2**level)
        cells = [c for c in range(1 if level == 1 else 0, 2**level) if NARROWEST <= many[c] <= len(values) - NARROWEST]
        columns += [(inside == c) * 1.0 for c in cells]
        wide += len(cells) if level <= 2 else 0
    often = np.flatnonzero((counts >= max(TIE * len(values), NARROWEST)) & (counts < len(values)))
    often = often[np.argsort(-counts[often], kind="stable")][:TIES]
    columns += [(place == v) * 1.0 for v in often]
    each = len(columns)
    tests = zip((slice(0, 1), slice(1, 2), slice(2, each)), (_one, _one, _one), NUMBER_WEIGHTS, strict=True)
    return np.stack(columns, axis=1), list(tests), slice(0, wide)


def _categories(values: Array) -> tuple[Array, Parts, slice]:
    """A score ``(n, k)`` for each of the most frequent categories, and one for all others."""
    known: dict[Any, int] = {}
    place = np.array([known.setdefault(v, len(known)) for v in values.tolist()], np.int64)
    counts = np.bincount(place)
    often = np.argsort(-counts, kind="stable")[:CATEGORIES]
    often = often[(counts[often] >= NARROWEST) & (counts[often] <= len(values) - NARROWEST)]
    columns = [(place == c) * 1.0 for c in often]
    rest = ~np.isin(place, often)
    columns += [rest * 1.0] if NARROWEST <= rest.sum() <= len(values) - NARROWEST else []
    if not columns:
        return np.zeros((len(values), 1)), [], slice(0, 0)
    every = slice(0, len(columns))
    tests = zip((every, every), (_all, _one), CATEGORY_WEIGHTS, strict=True)
    return np.stack(columns, axis=1), list(tests), slice(0, min(len(columns), 4))


def _tail(own: float, null: Array) -> float:
    """Beyond what permutations can count: the tail of a gamma distribution with their mean, and their variance or more."""
    spread, mean = float(null.var()), float(null.mean())
    if not spread > 0:
        return 1.0
    scale = max(spread / mean, 2.0)  # a square of a difference that is normal has a tail no lighter than this
    return float(_stats().gamma.sf(own, mean / scale, scale=scale))


def views_of(blocks: Blocks, before: Mapping[str, Array], now: Mapping[str, Array]) -> dict[str, Grouped]:
    """Every view that both sides have, of rows of these blocks."""
    return {
        key: blocks.tested(values, now[key])
        for key, values in before.items()
        if key in now and len(values) == len(blocks.before) and len(now[key]) == len(blocks.now)
    }


def _stats() -> Any:
    from scipy import stats  # takes a second to import; an explanation does without

    return stats
