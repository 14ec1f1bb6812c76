"""Between which of many ascending points do values lie? A table answers for most of them, where sorting them all takes eight times as long.

A monotone key of few bits is made of each value: the leading bits of a float32, counted from the middle of the points, so that
steps are even near the middle and grow with the distance from it, as they do in the tails of most data. The table says how many
points have smaller keys; points with the same key are compared. Counts are exact whatever the values are; points that share
too few keys (two narrow heaps that are far apart) have no table.
"""

from dataclasses import dataclass

import numpy as np

from headrace_functions.views import Array

BITS = 12
"""Of the key, for each doubling of the distance from the middle."""
NEAR = np.float32(2**-8)
"""In units of the points' interquartile range: keys have even steps within it."""
CROWD = 16
"""Points that may share a key."""
KEYS = 1 << 18
"""Between the first point's and the last one's, at most: the table has an entry for each."""
ROWS = 16_384
"""Values that are looked up together, so that what is in between stays in the processor's cache."""

_NEAR_BITS = int(NEAR.view(np.int32))


@dataclass(frozen=True, slots=True)
class Lookup:
    """Points ``grid`` (float64 ``(g,)``, finite, ascending and distinct) with a table of their keys."""

    points: Array
    """The grid with an infinity at either end."""
    middle: float
    scale: float
    first: int
    """The key before that of the first point."""
    smaller: Array
    """By key less ``first``: points whose key is smaller."""

    @classmethod
    def of(cls, grid: Array) -> "Lookup | None":
        """None where more than ``CROWD`` points share a key, where keys would be more than ``KEYS``, or with fewer than two points."""
        if len(grid) < 2:
            return None
        quarter = len(grid) // 4
        with np.errstate(over="ignore", divide="ignore"):
            scale = float(1 / (grid[-1 - quarter] - grid[quarter])) if quarter else float(1 / (grid[-1] - grid[0]))
        if not 0 < scale < np.inf:
            return None
        middle = float(grid[len(grid) // 2])
        keys = _keys(grid, middle, scale)
        first, last = int(keys[0]) - 1, int(keys[-1]) + 1
        if last - first >= KEYS:
            return None
        met = np.bincount(keys - first, minlength=last - first + 1)
        if met.max() > CROWD:
            return None
        smaller = np.concatenate(([0], np.cumsum(met)[:-1]))
        return cls(np.concatenate(([-np.inf], grid, [np.inf])), middle, scale, first, smaller)

    def cells(self, values: Array) -> Array:
        """The cell of each of ``values`` (finite float64 ``(n,)``), int64: 0 under the first point, 1 at it, 2 between it and the next, …"""
        found = np.empty(len(values), np.int64)
        for start in range(0, len(values), ROWS):
            part = values[start : start + ROWS]
            keys = np.clip(_keys(part, self.middle, self.scale) - self.first, 0, len(self.smaller) - 1)
            upto = self.smaller.take(keys)  # points up to the value; those with its key are still to be compared
            rest = np.flatnonzero(self.points.take(upto + 1) <= part)
            while len(rest):
                upto[rest] += 1
                rest = rest[self.points.take(upto[rest] + 1) <= part[rest]]
            found[start : start + ROWS] = 2 * upto - (self.points.take(upto) == part)
        return found


def _keys(values: Array, middle: float, scale: float) -> Array:
    """Keys int32 ``(n,)`` that never fall where values rise."""
    with np.errstate(over="ignore"):  # what is beyond all float32 is as far as can be
        far = ((values - middle) * scale).astype(np.float32)
    bits = (far + np.copysign(NEAR, far)).view(np.int32)
    below = bits >> 31  # -1 for what is below the middle, else 0
    return np.asarray((((bits & 0x7FFFFFFF) - _NEAR_BITS) ^ below) >> (23 - BITS))
