"""What is said of a version and a stretch of time. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np

from headrace_controller.health.frame import Frame
from headrace_controller.health.latency import Latency
from headrace_controller.health.plan import Category, Plan, Series, Side
from headrace_controller.health.shift import moved
from headrace_functions.views import Kind

Array = np.ndarray[Any, Any]
_Failed = Mapping[str, Mapping[str, int]]
_NONE: Mapping[str, int] = {}


class FieldHealth(NamedTuple):
    """One view of an input or output (``amount``, ``p[yes]``, ``comment length``) in one bucket.

    A tuple, because there are fifty of a version and minute, and a look at an hour of two hundred versions makes half a million.
    """

    series: Series
    """What is counted, and how training was."""
    rows: int
    missing: int
    checks: Mapping[str, int]
    """Rows that fail each check."""
    moved: float | None
    """Share of the rows that lie elsewhere than in training, beyond chance; None below 30 rows or without training data."""
    mean: float | None
    """Of the finite numbers."""
    low: float | None
    high: float | None
    bins: tuple[int, ...]
    """Rows by bin: below the first of ``edges``, between two, above the last; or by ``labels``, then the rarer known categories,
    then those that training did not have."""

    @property
    def side(self) -> Side:
        return self.series.side

    @property
    def field(self) -> str:
        return self.series.field

    @property
    def kind(self) -> Kind:
        return self.series.kind

    @property
    def edges(self) -> tuple[float, ...]:
        return self.series.edges

    @property
    def labels(self) -> tuple[Category, ...]:
        return self.series.labels

    @property
    def trained(self) -> tuple[float, ...]:
        """Shares of the training rows by the same bins; empty without training data."""
        return self.series.expected[1:]

    @property
    def trained_mean(self) -> float | None:
        return self.series.mean

    @property
    def failed(self) -> int:
        """Failed checks; a row that fails two counts twice."""
        return sum(self.checks.values())


@dataclass(frozen=True, slots=True)
class MetricHealth:
    """What one metric said of a bucket's rows."""

    rows: int
    unhealthy: int
    errors: int
    """Rows that could not be scored."""


@dataclass(frozen=True, slots=True)
class StageTraffic:
    """Requests to a version through one stage of a sequence."""

    requests: int = 0
    failed: int = 0
    latency: Latency = field(default_factory=Latency)

    def __add__(self, other: "StageTraffic") -> "StageTraffic":
        return StageTraffic(self.requests + other.requests, self.failed + other.failed, self.latency + other.latency)


@dataclass(frozen=True, slots=True)
class Bucket:
    start: datetime
    rows: int = 0
    requests: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    latency: Latency = field(default_factory=Latency)
    fields: Mapping[str, FieldHealth] = field(default_factory=dict)
    metrics: Mapping[str, MetricHealth] = field(default_factory=dict)
    stages: Mapping[str, StageTraffic] | None = None
    """By ``aggregate.stage_key``; None where they were not counted yet."""


def buckets_of(plan: Plan | None, frame: Frame | None, starts: Sequence[int], step: int) -> dict[int, Bucket]:
    """The bucket of ``step`` seconds from each of ``starts`` (seconds since the epoch), empty where nothing was counted."""
    found: dict[int, Bucket] = {}
    if plan is not None and frame is not None and len(frame):
        found = _filled(plan, _placed(frame, step))
    return {start: found.get(start) or Bucket(datetime.fromtimestamp(start, UTC)) for start in starts}


def _placed(frame: Frame, step: int) -> Frame:
    """One line a bucket: where only longer stretches are kept, they are told where they begin."""
    return Frame(**{**vars(frame), "steps": np.full(len(frame), step, np.int64)}).by(step)


def _filled(plan: Plan, frame: Frame) -> dict[int, Bucket]:
    failed = [_checks(tally.get("checks", {})) for tally in frame.tallies]
    columns = [_column(plan, frame, i, failed) for i in range(len(plan.series))]
    starts: list[int] = frame.starts.tolist()
    names = [s.name for s in plan.series]
    found = {}
    lines = zip(*columns, strict=True) if columns else [()] * len(starts)
    for line, (start, values) in enumerate(zip(starts, lines, strict=True)):
        tally = frame.tallies[line]
        fields = dict(zip(names, values, strict=True))
        outcomes = dict(tally.get("outcomes", {}))
        found[start] = Bucket(
            datetime.fromtimestamp(start, UTC),
            int(frame.rows[line]),
            sum(outcomes.values()),
            outcomes,
            Latency(tuple(frame.latency[line].tolist())),
            fields,
            _metrics(tally.get("metrics", {})),
            _stages(tally["stages"]) if "stages" in tally else None,
        )
    return found


def _column(plan: Plan, frame: Frame, index: int, failed: Sequence[_Failed]) -> list[FieldHealth]:
    """One series in every bucket."""
    series, begin = plan.series[index], plan.offsets[index]
    counts = frame.counts[:, begin : begin + series.width]
    checks = [one.get(series.name, _NONE) for one in failed] if series.side == "input" else [_NONE] * len(failed)
    rows, missing = counts[:, 0].tolist(), counts[:, 2].tolist()
    bins = map(tuple, counts[:, 3:].tolist())
    columns = (rows, missing, checks, moved(series, counts), *_numbers(counts, frame, index), bins)
    return list(map(FieldHealth, repeat(series), *columns))


def _numbers(counts: Array, frame: Frame, index: int) -> tuple[list[float | None], ...]:
    """Mean, least and greatest of the finite numbers."""
    finite = counts[:, 1].tolist()
    sums, lows, highs = (a[:, index].tolist() for a in (frame.sums, frame.lows, frame.highs))
    return (
        [total / n if n else None for total, n in zip(sums, finite, strict=True)],
        [low if n else None for low, n in zip(lows, finite, strict=True)],
        [high if n else None for high, n in zip(highs, finite, strict=True)],
    )


def _checks(counts: Mapping[str, int]) -> _Failed:
    """Failed rows by series and check."""
    found: dict[str, dict[str, int]] = {}
    for name, count in counts.items():
        series, _, check = name.rpartition(":")
        found.setdefault(series, {})[check] = count
    return found


def _metrics(counts: Mapping[str, int]) -> dict[str, MetricHealth]:
    names = {name.rpartition("#")[0] for name in counts}
    return {
        name: MetricHealth(*(counts.get(f"{name}#{what}", 0) for what in ("rows", "unhealthy", "errors")))
        for name in sorted(names)
    }


def _stages(counts: Mapping[str, int]) -> dict[str, StageTraffic]:
    found: dict[str, dict[str, int]] = {}
    for name, count in counts.items():
        stage, _, what = name.rpartition("#")
        found.setdefault(stage, {})[what] = count
    return {stage: _stage(counted) for stage, counted in found.items()}


def _stage(counted: Mapping[str, int]) -> StageTraffic:
    bins = {int(what): count for what, count in counted.items() if what.isdecimal()}
    return StageTraffic(counted.get("requests", 0), counted.get("failed", 0), Latency.of_bins(bins))
