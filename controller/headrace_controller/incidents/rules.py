"""What is out of order in the buckets of one version. Pure: good defaults for every version with traffic.

A rule looks at buckets with at least ``LEAST_ROWS`` rows (looks), and is broken where it is so in ``WANTED`` of the last ``LOOKS``
of them: one odd minute is no incident. What is usual for the version at that time of the day and week (``bands``) is taken off first,
where its history tells; limits that a person has set (``limits``) are taken as they are.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

from headrace_controller.health.buckets import Bucket
from headrace_controller.health.shift import LEAST_ROWS
from headrace_controller.incidents import wording
from headrace_controller.incidents.bands import HOUR, Band, History, Values, enough
from headrace_controller.incidents.limits import LOOKS, WANTED, Limits, chosen
from headrace_controller.incidents.model import RANK, Movement, Severity

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


Shares = Mapping[tuple[str, str], float]
"""By (field, side), how bad it is."""


@dataclass(frozen=True, slots=True)
class Rule:
    """``shares`` gives for each look how bad each thing is; ``levels`` from where it is how severe.

    ``value`` is what is learnt of a field's hours and what a person's limits are about, ``beyond`` what is left of a share where the
    upper end of the band is taken off.
    """

    what: str
    levels: Mapping[str, float]
    shares: Callable[[Sequence[Bucket]], list[Shares]]
    value: Callable[[Bucket, str], float | None]
    beyond: Callable[[float, Band, Bucket], float] = lambda share, band, _look: share - max(band.high, 0.0)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a version: limits that people set, and its own hours; ``history`` is asked where something is found."""

    own: Sequence[Limits] = ()
    history: Callable[[], History] | None = None

    def band(self, what: str, name: str, values: Values, at: datetime) -> Band | None:
        return self.history().band(what, name, values, at) if self.history is not None else None


NOTHING_KNOWN = Known()


def severity_of(levels: Mapping[str, float], share: float) -> Severity | None:
    found: Severity | None = None
    for level in ("low", "medium", "severe"):
        if share >= levels.get(level, float("inf")):
            found = level
    return found


def findings(version: str, buckets: Sequence[Bucket], now: datetime, known: Known = NOTHING_KNOWN) -> list[Movement]:
    """What is out of order now."""
    looks = [b for b in buckets if b.rows >= LEAST_ROWS]
    found = _silence(version, buckets, now, known)
    if looks and now - looks[-1].start <= STALE:
        for rule in RULES:
            found += _broken(version, rule, looks, known)
    return _by_field(found)


def _by_field(found: Sequence[Movement]) -> list[Movement]:
    """One finding a field: that it lies elsewhere says more than that it fails checks, and it began when either did."""
    kept: dict[tuple[str, str, str], Movement] = {}
    for movement in found:
        other = kept.setdefault(movement.key, movement)
        if movement.first < other.first:
            kept[movement.key] = replace(other, first=movement.first)
    return list(kept.values())


def _broken(version: str, rule: Rule, looks: Sequence[Bucket], known: Known) -> list[Movement]:
    by_look = rule.shares(looks)
    most = max([LOOKS, *(limits.looks for limits in known.own if limits.rule == rule.what)])
    keys = {key for shares in by_look[-most:] for key in shares}
    keys |= {(limits.field, "") for limits in known.own if limits.rule == rule.what and rule.what == "latency"}
    found = []
    for field, side in sorted(keys):
        limits = chosen(known.own, rule.what, field)
        if limits is not None:
            judged = _by_limits(rule, limits, looks, field)
        else:
            judged = _by_default(rule, looks, [s.get((field, side), 0.0) for s in by_look], field, known)
        if judged is not None:
            found.append(_movement(version, rule, field, side, looks, judged))
    return found


@dataclass(frozen=True, slots=True)
class _Judged:
    """How bad each look was and is called, and the looks that count."""

    shares: Sequence[float]
    severities: Sequence[Severity | None]
    looks: int = LOOKS

    @property
    def bad(self) -> list[int]:
        return [i for i, severity in enumerate(self.severities) if severity]

    def broken(self, wanted: int = WANTED) -> bool:
        return sum(severity is not None for severity in self.severities[-self.looks :]) >= wanted


def _by_default(
    rule: Rule, looks: Sequence[Bucket], shares: Sequence[float], field: str, known: Known
) -> _Judged | None:
    judged = _Judged(shares, [severity_of(rule.levels, s) for s in shares])
    if not judged.broken() or known.history is None:
        return judged if judged.broken() else None
    beyond = []
    for share, look in zip(shares, looks, strict=True):
        usual = known.band(rule.what, field, lambda b: rule.value(b, field) if enough(b) else None, look.start)
        beyond.append(share if usual is None or not share else rule.beyond(share, usual, look))
    judged = _Judged(shares, [severity_of(rule.levels, s) for s in beyond])
    return judged if judged.broken() else None


def _by_limits(rule: Rule, limits: Limits, looks: Sequence[Bucket], field: str) -> _Judged | None:
    if limits.off:
        return None
    values = [rule.value(look, field) or 0.0 for look in looks]
    judged = _Judged(values, [severity_of(limits.levels, v) for v in values], limits.looks)
    return judged if judged.broken(limits.wanted) else None


def _movement(version: str, rule: Rule, field: str, side: str, looks: Sequence[Bucket], judged: _Judged) -> Movement:
    begin, last = _onset(judged), judged.bad[-1]
    first = looks[begin].start
    what = rule.what
    if what == "checks" and (looks[last].fields[field].moved or 0.0) >= MOVED["low"]:
        what = "moved"  # how its values changed says more than which bound they are beyond
    said = _said(what, field, looks[:begin], looks[last], first)
    severity = max((s for s in judged.severities[-judged.looks :] if s), key=RANK.__getitem__)
    return Movement(version, what, field, side, first, severity, said.share, said.sentence, said.short)


def _onset(judged: _Judged) -> int:
    """The look in which the episode began: of its bad ones that from which on the share lies furthest above a quarter of what it is now, in
    sum (Page's CUSUM, 1954). So a bad look of few rows some quiet looks before is not taken for the beginning."""
    bad = judged.bad
    begin = bad[-1]
    episode = []
    for i in reversed(bad):
        if begin - i > GAP:
            break
        begin = i
        episode.append(i)
    quarter = median(judged.shares[i] for i in episode[: judged.looks]) / 4
    return max(episode, key=lambda i: sum(share - quarter for share in judged.shares[i : bad[-1] + 1]))


def _said(what: str, field: str, before: Sequence[Bucket], now: Bucket, first: datetime) -> wording.Said:
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


def _each(share: Callable[[Bucket], Shares]) -> Callable[[Sequence[Bucket]], list[Shares]]:
    """Shares that each look tells by itself."""
    return lambda looks: [share(look) for look in looks]


def _moved(look: Bucket) -> Shares:
    return {(name, f.side): f.moved for name, f in look.fields.items() if f.moved}


def _moved_value(look: Bucket, field: str) -> float | None:
    return look.fields[field].moved if field in look.fields else None


def _checks(look: Bucket) -> Shares:
    found: dict[tuple[str, str], float] = {}
    for name, f in look.fields.items():
        if f.checks and (share := _checks_value(look, name)) is not None:
            found[name, f.side] = share
    return found


def _checks_value(look: Bucket, field: str) -> float | None:
    found = look.fields.get(field)
    return max(found.checks.values(), default=0) / found.rows if found is not None and found.rows else None


def _errors(look: Bucket) -> Shares:
    share = _errors_value(look)
    return {("", ""): share} if share else {}


def _errors_value(look: Bucket, _field: str = "") -> float | None:
    return 1 - look.outcomes.get("ok", 0) / look.requests if look.requests >= LEAST_ROWS else None


def _metrics(look: Bucket) -> Shares:
    return {(name, ""): share for name in look.metrics if (share := _metric_value(look, name))}


def _metric_value(look: Bucket, name: str) -> float | None:
    found = look.metrics.get(name)
    return found.unhealthy / found.rows if found is not None and found.rows >= LEAST_ROWS else None


def _latency(looks: Sequence[Bucket]) -> list[Shares]:
    """Times the median of what was usual, looks of the last minutes left out."""
    known = [look.latency.p95() for look in looks]
    found: list[Shares] = []
    for i, now in enumerate(known):
        usual = [p for p in known[: max(i - LOOKS, 0)] if p is not None]
        was = median(usual) if len(usual) >= HISTORY else 0.0
        slow = now is not None and was > 0 and now - was >= LATENCY_LEAST
        found.append({("", ""): now / was} if slow and now is not None else {})
    return found


def _latency_value(look: Bucket, _field: str = "") -> float | None:
    return look.latency.p95()


def _latency_beyond(times: float, band: Band, look: Bucket) -> float:
    """Times what was usual before or is usual at that time, whichever is longer."""
    now = look.latency.p95() or 0.0
    return now / max(now / times, band.high) if now - band.high >= LATENCY_LEAST else 0.0


RULES: Sequence[Rule] = (
    Rule("moved", MOVED, _each(_moved), _moved_value),
    Rule("checks", CHECKS, _each(_checks), _checks_value),
    Rule("errors", ERRORS, _each(_errors), _errors_value),
    Rule("metric", METRIC, _each(_metrics), _metric_value),
    Rule("latency", LATENCY, _latency, _latency_value, _latency_beyond),
)


def _silence(version: str, buckets: Sequence[Bucket], now: datetime, known: Known) -> list[Movement]:
    """No request for ``QUIET_MINUTES`` where each of the stretches of that length in the hour before had some."""
    limits = chosen(known.own, "silence", "")
    if limits is not None and limits.off:
        return []
    levels = limits.levels if limits is not None else {"medium": float(QUIET_MINUTES)}
    stretch = timedelta(minutes=min(levels.values()))
    counts = _requests(buckets, (now - stretch * k for k in range(max(3, int(HOUR / stretch) + 2))))
    last, before = counts[0], counts[1:]
    if last or min(before) < LEAST_ROWS or (limits is None and _usually_silent(known, now)):
        return []
    seen = max(b.start for b in buckets if b.requests) + timedelta(minutes=1)
    severity = severity_of(levels, (now - seen) / timedelta(minutes=1) + 1) or "low"
    usual = sum(before) / (len(before) * stretch / timedelta(minutes=1))
    said = wording.silence(usual, seen)
    return [Movement(version, "silence", "", "", seen, severity, None, said.sentence, said.short)]


def _usually_silent(known: Known, now: datetime) -> bool:
    """Whether comparable hours had so few requests that some had none."""
    usual = known.band("silence", "", lambda hour: float(hour.requests), now)
    return usual is not None and usual.low < LEAST_ROWS


def _requests(buckets: Sequence[Bucket], marks: Iterable[datetime]) -> list[int]:
    """Requests between each two marks, which go back in time."""
    points = list(marks)
    return [sum(b.requests for b in buckets if old <= b.start < new) for new, old in pairwise(points)]
