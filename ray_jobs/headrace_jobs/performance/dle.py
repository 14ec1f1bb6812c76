"""Direct loss estimation: metrics of numbers without labels.

A model learns, on rows whose labels are known, how large the error of a prediction is, from the inputs and the prediction
itself, out of fold. A line through what it says and the losses that were met is its calibration: of a window like the reference the estimate is
the mean loss of the reference, and what the model says of the window moves it as far as the line is known to rise (a control variate). Where the
window has other inputs the line is fitted with weights too. As with classes, it holds while errors *for given inputs* stay what they were.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.performance.calibration import single_thread
from headrace_jobs.performance.estimate import DRAWS, Estimate, between, blend

FOLDS = 5
GROUPS = 20
"""Groups of rows of like expected loss, within which losses spread alike."""
LEAST = 0.05
"""Of the mean loss, the smallest that a row is expected to have."""
NEAREST = 0.1
"""Of the typical size, how near to 0 actual values may come for relative errors to have a mean that rows can tell. R² is not
estimated: how the actual values of the window spread is not known without labels."""

WIDER = 1.15
"""Repetitions of few rows vary less than new rows do, and a slope was kept by the same rows; so they are taken so much farther."""

_APART = (FOLDS - 1) ** 0.5
"""Models that share most of their rows differ so many times less than those of other rows (delete-a-group jackknife, Tukey 1958)."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What models of the loss say: of the reference ``(n,)`` out of fold, of the window ``(FOLDS, m)`` by each."""

    reference: Array
    window: Array


@dataclass(frozen=True, slots=True)
class _Lines:
    """Lines through what models say and the losses, one a repetition: mean losses of the window ``(r,)`` by the mean of each model."""

    level: Array
    slope: Array

    def at(self, told: Array | float) -> Array:
        return np.asarray(self.level + self.slope * told)


def estimate(
    reference: Array,
    errors: Array,
    window: Array,
    rows: int,
    actual: Array | None = None,
    weights: Array | None = None,
    seed: int = 0,
) -> dict[str, Estimate]:
    """``mae``, ``rmse`` and, where ``actual`` ``(n,)`` keeps away from 0, ``mape`` of ``rows`` rows, of which ``window`` ``(m, d)`` is a sample.

    ``reference`` ``(n, d)`` are features of rows whose ``errors`` ``(n,)`` are known; ``weights`` ``(n,)`` give it the window's inputs. Intervals
    are of repetitions with other rows of the reference, other models, and losses drawn from those of rows like each.
    """
    absolute = np.abs(errors)
    _model()  # loads its threads' library: a limit that is set before knows nothing of it
    with single_thread():
        told = _fit(reference, absolute, window)
        squares = _Told(told.reference**2, told.window**2)
        squared = _interval(squares, errors**2, rows, weights, seed + 1)
        low = max(squared.low, 0.0)
        found = {
            "mae": _interval(told, absolute, rows, weights, seed),
            "rmse": Estimate(squared.value**0.5, low**0.5, squared.high**0.5),
        }
        if actual is not None and np.abs(actual).min() >= NEAREST * np.median(np.abs(actual)) > 0:
            relative = np.abs(errors / actual)
            found["mape"] = _interval(_fit(reference, relative, window), relative, rows, weights, seed + 2)
    return found


def _interval(told: _Told, losses: Array, rows: int, weights: Array | None, seed: int) -> Estimate:
    plain, lines = _one(told, losses, rows, np.ones(len(losses)), seed)
    if weights is None:
        return plain
    like, others = _one(told, losses, rows, weights, seed)
    now = told.window.mean()
    return blend(plain, like, float(np.var(others.at(now) - lines.at(now))))


def _one(told: _Told, losses: Array, rows: int, weights: Array, seed: int) -> tuple[Estimate, _Lines]:
    random = np.random.default_rng(seed)
    often = random.poisson(1.0, (DRAWS, len(losses))) * weights
    line, lines = _lines(told.reference, losses, weights[None]), _lines(told.reference, losses, often)
    slope = float(line.slope[0])
    kept = max(1 - float(lines.slope.var()) / slope**2, 0.0) if slope > 0 else 0.0  # as much as is no chance
    mean, now = np.average(told.reference, weights=weights), told.window.mean()
    line = _Lines(line.at(mean) - kept * slope * mean, np.array([kept * slope]))
    value = float(line.at(now)[0])
    by_model = told.window.mean(axis=1)[np.arange(DRAWS) % FOLDS]
    means = _Lines(lines.at(mean) - kept * lines.slope * mean, kept * lines.slope).at(now)
    means = (
        value
        + WIDER * (means - value)
        + _APART * kept * slope * (by_model - now)
        + _chance(told, line, losses, weights, rows, random)
    )
    return between(max(value, 0.0), np.maximum(means, 0.0).tolist()), lines


def _lines(told: Array, losses: Array, weights: Array) -> _Lines:
    """Weighted least squares of each line of ``weights`` ``(r, n)``; no slope is negative."""
    total = weights.sum(axis=1)
    x, y = weights @ told / total, weights @ losses / total
    both, own = weights @ (told * losses) / total - x * y, weights @ told**2 / total - x**2
    slope = np.maximum(np.divide(both, own, out=np.zeros(len(own)), where=own > 1e-12 * (1 + x**2)), 0.0)
    return _Lines(y - slope * x, slope)


def _chance(told: _Told, line: _Lines, losses: Array, weights: Array, rows: int, random: np.random.Generator) -> Array:
    """How far the mean loss of a window lies from its expectation ``(DRAWS,)``: losses are drawn from rows of like expectation."""
    least = LEAST * float(np.average(losses, weights=weights))
    expected = np.maximum(line.at(told.reference), least)
    order = np.argsort(expected, kind="stable")
    groups = np.array_split(order, min(GROUPS, max(1, len(losses) // 10)))
    ends = np.array([expected[g[-1]] for g in groups[:-1]])
    ratio = losses / expected
    drawn = [ratio[g] / max(ratio[g].mean(), 1e-12) - 1 for g in groups]
    sizes = np.array([len(g) for g in groups])
    first, flat = np.cumsum(sizes) - sizes, np.concatenate(drawn)
    now = np.maximum(line.at(told.window.mean(axis=0)), least)
    group = np.searchsorted(ends, now, "left")
    found = np.empty(DRAWS)
    for draw in range(DRAWS):
        place = first[group] + (random.random(len(now)) * sizes[group]).astype(np.int64)
        found[draw] = (now * flat[place]).mean()
    sampled = now.std() / len(now) ** 0.5 * max(1 - len(now) / rows, 0.0) ** 0.5
    return np.asarray(found * (len(now) / rows) ** 0.5 + sampled * random.normal(size=DRAWS))


def _fit(reference: Array, losses: Array, window: Array) -> _Told:
    folds = np.arange(len(losses)) % FOLDS
    out_of_fold = np.empty(len(losses))
    by_model = []
    for fold in range(FOLDS):
        learnt = folds != fold
        model = _model().fit(reference[learnt], losses[learnt]) if losses[learnt].sum() > 0 else None
        out_of_fold[~learnt] = 0.0 if model is None else model.predict(reference[~learnt])
        by_model.append(np.zeros(len(window)) if model is None else model.predict(window))
    return _Told(out_of_fold, np.stack(by_model))


def _model() -> Any:
    """Boosted trees of the logarithm of the mean loss: they take missing values as they are, need no scales, and are few enough not to learn single rows."""
    from sklearn.ensemble import HistGradientBoostingRegressor  # two seconds that only this estimate needs

    return HistGradientBoostingRegressor(
        loss="poisson",
        max_iter=60,
        max_leaf_nodes=15,
        min_samples_leaf=20,
        learning_rate=0.1,
        early_stopping=False,
        random_state=0,
    )
