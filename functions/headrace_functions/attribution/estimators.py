"""The trees of scikit-learn's estimators: trees, forests, and both kinds of gradient boosting."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from headrace_functions.attribution.ensembles import Ensemble, Link, NotDirectError
from headrace_functions.attribution.trees import Tree

FORESTS = frozenset(("RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor"))
TREES = frozenset(("DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor"))
BOOSTED = frozenset(("GradientBoostingClassifier", "GradientBoostingRegressor"))
HISTOGRAMS = frozenset(("HistGradientBoostingClassifier", "HistGradientBoostingRegressor"))
LOGARITHMIC = frozenset(("poisson", "gamma"))  # losses whose answer is the exponential of the sum
CLOSE = 1e-9  # of two first estimates that are one constant, to their size


def ensemble(model: Any, place: int | None) -> Ensemble:
    """The trees that give class ``place`` of a classifier, or a regressor's value where it is None."""
    kind = type(model).__name__ if type(model).__module__.startswith("sklearn.") else ""
    if kind in FORESTS:
        weight = 1 / len(model.estimators_)
        return _of(model, [_tree(p.tree_, place, weight) for p in model.estimators_], 0.0, "identity", single=True)
    if kind in TREES:
        return _of(model, [_tree(model.tree_, place, 1.0)], 0.0, "identity", single=True)
    if kind in BOOSTED:
        return _boosted(model, place)
    if kind in HISTOGRAMS:
        return _histograms(model, place)
    raise NotDirectError(f"{type(model).__name__} is not made of trees that are known here")


def _boosted(model: Any, place: int | None) -> Ensemble:
    if model.estimators_.shape[1] != 1:
        raise NotDirectError("boosting of more than two classes has no answer that is a sum of trees")
    way = -1.0 if place == 0 else 1.0
    parts = [p.tree_ for p in model.estimators_[:, 0]]
    trees = [_tree(p, None, model.learning_rate * way) for p in parts]
    probe = _probe(model).astype(np.float32)
    offset = _offset(model, place, probe, sum(model.learning_rate * p.predict(probe)[:, 0] for p in parts))
    return _of(model, trees, way * offset, "identity" if place is None else "logit", single=True)


def _histograms(model: Any, place: int | None) -> Ensemble:
    if model.n_trees_per_iteration_ != 1:
        raise NotDirectError("boosting of more than two classes has no answer that is a sum of trees")
    if model.is_categorical_ is not None:
        raise NotDirectError("its trees split categories, not numbers alone")
    way = -1.0 if place == 0 else 1.0
    grown = [predictors[0].nodes for predictors in model._predictors]  # noqa: SLF001 - scikit-learn shows them nowhere else
    link: Link = "logit" if place is not None else "log" if model.loss in LOGARITHMIC else "identity"
    probe = _probe(model)
    given = sum(_walked(nodes, probe) for nodes in grown)
    offset = _offset(model, place, probe, given, logarithmic=link == "log")
    return _of(model, [_histogram(nodes, way) for nodes in grown], way * offset, link, single=False)


def _probe(model: Any) -> Any:
    """Two rows that show whether the first estimate is one constant."""
    probe = np.zeros((2, model.n_features_in_))
    probe[1] = 1.0
    return probe


def _offset(model: Any, place: int | None, probe: Any, given: Any, *, logarithmic: bool = False) -> float:
    """What the model adds to its trees, which give ``given`` for the probe."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # the probe has no names, which is no matter for two rows of constants
        raw = model.decision_function(probe) if place is not None else model.predict(probe)
    offsets = (np.log(raw) if logarithmic else raw) - given
    if abs(offsets[0] - offsets[1]) > CLOSE * max(1.0, abs(float(offsets[0]))):
        raise NotDirectError("its first estimate is a model of its own, not a constant")
    return float(offsets[0])


def _walked(nodes: Any, x: Any) -> Any:
    """What one tree of histograms gives for rows without missing values."""
    place = np.zeros(len(x), np.intp)
    while not (end := nodes["is_leaf"][place].astype(bool)).all():
        low = x[np.arange(len(x)), nodes["feature_idx"][place]] <= nodes["num_threshold"][place]
        place = np.where(end, place, np.where(low, nodes["left"][place], nodes["right"][place]))
    return nodes["value"][place]


def _histogram(nodes: Any, weight: float) -> Tree:
    leaf = nodes["is_leaf"].astype(bool)
    if nodes["is_categorical"].any():
        raise NotDirectError("its trees split categories, not numbers alone")
    return Tree(
        left=np.where(leaf, -1, nodes["left"].astype(np.int64)),
        right=np.where(leaf, -1, nodes["right"].astype(np.int64)),
        feature=nodes["feature_idx"],
        threshold=nodes["num_threshold"],
        value=nodes["value"] * weight,
        cover=nodes["count"].astype(np.float64),
        missing_left=nodes["missing_go_to_left"].astype(bool),
    )


def _of(model: Any, trees: Sequence[Tree], offset: float, link: Link, *, single: bool) -> Ensemble:
    names = getattr(model, "feature_names_in_", None)
    named = None if names is None else [str(n) for n in names]
    return Ensemble.of(trees, offset, link, names=named, features=int(model.n_features_in_), single=single)


def _tree(tree: Any, place: int | None, weight: float) -> Tree:
    if tree.value.shape[1] != 1:
        raise NotDirectError("it has more than one output")
    values = tree.value[:, 0, :]
    if place is not None:
        values = values / values.sum(axis=1, keepdims=True)
    return Tree(
        left=tree.children_left,
        right=tree.children_right,
        feature=tree.feature,
        threshold=tree.threshold,
        value=values[:, place or 0] * weight,
        cover=tree.weighted_n_node_samples,
        missing_left=np.asarray(tree.missing_go_to_left, bool),
    )
