"""Weights under which a reference has the inputs of a window (covariate shift; Sugiyama, Suzuki and Kanamori 2012).

A classifier tells rows of the reference from rows of the window, out of fold; its odds are the ratio of the two densities. Where it tells
them no better than chance there is nothing to weight.
"""

from typing import Any

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.performance.calibration import single_thread
from headrace_jobs.statistics.ranks import area

FOLDS = 5
MOST = 15.0
"""The largest weight: a few rows must not speak for all."""
ROWS = 10_000
"""Rows of a side that the classifier learns from at most."""
CERTAIN = 3.0
"""Standard errors from which on the classifier tells the sides apart."""


def weights(reference: Array, window: Array) -> Array | None:
    """Weights ``(n,)`` of mean 1 of the rows of ``reference`` ``(n, d)``, or None where ``window`` ``(m, d)`` is like it."""
    _model()  # loads its threads' library: a limit that is set before knows nothing of it
    with single_thread():
        return _weights(reference, window)


def _weights(reference: Array, window: Array) -> Array | None:
    n, m = len(reference), len(window)
    rows = np.concatenate((reference, window))
    side = np.repeat([0, 1], [n, m])
    folds = np.concatenate((_folds(n), _folds(m)))
    learnt = folds < FOLDS
    found = np.empty(n + m)
    for fold in range(FOLDS):
        outside = learnt & (folds != fold)
        model = _model().fit(rows[outside], side[outside])
        held = folds == fold if fold else (folds == fold) | ~learnt
        found[held] = model.decision_function(rows[held])
    if not _apart(found[:n][learnt[:n]], found[n:][learnt[n:]]):
        return None
    ratio = np.exp(_slope(found[learnt], side[learnt]) * found[:n])
    ratio = np.minimum(ratio / ratio.mean(), MOST)
    return np.asarray(ratio / ratio.mean())


def _folds(rows: int) -> Array:
    """The fold of each row of a side; ``FOLDS`` for those that are beyond ``ROWS`` by chance, and not learnt from."""
    folds = np.arange(rows) % FOLDS
    folds[np.random.default_rng(0).permutation(rows)[ROWS:]] = FOLDS
    return folds


def _apart(before: Array, now: Array) -> bool:
    """Whether the scores of the window's rows are larger than chance explains (Mann and Whitney 1947)."""
    n, m = len(before), len(now)
    return bool((area(before, now) - 0.5) / ((n + m + 1) / (12 * n * m)) ** 0.5 > CERTAIN)


def _slope(scores: Array, side: Array) -> float:
    """How much of the out-of-fold scores is to be believed: the slope of a logistic curve of the sides (Cox 1958), between 0 and 1."""
    from sklearn.linear_model import LogisticRegression

    return float(np.clip(LogisticRegression().fit(scores[:, None], side).coef_[0, 0], 0.0, 1.0))


def _model() -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier  # two seconds that only this estimate needs

    return HistGradientBoostingClassifier(
        max_iter=50, max_leaf_nodes=8, min_samples_leaf=30, learning_rate=0.1, l2_regularization=1.0,
        early_stopping=False, random_state=0,
    )  # fmt: skip
