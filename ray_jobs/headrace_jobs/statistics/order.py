"""Order: do the values of a number rise with the time at which their rows came?"""

from dataclasses import dataclass

import numpy as np

from headrace_functions.views import Array


@dataclass(frozen=True, slots=True)
class Trend:
    """Moments of values and times (both finite) of ``rows`` rows; they merge by Chan, Golub and LeVeque (1979)."""

    rows: int = 0
    value: float = 0.0
    time: float = 0.0
    """Means."""
    values: float = 0.0
    times: float = 0.0
    both: float = 0.0
    """Sums of squared distances from the means, and of products of the two distances."""

    @classmethod
    def of(cls, values: Array, times: Array) -> "Trend":
        known = np.isfinite(values)
        if not known.all():
            values, times = values[known], times[known]
        if not len(values):
            return cls()
        with np.errstate(over="ignore", invalid="ignore"):
            value, time = float(values.mean()), float(times.mean())
            x, t = values - value, times - time
            return cls(len(values), value, time, float(x @ x), float(t @ t), float(x @ t))

    def merge(self, other: "Trend") -> "Trend":
        rows = self.rows + other.rows
        if not rows:
            return self
        with np.errstate(over="ignore", invalid="ignore"):
            x, t = np.float64(other.value - self.value), np.float64(other.time - self.time)
            weight, share = self.rows * other.rows / rows, other.rows / rows
            return Trend(
                rows,
                float(self.value + x * share),
                float(self.time + t * share),
                float(self.values + other.values + x * x * weight),
                float(self.times + other.times + t * t * weight),
                float(self.both + other.both + x * t * weight),
            )

    @property
    def correlation(self) -> float:
        """Pearson's; 0 where one of both does not vary or float64 does not suffice."""
        with np.errstate(over="ignore", invalid="ignore"):
            spread = np.sqrt(self.values) * np.sqrt(self.times)
        found = self.both / spread if 0 < spread < np.inf else 0.0
        return float(found) if np.isfinite(found) else 0.0
