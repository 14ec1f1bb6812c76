"""The trees of a version's artifact: scikit-learn's trees, forests and gradient boosting. The only place that loads an artifact.

Unpickling runs what the artifact says, as its function server does with the same rights to the store; what cannot be loaded here, or was
fitted by another scikit-learn, is asked through the endpoint instead.
"""

import tarfile
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import Array
from headrace_jobs.attribution.trees import Tree

MAX_BYTES = 512 * 1024 * 1024
"""Of an artifact that is loaded."""
MAX_LEAVES = 60_000
"""Of all trees together: more take longer than asking the endpoint."""
FORESTS = frozenset(("RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor"))
TREES = frozenset(("DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor"))
BOOSTED = frozenset(("GradientBoostingClassifier", "GradientBoostingRegressor"))

Link = Literal["identity", "logit"]


class NotDirectError(Exception):
    """Why the trees cannot be read from the artifact, in words for the report."""


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Trees whose sum plus ``offset`` is the answer (``identity``) or its log odds (``logit``)."""

    trees: tuple[Tree, ...]
    offset: float
    link: Link
    names: tuple[str, ...] | None
    """Of the features in the model's order, where it was fitted with names."""
    features: int

    def answer(self, total: Array) -> Array:
        """What the model answers where its trees give ``total`` together."""
        raw = total + self.offset
        return np.asarray(1 / (1 + np.exp(-raw))) if self.link == "logit" else raw


def load(objects: ObjectStore, version: Version) -> Any:
    """The estimator of a version; ``NotDirectError`` where there is none to be had."""
    if version.framework != "sklearn":
        raise NotDirectError(f"a model of the framework {version.framework} is a black box")
    key = layout.artifact(version.id)
    if (size := objects.size(key)) > MAX_BYTES:
        raise NotDirectError(f"the artifact has {size:,} bytes, more than {MAX_BYTES:,}")
    # scikit-learn takes two seconds, which only a window's explanation needs
    from headrace_functions.runtime.frameworks import sklearn

    with tempfile.TemporaryDirectory(prefix="headrace-artifact-") as folder:
        artifact = Path(folder)
        try:
            _unpack(objects.get(key), artifact)
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)  # another version's estimator may mean something else
                return sklearn.load(artifact, version.options)
        except Exception as error:  # unpickling runs foreign code; whatever it raises, the endpoint is asked
            raise NotDirectError(f"the artifact cannot be loaded here: {error}") from error


def _unpack(archive: bytes, folder: Path) -> None:
    # Not ``storage.unpacking``: this environment has no zstandard but Arrow's, and builds have checked the archive.
    with (
        pa.CompressedInputStream(pa.BufferReader(archive), "zstd") as plain,
        tarfile.open(fileobj=plain, mode="r|") as tar,
    ):
        tar.extractall(folder, filter="data")


def ensemble(model: Any, place: int | None) -> Ensemble:
    """The trees that give class ``place`` of a classifier, or a regressor's value where it is None."""
    kind = type(model).__name__ if type(model).__module__.startswith("sklearn.") else ""
    if kind in FORESTS:
        parts, weight, offset = model.estimators_, 1 / len(model.estimators_), 0.0
    elif kind in TREES:
        parts, weight, offset = [model], 1.0, 0.0
    elif kind in BOOSTED:
        return _boosted(model, place)
    else:
        raise NotDirectError(f"{type(model).__name__} is not made of trees that are known here")
    return _ensemble(model, [_tree(p.tree_, place, weight) for p in parts], offset, "identity")


def _boosted(model: Any, place: int | None) -> Ensemble:
    if model.estimators_.shape[1] != 1:
        raise NotDirectError("boosting of more than two classes has no answer that is a sum of trees")
    way = -1.0 if place == 0 else 1.0
    trees = [_tree(p.tree_, None, model.learning_rate * way) for p in model.estimators_[:, 0]]
    probe = np.zeros((2, model.n_features_in_), np.float32)
    probe[1] = 1.0
    raw = model.decision_function(probe) if place is not None else model.predict(probe)
    given = sum(model.learning_rate * p.tree_.predict(probe)[:, 0] for p in model.estimators_[:, 0])
    offsets = raw - given
    if abs(offsets[0] - offsets[1]) > 1e-9:
        raise NotDirectError("its first estimate is a model of its own, not a constant")
    return _ensemble(model, trees, way * float(offsets[0]), "logit" if place is not None else "identity")


def _ensemble(model: Any, trees: Sequence[Tree], offset: float, link: Link) -> Ensemble:
    leaves = sum(int((t.left < 0).sum()) for t in trees)
    if leaves > MAX_LEAVES:
        raise NotDirectError(f"its trees have {leaves:,} leaves, more than {MAX_LEAVES:,}")
    names = getattr(model, "feature_names_in_", None)
    named = None if names is None else tuple(str(n) for n in names)
    return Ensemble(tuple(trees), offset, link, named, int(model.n_features_in_))


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
