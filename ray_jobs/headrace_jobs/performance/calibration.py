"""Calibration: from a score to the share of rows that are of the class, learnt from rows whose labels are known.

Isotonic regression where there is enough to learn a curve (Zadrozny and Elkan 2002), else a logistic curve with two
parameters and smoothed targets (Platt 1999).
"""

from typing import Literal

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.performance.scores import CENTRES

ENOUGH = 100
"""Rows of the class, and rows of the others, that a curve is learnt from; with fewer it has two parameters."""
STEPS = 25  # of Newton's method; it needs about six
RIDGE = 1e-3  # keeps the slope finite where the classes do not overlap
REACH = 12.0  # logits beyond it are as sure as a curve of two parameters needs them

Method = Literal["isotonic", "platt"]


def method_for(positives: Array, negatives: Array) -> Method:
    """Which curve the counts of a class by bin are enough for."""
    return "isotonic" if min(positives.sum(), negatives.sum()) >= ENOUGH else "platt"


def calibrate(positives: Array, negatives: Array, bins: Array, at: Array, method: Method) -> Array:
    """The share of rows that are of the class at the bins ``at``, from counts of rows of known class at ``bins``, ascending."""
    used = np.flatnonzero(positives + negatives)
    if not len(used):
        return np.full(len(at), 0.5)
    if method == "platt":
        return _logistic(positives[used], negatives[used], CENTRES[bins[used]], CENTRES[at])
    return _isotonic(positives[used], negatives[used], bins[used], at)


def _isotonic(positives: Array, negatives: Array, used: Array, at: Array) -> Array:
    from scipy.optimize import isotonic_regression  # an explanation shall not wait for its import

    weights = (positives + negatives).astype(np.float64)
    fitted = isotonic_regression(positives / weights, weights=weights).x
    return np.asarray(np.interp(at, used, fitted))


def _logistic(positives: Array, negatives: Array, scores: Array, at: Array) -> Array:
    """Newton's method on the penalised likelihood of ``1 / (1 + exp(-(a x + b)))``."""
    p, n = positives.sum(), negatives.sum()
    high, low = (p + 1) / (p + 2), 1 / (n + 2)  # Platt's targets: a class that was met once is not certain
    weights = (positives + negatives).astype(np.float64)
    target = (positives * high + negatives * low) / weights
    x = np.clip(scores, -REACH, REACH)
    design = np.stack((x, np.ones_like(x)))
    curve = np.array([1.0, 0.0])
    for _ in range(STEPS):
        share = _sigmoid(curve @ design)
        gradient = design @ (weights * (share - target)) + RIDGE * (curve - (1.0, 0.0))
        bend = (design * (weights * share * (1 - share))) @ design.T + RIDGE * np.eye(2)
        step = np.linalg.solve(bend, gradient)
        curve = curve - np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-9:
            break
    return _sigmoid(curve @ np.stack((np.clip(at, -REACH, REACH), np.ones(len(at)))))


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -700, 700))))
