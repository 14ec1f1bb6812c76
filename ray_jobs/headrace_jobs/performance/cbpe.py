"""Confidence-based performance estimation: metrics of classes without labels.

Where a calibrated model says 0.8, eight of ten rows are of the class; so expected hits and misses follow from the scores
alone, and metrics from these. It holds while the share of the class *at a score* stays what it was, and
says nothing of a change of that share (concept drift).
"""

from dataclasses import dataclass

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.performance import metrics
from headrace_jobs.performance.calibration import Calibration, single_thread
from headrace_jobs.performance.estimate import CURVES, DRAWS, Drawn, variances
from headrace_jobs.performance.scores import PROBABILITIES


@dataclass(frozen=True, slots=True)
class Known:
    """Rows whose labels are known, counts ``(k, 2, BINS)`` as ``scores.count`` makes them."""

    positives: Array
    negatives: Array

    def metrics(self) -> metrics.Values:
        at = np.flatnonzero((self.positives + self.negatives).sum(axis=(0, 1)))
        return metrics.of_counts(self.positives[:, :, at], self.negatives[:, :, at], at)

    def merge(self, other: "Known") -> "Known":
        return Known(self.positives + other.positives, self.negatives + other.negatives)

    @property
    def rows(self) -> int:
        return int(self.positives[0].sum() + self.negatives[0].sum())


def drawn(calibration: Calibration, window: Array, seed: int = 0) -> Drawn:
    """Metrics of two classes of ``window``, counts ``(1, 2, BINS)`` of at least one row.

    Each of ``DRAWS`` repetitions has another calibration (see ``Calibration.another``) and labels drawn from it, so it covers what is not
    known of the curve and what labels do by chance.
    """
    with single_thread():
        return _drawn(calibration, window, seed)


def _drawn(calibration: Calibration, window: Array, seed: int) -> Drawn:
    at = np.flatnonzero(window.sum(axis=(0, 1)))
    rows, p = window[:, :, at], PROBABILITIES[at][:, None]
    design = [calibration.design(p, np.full(p.shape, side)) for side in (False, True)]

    def of(theta: Array | None) -> Array:
        """Shares of the class by answer and score."""
        return np.stack([calibration.shares(side, theta)[:, 0] for side in design])[None]

    def expected(shares: Array) -> metrics.Values:
        return metrics.of_counts(rows * shares, rows * (1 - shares), at)

    random = np.random.default_rng(seed)
    draws, curves = [], []
    for draw in range(DRAWS):
        shares = of(calibration.another(random))
        labels = random.binomial(rows, shares)
        draws.append(metrics.of_counts(labels, rows - labels, at))
        if draw < CURVES:
            curves.append(expected(shares))
    return Drawn(expected(of(None)), draws, variances(curves))
