"""Health as pages draw it: cells, rows of the heat map and charts from the buckets of a version. Pure.

The thresholds of a cell are those of the reports: a share of rows that lie elsewhere than in training counts from 2, 10 and 25 %; a share
that fails a check or a metric from 1, 5 and 20 %, and only as far as so few rows can show it: by the lower end of its interval
(Wilson 1927, one-sided 95 %), so one bad request of three is seen and cries no wolf.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from headrace_controller.health.buckets import StageTraffic
from headrace_functions import charts
from headrace_functions.charts import NOT_JUDGED, Cell, Line, Mark, TimeChart, Value

MOVED = (0.02, 0.10, 0.25)
FAILED = (0.01, 0.05, 0.20)
STATES = ("healthy", "low", "medium", "severe")
VERY_FEW = 5
FEW = 30
"""Rows of a bucket below which its figures are drawn as not sure."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Bucket:
    """One bucket of a version. Shares are 0 to 1, None where nothing is known."""

    rows: int = 0
    requests: int = 0
    failed: int = 0
    p50: float | None = None
    p95: float | None = None
    """Milliseconds."""
    moved: Mapping[str, float | None] = field(default_factory=dict)
    """By field, the share of rows that lie elsewhere than in training; None where that is not judged."""
    checks: Mapping[str, float] = field(default_factory=dict)
    """By check, the share of rows that fail it in some field."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """By metric, the share of unhealthy rows."""
    usual: Mapping[str, float] = field(default_factory=dict)
    """By check, the share of rows that fail it though nothing changed; empty without training data."""
    means: Mapping[str, float] = field(default_factory=dict)
    """By output, the mean answer."""
    stages: Mapping[str, StageTraffic] | None = None
    """Its requests by the stage of a sequence that they came through; None where that was not counted."""

    @property
    def errors(self) -> float | None:
        return self.failed / self.requests if self.requests else None

    @property
    def unhealthy(self) -> float | None:
        """The largest share that a metric finds, or a check beyond what is usual; None where rows are held against nothing."""
        found = [*self.beyond.values(), *self.metrics.values()]
        return max(found, default=0.0 if self.usual else None) if self.rows else None

    @cached_property
    def worst(self) -> int | None:
        """The worst level of anything in it, ``NOT_JUDGED`` where only errors are known and there are none to speak of; None without
        traffic. Worked out once: an overview asks for thousands."""
        if not self.requests:
            return None
        found = [level(s, MOVED) for s in self.moved.values()]
        found += [sure_level(s, self.rows, usual=self.usual.get(n, 0.0)) for n, s in self.checks.items()]
        found += [sure_level(s, self.rows) for s in self.metrics.values()]
        judged = [f for f in found if f is not None]
        errors = sure_level(self.errors, self.requests) or 0
        return max([*judged, errors]) if judged or errors else NOT_JUDGED

    @property
    def beyond(self) -> Mapping[str, float]:
        """By check, the share of rows that fail it beyond what is usual."""
        return {name: max(0.0, share - self.usual.get(name, 0.0)) for name, share in self.checks.items()}


def latest(buckets: Sequence[Bucket]) -> Bucket | None:
    """The bucket that says how a version is now: the newest with requests, or the one before it while that has too few rows to be judged."""
    place = next((n for n in reversed(range(len(buckets))) if buckets[n].requests), None)
    if place is None:
        return None
    newest, before = buckets[place], buckets[place - 1] if place else Bucket()
    return before if newest.worst == NOT_JUDGED and before.worst is not None else newest


def level(share: float | None, thresholds: Sequence[float]) -> int | None:
    """0 to 3; None where the share is not known."""
    return None if share is None else sum(share >= t for t in thresholds)


def sure_level(share: float | None, rows: int, usual: float = 0.0) -> int | None:
    """The level of what a share of ``rows`` shows for certain beyond the usual one: low at most below 5 rows, medium below 30."""
    if share is None or not rows:
        return None
    most = 1 if rows < VERY_FEW else 2 if rows < FEW else 3
    return min(sum(lower_bound(share, rows) - usual >= t for t in FAILED), most)


def usual_failures(fields: int, trained: int) -> Mapping[str, float]:
    """Of ``fields`` numbers, how often new rows lie beyond the extremes of ``trained`` rows of the same law: the next one is
    the largest, or the least, of all with probability 1 / (n + 1), whatever the law."""
    share = min(1.0, fields / (trained + 1)) if trained else 0.0
    return {"above-max": share, "below-min": share}


def lower_bound(share: float, rows: int) -> float:
    """Lower end of the one-sided 95 % interval of a share (Wilson 1927)."""
    z = 1.6449
    spread = z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    return max(0.0, (share + z * z / (2 * rows) - spread) / (1 + z * z / rows))


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the heat map with its value now."""

    name: str
    unit: str
    where: str
    """Condition of the rows behind it, for the page of requests."""
    values: Sequence[Value]
    levels: Sequence[int | None]
    weight: float | None = None


def heat_rows(rows: Sequence[Row], link: Callable[[int, str], str], title: Callable[[int], str]) -> list[Json]:
    """``link`` gives the URL behind a bucket and a condition, ``title`` the words of its time."""
    found = []
    for row in rows:
        cells = []
        for place, (value, at) in enumerate(zip(row.values, row.levels, strict=True)):
            if at is not None and at > 0:
                said = f"{row.name}, {title(place)}: {100 * (value or 0):.1f} %, {STATES[at]}"
                cells.append(Cell(at, said, link(place, row.where)))
            else:
                cells.append(Cell(at))
        known = [(v, at) for v, at in zip(row.values, row.levels, strict=True) if v is not None and at is not None]
        now, state = known[-1] if known else (None, None)
        unknown = "not judged" if NOT_JUDGED in row.levels else "no data"
        found.append(
            {
                "name": row.name,
                "unit": row.unit,
                "where": row.where,
                "weight": charts.share_bar(row.weight, f"{row.weight:.0%} of the answer")
                if row.weight is not None
                else "",
                "strip": charts.heat_row(row.name, cells, row.values),
                "now": now,
                "state": STATES[state] if state is not None else unknown,
                "worst": max((at for at in row.levels if at is not None and at >= 0), default=None),
            }
        )
    return found


def service_charts(
    buckets: Sequence[Bucket], step: int, times: Sequence[tuple[float, str]], marks: Sequence[Mark], output: str = ""
) -> list[Json]:
    """Rate, latency, errors, unhealthy rows and the mean answer over the same buckets."""
    few = [0 < b.requests < FEW for b in buckets]

    def chart(name: str, unit: str, *lines: Line, **more: Any) -> Json:
        known = [v for v in lines[-1].values if v is not None]
        finding = (
            f"{name}: {charts.number(min(known))} to {charts.number(max(known))}{unit}" if known else f"{name}: no data"
        )
        drawn = charts.time_chart(TimeChart(finding, lines, times, unit, marks=marks, **more))
        return {"name": name, "svg": drawn, "last": known[-1] if known else None, "unit": unit.strip()}

    def values(of: Callable[[Bucket], float | None]) -> list[Value]:
        return [of(b) if b.requests else None for b in buckets]

    found = [
        chart("Requests a second", "", Line("a", values(lambda b: b.requests / step))),
        chart("Latency", " ms", Line("ctx", values(lambda b: b.p50)), Line("a", values(lambda b: b.p95), few)),
        chart("Errors", " %", Line("a", values(lambda b: 100 * (b.errors or 0.0)), few)),
        chart("Unhealthy rows", " %", Line("a", values(_unhealthy_percent), few)),
    ]
    if output:
        found.append(
            chart(f"Mean {output}", "", Line("a", values(lambda b: b.means.get(output)), few), from_zero=False)
        )
    return found


def _unhealthy_percent(bucket: Bucket) -> float | None:
    return None if bucket.unhealthy is None else 100 * bucket.unhealthy


def totals(buckets: Sequence[Bucket]) -> Json:
    """Figures of the whole range and of its end."""
    requests = sum(b.requests for b in buckets)
    failed = sum(b.failed for b in buckets)
    last = next((b for b in reversed(buckets) if b.requests), None)
    return {
        "requests": requests,
        "failed": failed,
        "errors": failed / requests if requests else None,
        "p50": last.p50 if last else None,
        "p95": last.p95 if last else None,
        "unhealthy": last.unhealthy if last else None,
    }


LABEL = 40
"""Characters of a mark's label."""
_LEFTWARD = 0.7
"""From where on of the axis text stands to the left of its mark, as the template has it."""
_WIDE, _NARROW = 0.0075, 0.012
"""Of the axis: a character of a label, where it is 800 pixels wide; and how near two marks are when they share a label."""


def mark_labels(marks: Sequence[Mark]) -> list[str]:
    """What stands beside each mark so that nothing lies on something else; empty where it does not fit. Its own text is in its title.

    Marks that lie on one another share one label, beside the first of them where text runs to the left, else beside the last.
    """
    groups: list[list[int]] = []
    for place in sorted(range(len(marks)), key=lambda i: marks[i].at):
        if groups and marks[place].at - marks[groups[-1][-1]].at < _NARROW:
            groups[-1].append(place)
        else:
            groups.append([place])
    labels = [""] * len(marks)
    taken = [(marks[g[0]].at - _NARROW, marks[g[-1]].at + _NARROW, n) for n, g in enumerate(groups)]
    order = sorted(range(len(groups)), key=lambda n: (not any(marks[i].bad for i in groups[n]), groups[n][0]))
    for number in order:
        group = groups[number]
        text = _said(marks[group[0]].text) if len(group) == 1 else _counted([marks[i] for i in group])
        leftward = marks[group[0]].at > _LEFTWARD
        beside = group[0] if leftward else group[-1]
        at, width = marks[beside].at, _WIDE * len(text)
        span = (at - width - _NARROW, at) if leftward else (at, at + width + _NARROW)
        if all(span[1] <= begin or span[0] >= end or n == number for begin, end, n in taken):
            labels[beside] = text
            taken.append((*span, -1))
    return labels


def _said(text: str) -> str:
    return text if len(text) <= LABEL else f"{text[: LABEL - 1].rstrip()}…"


def _counted(group: Sequence[Mark]) -> str:
    bad = sum(m.bad for m in group)
    found = [(len(group) - bad, "change"), (bad, "incident")]
    return ", ".join(f"{n} {word}{'s' if n > 1 else ''}" for n, word in found if n)
