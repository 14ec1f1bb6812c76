"""Confidence-based performance estimation: metrics of classes without labels.

Where a calibrated model says 0.8, eight of ten rows are of the class; so expected hits and misses follow from the scores
alone, and metrics from these. It holds while the share of the class *at a score* stays what it was (covariate shift), and
says nothing of a change of that share (concept drift).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.performance import metrics
from headrace_jobs.performance.calibration import Calibration, learn, single_thread
from headrace_jobs.performance.scores import PROBABILITIES

DRAWS = 200
"""Repetitions that an interval comes from."""
TAILS = (0.025, 0.975)


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


def estimate(calibration: Calibration, window: Array, seed: int = 0) -> dict[str, Estimate]:
    """Each metric of two classes of ``window``, counts ``(1, 2, BINS)`` of at least one row; undefined ones are left out.

    The interval is of quantiles over ``DRAWS`` repetitions, each with another calibration (see ``Calibration.another``) and labels
    drawn from it, so it covers what is not known of the curve and what labels do by chance.
    """
    with single_thread():
        return _estimate(calibration, window, seed)


def calibration_of(known: Known) -> Calibration:
    """The calibration of two classes from counts by score."""
    positives, negatives = (side[0].sum(axis=0) for side in (known.positives, known.negatives))
    met = [np.flatnonzero(negatives), np.flatnonzero(positives)]
    scores = PROBABILITIES[np.concatenate(met)][:, None]
    weights = np.concatenate((negatives[met[0]], positives[met[1]]))
    return learn(scores, np.repeat([0, 1], [len(m) for m in met]), weights)


def _estimate(calibration: Calibration, window: Array, seed: int) -> dict[str, Estimate]:
    at = np.flatnonzero(window.sum(axis=(0, 1)))
    rows = window[:, :, at]
    design = calibration.design(PROBABILITIES[at][:, None])
    expected = rows * calibration.shares(design).T[:, None, :]
    random = np.random.default_rng(seed)
    draws = []
    for _ in range(DRAWS):
        shares = calibration.shares(design, calibration.another(random))
        drawn = random.binomial(rows, shares.T[:, None, :])
        draws.append(metrics.of_counts(drawn, rows - drawn, at))
    return estimates(metrics.of_counts(expected, rows - expected, at), draws)


def estimates(expected: metrics.Values, draws: Sequence[metrics.Values]) -> dict[str, Estimate]:
    """The metrics that can be estimated and are defined, with their intervals."""
    sound = {k: v for k, v in expected.items() if np.isfinite(v) and k not in metrics.REALISED_ALONE}
    return {name: between(value, [d[name] for d in draws]) for name, value in sound.items()}


def between(value: float, draws: list[float]) -> Estimate:
    """A value with the interval that 95 % of the draws lie in, and that holds it."""
    known = np.array([d for d in draws if np.isfinite(d)] or [value])
    low, high = np.quantile(known, TAILS)
    return Estimate(value, min(float(low), value), max(float(high), value))
