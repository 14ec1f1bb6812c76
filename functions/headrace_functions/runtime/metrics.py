"""Counters of one function server, written as Prometheus text (exposition format 0.0.4)."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)


class Histogram:
    """Counts of values by upper bound."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str, labels: str) -> Iterator[str]:
        seen = 0
        for bound, count in zip((*(f"{b:g}" for b in self.bounds), "+Inf"), self.counts, strict=True):
            seen += count
            yield f'{name}_bucket{{{labels},le="{bound}"}} {seen}'
        yield f"{name}_sum{{{labels}}} {self.total:.9g}"
        yield f"{name}_count{{{labels}}} {seen}"


class Metrics:
    """What a server counts: exchanges by outcome, their seconds, batches. Gauges are given when the text is written."""

    def __init__(self, model: str, version: int) -> None:
        self._labels = f'model="{model}",version="{version}"'
        self.requests: Counter[str] = Counter()
        self.seconds = Histogram(SECONDS)
        self.batch_requests = Histogram(SIZES)
        self.run_seconds = Histogram(SECONDS)

    def exchange(self, outcome: str, seconds: float) -> None:
        self.requests[outcome] += 1
        self.seconds.observe(seconds)

    def batch(self, requests: int, seconds: float) -> None:
        self.batch_requests.observe(requests)
        self.run_seconds.observe(seconds)

    def text(self, *, queue: int, running: int, dropped: int) -> str:
        """All of it; ``dropped`` counts the records that could not be kept."""
        lines = ["# HELP headrace_requests_total Exchanges by outcome.", "# TYPE headrace_requests_total counter"]
        lines += [
            f'headrace_requests_total{{{self._labels},outcome="{o}"}} {n}' for o, n in sorted(self.requests.items())
        ]
        for name, text, histogram in (
            ("headrace_request_seconds", "Time from the request's last byte to its answer.", self.seconds),
            ("headrace_run_seconds", "Time of one run of the function.", self.run_seconds),
            ("headrace_batch_requests", "Requests that one run answered.", self.batch_requests),
        ):
            lines += [f"# HELP {name} {text}", f"# TYPE {name} histogram", *histogram.lines(name, self._labels)]
        for name, kind, text, value in (
            ("headrace_queue_requests", "gauge", "Requests waiting for a run.", queue),
            ("headrace_running", "gauge", "Runs under way in threads.", running),
            ("headrace_records_dropped_total", "counter", "Request records that could not be kept.", dropped),
        ):
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", f"{name}{{{self._labels}}} {value}"]
        return "\n".join(lines) + "\n"
