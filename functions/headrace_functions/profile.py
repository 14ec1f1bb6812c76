"""Profiles: statistics of the fields of a training set, and the checks of production rows against them.

A profile is made from whole columns in memory with numpy alone (the build does so when a version is applied) and kept as
a JSON document. Only finite numbers enter moments and quantiles; missing and infinite ones are counted.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from headrace_functions.signature import Field
from headrace_functions.views import Array, Kind, View, ViewName, views

MAX_CATEGORIES = 1000
"""Categories kept with their counts; with more, the field counts as free text and new values are not marked."""
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
BINS = 20


@dataclass(frozen=True, slots=True)
class NumberProfile:
    """Statistics of finite numbers; each is None where there are none, or where it exceeds float64."""

    min: float | None = None
    max: float | None = None
    mean: float | None = None
    std: float | None = None
    """Sample standard deviation (n - 1)."""
    skewness: float | None = None
    """Third standardised moment (population form)."""
    kurtosis: float | None = None
    """Fourth standardised moment less 3 (population form)."""
    distinct: int = 0
    infinite: int = 0
    quantiles: Mapping[str, float] | None = None
    """At 1, 5, 25, 50, 75, 95 and 99 %, by linear interpolation; keys such as ``0.05``."""
    histogram: tuple[int, ...] = ()
    """Counts in bins of equal width between ``min`` and ``max``."""


@dataclass(frozen=True, slots=True)
class CategoryProfile:
    """Categories with their counts, the most frequent first."""

    values: tuple[tuple[str | int | float | bool, int], ...] = ()
    distinct: int = 0
    other: int = 0
    """Rows of the categories beyond the first ``MAX_CATEGORIES``."""

    @property
    def complete(self) -> bool:
        return self.distinct == len(self.values)


@dataclass(frozen=True, slots=True)
class ViewProfile:
    """One view of a field (see ``views``): how many rows, how many missing, and the statistics of its kind."""

    label: str
    kind: Kind
    count: int
    """Rows, the missing ones included."""
    missing: int
    numbers: NumberProfile | None = None
    categories: CategoryProfile | None = None

    def to_document(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "label": self.label,
            "kind": self.kind,
            "count": self.count,
            "missing": self.missing,
        }
        if self.numbers is not None:
            document["numbers"] = asdict(self.numbers)
        if self.categories is not None:
            document["categories"] = asdict(self.categories)
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "ViewProfile":
        found, kept = document.get("numbers"), document.get("categories")
        numbers = categories = None
        if found is not None:
            numbers = NumberProfile(**{**found, "histogram": tuple(found["histogram"])})
        if kept is not None:
            values = tuple((value, count) for value, count in kept["values"])
            categories = CategoryProfile(values, kept["distinct"], kept["other"])
        return cls(document["label"], document["kind"], document["count"], document["missing"], numbers, categories)


@dataclass(frozen=True, slots=True)
class Profile:
    """Statistics of a training set by field; ``rows`` is its length."""

    rows: int
    fields: Mapping[str, tuple[ViewProfile, ...]]

    @classmethod
    def of_columns(cls, columns: Mapping[str, Array], fields: Iterable[Field]) -> "Profile":
        """Profile the ``fields`` that have a column: an array ``(n, *shape)``, or ``(n,)`` objects with None where missing.

        Fields without a column are left out: a label, or an output of the model.
        """
        found = {f.name: tuple(view_profile(v) for v in views(f, columns[f.name])) for f in fields if f.name in columns}
        return cls(max((len(c) for c in columns.values()), default=0), found)

    def to_document(self) -> dict[str, Any]:
        found = {name: [v.to_document() for v in kept] for name, kept in self.fields.items()}
        return {"schema": 1, "rows": self.rows, "fields": found}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Profile":
        kept = {name: tuple(ViewProfile.from_document(v) for v in found) for name, found in document["fields"].items()}
        return cls(document["rows"], kept)

    def failures(self, field: Field, array: Array) -> dict[str, Array]:
        """The checks that some row of ``array`` (shape ``(n, *field.shape)``) fails, each with its rows as a mask ``(n,)``.

        ``missing``      the value is null or NaN where training had none missing
        ``infinite``     a number is infinite
        ``below-min``    a number is under the declared range, or else under the training minimum; so ``above-max``
        ``new-category`` a value is not among the declared categories, or else not among those of training

        Checks of derived numbers bear their name: ``length-above-max``, ``norm-below-min``.
        A field without a profile is still held to its declared range and categories.
        """
        found: dict[str, Array] = {}
        known = {p.label: p for p in self.fields.get(field.name, ())}
        for view in views(field, array):
            derived = ViewName(view.label, view.kind).derived
            for check, mask in _failures(view, known.get(view.label), field):
                name = f"{view.label}-{check}" if derived and check != "missing" else check
                if mask.any():
                    found[name] = found[name] | mask if name in found else mask
        return found

    def check(self, field: Field, array: Array) -> list[tuple[str, ...]]:
        """The names of the failed checks (see ``failures``) of each row."""
        result: list[tuple[str, ...]] = [()] * len(array)
        for name, mask in self.failures(field, array).items():
            for row in np.flatnonzero(mask):
                result[row] += (name,)
        return result


def view_profile(view: View) -> ViewProfile:
    """Statistics of one view."""
    if view.kind == "category":
        counts = Counter(v for v in view.values.tolist() if v is not None)
        return ViewProfile(
            view.label, "category", len(view.values), len(view.values) - counts.total(), None, category_profile(counts)
        )
    finite = view.values[np.isfinite(view.values)]
    infinite = int(np.isinf(view.values).sum())
    missing = len(view.values) - len(finite) - infinite
    return ViewProfile(view.label, "number", len(view.values), missing, number_profile(finite, infinite))


def category_profile(counts: Mapping[Any, int]) -> CategoryProfile:
    """The most frequent categories of ``counts``; equal counts in the order of their text."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
    kept = tuple(ordered[:MAX_CATEGORIES])
    return CategoryProfile(kept, len(ordered), sum(n for _, n in ordered[MAX_CATEGORIES:]))


def number_profile(finite: Array, infinite: int = 0) -> NumberProfile:
    """Statistics of ``finite``, float64 ``(n,)`` without NaN and infinity."""
    return ordered_profile(np.sort(finite), infinite)


def ordered_profile(ordered: Array, infinite: int = 0) -> NumberProfile:
    """Statistics of finite numbers in ascending order."""
    if not len(ordered):
        return NumberProfile(infinite=infinite)
    low, high = float(ordered[0]), float(ordered[-1])
    with np.errstate(all="ignore"):
        mean = float(ordered.mean())
        spread = float(ordered.std())
        std = float(ordered.std(ddof=1)) if len(ordered) > 1 else 0.0
        skewness, kurtosis = _standardised_moments(ordered, mean, spread)
        points = np.quantile(ordered, QUANTILES).tolist()
        histogram = _histogram(ordered, low, high)
    quantiles = dict(zip(map(str, QUANTILES), points, strict=True)) if np.isfinite(points).all() else None
    distinct = 1 + int((ordered[1:] != ordered[:-1]).sum())
    return NumberProfile(
        low, high, _known(mean), _known(std), skewness, kurtosis, distinct, infinite, quantiles, histogram
    )


def _standardised_moments(ordered: Array, mean: float, spread: float) -> tuple[float | None, float | None]:
    # Rounding leaves a tiny spread in a constant column; its standardised moments would be noise.
    if not 0 < spread < np.inf or ordered[0] == ordered[-1]:
        return None, None
    z = (ordered - mean) / spread
    square = z * z
    return _known(float((square * z).mean())), _known(float((square * square).mean() - 3))


def _histogram(ordered: Array, low: float, high: float) -> tuple[int, ...]:
    edges = np.linspace(low, high, BINS + 1)
    if not np.isfinite(edges).all() or not (np.diff(edges) > 0).all():
        return (len(ordered),)  # one value, or a range that float64 cannot divide
    return tuple(np.histogram(ordered, edges)[0].tolist())


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _failures(view: View, profile: ViewProfile | None, field: Field) -> Iterable[tuple[str, Array]]:
    if view.kind == "number":
        yield from _number_failures(view, profile, field)
        return
    absent = np.array([v is None for v in view.values.tolist()], bool)
    if profile is None or not profile.missing:
        yield "missing", absent
    known = _known_categories(profile, field)
    if known is not None:
        yield "new-category", np.array([v is not None and v not in known for v in view.values.tolist()], bool)


def _number_failures(view: View, profile: ViewProfile | None, field: Field) -> Iterable[tuple[str, Array]]:
    if profile is None or not profile.missing:
        yield "missing", np.isnan(view.values)
    yield "infinite", np.isinf(view.values)
    numbers = profile.numbers if profile is not None else None
    low, high = (numbers.min, numbers.max) if numbers is not None else (None, None)
    if field.range is not None and not ViewName(view.label, view.kind).derived:
        low, high = field.range
    if low is not None:
        yield "below-min", view.values < low
    if high is not None:
        yield "above-max", view.values > high


def _known_categories(profile: ViewProfile | None, field: Field) -> frozenset[Any] | None:
    if field.categories is not None:
        return frozenset(field.categories)
    if (
        profile is None
        or profile.categories is None
        or not profile.categories.complete
        or not profile.categories.values
    ):
        return None
    return frozenset(value for value, _ in profile.categories.values)


def spread_rows(rows: int, limit: int) -> Array:
    """At most ``limit`` of ``rows`` places, evenly spread and always the same ones, int64 ascending.

    A build answers these rows of the training data; whoever holds the answers against it takes them by the same rule.
    """
    return np.unique(np.linspace(0, rows - 1, min(rows, limit)).astype(np.int64)) if rows else np.empty(0, np.int64)
