"""The range of time that a page shows: a part of its URL, and the buckets that charts cut it into."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from headrace_controller import clock
from headrace_functions.errors import InvalidInput

RANGES: Mapping[str, tuple[timedelta, int]] = {
    "1h": (timedelta(hours=1), 60),
    "3h": (timedelta(hours=3), 120),
    "24h": (timedelta(hours=24), 900),
    "7d": (timedelta(days=7), 7200),
    "30d": (timedelta(days=30), 28_800),
}
"""Choices of a page, and the seconds of a bucket in each."""
_STEPS = (60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400, 7 * 86_400)
MAX_BUCKETS = 120
LONGEST = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class Range:
    """``[since, until)`` in whole buckets of ``step`` seconds. ``chosen`` is the name of a choice, empty for a range by times."""

    since: datetime
    until: datetime
    step: int
    chosen: str = ""

    @property
    def buckets(self) -> int:
        return round((self.until - self.since).total_seconds() / self.step)

    @property
    def seconds(self) -> float:
        return (self.until - self.since).total_seconds()

    def query(self) -> dict[str, str]:
        """The members of a URL that say this range."""
        if self.chosen:
            return {"range": self.chosen}
        return {"since": clock.show(self.since), "until": clock.show(self.until)}

    def times(self, count: int = 6) -> list[tuple[float, str]]:
        """Places 0 to 1 and texts (UTC) of a time axis, at round times."""
        wanted = self.seconds / count
        step = next((s for s in (300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 2 * 86_400, 5 * 86_400) if s >= wanted), 10 * 86_400)  # fmt: skip
        first = (int(self.since.timestamp()) // step + 1) * step
        found = []
        for moment in range(first, int(self.until.timestamp()) + 1, step):
            at = (moment - self.since.timestamp()) / self.seconds
            time = datetime.fromtimestamp(moment, UTC)
            found.append((at, f"{time:%d %b}" if step >= 86_400 else f"{time:%H:%M}"))
        return found


def read(arguments: Mapping[str, str], now: datetime, default: str = "3h") -> Range:
    """The range that a URL asks for. ``InvalidInput`` names ``range``, ``since`` or ``until``."""
    since, until = (_moment(arguments.get(name, ""), name) for name in ("since", "until"))
    if since is None and until is None:
        chosen = arguments.get("range", "") or default
        if chosen not in RANGES:
            raise InvalidInput(
                f"range: {chosen!r} is not a range", field="range", expected=f"one of {', '.join(RANGES)}"
            )
        span, step = RANGES[chosen]
        end = _up(now, step)
        return Range(end - span, end, step, chosen)
    until = until or now
    since = since or until - RANGES[default][0]
    if since >= until:
        raise InvalidInput(
            f"since: {clock.show(since)} is not before until, {clock.show(until)}",
            field="since",
            expected="a time before until",
        )
    if until - since > LONGEST:
        raise InvalidInput(f"since: the range is longer than {LONGEST.days} days", field="since")
    seconds = (until - since).total_seconds()
    step = next((s for s in _STEPS if seconds / s <= MAX_BUCKETS), _STEPS[-1])
    return Range(_down(since, step), _up(until, step), step)


def choices(current: Range, path: str, others: Mapping[str, str]) -> list[dict[str, object]]:
    """The segments of a page's range control."""
    return [
        {
            "text": name.replace("h", " h").replace("d", " d"),
            "href": f"{path}?{urlencode({**others, 'range': name})}",
            "current": name == current.chosen,
        }
        for name in RANGES
    ]


def moved(current: Range, path: str, others: Mapping[str, str], sign: int) -> str:
    """The URL of the range before (-1) or after (+1)."""
    span = current.until - current.since
    there = Range(current.since + sign * span, current.until + sign * span, current.step)
    return f"{path}?{urlencode({**others, **there.query()})}"


def _moment(text: str, field: str) -> datetime | None:
    return clock.parse(text, field=field) if text else None


def _up(moment: datetime, step: int) -> datetime:
    return datetime.fromtimestamp(-(-moment.timestamp() // step) * step, UTC)


def _down(moment: datetime, step: int) -> datetime:
    return datetime.fromtimestamp(moment.timestamp() // step * step, UTC)
