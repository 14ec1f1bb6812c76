"""Metrics: what each is called, which way is better, and how it follows from counts or from errors.

Definitions are scikit-learn's. Of several classes, ``roc_auc``, ``f1``, ``precision`` and ``recall`` are means over the
classes, each against the others; ``brier`` is Brier's own sum over the classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.performance.scores import CENTRES, PROBABILITIES

CALIBRATION_BINS = 10

Values = Mapping[str, float]
"""Metrics by name; NaN where one is not defined, such as ``roc_auc`` of rows that are all of one class."""


@dataclass(frozen=True, slots=True)
class Metric:
    """``low`` and ``high`` bound what values are possible."""

    name: str
    better: Literal["higher", "lower"]
    low: float
    high: float


def _share(name: str) -> Metric:
    return Metric(name, "higher", 0.0, 1.0)


CLASSIFICATION: tuple[Metric, ...] = (
    *(
        _share(name)
        for name in ("roc_auc", "average_precision", "f1", "precision", "recall", "specificity", "accuracy")
    ),
    Metric("log_loss", "lower", 0.0, np.inf),
    Metric("brier", "lower", 0.0, 2.0),
    Metric("calibration_error", "lower", 0.0, 1.0),
)
REALISED_ALONE = ("calibration_error",)
"""Not estimated: what calibration an estimate assumes is what this would measure."""
REGRESSION: tuple[Metric, ...] = (
    Metric("mae", "lower", 0.0, np.inf),
    Metric("rmse", "lower", 0.0, np.inf),
    Metric("mape", "lower", 0.0, np.inf),
    Metric("r2", "higher", -np.inf, 1.0),
)


def of_counts(positives: Array, negatives: Array, at: Array) -> Values:
    """Metrics of rows that are (``positives``) or are not (``negatives``) of each class, counts or expected counts.

    Both are ``(k, 2, m)``: class, answered or not, bin; ``at`` are the ``m`` bins that they stand for, ascending. With k = 1
    there are two classes.
    """
    binary = len(positives) == 1
    rows = max(float(positives[0].sum() + negatives[0].sum()), 1e-300)
    hit, alarm = positives[:, 1].sum(axis=1), negatives[:, 1].sum(axis=1)
    miss = positives[:, 0].sum(axis=1)
    right = hit[0] + negatives[0, 0].sum() if binary else hit.sum()
    p = PROBABILITIES[at]
    surely, hardly = np.logaddexp(0.0, -CENTRES[at]), np.logaddexp(0.0, CENTRES[at])  # -log p, -log(1 - p)
    yes, no = positives.sum(axis=1), negatives.sum(axis=1)
    loss = (yes * surely).sum() + ((no * hardly).sum() if binary else 0.0)
    return {
        "roc_auc": _mean([_area(a, b) for a, b in zip(yes, no, strict=True)]),
        "average_precision": float(np.mean(_average_precision(yes, no))),
        **_rates(hit, hit + alarm, hit + miss, rows),
        "accuracy": float(right / rows),
        "log_loss": float(loss / rows),
        "brier": float(((yes * (1 - p) ** 2).sum() + (no * p**2).sum()) / rows),
        "calibration_error": _miscalibration(yes, no, p),
    }


@dataclass(frozen=True, slots=True)
class Sums:
    """Rows of three or more classes, whose labels are known, or their weights; arrays are of classes ``(k,)``."""

    rows: float
    actual: Array
    answered: Array
    hit: Array
    """Of the class, and answered so."""
    below: Array
    """Over the rows of the class: rows of any whose probability of it is lower, ties by half."""
    yes: Array
    """Rows of the class by bin, ascending: ``(k, m)``."""
    no: Array
    """Other rows by bin ``(k, m)``."""
    loss: float
    """Sum of the logarithmic losses."""
    brier: float


def of_sums(sums: Sums) -> Values:
    """The metrics that are estimated, as ``of_counts`` would find them."""
    rows = max(sums.rows, 1e-300)
    pairs = sums.actual * (sums.rows - sums.actual)
    ahead = sums.below - sums.actual**2 / 2  # of the others; among themselves half of all pairs are in order
    area = np.divide(ahead, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    return {
        "roc_auc": float(area.mean()),
        "average_precision": float(np.mean(_average_precision(sums.yes, sums.no))),
        **_rates(sums.hit, sums.answered, sums.actual, sums.rows),
        "accuracy": float(sums.hit.sum() / rows),
        "log_loss": sums.loss / rows,
        "brier": sums.brier / rows,
    }


def _rates(hit: Array, answered: Array, actual: Array, rows: float) -> dict[str, float]:
    """Means over the classes, from rows that are of a class and answered so, answered so, of it: ``(k,)`` each; of ``rows`` in all."""
    return {
        "specificity": float(np.mean(_ratio(rows - answered - actual + hit, rows - actual))),
        "f1": float(np.mean(_ratio(2 * hit, answered + actual))),
        "precision": float(np.mean(_ratio(hit, answered))),
        "recall": float(np.mean(_ratio(hit, actual))),
    }


@dataclass(frozen=True, slots=True)
class Errors:
    """Mergeable sums over rows: errors are answers less actual values."""

    rows: int = 0
    absolute: float = 0.0
    squared: float = 0.0
    relative: float = 0.0
    zeros: int = 0
    """Actual values of 0, which have no relative error."""
    mean: float = 0.0
    spread: float = 0.0
    """Sum of squared distances of the actual values from their mean."""

    @classmethod
    def of(cls, answers: Array, actual: Array) -> "Errors":
        """Both ``(n,)`` and finite."""
        if not len(actual):
            return cls()
        errors, apart = answers - actual, actual != 0
        with np.errstate(over="ignore"):  # a value of almost 0 has an error beyond all numbers, which is not reported
            relative = np.abs(errors[apart] / actual[apart]).sum()
        return cls(
            len(actual),
            float(np.abs(errors).sum()),
            float((errors**2).sum()),
            float(relative),
            int((~apart).sum()),
            float(actual.mean()),
            float(((actual - actual.mean()) ** 2).sum()),
        )

    def merge(self, other: "Errors") -> "Errors":
        rows = self.rows + other.rows
        if not rows:
            return self
        apart = other.mean - self.mean
        return Errors(
            rows,
            self.absolute + other.absolute,
            self.squared + other.squared,
            self.relative + other.relative,
            self.zeros + other.zeros,
            self.mean + apart * other.rows / rows,
            self.spread + other.spread + apart**2 * self.rows * other.rows / rows,  # Chan, Golub and LeVeque 1983
        )

    def metrics(self) -> Values:
        """``mape`` is NaN where an actual value is 0, ``r2`` where all are the same."""
        if not self.rows:
            return {m.name: np.nan for m in REGRESSION}
        return {
            "mae": self.absolute / self.rows,
            "rmse": (self.squared / self.rows) ** 0.5,
            "mape": np.nan if self.zeros else self.relative / self.rows,
            "r2": 1 - self.squared / self.spread if self.spread > 0 else np.nan,
        }


def _area(positives: Array, negatives: Array) -> float:
    """Area under the ROC curve: how often a row of the class scores above another one; ties count half (Hanley and McNeil 1982)."""
    pairs = float(positives.sum() * negatives.sum())
    below = np.cumsum(negatives) - negatives / 2
    return float((positives * below).sum() / pairs) if pairs > 0 else np.nan


def _average_precision(yes: Array, no: Array) -> Array:
    """Mean of the precision over the rows of each class, ``(k,)``, those of equal scores taken together; ``yes`` and ``no`` are ``(k, m)``."""
    hits = np.cumsum(yes[:, ::-1], axis=1)
    all_above = hits + np.cumsum(no[:, ::-1], axis=1)
    whole = hits[:, -1]
    mean = (yes[:, ::-1] * _ratio(hits, all_above)).sum(axis=1)
    return np.asarray(np.divide(mean, whole, out=np.full(len(whole), np.nan), where=whole > 0))


def _miscalibration(yes: Array, no: Array, p: Array) -> float:
    """Expected calibration error in ``CALIBRATION_BINS`` equal bins of the probability (Naeini, Cooper and Hauskrecht 2015); of
    several classes the mean over the classes, each against the others. ``yes`` and ``no`` are ``(k, m)``, ``p`` ``(m,)``."""
    bins = np.minimum((p * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    apart = np.array([np.bincount(bins, a - (a + b) * p, CALIBRATION_BINS) for a, b in zip(yes, no, strict=True)])
    rows = max(float(yes[0].sum() + no[0].sum()), 1e-300)
    return float(np.abs(apart).sum(axis=1).mean() / rows)


def _mean(values: list[float]) -> float:
    return float(np.mean(values))  # NaN where one is: a mean over other classes would be another metric


def _ratio(part: Array, whole: Array) -> Array:
    return np.divide(part, whole, out=np.zeros_like(part, dtype=np.float64), where=whole > 0)
