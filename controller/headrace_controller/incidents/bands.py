"""What is usual for a version at a time of the day and week, learnt from its own hours. Pure.

A band is the median of comparable hours and so many robust deviations (1.4826 times the median absolute deviation, Hampel 1974) on each side
that one new hour in a thousand lies above it where hours differ by a normal law; ``FACTORS`` were found by simulation for samples
as small as these. Comparable are the same hour of the week in the last eight weeks where four of them are known, else the same hour of
the day in the last fourteen days where five are; each with the hour before and the one after. Below that nothing is usual yet.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median

from headrace_controller.health.buckets import Bucket
from headrace_controller.health.shift import LEAST_ROWS

HOUR = timedelta(hours=1)
DAY, WEEK = timedelta(days=1), timedelta(days=7)
REACH = 8 * WEEK
FACTORS = ((9, 9.32), (12, 6.42), (15, 5.7), (18, 4.96), (24, 4.38), (30, 4.07), (42, 3.76))
"""Hours known, and deviations above the median that one new hour in a thousand exceeds."""
_SEASONS = (("week", WEEK, 8, 4), ("day", DAY, 14, 5))
"""Name, period, periods looked back and periods that have to be known."""


@dataclass(frozen=True, slots=True)
class Band:
    low: float
    usual: float
    high: float
    season: str
    """``week`` or ``day``: which hours were compared."""


Covered = tuple[str, str, datetime, datetime]
"""What, field, begin and end of hours that are not learnt from: an incident that nobody called usual."""
Values = Callable[[Bucket], float | None]
"""What is learnt of a bucket, None where it has too little to say."""


def band(known: Mapping[datetime, float], at: datetime) -> Band | None:
    """The band of the hour of ``at`` from values by the start of their hour; None where too few comparable hours are known."""
    hour = at.replace(minute=0, second=0, microsecond=0)
    for season, period, most, least in _SEASONS:
        near = [
            [known[t] for t in (hour - period * k - HOUR, hour - period * k, hour - period * k + HOUR) if t in known]
            for k in range(1, most + 1)
        ]
        values = [v for one in near for v in one]
        if sum(bool(one) for one in near) >= least and len(values) >= FACTORS[0][0]:
            return _around(values, season)
    return None


def _around(values: Sequence[float], season: str) -> Band:
    middle = median(values)
    spread = 1.4826 * median(abs(v - middle) for v in values) * factor(len(values))
    return Band(middle - spread, middle, middle + spread, season)


def factor(known: int) -> float:
    """Robust deviations that one new value in a thousand exceeds, given so many known ones."""
    place = bisect_right([n for n, _ in FACTORS], known) - 1
    return FACTORS[max(place, 0)][1]


@dataclass(slots=True)
class History:
    """Hours of a version, and what was an incident in them."""

    hours: Sequence[Bucket]
    covered: Sequence[Covered] = ()
    _known: dict[tuple[str, str], Mapping[datetime, float]] = field(default_factory=dict)

    def band(self, what: str, name: str, values: Values, at: datetime) -> Band | None:
        """What is usual at a time of ``values``, which are kept by what and field they are about."""
        if (what, name) not in self._known:
            self._known[what, name] = dict(self._learnt(what, name, values))
        return band(self._known[what, name], at)

    def _learnt(self, what: str, name: str, values: Values) -> Iterable[tuple[datetime, float]]:
        begun = next((b.start for b in self.hours if b.requests), None)
        spans = [(since, until) for kind, about, since, until in self.covered if (kind, about) == (what, name)]
        for bucket in self.hours:
            end = bucket.start + HOUR
            if begun is None or bucket.start < begun or any(s < end and bucket.start < u for s, u in spans):
                continue
            value = values(bucket)
            if value is not None:
                yield bucket.start, value


def enough(bucket: Bucket) -> bool:
    """Whether a share of its rows says anything."""
    return bucket.rows >= LEAST_ROWS
