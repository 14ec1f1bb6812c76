"""Confidence-based performance estimation: metrics of classes without labels.

Where a calibrated model says 0.8, eight of ten rows are of the class; so expected hits and misses follow from the scores
alone, and metrics from these. It holds while the share of the class *at a score* stays what it was (covariate shift), and
says nothing of a change of that share (concept drift).
"""

from dataclasses import dataclass

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.performance import metrics
from headrace_jobs.performance.calibration import Method, calibrate, method_for

DRAWS = 200
"""Repetitions that an interval comes from."""
TAILS = (0.025, 0.975)
FEWER = 0.5
"""Size of a bootstrap sample in sizes of the reference. Isotonic curves converge too slowly for samples of full size: these
vary less than the curve does, and intervals from them are too short (Sen, Banerjee and Woodroofe 2010)."""


@dataclass(frozen=True, slots=True)
class Known:
    """Rows whose labels are known, counts ``(k, 2, BINS)`` as ``scores.count`` makes them."""

    positives: Array
    negatives: Array

    def metrics(self) -> metrics.Values:
        at = np.arange(self.positives.shape[2])
        return metrics.of_counts(self.positives, self.negatives, at)

    def merge(self, other: "Known") -> "Known":
        return Known(self.positives + other.positives, self.negatives + other.negatives)

    @property
    def rows(self) -> int:
        return int(self.positives[0].sum() + self.negatives[0].sum())


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric of a window and the 95 % interval that its realised value should lie in."""

    value: float
    low: float
    high: float


def estimate(reference: Known, window: Array, seed: int = 0) -> dict[str, Estimate]:
    """Each metric of ``window``, counts ``(k, 2, BINS)`` of at least one row; metrics that are not defined are left out.

    The interval is of quantiles over ``DRAWS`` repetitions, each with another calibration (Poisson bootstrap of the reference)
    and labels drawn from it, so it covers what is not known of the curve and what labels do by chance.
    """
    at = np.flatnonzero(window.sum(axis=(0, 1)))
    rows = window[:, :, at]
    learnt = _Learnt.of(reference)
    expected = metrics.of_counts(*_shared(rows, learnt.curves(at)), at)
    random = np.random.default_rng(seed)
    draws: dict[str, list[float]] = {name: [] for name in expected}
    for _ in range(DRAWS):
        drawn = random.binomial(rows, learnt.again(random).curves(at)[:, None, :])
        for name, value in metrics.of_counts(drawn, rows - drawn, at).items():
            draws[name].append(value)
    sound = {k: v for k, v in expected.items() if np.isfinite(v) and k not in metrics.REALISED_ALONE}
    return {name: between(value, draws[name]) for name, value in sound.items()}


@dataclass(frozen=True, slots=True)
class _Learnt:
    """What calibration learns from: counts ``(k, u)`` at the ``u`` bins that were met, and a method for each class."""

    positives: Array
    negatives: Array
    bins: Array
    methods: list[Method]

    @classmethod
    def of(cls, known: Known) -> "_Learnt":
        positives, negatives = known.positives.sum(axis=1), known.negatives.sum(axis=1)
        bins = np.flatnonzero((positives + negatives).sum(axis=0))
        methods = [method_for(p, n) for p, n in zip(positives, negatives, strict=True)]
        return cls(positives[:, bins], negatives[:, bins], bins, methods)

    def again(self, random: np.random.Generator) -> "_Learnt":
        """Another, smaller sample of the same rows: each is met as often as a Poisson variable of mean ``FEWER`` says."""
        positives, negatives = random.poisson(self.positives * FEWER), random.poisson(self.negatives * FEWER)
        return _Learnt(positives, negatives, self.bins, self.methods)

    def curves(self, at: Array) -> Array:
        """Share of each class at the bins ``at``, ``(k, m)``."""
        each = zip(self.positives, self.negatives, self.methods, strict=True)
        return np.clip([calibrate(p, n, self.bins, at, method) for p, n, method in each], 0.0, 1.0)


def between(value: float, draws: list[float]) -> Estimate:
    """A value with the interval that 95 % of the draws lie in, and that holds it."""
    known = np.array([d for d in draws if np.isfinite(d)] or [value])
    low, high = np.quantile(known, TAILS)
    return Estimate(value, min(float(low), value), max(float(high), value))


def _shared(rows: Array, curves: Array) -> tuple[Array, Array]:
    positives = rows * curves[:, None, :]
    return positives, rows - positives
