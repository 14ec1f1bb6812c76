"""The trees of an XGBoost booster, from its own file or the bytes that it is pickled as: XGBoost is not needed, and nothing of it is run.

The bytes are its JSON model in binary form. A row goes left where ``x < split``, in numbers of 32 bits; a leaf has its value where inner nodes
have the split. What XGBoost counts at a node is the sum of the second derivatives of the loss over the training rows.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from headrace_functions.attribution.ensembles import Ensemble, Link, NotDirectError
from headrace_functions.attribution.trees import Tree
from headrace_functions.ubjson import decode

LINKS: Mapping[str, Link] = {
    **dict.fromkeys(("binary:logistic", "reg:logistic"), "logit"),
    **dict.fromkeys(("count:poisson", "reg:gamma", "reg:tweedie"), "log"),
    **dict.fromkeys(
        (
            "reg:squarederror",
            "reg:absoluteerror",
            "reg:pseudohubererror",
            "reg:quantileerror",
            "rank:ndcg",
            "rank:pairwise",
        ),
        "identity",
    ),
}
"""What the sum of the trees is of the answer, by objective."""
CLOSE = 1e-4
"""XGBoost adds up in numbers of 32 bits."""


def booster(data: bytes, place: int | None) -> Ensemble:
    """The trees that give class ``place``, or the value where it is None; ``NotDirectError`` for what is no sum of trees of numbers."""
    try:
        written = _document(data)
        learner = written.get("Model", written)["learner"]
        return _ensemble(learner, place)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise NotDirectError(f"its booster is written in a form that is not known here ({error})") from error


def _document(data: bytes) -> Any:
    """XGBoost's own files are text or binary; what it pickles is binary."""
    try:
        return json.loads(data)
    except ValueError:
        return decode(data)


def _ensemble(learner: Mapping[str, Any], place: int | None) -> Ensemble:
    about, grown = learner["learner_model_param"], learner["gradient_booster"]
    objective = learner["objective"]["name"]
    if grown["name"] != "gbtree":
        raise NotDirectError(f"its booster is {grown['name']}, not trees that are added up")
    if int(about["num_class"]) > 1 or int(about.get("num_target", 1)) > 1 or objective not in LINKS:
        raise NotDirectError(f"answers of the objective {objective} are no sum of trees")
    link = LINKS[objective]
    if place is not None and link != "logit":
        raise NotDirectError("its answers are not the probabilities of two classes")
    way = -1.0 if place == 0 else 1.0
    trees = [_tree(t, way) for t in grown["model"]["trees"][: _rounds(learner, grown)]]
    return Ensemble.of(
        trees,
        way * _offset(float(about["base_score"].strip("[]")), link),
        link,
        names=[str(n) for n in learner.get("feature_names", ())] or None,
        features=int(about["num_feature"]),
        single=True,
        close=CLOSE,
    )


def _rounds(learner: Mapping[str, Any], grown: Mapping[str, Any]) -> int | None:
    """Trees that count: those of the best round and before, where it stopped early."""
    best = learner.get("attributes", {}).get("best_iteration")
    ends = grown["model"].get("iteration_indptr")
    return None if best is None or ends is None else int(ends[int(best) + 1])


def _offset(score: float, link: Link) -> float:
    if link == "logit":
        return float(np.log(score / (1 - score)))
    return float(np.log(score)) if link == "log" else score


def _tree(tree: Mapping[str, Any], weight: float) -> Tree:
    if np.any(np.asarray(tree.get("split_type", ()), np.int64)):
        raise NotDirectError("its trees split categories, not numbers alone")
    left = np.asarray(tree["left_children"], np.int64)
    split = np.asarray(tree["split_conditions"], np.float32)
    cover = np.asarray(tree["sum_hessian"], np.float64)
    if not (cover > 0).all():
        raise NotDirectError("its trees do not say how many training rows came to each node")
    return Tree(
        left=left,
        right=np.asarray(tree["right_children"], np.int64),
        feature=np.asarray(tree["split_indices"], np.int64),
        threshold=np.nextafter(split, np.float32(-np.inf)).astype(np.float64),
        value=np.where(left < 0, split.astype(np.float64), 0.0) * weight,
        cover=cover,
        missing_left=np.asarray(tree["default_left"], bool),
    )
