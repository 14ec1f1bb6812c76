"""Versions whose artifacts are made of trees, and Shapley values by their definition."""

import io
import tarfile
from collections.abc import Callable
from itertools import combinations
from math import factorial
from typing import Any

import joblib
import numpy as np
import zstandard
from sklearn.base import BaseEstimator

from fixtures_jobs import given_log, given_version, number
from headrace_functions.attribution.trees import Tree
from headrace_functions.signature import Field, dtype
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version

NAMES = ("a", "b", "c")
PROBABILITIES = Field("probabilities", dtype("float64"), (2,), columns=("no", "yes"))
Predict = Callable[..., dict[str, np.ndarray]]


def given_model(
    objects: ObjectStore,
    model: BaseEstimator,
    outputs: tuple[Field, ...],
    rows: int = 300,
    answered: bool = False,
    wrong: float = 0.0,
) -> tuple[Version, Predict]:
    """A version whose artifact is the fitted model, with its training data and a log of ``rows`` answers; ``a`` decides, ``c`` does nothing."""
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 3))
    raw = 3 * x[:, 0] + x[:, 1]
    model.fit(x, raw > 0 if outputs[0] is PROBABILITIES else raw)
    answers = {"score": model.predict(x) + wrong} if answered else None
    version = given_version(objects, [number(n) for n in NAMES], dict(zip(NAMES, x.T, strict=True)), outputs, answers)
    document = {**version.to_document(), "framework": "sklearn"}
    objects.put(layout.version_document(version.id), b"")
    objects.delete(layout.version_document(version.id))
    Documents(objects).create(layout.version_document(version.id), document)
    objects.put(layout.artifact(version.id), packed(model))

    def predict(**inputs: np.ndarray) -> dict[str, np.ndarray]:
        matrix = np.column_stack([inputs[n] for n in NAMES])
        if outputs[0] is PROBABILITIES:
            return {"probabilities": model.predict_proba(matrix)}
        return {"score": model.predict(matrix)}

    logged = dict(zip(NAMES, random.normal(size=(3, rows)), strict=True))
    given_log(objects, version, {**logged, **{k: v.tolist() for k, v in predict(**logged).items()}})
    return Version.from_document(document), predict


def packed(model: Any) -> bytes:
    """The model as an artifact's archive."""
    dumped = io.BytesIO()
    joblib.dump(model, dumped)
    return archived(dumped.getvalue())


def archived(dumped: bytes) -> bytes:
    """A dumped model as an artifact's archive."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo("model.joblib")
        member.size = len(dumped)
        tar.addfile(member, io.BytesIO(dumped))
    return zstandard.compress(archive.getvalue())


def worth(tree: Tree, row: np.ndarray, known: frozenset[int], node: int = 0) -> float:
    """What a tree gives where some features are known, by its definition."""
    if tree.left[node] < 0:
        return float(tree.value[node])
    ways = (int(tree.left[node]), int(tree.right[node]))
    feature = int(tree.feature[node])
    if feature in known:
        x = row[feature]
        goes_left = tree.missing_left[node] if np.isnan(x) else x <= tree.threshold[node]
        return worth(tree, row, known, ways[0 if goes_left else 1])
    return sum(tree.cover[w] / tree.cover[node] * worth(tree, row, known, w) for w in ways)


def brute_force(trees: list[Tree], row: np.ndarray) -> np.ndarray:
    features = len(row)
    values = np.zeros(features)
    for j in range(features):
        others = [i for i in range(features) if i != j]
        for size in range(features):
            weight = factorial(size) * factorial(features - size - 1) / factorial(features)
            for chosen in combinations(others, size):
                with_j, without = frozenset((*chosen, j)), frozenset(chosen)
                values[j] += weight * sum(worth(t, row, with_j) - worth(t, row, without) for t in trees)
    return values
