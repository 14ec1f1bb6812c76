"""Shapley values of linear models, and of what a pipeline of scikit-learn does to each number alone before its last step.

For a linear function of features that are taken to be independent, the value of feature ``j`` is ``c_j (x_j - E x_j)`` (Lundberg and Lee 2017, corollary 1). The means of
the training rows are those that a ``StandardScaler`` in front has learnt.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_functions.attribution.ensembles import Link, NotDirectError
from headrace_functions.views import Array

EACH_ALONE = frozenset(("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler", "SimpleImputer"))
"""Transformers that give each feature back by itself, in its place."""
NUMBERS = frozenset(("LinearRegression", "Ridge", "RidgeCV", "Lasso", "LassoCV", "ElasticNet", "ElasticNetCV"))
CLASSES = frozenset(("LogisticRegression", "LogisticRegressionCV"))

Transform = Callable[[Array], Array]


@dataclass(frozen=True, slots=True)
class LastStep:
    """The estimator that answers, and what is done to rows ``(n, d)`` before it; ``names`` are those that the whole was fitted with."""

    estimator: Any
    transform: Transform
    names: tuple[str, ...] | None
    features: int
    centred: bool
    """Whether the transformed training rows have the mean 0 in every feature."""


def last_step(model: Any) -> LastStep:
    """The last step of a pipeline, or the model itself. ``NotDirectError`` for a pipeline that makes other features of the given ones."""
    names = getattr(model, "feature_names_in_", None)
    named = None if names is None else tuple(str(n) for n in names)
    features = int(getattr(model, "n_features_in_", 0))
    if not _is(model, "Pipeline"):
        return LastStep(model, lambda x: x, named, features, centred=False)
    *before, last = [step for _, step in model.steps if step is not None and step != "passthrough"]
    for step in before:
        if not _is(step, *EACH_ALONE) or _widens(step):
            raise NotDirectError(f"its pipeline makes other features by {type(step).__name__}")

    def transform(x: Array) -> Array:
        for step in before:
            # A step that was fitted on named columns warns of rows without names; they come in the order of these.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                x = np.asarray(step.transform(x), np.float64)
        return x

    centred = bool(before) and _is(before[-1], "StandardScaler") and bool(before[-1].with_mean)
    return LastStep(last, transform, named, features, centred)


def _is(model: Any, *names: str) -> bool:
    return type(model).__module__.startswith("sklearn.") and type(model).__name__ in names


def _widens(step: Any) -> bool:
    """Whether it gives more or fewer columns than it takes: indicators of what was missing, or a column without a value left out."""
    if not _is(step, "SimpleImputer"):
        return False
    statistics = np.asarray(step.statistics_)
    missing = any(isinstance(v, float) and np.isnan(v) for v in statistics.tolist())
    return bool(step.add_indicator) or missing


@dataclass(frozen=True, slots=True)
class LinearTable:
    """A linear model as a sum over its features."""

    coefficients: Array
    base: float
    link: Link

    def values(self, x: Array) -> Array:
        """Shapley values ``(d,)`` of a transformed row ``x`` ``(d,)``; they sum to what the model gives it less ``base``."""
        return self.coefficients * x


def linear(step: LastStep, place: int | None) -> LinearTable | None:
    """The model as a sum; None for one that is not linear. ``NotDirectError`` where the means of its training rows are not known, or for several classes."""
    if not _is(step.estimator, *NUMBERS, *CLASSES):
        return None
    coefficients = np.atleast_2d(np.asarray(step.estimator.coef_, np.float64))
    if len(coefficients) != 1:
        raise NotDirectError(
            "a linear model of several numbers or of more than two classes has no answer that is a sum"
        )
    if not step.centred:
        raise NotDirectError(
            "the means of its training rows are not known: a StandardScaler in front of it in a pipeline has them"
        )
    way = -1.0 if _is(step.estimator, *CLASSES) and place == 0 else 1.0
    base = float(np.ravel(step.estimator.intercept_)[0])
    return LinearTable(way * coefficients[0], way * base, "logit" if _is(step.estimator, *CLASSES) else "identity")
