"""Numbers: a reference distribution on a grid of its own values, and exact mergeable counts of a window on that grid.

Between two neighbouring values of the reference its distribution function is constant, so counts of the window's values
below and up to every grid point are all that the exact Kolmogorov-Smirnov distance needs; with the sums below every point
the Wasserstein distance follows too. Neither needs the window in memory.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from headrace_functions.profile import NumberProfile, ordered_profile
from headrace_functions.views import Array
from headrace_jobs.statistics.lookup import Lookup

GRID = 8192
"""Grid points at most. A reference with more distinct values keeps those at equal steps of probability: distances are then
exact to 1 / GRID."""
MIN_GRID = 512
CELLS = 2_000_000
"""Grid points of all views together: with more views than fit each has fewer points, so that memory is bounded."""
FEW = 4096
"""Values that are sorted rather than looked up in a table, which has to be made first."""
BINS = 10  # equally probable bins of PSI, Jensen-Shannon and the history


@dataclass(frozen=True, slots=True)
class NumberReference:
    """What is known of a reference column. Arrays are ``(points,)`` and belong to ``grid``, ascending and distinct."""

    rows: int
    missing: int
    grid: Array
    below: Array
    """Values under each grid point; ``-inf`` counts as one."""
    upto: Array
    """Values up to each grid point."""
    sum_below: Array
    """Sum of the finite values under each grid point."""
    count: int
    """Values that are not missing."""
    finite: int
    infinite_low: int
    """Values that are ``-inf``."""
    cuts: Array
    """Places in ``grid`` of the inner edges of at most ``BINS`` equally probable bins ``[edge, next edge)``."""
    profile: NumberProfile
    sample: Array = field(default_factory=lambda: np.empty(0))
    """Rows for detectors that want raw values."""

    @classmethod
    def of(cls, values: Array, sample: Array | None = None, grid: int = GRID) -> "NumberReference":
        """Count the reference ``values``, float64 ``(n,)`` with NaN where missing, on at most ``grid`` of their own."""
        ordered = np.sort(values[np.isfinite(values)])
        points = ordered[np.concatenate(([True], ordered[1:] != ordered[:-1]))[: len(ordered)]]
        if len(points) > grid:
            points = points[np.linspace(0, len(points) - 1, grid).round().astype(np.int64)]
        counted = NumberPartial.of_ordered(values, ordered, points)
        ranks = np.linspace(0, len(ordered), BINS + 1)[1:-1]
        cuts = np.unique(np.searchsorted(counted.upto, ranks)) if len(points) else np.empty(0, np.int64)
        return cls(
            len(values),
            counted.missing,
            points,
            counted.below,
            counted.upto,
            counted.sum_below,
            counted.count,
            counted.finite,
            counted.infinite_low,
            cuts[cuts < len(points)],
            ordered_profile(ordered, counted.infinite),
            np.empty(0) if sample is None else sample,
        )

    def coarser(self, points: int) -> "NumberReference":
        """The same on at most ``points`` of its grid, at equal steps of probability and both ends among them.

        The range stays exact, distances are exact to 1 / ``points``.
        """
        if len(self.grid) <= points:
            return self
        ranks = np.linspace(self.upto[0], self.upto[-1], points)
        kept = np.unique(np.searchsorted(self.upto, ranks))
        upto = self.upto[kept]
        cuts = np.unique(np.searchsorted(upto, np.linspace(0, self.finite, BINS + 1)[1:-1] + self.infinite_low))
        return replace(
            self,
            grid=self.grid[kept],
            below=self.below[kept],
            upto=upto,
            sum_below=self.sum_below[kept],
            cuts=cuts[cuts < len(kept)],
        )

    @property
    def edges(self) -> Array:
        return np.asarray(self.grid[self.cuts])

    def bins(self) -> Array:
        """Values in each bin between the ``edges``."""
        return binned(self.below, self.cuts, self.count)


def grid_for(views: int) -> int:
    """Grid points of each of so many views."""
    return max(MIN_GRID, min(GRID, CELLS // max(1, views)))


def binned(below: Array, cuts: Array, count: int) -> Array:
    """Counts between the grid points at ``cuts``, from the counts ``below`` every grid point; ``(len(cuts) + 1,)``."""
    return np.diff(np.concatenate(([0], below[cuts], [count])))


@dataclass(frozen=True, slots=True)
class _Counted:
    """Finite values under and up to each grid point, and their sums."""

    below: Array
    upto: Array
    sum_below: Array
    total: float


@dataclass(frozen=True, slots=True)
class NumberPartial:
    """What one part of a window adds. All members but the extremes and moments merge by addition."""

    rows: int
    missing: int
    infinite: int
    infinite_low: int
    """Of the infinite values, those that are ``-inf``."""
    count: int
    """Values that are not missing."""
    below: Array
    upto: Array
    sum_below: Array
    total: float
    """Sum of the finite values."""
    min: float
    max: float
    mean: float
    m2: float
    """Sum of squared distances of the finite values from their mean."""

    @classmethod
    def of(cls, values: Array, grid: Array) -> "NumberPartial":
        """Count ``values`` (float64 ``(n,)``, NaN where missing) on ``grid``."""
        known = np.isfinite(values)
        finite = values if known.all() else values[known]
        table = Lookup.of(grid) if len(finite) >= FEW else None
        if table is None:
            return cls.of_ordered(values, np.sort(finite), grid)
        cells = table.cells(finite)
        met = np.cumsum(np.bincount(cells, minlength=2 * len(grid) + 1))
        with np.errstate(over="ignore", invalid="ignore"):
            sums = np.cumsum(np.bincount(cells, finite, 2 * len(grid) + 1))
        counted = _Counted(met[:-1:2], met[1::2], sums[:-1:2].copy(), float(sums[-1]))
        return cls._of(values, finite, counted, (float(finite.min()), float(finite.max())))

    @classmethod
    def of_ordered(cls, values: Array, finite: Array, grid: Array) -> "NumberPartial":
        """The same, where the finite ones of ``values`` are known in ascending order."""
        left = np.searchsorted(finite, grid, "left")
        right = np.searchsorted(finite, grid, "right")
        with np.errstate(over="ignore", invalid="ignore"):
            sums = np.concatenate(([0.0], np.cumsum(finite)))
        extremes = (float(finite[0]), float(finite[-1])) if len(finite) else (np.inf, -np.inf)
        return cls._of(values, finite, _Counted(left, right, sums[left], float(sums[-1])), extremes)

    @classmethod
    def _of(cls, values: Array, finite: Array, counted: "_Counted", extremes: tuple[float, float]) -> "NumberPartial":
        infinite = len(finite) < len(values)
        low, high = (int((values == end).sum()) if infinite else 0 for end in (-np.inf, np.inf))
        count = len(finite) + low + high
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float(finite.mean()) if len(finite) else 0.0
            apart = finite - mean
            m2 = float(np.square(apart, out=apart).sum())
        return cls(
            len(values),
            len(values) - count,
            low + high,
            low,
            count,
            counted.below + low,
            counted.upto + low,
            counted.sum_below,
            counted.total,
            *extremes,
            mean,
            m2,
        )

    @property
    def finite(self) -> int:
        return self.count - self.infinite

    def merge(self, other: "NumberPartial") -> "NumberPartial":
        """Both parts as one; moments by Chan, Golub and LeVeque (1979)."""
        a, b = self.finite, other.finite
        with np.errstate(over="ignore", invalid="ignore"):
            step = np.float64(other.mean - self.mean)
            mean = self.mean + step * b / (a + b) if a + b else 0.0
            m2 = self.m2 + other.m2 + step * step * a * b / (a + b) if a + b else 0.0
        return NumberPartial(
            self.rows + other.rows,
            self.missing + other.missing,
            self.infinite + other.infinite,
            self.infinite_low + other.infinite_low,
            self.count + other.count,
            self.below + other.below,
            self.upto + other.upto,
            self.sum_below + other.sum_below,
            self.total + other.total,
            min(self.min, other.min),
            max(self.max, other.max),
            float(mean),
            float(m2),
        )

    @property
    def std(self) -> float:
        """Sample standard deviation of the finite values; 0 for fewer than two, and for equal ones whatever was rounded."""
        return float(np.sqrt(self.m2 / (self.finite - 1))) if self.min < self.max else 0.0
