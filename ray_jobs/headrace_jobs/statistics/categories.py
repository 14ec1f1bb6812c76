"""Categories: counts of a reference, and mergeable counts of a window against its categories."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace_functions.profile import CategoryProfile, category_profile

MAX_UNSEEN = 100
"""Unseen categories of a window that are kept by name; the rest only count."""

Category = str | int | float | bool


@dataclass(frozen=True, slots=True)
class CategoryReference:
    """Categories of a reference column with their counts; beyond ``MAX_CATEGORIES`` they are one, *other*."""

    rows: int
    missing: int
    counts: Mapping[Category, int]
    other: int
    singletons: int
    """Categories that occur once: how often an unseen one is to be expected (Good 1953)."""
    profile: CategoryProfile
    sample: tuple[Category, ...] = ()

    @classmethod
    def of(cls, counts: Mapping[Any, int], rows: int, sample: tuple[Category, ...] = ()) -> "CategoryReference":
        """``counts`` of the values that are not missing, of ``rows`` in all."""
        profile = category_profile(counts)
        singletons = sum(1 for n in counts.values() if n == 1)
        present = sum(counts.values())
        return cls(rows, rows - present, dict(profile.values), profile.other, singletons, profile, sample)

    @property
    def count(self) -> int:
        return self.rows - self.missing

    @property
    def complete(self) -> bool:
        """True where every category is known by name, so that one which is not known is new."""
        return self.profile.complete


@dataclass(frozen=True, slots=True)
class CategoryPartial:
    """What one part of a window adds: counts of known categories, and of unknown ones, the most frequent by name."""

    rows: int
    missing: int
    counts: Mapping[Category, int]
    unknown: int
    """Rows whose category the reference does not name."""
    names: Mapping[Category, int]
    """At most ``MAX_UNSEEN`` of the unknown categories."""

    @classmethod
    def of(cls, counts: Mapping[Any, int], rows: int, reference: CategoryReference) -> "CategoryPartial":
        known = {value: n for value, n in counts.items() if value in reference.counts}
        unknown = {value: n for value, n in counts.items() if value not in reference.counts}
        present = sum(counts.values())
        return cls(rows, rows - present, known, sum(unknown.values()), _most(unknown))

    def merge(self, other: "CategoryPartial") -> "CategoryPartial":
        return CategoryPartial(
            self.rows + other.rows,
            self.missing + other.missing,
            dict(Counter(self.counts) + Counter(other.counts)),
            self.unknown + other.unknown,
            _most(Counter(self.names) + Counter(other.names)),
        )

    @property
    def count(self) -> int:
        return self.rows - self.missing


def _most(counts: Mapping[Category, int]) -> dict[Category, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))[:MAX_UNSEEN])
