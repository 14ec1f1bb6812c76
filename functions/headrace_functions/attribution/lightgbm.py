"""The trees of a LightGBM booster, from the text that it writes itself down as: LightGBM is not needed, and nothing of it is run.

The text has a header of ``key=value`` lines and a block for each tree (LightGBM's ``model_to_string``, format ``v3`` and ``v4``). A child below 0
is a leaf: -1 the first one. ``decision_type`` has a bit for categories (1), one for where what is missing goes (2: left), and two for what is missing
(4: zeros, 8: NaN; neither: NaN is taken for 0).
"""

from collections.abc import Mapping

import numpy as np

from headrace_functions.attribution.ensembles import Ensemble, Link, NotDirectError
from headrace_functions.attribution.trees import Tree
from headrace_functions.views import Array

CATEGORICAL, LEFT, ZERO, NAN = 1, 2, 4, 8
LINKS: Mapping[str, Link] = {
    "binary": "logit",
    "cross_entropy": "logit",
    "poisson": "log",
    "gamma": "log",
    "tweedie": "log",
    **dict.fromkeys(("", "regression", "regression_l1", "huber", "fair", "quantile", "mape", "lambdarank"), "identity"),
}
"""What the sum of the trees is of the answer, by objective; one's own objective has no name."""

Block = Mapping[str, str]


def booster(text: str, place: int | None, rounds: int = 0) -> Ensemble:
    """The trees that give class ``place``, or the value where it is None; the first ``rounds`` of them where that is not 0.

    ``NotDirectError`` for what is no sum of trees of numbers.
    """
    head, *rest = text.split("\nTree=")
    about = _members(head)
    if not {"num_class", "max_feature_idx", "num_tree_per_iteration"} <= about.keys():
        raise NotDirectError("its booster is written in a form that is not known here")
    if about["num_tree_per_iteration"] != "1":
        raise NotDirectError("boosting of more than two classes has no answer that is a sum of trees")
    blocks = [_members(block) for block in (rest[:rounds] if rounds > 0 else rest)]
    link, scale = _link(about.get("objective", ""), place)
    if "average_output" in head.split("\n"):
        scale /= max(len(blocks), 1)
    names = about.get("feature_names", "").split()
    trees = [_tree(block, -scale if place == 0 else scale) for block in blocks]
    own = any(name != f"Column_{i}" for i, name in enumerate(names))
    return Ensemble.of(trees, 0.0, link, names=names if own else None, features=int(about["max_feature_idx"]) + 1)


def _members(block: str) -> Block:
    """Its ``key=value`` lines up to the first empty one."""
    lines = block.split("\n\n", 1)[0].split("\n")
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _link(objective: str, place: int | None) -> tuple[Link, float]:
    """The link, and by what the sum is multiplied before it."""
    name, *options = objective.split(" ")
    if name not in LINKS or "sqrt" in options:
        raise NotDirectError(f"answers of the objective {objective} are no sum of trees")
    if place is not None and LINKS[name] != "logit":
        raise NotDirectError("its answers are not the probabilities of two classes")
    given = dict(option.split(":", 1) for option in options if ":" in option)
    return LINKS[name], float(given.get("sigmoid", 1.0)) if name == "binary" else 1.0


def _tree(block: Block, weight: float) -> Tree:
    if block.get("is_linear", "0") != "0":
        raise NotDirectError("its leaves are linear models")
    leaf = _numbers(block, "leaf_value") * weight
    inner = len(leaf) - 1
    if not inner:
        nothing = np.array([-1])
        zero = np.zeros(1)
        return Tree(nothing, nothing, np.zeros(1, np.int64), zero, leaf, np.ones(1), np.zeros(1, bool))
    decision = _whole(block, "decision_type")
    if (decision & CATEGORICAL).any():
        raise NotDirectError("its trees split categories, not numbers alone")
    if (decision & ZERO).any():
        raise NotDirectError("its trees take zeros for missing values")
    cover = np.concatenate((_numbers(block, "internal_count"), _numbers(block, "leaf_count")))
    if not (cover > 0).all():
        raise NotDirectError("its trees do not say how many training rows came to each node")
    threshold = _numbers(block, "threshold")
    ends = np.full(inner + 1, -1)
    left, right = (np.append(_children(block, name, inner), ends) for name in ("left_child", "right_child"))
    return Tree(
        left=left,
        right=right,
        feature=np.append(_whole(block, "split_feature"), np.zeros(inner + 1, np.int64)),
        threshold=np.append(threshold, np.zeros(inner + 1)),
        value=np.append(np.zeros(inner), leaf),
        cover=cover,
        missing_left=np.append(np.where(decision & NAN, decision & LEFT, threshold >= 0), ends == 0).astype(bool),
    )


def _children(block: Block, name: str, inner: int) -> Array:
    """Places of the children: inner nodes first, then leaves."""
    child = _whole(block, name)
    return np.where(child >= 0, child, inner - 1 - child)


def _numbers(block: Block, name: str) -> Array:
    try:
        return np.array(block[name].split(" "), np.float64)
    except (KeyError, ValueError) as error:
        raise NotDirectError(f"a tree of its booster has no {name}") from error


def _whole(block: Block, name: str) -> Array:
    return _numbers(block, name).astype(np.int64)
