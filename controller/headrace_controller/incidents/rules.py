"""What is out of order in the buckets of one version. Pure: good defaults for every version with traffic.

A rule looks at buckets with at least ``LEAST_ROWS`` rows (looks), and is broken where it is so in ``WANTED`` of the last ``LOOKS``
of them: one odd minute is no incident.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

from headrace_controller.health.buckets import Bucket
from headrace_controller.health.shift import LEAST_ROWS
from headrace_controller.incidents import wording
from headrace_controller.incidents.model import RANK, Movement, Severity

LOOKS, WANTED = 3, 2
GAP = 3
"""Looks in a row without it that end an episode."""
MOVED = {"low": 0.1, "medium": 0.25, "severe": 0.6}
CHECKS = {"low": 0.05, "medium": 0.2, "severe": 0.6}
ERRORS = {"medium": 0.05, "severe": 0.25}
METRIC = {"low": 0.1, "medium": 0.25, "severe": 0.6}
LATENCY = {"medium": 3.0, "severe": 10.0}
"""Times the usual 95th percentile."""
LATENCY_LEAST = 20.0
"""Milliseconds above the usual below which nobody cares."""
HISTORY = 10
"""Looks that a rule needs to know what is usual."""
QUIET_MINUTES = 10
STALE = timedelta(minutes=30)
"""Nothing is said from looks that are older."""


@dataclass(frozen=True, slots=True)
class Rule:
    """``shares`` gives, of the looks up to one of them, how bad each thing is; ``levels`` from where it is how severe."""

    what: str
    levels: Mapping[str, float]
    shares: Callable[[Sequence[Bucket], int], Mapping[tuple[str, str], float]]
    """By (field, side), of the look at a place."""

    def severity(self, share: float) -> Severity | None:
        found: Severity | None = None
        for level in ("low", "medium", "severe"):
            if share >= self.levels.get(level, float("inf")):
                found = level
        return found


def findings(version: str, buckets: Sequence[Bucket], now: datetime) -> list[Movement]:
    """What is out of order now."""
    looks = [b for b in buckets if b.rows >= LEAST_ROWS]
    found = _silence(version, buckets, now)
    if looks and now - looks[-1].start <= STALE:
        for rule in RULES:
            found += _broken(version, rule, looks)
    return _by_field(found)


def _by_field(found: Sequence[Movement]) -> list[Movement]:
    """One finding a field: that it lies elsewhere says more than that it fails checks, and it began when either did."""
    kept: dict[tuple[str, str, str], Movement] = {}
    for movement in found:
        other = kept.setdefault(movement.key, movement)
        if movement.first < other.first:
            kept[movement.key] = replace(other, first=movement.first)
    return list(kept.values())


def _broken(version: str, rule: Rule, looks: Sequence[Bucket]) -> list[Movement]:
    by_look = [rule.shares(looks, i) for i in range(len(looks))]
    keys = {key for shares in by_look[-LOOKS:] for key in shares}
    found = []
    for field, side in sorted(keys):
        shares = [s.get((field, side), 0.0) for s in by_look]
        bad = [i for i, share in enumerate(shares) if rule.severity(share)]
        if sum(i >= len(looks) - LOOKS for i in bad) >= WANTED:
            found.append(_movement(version, rule, field, side, looks, shares, bad))
    return found


def _movement(
    version: str,
    rule: Rule,
    field: str,
    side: str,
    looks: Sequence[Bucket],
    shares: Sequence[float],
    bad: Sequence[int],
) -> Movement:
    begin = bad[-1]
    for i in reversed(bad):
        if begin - i > GAP:
            break
        begin = i
    last = bad[-1]
    first = looks[begin].start
    what = rule.what
    if what == "checks" and (looks[last].fields[field].moved or 0.0) >= MOVED["low"]:
        what = "moved"  # how its values changed says more than which bound they are beyond
    sentence, short = _said(what, field, looks[:begin], looks[last], first)
    worst = [rule.severity(s) for s in shares[-LOOKS:]]
    severity = max((s for s in worst if s), key=RANK.__getitem__)
    share = shares[last] if rule.what != "latency" else None
    return Movement(version, what, field, side, first, severity, share, sentence, short)


def _said(what: str, field: str, before: Sequence[Bucket], now: Bucket, first: datetime) -> tuple[str, str]:
    if what == "moved":
        return wording.moved(field, [b.fields[field] for b in before if field in b.fields], now.fields[field], first)
    if what == "checks":
        return wording.checks(field, now.fields[field], first)
    if what == "errors":
        return wording.errors(now, first)
    if what == "metric":
        found = now.metrics[field]
        return wording.metric(field, found.unhealthy / max(found.rows, 1), first)
    usual = median(p for b in before or [now] if (p := b.latency.p95()) is not None)
    return wording.latency(usual, now.latency.p95() or 0.0, first)


def _moved(looks: Sequence[Bucket], i: int) -> Mapping[tuple[str, str], float]:
    return {(name, f.side): f.moved for name, f in looks[i].fields.items() if f.moved}


def _checks(looks: Sequence[Bucket], i: int) -> Mapping[tuple[str, str], float]:
    return {
        (name, f.side): max(f.checks.values()) / f.rows for name, f in looks[i].fields.items() if f.checks and f.rows
    }


def _errors(looks: Sequence[Bucket], i: int) -> Mapping[tuple[str, str], float]:
    look = looks[i]
    bad = look.requests - look.outcomes.get("ok", 0)
    return {("", ""): bad / look.requests} if look.requests >= LEAST_ROWS and bad else {}


def _metrics(looks: Sequence[Bucket], i: int) -> Mapping[tuple[str, str], float]:
    return {
        (name, ""): m.unhealthy / m.rows for name, m in looks[i].metrics.items() if m.rows >= LEAST_ROWS and m.unhealthy
    }


def _latency(looks: Sequence[Bucket], i: int) -> Mapping[tuple[str, str], float]:
    """Times the median of what was usual, looks of the last minutes left out."""
    now = looks[i].latency.p95()
    usual = [p for b in looks[: max(i - LOOKS, 0)] if (p := b.latency.p95()) is not None]
    if now is None or len(usual) < HISTORY:
        return {}
    was = median(usual)
    return {("", ""): now / was} if was > 0 and now - was >= LATENCY_LEAST else {}


RULES: Sequence[Rule] = (
    Rule("moved", MOVED, _moved),
    Rule("checks", CHECKS, _checks),
    Rule("errors", ERRORS, _errors),
    Rule("metric", METRIC, _metrics),
    Rule("latency", LATENCY, _latency),
)


def _silence(version: str, buckets: Sequence[Bucket], now: datetime) -> list[Movement]:
    """No request for ``QUIET_MINUTES`` where each of the six such stretches before had some."""
    stretch = timedelta(minutes=QUIET_MINUTES)
    counts = _requests(buckets, (now - stretch * k for k in range(8)))
    last, before = counts[0], counts[1:]
    if last or min(before) < LEAST_ROWS:
        return []
    seen = max(b.start for b in buckets if b.requests)
    usual = sum(before) / (len(before) * QUIET_MINUTES)
    sentence, short = wording.silence(usual, seen + timedelta(minutes=1))
    return [Movement(version, "silence", "", "", seen + timedelta(minutes=1), "medium", None, sentence, short)]


def _requests(buckets: Sequence[Bucket], marks: Iterable[datetime]) -> list[int]:
    """Requests between each two marks, which go back in time."""
    points = list(marks)
    return [sum(b.requests for b in buckets if old <= b.start < new) for new, old in pairwise(points)]
