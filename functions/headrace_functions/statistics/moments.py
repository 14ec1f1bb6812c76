"""Moments up to the fourth, mergeable (Chan, Golub and LeVeque 1979; Pébay 2008)."""

from dataclasses import dataclass

import numpy as np

from headrace_functions.views import Array


@dataclass(frozen=True, slots=True)
class Moments:
    """Of finite numbers: their count, extremes, mean, and sums of powers of the distances from it."""

    count: int = 0
    min: float = np.inf
    max: float = -np.inf
    mean: float = 0.0
    m2: float = 0.0
    m3: float = 0.0
    m4: float = 0.0

    @classmethod
    def of(cls, finite: Array) -> "Moments":
        if not len(finite):
            return cls()
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float(finite.mean())
            d = finite - mean
            square = d * d
            powers = (float(square.sum()), float((square * d).sum()), float((square * square).sum()))
        return cls(len(finite), float(finite.min()), float(finite.max()), mean, *powers)

    def merge(self, other: "Moments") -> "Moments":
        if not self.count or not other.count:
            return self if self.count else other
        a, b = float(self.count), float(other.count)
        n = a + b
        with np.errstate(over="ignore", invalid="ignore"):
            d = np.float64(other.mean - self.mean)
            m2 = self.m2 + other.m2 + d**2 * a * b / n
            m3 = self.m3 + other.m3 + d**3 * a * b * (a - b) / n**2 + 3 * d * (a * other.m2 - b * self.m2) / n
            m4 = (
                self.m4
                + other.m4
                + d**4 * a * b * (a * a - a * b + b * b) / n**3
                + 6 * d**2 * (a * a * other.m2 + b * b * self.m2) / n**2
                + 4 * d * (a * other.m3 - b * self.m3) / n
            )
            mean = self.mean + d * b / n
        low, high = min(self.min, other.min), max(self.max, other.max)
        return Moments(self.count + other.count, low, high, float(mean), float(m2), float(m3), float(m4))

    @property
    def variance(self) -> float:
        """Of a sample (n - 1); 0 for fewer than two, and for equal values whatever was rounded."""
        return self.m2 / (self.count - 1) if self.min < self.max else 0.0

    @property
    def skewness(self) -> float | None:
        """Third standardised moment (population form); None for equal values."""
        spread = self.m2 / self.count if self.count else 0.0
        return self.m3 / self.count / spread**1.5 if self.min < self.max and 0 < spread < np.inf else None

    @property
    def kurtosis(self) -> float | None:
        """Fourth standardised moment less 3 (population form); None for equal values."""
        spread = self.m2 / self.count if self.count else 0.0
        return self.m4 / self.count / spread**2 - 3 if self.min < self.max and 0 < spread < np.inf else None
