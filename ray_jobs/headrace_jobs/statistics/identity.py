"""Values that tell one row from another, such as numbers and times: nearly every one is met once."""

from headrace_jobs.statistics.categories import CategoryReference
from headrace_jobs.statistics.numbers import NumberReference

UNIQUE = 0.9
"""Different values a row, from which on nearly every value is another."""
EPOCHS = (1e9, 1e12, 1e15, 1e18)
"""One second, in the units that time stamps have: from 2001 on in seconds, milliseconds, microseconds, nanoseconds since 1970."""
LATEST = 2.5
"""Times as much: the year 2049."""


def unique(one: NumberReference | CategoryReference) -> bool:
    """Whether nearly every value is another."""
    met = one.finite if isinstance(one, NumberReference) else one.count
    return bool(met) and one.profile.distinct >= UNIQUE * met


def numbered(one: NumberReference | CategoryReference) -> bool:
    """Whether values may be numbers or times of rows: nearly every one is another, and they are categories, whole, or times."""
    if not unique(one) or isinstance(one, CategoryReference):
        return unique(one)
    return whole(one) or times(float(one.grid[0]), float(one.grid[-1]))


def whole(one: NumberReference) -> bool:
    return bool((one.grid == one.grid.round()).all())


def times(low: float, high: float) -> bool:
    """Whether values from ``low`` to ``high`` look like times since 1970."""
    return any(second <= low and high <= LATEST * second for second in EPOCHS)
