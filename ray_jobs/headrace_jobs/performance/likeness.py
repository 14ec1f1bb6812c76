"""Rows of known class that are like those of a window: what a second calibration is learnt from where the window has other inputs.

Of two classes a model of the class, boosted trees of inputs and score beside the calibration, says how likely each row of the window is of the
class (covariate shift: what inputs mean stays). Where it foretells held-out rows no better than the calibration alone, the score holds all that the inputs say,
and there is nothing to correct. Of several classes the reference's rows are weighted by the ratio of the densities.
"""

from typing import Any

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.performance.calibration import FOLDS, Calibration, Reference, held_out_shares, single_thread
from headrace_jobs.performance.multiclass import Answers
from headrace_jobs.performance.weighting import weights

ROWS = 20_000
"""Rows that the model of the class learns from, at most."""
CERTAIN = 2.0
"""Standard errors from which on inputs tell more of the class than the score."""


def like_window(
    reference: Reference, before: Array, window: Answers, now: Array, calibration: Calibration
) -> Reference | None:
    """Rows like the window's; None where its inputs are like the reference's, or tell no more than the score.

    ``before`` ``(n, d)`` and ``now`` ``(m, d)`` are answers and inputs of both sides; ``calibration`` is the reference's own.
    """
    ratio = weights(before, now)
    if ratio is None:
        return None
    if reference.classes > 2:
        return Reference.of(reference.probabilities, reference.answered, reference.actual, ratio)
    with single_thread():
        shares = _shares(reference, before, window, now, calibration)
    if shares is None:
        return None
    # As sure as so many rows of the reference are, whatever the window has.
    rows = ratio.sum() ** 2 / (ratio**2).sum()
    often = np.concatenate((shares, 1 - shares)) * rows / len(shares)
    return Reference(
        np.concatenate((window.probabilities, window.probabilities)),
        np.concatenate((window.answered, window.answered)),
        np.repeat([1, 0], len(shares)),
        often,
        often,
    )


def _shares(reference: Reference, before: Array, window: Answers, now: Array, calibration: Calibration) -> Array | None:
    """How likely each row of the window is of the class ``(m,)``; None where inputs say no more of it than the score."""
    chosen = np.sort(np.random.default_rng(0).permutation(len(before))[:ROWS])
    rows, before = reference.at(chosen), before[chosen]
    folds = np.arange(len(before)) % FOLDS
    out_of_fold, ours = np.empty(len(before)), np.zeros(len(now))
    for fold in range(FOLDS):
        held = folds == fold
        model = _model().fit(before[~held], rows.actual[~held])
        out_of_fold[held] = model.decision_function(before[held])
        ours += model.decision_function(now) / FOLDS
    known = _logits(held_out_shares(calibration.family, rows)[:, 0])
    given = _logits(calibration.shares(calibration.design(window.probabilities, window.answered))[:, 0])
    both = np.column_stack((known, out_of_fold - known))
    together, alone = (_curve().fit(columns, rows.actual) for columns in (both, known[:, None]))
    gain = _losses(alone, known[:, None], rows.actual) - _losses(together, both, rows.actual)
    if together.coef_[0, 1] <= 0 or gain.mean() <= CERTAIN * gain.std() / len(gain) ** 0.5:
        return None
    return np.asarray(together.predict_proba(np.column_stack((given, ours - given)))[:, 1])


def _logits(shares: Array) -> Array:
    known = np.clip(shares, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(known) - np.log1p(-known))


def _losses(curve: Any, columns: Array, actual: Array) -> Array:
    shares = curve.predict_proba(columns)
    return np.asarray(-np.log(np.maximum(shares[np.arange(len(actual)), actual], 1e-15)))


def _curve() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=1e4)


def _model() -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier  # two seconds that only this estimate needs

    return HistGradientBoostingClassifier(
        max_iter=60, max_leaf_nodes=8, min_samples_leaf=30, learning_rate=0.1, l2_regularization=1.0,
        early_stopping=False, random_state=0,
    )  # fmt: skip
