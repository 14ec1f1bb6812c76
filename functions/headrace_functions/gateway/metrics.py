"""What the gateway counts, and its Prometheus text. One instance a gateway; no module state."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from typing import Any

from headrace_functions.names import VersionId

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
"""Upper bounds of the histograms, seconds."""


class Histogram:
    """Counts of seconds by ``BUCKETS``, and their sum."""

    __slots__ = ("_counts", "_sum")

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self._sum += seconds

    def lines(self, name: str, labels: str) -> Iterator[str]:
        """As Prometheus reads it."""
        passed = 0
        for bound, n in zip((*map(str, BUCKETS), "+Inf"), self._counts, strict=True):
            passed += n
            yield f'{name}_bucket{{{labels},le="{bound}"}} {passed}'
        yield f"{name}_sum{{{labels}}} {self._sum:.6f}"
        yield f"{name}_count{{{labels}}} {passed}"


class GatewayMetrics:
    def __init__(self) -> None:
        self._exchanges: Counter[tuple[VersionId, int]] = Counter()
        self._answered = 0
        self._latency: dict[VersionId, Histogram] = {}
        self._unlogged: Counter[VersionId] = Counter()
        self._shadows_dropped: Counter[str] = Counter()
        self._sequences: Counter[tuple[str, int]] = Counter()
        self._wakes: dict[str, Histogram] = {}

    def exchange(self, version: VersionId, status: int, seconds: float) -> None:
        self._exchanges[version, status] += 1
        self._answered += 1
        histogram = self._latency.get(version)
        if histogram is None:
            histogram = self._latency[version] = Histogram()
        histogram.add(seconds)

    @property
    def answered(self) -> int:
        """Exchanges since the start."""
        return self._answered

    def unlogged(self, version: VersionId) -> None:
        """A record was dropped because neither disk nor store would take it."""
        self._unlogged[version] += 1

    def shadow_dropped(self, sequence: str) -> None:
        """A shadow's copy was not sent because too many were still open."""
        self._shadows_dropped[sequence] += 1

    def sequence(self, name: str, status: int) -> None:
        self._sequences[name, status] += 1

    def woke(self, stage: str, seconds: float) -> None:
        """A service was started: ``stage`` is a part of the start, or ``total`` for all of it."""
        self._wakes.setdefault(stage, Histogram()).add(seconds)

    def summary(self) -> dict[str, Any]:
        """Totals for ``headrace status``."""
        return {
            "exchanges": self._exchanges.total(),
            "failed_exchanges": sum(n for (_, status), n in self._exchanges.items() if status >= 500),
            "unlogged_records": self._unlogged.total(),
            "dropped_shadows": self._shadows_dropped.total(),
        }

    def prometheus(self, unconfirmed: int = 0) -> str:
        """``unconfirmed`` is the number of definitions that the gateway answers by and cannot confirm."""
        lines = _head("headrace_exchanges_total", "counter", "Requests by the version that answered and HTTP status.")
        lines += [f'headrace_exchanges_total{{{_labels(v)},status="{s}"}} {n}' for (v, s), n in self._exchanges.items()]
        lines += _head("headrace_exchange_seconds", "histogram", "Time of an exchange at the gateway, waking included.")
        for version, histogram in self._latency.items():
            lines += histogram.lines("headrace_exchange_seconds", _labels(version))
        lines += _head("headrace_wake_seconds", "histogram", "Time of starting a service, by stage of the start.")
        for stage, histogram in self._wakes.items():
            lines += histogram.lines("headrace_wake_seconds", f'stage="{stage}"')
        lines += _head(
            "headrace_unlogged_records_total", "counter", "Answered requests whose record could not be kept."
        )
        lines += [f"headrace_unlogged_records_total{{{_labels(v)}}} {n}" for v, n in self._unlogged.items()]
        lines += _head("headrace_dropped_shadows_total", "counter", "Copies for shadows that were dropped.")
        lines += [
            f'headrace_dropped_shadows_total{{sequence="{name}"}} {n}' for name, n in self._shadows_dropped.items()
        ]
        lines += _head("headrace_sequence_requests_total", "counter", "Requests of a sequence by HTTP status.")
        lines += [
            f'headrace_sequence_requests_total{{sequence="{name}",status="{s}"}} {n}'
            for (name, s), n in self._sequences.items()
        ]
        lines += _head(
            "headrace_unconfirmed_definitions",
            "gauge",
            "Names answered by their last known definition: the store is away.",
        )
        lines.append(f"headrace_unconfirmed_definitions {unconfirmed}")
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _labels(version: VersionId) -> str:
    return f'model="{version.model}",version="{version.number}"'
