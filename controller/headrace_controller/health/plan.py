"""What is counted of a version: one series for each view of each input and output, with bins that never change.

Made once from the profile of the training data (inputs) and from the model's own answers on it (outputs), and kept in the store,
so that whatever counts later counts the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from headrace_functions.logtable import OUTPUT, input_column, output_column
from headrace_functions.profile import Profile, ViewProfile
from headrace_functions.signature import Field
from headrace_functions.version import Version
from headrace_functions.views import Kind, ViewName, names

TOP = 20
"""Categories with a bin of their own."""
CROWDED = 0.5
"""Where one bin of equal width holds more of the training rows than this, bins are cut at quantiles instead."""

Side = Literal["input", "output"]
Category = str | int | float | bool


@dataclass(frozen=True)
class Series:
    """One view of a field and its bins.

    Numbers have ``edges``: the bins are below the first one, between two, and above the last. Categories have ``labels``: a bin each,
    then one for the rarer known ones and one for those that training did not have. Without either nothing is binned.
    """

    name: str
    side: Side
    field: str
    label: str
    kind: Kind
    column: str
    edges: tuple[float, ...] = ()
    labels: tuple[Category, ...] = ()
    rare: tuple[Category, ...] = ()
    """Known categories without a bin of their own."""
    open: bool = False
    """Training had more categories than its profile keeps: an unknown one may be one of them."""
    expected: tuple[float, ...] = ()
    """Shares of the training rows: missing, then by bin."""
    trained: int = 0
    """Rows that ``expected`` was counted from."""
    mean: float | None = None
    """Of the training rows."""

    @property
    def bins(self) -> int:
        if self.edges:
            return len(self.edges) + 1
        return len(self.labels) + 2 if self.labels else 0

    @property
    def width(self) -> int:
        """Numbers a bucket keeps of it: rows, finite numbers among them, missing ones, then the bins."""
        return 3 + self.bins

    @cached_property
    def places(self) -> Mapping[Category, int]:
        """Bin of each known category. Typed by name too: Python holds ``True`` and ``1`` for one key."""
        found: dict[Category, int] = dict.fromkeys(self.rare, len(self.labels))
        found.update({label: i for i, label in enumerate(self.labels)})
        return found


@dataclass(frozen=True)
class Plan:
    series: tuple[Series, ...]

    @property
    def width(self) -> int:
        return sum(s.width for s in self.series)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Where the numbers of each series begin."""
        return tuple(np.cumsum([0, *(s.width for s in self.series)])[:-1].tolist())

    @cached_property
    def by_field(self) -> Mapping[str, tuple[Series, ...]]:
        """The series of each input by the field's name."""
        found: dict[str, tuple[Series, ...]] = {}
        for series in self.series:
            if series.side == "input":
                found[series.field] = (*found.get(series.field, ()), series)
        return found

    def checked(self, failed: str) -> tuple[str, str]:
        """Series and check that an entry ``field:check`` of a log row belongs to."""
        field, _, check = failed.rpartition(":")
        series = self.by_field.get(field, ())
        for one in series:
            if one.label and check.startswith(f"{one.label}-"):
                return one.name, check
        return (series[0].name if series else field), check

    def to_document(self) -> dict[str, Any]:
        return {"schema": 1, "series": [asdict(s) for s in self.series]}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Plan":
        tuples = ("edges", "labels", "rare", "expected")
        return cls(tuple(Series(**{**s, **{name: tuple(s[name]) for name in tuples}}) for s in document["series"]))


def plan_of(version: Version, inputs: Profile | None, outputs: Profile | None) -> Plan:
    """``inputs`` is the profile of the training data, ``outputs`` that of the answers on it."""
    taken = {name.of(f) for f in version.signature.inputs for name in names(f)}
    series = [
        *_side(version.signature.inputs, "input", inputs, frozenset()),
        *_side(version.signature.outputs, "output", outputs, frozenset(taken)),
    ]
    return Plan(tuple(series))


def _side(fields: Sequence[Field], side: Side, profile: Profile | None, taken: frozenset[str]) -> list[Series]:
    found = []
    for field in fields:
        known = {p.label: p for p in profile.fields.get(field.name, ())} if profile is not None else {}
        column = input_column(field) if side == "input" else output_column(field)
        for view in names(field):
            name = view.of(field)
            bins = _bins(view, known.get(view.label), field)
            key = f"{OUTPUT}{name}" if name in taken else name
            found.append(Series(key, side, field.name, view.label, view.kind, column, **bins))
    return found


def _bins(view: ViewName, profile: ViewProfile | None, field: Field) -> dict[str, Any]:
    if profile is None or profile.count == profile.missing:
        return {"labels": tuple(field.categories or ())[:TOP]} if view.kind == "category" else {}
    if view.kind == "category":
        return _categories(profile)
    return _numbers(profile)


def _categories(profile: ViewProfile) -> dict[str, Any]:
    kept = profile.categories
    if kept is None or not kept.values:
        return {}
    counts = [n for _, n in kept.values]
    rest = sum(counts[TOP:]) + kept.other
    shares = np.array([profile.missing, *counts[:TOP], rest, 0]) / profile.count
    return {
        "labels": tuple(value for value, _ in kept.values[:TOP]),
        "rare": tuple(value for value, _ in kept.values[TOP:]),
        "open": not kept.complete,
        "expected": tuple(shares.tolist()),
        "trained": profile.count,
    }


def _numbers(profile: ViewProfile) -> dict[str, Any]:
    kept = profile.numbers
    if kept is None or kept.min is None or kept.max is None or not kept.histogram:
        return {}
    total = sum(kept.histogram)
    edges = [kept.min, kept.max] if len(kept.histogram) == 1 else _even(kept.min, kept.max, len(kept.histogram))
    shares = [n / total for n in kept.histogram]
    if max(shares) > CROWDED and len(shares) > 1 and kept.quantiles and kept.distinct > 10 * len(shares):
        cuts = {float(k): v for k, v in kept.quantiles.items()}
        points = [kept.min, *(cuts[k] for k in sorted(cuts)), kept.max]
        if all(a < b for a, b in pairwise(points)):
            edges, shares = points, np.diff([0.0, *sorted(cuts), 1.0]).tolist()
    known = total / profile.count
    missing = profile.missing / profile.count
    expected = (missing, 0.0, *(s * known for s in shares), max(0.0, 1 - known - missing))
    return {"edges": tuple(edges), "expected": expected, "trained": profile.count, "mean": kept.mean}


def _even(low: float, high: float, bins: int) -> list[float]:
    return [float(x) for x in np.linspace(low, high, bins + 1)]
