"""Repeats: how many independent rows are there really, where callers send a row again and again?

Of each side the rows are counted by a hash of their content: those of lowest hash with their exact counts (bottom-k sampling by content, Cohen and
Kaplan 2007), which merge and are bounded. Rows of few discrete fields are equal by nature, and that is no repeat: whether equal
rows are repeats is told by the other side. Of rows that come up by nature the other side has its share, of a caller's own row it has none.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headrace_functions.statistics.sample import mixed
from headrace_functions.views import Array
from headrace_jobs.columns import Coded, Series

KEPT = 50_000
"""Different rows that are counted, at most."""
FEWEST = 20
"""Repeated rows that there must be."""
LARGEST = 20
"""A row that more than one in so many rows is equal to is a value of its own weight, such as that of a sensor that is stuck, and no repeat."""
TIMES_NATURE = 3.0
"""More of the repeated rows than this many times what chance explains must be unknown to the other side."""
FACTOR = np.uint64(0xD6E8FEB86659FD93)
EVERYTHING = np.uint64(2**64 - 1)


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Hashes up to ``limit`` (uint64 ``(k,)``, ascending) with their counts; ``rows`` is how many rows there are in all."""

    rows: int
    limit: np.uint64
    keys: Array
    counts: Array

    @classmethod
    def of(cls, hashes: Array, kept: int = KEPT) -> "RowCounts":
        keys, counts = np.unique(mixed(np.uint64(0), hashes), return_counts=True)
        return cls(len(hashes), EVERYTHING, keys, counts).cut(kept)

    @classmethod
    def none(cls) -> "RowCounts":
        return cls.of(np.empty(0, np.uint64))

    def cut(self, kept: int) -> "RowCounts":
        if len(self.keys) <= kept:
            return self
        return RowCounts(self.rows, self.keys[kept - 1], self.keys[:kept], self.counts[:kept])

    def upto(self, limit: np.uint64) -> "RowCounts":
        inside = int(np.searchsorted(self.keys, limit, "right"))
        return RowCounts(self.rows, min(self.limit, limit), self.keys[:inside], self.counts[:inside])

    def merge(self, other: "RowCounts", kept: int = KEPT) -> "RowCounts":
        limit = min(self.limit, other.limit)
        a, b = self.upto(limit), other.upto(limit)
        keys, place = np.unique(np.concatenate((a.keys, b.keys)), return_inverse=True)
        counts = np.bincount(place, np.concatenate((a.counts, b.counts)), len(keys)).astype(np.int64)
        return RowCounts(self.rows + other.rows, limit, keys, counts).cut(kept)


def folded(hashes: Array, one: Series | Array) -> Array:
    """The hashes of rows, uint64 ``(n,)``, with one more column: a series, or hashes of its values."""
    with np.errstate(over="ignore"):
        found = (hashes ^ _bits(one)) * FACTOR
    return np.asarray(np.bitwise_xor(found, found >> np.uint64(32), out=found))


def group_priorities(one: Series) -> Array:
    """Priorities of rows by which a bounded sample has whole groups: uint64 ``(n,)``, the same for all rows of one value."""
    return mixed(np.uint64(1), folded(np.zeros(_rows(one), np.uint64), one))


def _rows(one: Series) -> int:
    return len(one.codes) if isinstance(one, Coded) else len(one.values)


def _bits(one: Series | Array) -> Array:
    if isinstance(one, np.ndarray):
        return one
    if isinstance(one, Coded):  # Python's own hash of text differs between processes
        known = [hashlib.blake2b(repr(v).encode(), digest_size=8).digest() for v in one.values]
        return np.frombuffer(b"".join([*known, bytes(8)]), np.uint64)[one.codes]
    return np.asarray((one.values + 0.0).view(np.uint64))  # adding 0 makes -0.0 equal to 0.0


def effective(reference: RowCounts, window: RowCounts) -> tuple[float, float]:
    """Effective rows a row of both sides, at most 1: Kish's size (1965) of rows in repeats as clusters.

    A side that is too small to know most rows of the other tells little of it; where its own rows are repeats, so are those.
    """
    limit = min(reference.limit, window.limit)
    sides = (reference.upto(limit), window.upto(limit))
    repeats = [_unknown(*sides), _unknown(*reversed(sides))]
    told = [unknown is not None for unknown in repeats]
    smaller = int(window.rows < reference.rows)
    if told[smaller] and not told[1 - smaller]:
        repeats[1 - smaller] = _alone(sides[1 - smaller], sides[smaller])
    before, now = (_share(side, unknown) for side, unknown in zip(sides, repeats, strict=True))
    return before, now


def of_groups(side: RowCounts) -> float:
    """Effective rows a row where the hashes are those of groups, whose rows may depend on each other as strongly as can be."""
    counts = side.counts.astype(np.float64)
    return float(counts.sum() / (counts**2).sum()) if len(counts) else 1.0


def _several(own: RowCounts) -> Array:
    """Which rows are met several times, but not so often that they are of a weight of their own."""
    return (own.counts >= 2) & (own.counts <= max(own.rows / LARGEST, 2))


def _alone(own: RowCounts, other: RowCounts) -> Array:
    """Which rows are met several times on one side alone: where callers repeat theirs, those of the busiest are no weight of their own."""
    return np.asarray((own.counts >= 2) & ~np.isin(own.keys, other.keys, assume_unique=True))


def _unknown(own: RowCounts, other: RowCounts) -> Array | None:
    """Which rows are repeats: equal ones that the other side has not; None where that is natural, or tells too little."""
    repeated = _several(own)
    unknown = repeated & ~np.isin(own.keys, other.keys, assume_unique=True)
    chance = own.rows / max(own.rows + other.rows, 1)
    by_nature = float((chance ** own.counts[repeated].astype(np.float64)).sum())
    told = unknown.sum() > TIMES_NATURE * by_nature or _pairs(own.counts[unknown]) > TIMES_NATURE * _pairs_by_nature(
        own, other
    )
    return _alone(own, other) if unknown.sum() >= FEWEST and told else None


def _pairs(counts: Array) -> float:
    """Pairs of equal rows."""
    return float((counts * (counts - 1.0)).sum() / 2)


def _pairs_by_nature(own: RowCounts, other: RowCounts) -> float:
    """Pairs of equal rows that ``own`` has at most if it has as large a share of them as the other side; about an upper 95 % bound."""
    met = _pairs(other.counts)
    return float((met + 2 * met**0.5 + 3) * (own.rows / max(other.rows - 1, 1)) ** 2)


def _share(own: RowCounts, unknown: Array | None) -> float:
    counts = own.counts.astype(np.float64)
    if unknown is None or not len(counts):
        return 1.0
    return float(counts.sum() / np.where(unknown, counts**2, counts).sum())


def distinct(columns: Sequence[Array], rows: int) -> Array:
    """Places of the first of rows with equal values, ascending; columns ``(rows,)`` are float64, or objects with None where missing."""
    hashes = np.zeros(rows, np.uint64)
    for column in columns:
        values = column
        if column.dtype == object:
            codes: dict[object, int] = {}
            values = np.array([codes.setdefault(v, len(codes)) for v in column.tolist()], np.float64)
        hashes = folded(hashes, (values + 0.0).view(np.uint64))
    return np.sort(np.unique(hashes, return_index=True)[1])
