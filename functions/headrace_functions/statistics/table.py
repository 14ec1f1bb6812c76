"""The profile of a table that is read in batches: memory depends on its columns, not on its rows."""

from collections import Counter
from collections.abc import Iterable, Mapping

from headrace_functions.profile import Profile
from headrace_functions.signature import Field
from headrace_functions.statistics.sample import priorities
from headrace_functions.statistics.series import SAMPLE, SeriesProfile
from headrace_functions.views import Array, View, ViewName, names, views

VALUES = 20_000_000
"""Values in the samples of all views together: with more than 400 views each keeps fewer than ``SAMPLE``."""
LEAST = 1000
"""Values that a view keeps whatever the width of the table."""


def sample_size(count: int) -> int:
    """Values that each of so many views keeps for its quantiles."""
    return max(LEAST, min(SAMPLE, VALUES // max(1, count)))


def profile_batches(batches: Iterable[Mapping[str, Array]], fields: Iterable[Field], seed: str) -> Profile:
    """As ``Profile.of_columns`` of all batches together, which are read once, in order.

    Each batch has the same columns, of one length. ``seed`` names the table: the same one gives the same samples.
    """
    wanted = tuple(fields)
    size = sample_size(sum(len(names(f)) for f in wanted))
    found: dict[str, list[tuple[ViewName, SeriesProfile]]] = {}
    rows = 0
    for number, batch in enumerate(batches):
        count = max((len(c) for c in batch.values()), default=0)
        priority = priorities(f"{seed} {number}", count)
        for field in wanted:
            if field.name in batch:
                parts = [(ViewName(v.label, v.kind), _part(v, priority, size)) for v in views(field, batch[field.name])]
                found[field.name] = _merged(found[field.name], parts) if field.name in found else parts
        rows += count
    return Profile(rows, {name: tuple(one.to_view(view) for view, one in kept) for name, kept in found.items()})


def _part(view: View, priority: Array, size: int) -> SeriesProfile:
    if view.kind == "number":
        return SeriesProfile.of_numbers(view.values, priority, size)
    return SeriesProfile.of_categories(Counter(v for v in view.values.tolist() if v is not None), len(view.values))


def _merged(
    kept: list[tuple[ViewName, SeriesProfile]], parts: list[tuple[ViewName, SeriesProfile]]
) -> list[tuple[ViewName, SeriesProfile]]:
    return [(view, one.merge(other)) for (view, one), (_, other) in zip(kept, parts, strict=True)]
