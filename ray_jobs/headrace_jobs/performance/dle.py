"""Direct loss estimation: metrics of numbers without labels. The only user of scikit-learn.

A model learns, on rows whose labels are known, how large the error of a prediction is, from the inputs and the prediction
itself; on the window it is asked instead of the labels. It is asked out of fold on the reference, so that what it says can be
held against the truth and calibrated. As with classes, it holds while errors *for given inputs* stay what they were.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.performance.cbpe import DRAWS, Estimate, between

FOLDS = 5
FEWER = 0.5
"""Size of a bootstrap sample in sizes of the reference. Isotonic curves converge too slowly for samples of full size: these
vary less than the curve does, and intervals from them are too short (Sen, Banerjee and Woodroofe 2010)."""
GROUPS = 20
"""Groups of rows of like expected loss, within which the spread of losses is taken as one."""
NEAREST = 0.1
"""Of the typical size, how near to 0 actual values may come for relative errors to have a mean that rows can tell. R² is not
estimated: how the actual values of the window spread is not known without labels."""

_APART = (FOLDS - 1) ** 0.5
"""Models that share most of their rows differ so many times less than those of other rows (delete-a-group jackknife, Tukey 1958)."""


@dataclass(frozen=True, slots=True)
class _Fitted:
    """Expected losses, not yet calibrated: of the reference ``(n,)`` out of fold, of the window ``(FOLDS, m)`` by each model."""

    reference: Array
    window: Array


def estimate(
    reference: Array, errors: Array, window: Array, rows: int, actual: Array | None = None, seed: int = 0
) -> dict[str, Estimate]:
    """``mae``, ``rmse`` and, where ``actual`` ``(n,)`` keeps away from 0, ``mape`` of ``rows`` rows, of which ``window`` ``(m, d)`` is a sample.

    ``reference`` ``(n, d)`` are features of rows whose ``errors`` ``(n,)`` are known. Intervals as in ``cbpe``: other
    models, other calibrations, and the losses' own chance. All are means of losses, so their expectation is that of one row.
    """
    absolute = _interval(reference, np.abs(errors), window, rows, seed)
    squared = _interval(reference, errors**2, window, rows, seed + 1)
    found = {"mae": absolute, "rmse": Estimate(squared.value**0.5, squared.low**0.5, squared.high**0.5)}
    if actual is not None and np.abs(actual).min() >= NEAREST * np.median(np.abs(actual)) > 0:
        found["mape"] = _interval(reference, np.abs(errors / actual), window, rows, seed + 2)
    return found


def _interval(reference: Array, losses: Array, window: Array, rows: int, seed: int) -> Estimate:
    fitted = _fit(reference, losses, window)
    order = np.argsort(fitted.reference, kind="stable")
    expected, losses = fitted.reference[order], losses[order]
    by_model = [_calibrated(expected, losses, np.ones(len(losses)), w).mean() for w in fitted.window]
    value = float(np.mean(by_model))
    groups = np.array_split(np.arange(len(losses)), min(GROUPS, max(1, len(losses) // 10)))
    ends = np.array([expected[g[-1]] for g in groups[:-1]])
    spread = np.array([losses[g].var() for g in groups])[np.searchsorted(ends, fitted.window, "left")]
    chance = (spread.mean() / rows) ** 0.5
    random = np.random.default_rng(seed)
    draws = []
    for draw in range(DRAWS):
        weights = random.poisson(FEWER, len(losses)).astype(np.float64)
        model = draw % FOLDS
        mean = _calibrated(expected, losses, weights, fitted.window[model]).mean()
        mean += (_APART - 1) * (by_model[model] - value)
        draws.append(max(float(random.normal(mean, chance)), 0.0))
    return between(value, draws)


def _calibrated(expected: Array, losses: Array, weights: Array, at: Array) -> Array:
    """Mean loss at the expected losses ``at``: it grows with what was expected, whatever its scale."""
    from scipy.optimize import isotonic_regression  # an explanation shall not wait for its import

    met = weights > 0
    fitted = isotonic_regression(losses[met], weights=weights[met]).x
    return np.asarray(np.interp(at, expected[met], fitted))


def _fit(reference: Array, losses: Array, window: Array) -> _Fitted:
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn

    with threadpool_limits(1):  # sums of several threads differ in the last bit, and a report is the same to the byte
        return _cross_fit(reference, losses, window)


def _cross_fit(reference: Array, losses: Array, window: Array) -> _Fitted:
    folds = np.arange(len(losses)) % FOLDS
    out_of_fold = np.empty(len(losses))
    by_model = []
    for fold in range(FOLDS):
        model = _model()
        model.fit(reference[folds != fold], losses[folds != fold])
        out_of_fold[folds == fold] = model.predict(reference[folds == fold])
        by_model.append(model.predict(window))
    return _Fitted(out_of_fold, np.stack(by_model))


def _model() -> Any:
    """Boosted trees: they take missing values as they are, need no scales, and are few enough not to learn single rows."""
    from sklearn.ensemble import HistGradientBoostingRegressor  # two seconds that only this estimate needs

    return HistGradientBoostingRegressor(
        max_iter=60, max_leaf_nodes=15, min_samples_leaf=20, learning_rate=0.1, early_stopping=False, random_state=0
    )
