"""Latency as a histogram on fixed bins of equal ratio, so that any two add up. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

PER_DECADE = 12
"""Bins from one power of ten to the next: each is 21 % wide, so a percentile is off by at most a tenth."""
EDGES = 0.1 * 10 ** (np.arange(6 * PER_DECADE + 1) / PER_DECADE)
"""Milliseconds, from a tenth of one to 100 seconds."""
BINS = len(EDGES) + 1


@dataclass(frozen=True, slots=True)
class Latency:
    """Requests by bin: below 0.1 ms, between two of ``EDGES``, above 100 s."""

    counts: tuple[int, ...] = (0,) * BINS

    @property
    def requests(self) -> int:
        return sum(self.counts)

    @classmethod
    def of_bins(cls, requests: Mapping[int, int]) -> "Latency":
        """``requests`` by the number of their bin."""
        return cls(tuple(requests.get(place, 0) for place in range(BINS)))

    def __add__(self, other: "Latency") -> "Latency":
        return Latency(tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)))

    def p50(self) -> float | None:
        """Milliseconds that half of the requests took at most; None without any."""
        return self.percentile(0.5)

    def p95(self) -> float | None:
        return self.percentile(0.95)

    def percentile(self, share: float) -> float | None:
        """Milliseconds within which ``share`` of the requests were answered, by linear interpolation within a bin."""
        total = self.requests
        if not total:
            return None
        wanted, before = share * total, 0
        for place, count in enumerate(self.counts):
            if count and before + count >= wanted:
                low = float(EDGES[place - 1]) if place else 0.0
                high = float(EDGES[min(place, len(EDGES) - 1)])
                return round(low + (high - low) * (wanted - before) / count, 3)
            before += count
        return round(float(EDGES[-1]), 3)
