"""Fields that are no features: identifiers, of which nearly every value is another, and clocks, which go on whatever happens.

Their values differ from the reference's by their nature. They are named in the report, and only their missing values are compared.
"""

import numpy as np

from headrace_jobs.scan import Reference, Summary
from headrace_jobs.statistics.categories import CategoryPartial, CategoryReference
from headrace_jobs.statistics.numbers import NumberPartial, NumberReference
from headrace_jobs.statistics.order import Trend

UNIQUE = 0.9
"""Different values a row, from which on nearly every value is another."""
UNKNOWN = 0.5
"""Share of the window's rows whose category the reference has not, from which on an identifier goes on as one."""
LEADING = 0.05
"""Share of the window's rows of one category, from which on it is no identifier there."""
STEADY = 0.98
"""Correlation of values with the time of their rows, from which on a number is a clock."""
EPOCHS = (1e9, 1e12, 1e15, 1e18)
"""One second, in the units that time stamps have: from 2001 on in seconds, milliseconds, microseconds, nanoseconds since 1970."""
LATEST = 2.5
"""Times as much: the year 2049."""

IDENTIFIER = "an identifier: nearly every value is another, so that their shares say nothing"
CLOCK = "a clock: its values rise with the time of the rows, so that they are others in every window"
GROUPS = "names the groups of rows that depend on each other (monitoring.grouping)"


def apart(before: Reference, now: Summary | None, trend: Trend | None) -> str | None:
    """Why a view is set apart; None for one that is compared."""
    if isinstance(before, CategoryReference) and isinstance(now, CategoryPartial):
        return IDENTIFIER if _identifies(before, now) else None
    if isinstance(before, NumberReference) and isinstance(now, NumberPartial) and trend is not None:
        return CLOCK if _goes_on(before, now, trend) else None
    return None


def _identifies(before: CategoryReference, now: CategoryPartial) -> bool:
    if not before.count or not now.count or before.profile.distinct < UNIQUE * before.count:
        return False
    most = max([*now.counts.values(), *now.names.values()], default=0)
    return now.unknown >= UNKNOWN * now.count and most <= max(LEADING * now.count, 2)


def _goes_on(before: NumberReference, now: NumberPartial, trend: Trend) -> bool:
    """Whole numbers or time stamps that are nearly all different, and rise with the time."""
    if not before.finite or before.profile.distinct < UNIQUE * before.finite or trend.correlation < STEADY:
        return False
    whole = bool((before.grid == np.floor(before.grid)).all())
    low, high = min(before.grid[0], now.min), max(before.grid[-1], now.max)
    return whole or any(second <= low and high <= LATEST * second for second in EPOCHS)
