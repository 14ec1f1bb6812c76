"""What is known of a column once all of it has passed by: enough for its field, and to read each part of it like the whole.

Pure numpy, mergeable. Counts, range and the listed values are exact; how many different texts there are is exact up to ``EXACT``.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_functions.statistics.distinct import Distinct, hashes_of

Array = np.ndarray[Any, Any]

LISTED = 100
"""Different values that are listed; of more, numbers list none and texts only count."""
EXACT = 10_000
"""Different texts that are counted exactly; more are estimated, with a standard error of 1.6 %."""
SMALLEST = 1000
"""Of many texts those that come first in alphabetical order are kept to see how long they are, as long as they have together ..."""
CHARACTERS = 1_000_000


@dataclass(frozen=True, slots=True)
class Words:
    """The different texts of a column."""

    smallest: tuple[str, ...]
    """The first ones in alphabetical order: all of them where there are at most ``LISTED``."""
    hashes: Array
    """Of all of them, uint64, sorted; of more than ``EXACT``, none."""
    sketch: Distinct
    many: bool

    @classmethod
    def of(cls, values: set[str]) -> "Words":
        hashes = np.sort(hashes_of(values))
        return cls._of(sorted(values), hashes, Distinct.of_hashes(hashes), many=False)

    def merge(self, other: "Words") -> "Words":
        smallest = sorted({*self.smallest, *other.smallest})
        hashes = np.union1d(self.hashes, other.hashes)
        return self._of(smallest, hashes, self.sketch.merge(other.sketch), many=self.many or other.many)

    @classmethod
    def _of(cls, smallest: list[str], hashes: Array, sketch: Distinct, *, many: bool) -> "Words":
        many = many or len(hashes) > EXACT
        room = np.searchsorted(np.cumsum([len(w) for w in smallest[:SMALLEST]]), CHARACTERS, "right")
        kept = smallest[: max(int(room), LISTED + 1)]
        return cls(tuple(kept), np.empty(0, np.uint64) if many else hashes, sketch, many)

    @property
    def count(self) -> int:
        return self.sketch.estimate if self.many else len(self.hashes)


@dataclass(frozen=True, slots=True)
class Summary:
    """A column of ``rows`` rows; ``dtype`` is of its values, or of the elements of its lists; object for text.

    ``shape`` is that of a row: ``()``, ``(k,)``, or ``(-1,)`` where rows differ in length.
    """

    rows: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    gaps: bool
    """Some number is missing or infinite, or some truth value missing."""
    low: float | None
    """Of the finite numbers, None where there are none; so ``high``."""
    high: float | None
    values: Array | None
    """The different numbers in ascending order, None where there are more than ``LISTED``. Empty for lists and text."""
    words: Words | None
    """Of text alone."""

    @classmethod
    def of(cls, column: Array) -> "Summary":
        """``column`` is as ``tables`` reads it."""
        if column.dtype == object:
            if len(column) and isinstance(column[0], np.ndarray):
                return cls._of_numbers(np.concatenate(column), len(column), (-1,) * column[0].ndim)
            if is_truth(column):
                found = np.unique([v for v in column.tolist() if v is not None])
                return cls(len(column), found.dtype, (), True, None, None, found, None)
            words = Words.of({v for v in column.tolist() if v is not None})
            return cls(len(column), column.dtype, (), False, None, None, np.empty(0), words)
        return cls._of_numbers(column, len(column), column.shape[1:])

    @classmethod
    def _of_numbers(cls, numbers: Array, rows: int, shape: tuple[int, ...]) -> "Summary":
        finite = numbers[np.isfinite(numbers)] if numbers.dtype.kind == "f" else numbers
        ranged = len(finite) and numbers.dtype.kind != "b"
        low, high = (float(finite.min()), float(finite.max())) if ranged else (None, None)
        values = np.empty(0, numbers.dtype) if shape else _distinct(numbers)
        return cls(rows, numbers.dtype, shape, finite.size < numbers.size, low, high, values, None)

    def merge(self, other: "Summary") -> "Summary":
        """Both parts as one, in order."""
        if (self.dtype == object) != (other.dtype == object):  # a part of truth values that are all missing
            return self._as_truth().merge(other._as_truth())  # noqa: SLF001 - of the same class
        shape = self.shape if self.shape == other.shape else (-1,) * len(self.shape)
        dtype = np.promote_types(self.dtype, other.dtype)
        words = self.words.merge(other.words) if self.words is not None and other.words is not None else None
        lows = [v for v in (self.low, other.low) if v is not None]
        highs = [v for v in (self.high, other.high) if v is not None]
        values = None
        if self.values is not None and other.values is not None:
            values = _listed(np.union1d(self.values.astype(dtype), other.values.astype(dtype)))
        gaps = self.gaps or other.gaps
        rows = self.rows + other.rows
        return Summary(rows, dtype, shape, gaps, min(lows, default=None), max(highs, default=None), values, words)

    def _as_truth(self) -> "Summary":
        """A part without a value as one of truth values."""
        if self.dtype != object or self.distinct:
            return self
        return Summary(self.rows, np.dtype(np.bool_), (), True, None, None, np.empty(0, np.bool_), None)

    def whole(self, part: Array) -> Array:
        """A part of the column as it would be, had all of it been read at once."""
        if self.dtype == object:
            return part
        if self.dtype == np.bool_ and not self.shape:
            return part.astype(object) if self.gaps else part
        if part.dtype == object or self.shape != part.shape[1:]:
            rows = np.empty(len(part), object)
            rows[:] = [np.asarray(row, self.dtype) for row in part]
            return rows
        return part.astype(self.dtype, copy=False)

    @property
    def distinct(self) -> int:
        """How many different values there are; of numbers at most ``LISTED`` + 1."""
        if self.words is not None:
            return self.words.count
        return LISTED + 1 if self.values is None else len(self.values)

    @property
    def listed(self) -> list[Any]:
        """All different values in ascending order, none where there are more than ``LISTED``."""
        if self.words is not None:
            return list(self.words.smallest) if self.words.count <= LISTED else []
        return [] if self.values is None else self.values.tolist()


def is_truth(values: Array) -> bool:
    """Whether an array of objects holds true and false, with gaps, and no text."""
    first = next((v for v in values.tolist() if v is not None), None)
    return isinstance(first, bool)


def _distinct(numbers: Array) -> Array | None:
    return _listed(np.unique(numbers[~np.isnan(numbers)] if numbers.dtype.kind == "f" else numbers))


def _listed(values: Array) -> Array | None:
    return values if len(values) <= LISTED else None
