"""Fields that are no features: identifiers, of which nearly every value is another, and clocks, which go on whatever happens.

Their values differ from the reference's by their nature. They are named in the report, and only their missing values are compared.
"""

from headrace_jobs.scan import Reference, Summary
from headrace_jobs.statistics.categories import CategoryPartial, CategoryReference
from headrace_jobs.statistics.identity import times, unique, whole
from headrace_jobs.statistics.numbers import NumberPartial, NumberReference
from headrace_jobs.statistics.order import Trend

UNKNOWN = 0.5
"""Share of the window's rows whose category the reference has not, from which on an identifier goes on as one."""
LEADING = 0.05
"""Share of the window's rows of one category, from which on it is no identifier there."""
STEADY = 0.98
"""Correlation of values with the time of their rows, from which on a number is a clock."""

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
    if not now.count or not unique(before):
        return False
    most = max([*now.counts.values(), *now.names.values()], default=0)
    return now.unknown >= UNKNOWN * now.count and most <= max(LEADING * now.count, 2)


def _goes_on(before: NumberReference, now: NumberPartial, trend: Trend) -> bool:
    """Whole numbers or time stamps that are nearly all different, and rise with the time."""
    if not unique(before) or trend.correlation < STEADY:
        return False
    return whole(before) or times(min(before.grid[0], now.min), max(before.grid[-1], now.max))
