"""Alibi Detect's outlier detectors: what they learnt becomes arrays that ``scorer`` scores by, so that serving needs none of it.

``IForest`` holds a forest of scikit-learn, whose trees are kept. ``Mahalanobis`` learns on as it scores, and so forgets what is usual once
enough is not; kept is its mean and covariance after the training rows. Both score as they did when they were learnt.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.detectors.alibi import outlier_detectors
from headrace_jobs.outliers.candidates import State, expected_path
from headrace_jobs.outliers.series import LOCAL, WIDE

ROWS = 10_000
"""Rows that ``Mahalanobis`` learns from: it takes them one by one."""
TINY = 1e-9  # of the largest variance: a direction below it is none


def candidates() -> Mapping[str, Callable[[Array], State]]:
    """The detectors by the name of the scorer's method; ``InvalidInput`` where Alibi Detect is not installed."""
    detectors = outlier_detectors()
    return {
        "online-mahalanobis": lambda rows: _mahalanobis(detectors, rows),
        "iforest": lambda rows: _forest(detectors, rows),
    }


def series(values: Array) -> Array:
    """``SpectralResidual`` of a series ``(t,)``."""
    detector = outlier_detectors().SpectralResidual(threshold=0.0, window_amp=WIDE, window_local=LOCAL, n_est_points=5)
    return np.asarray(detector.score(values), np.float64)


def _mahalanobis(detectors: Any, rows: Array) -> State:
    used = rows[:ROWS]
    rank = max(int(np.linalg.matrix_rank(np.cov(used, rowvar=False).reshape(used.shape[1], -1))), 1)
    detector = detectors.Mahalanobis(threshold=0.0, n_components=rank, start_clip=min(100, len(used) - 1))
    varied = used.std(axis=0) > 0
    if not varied.any():
        return {"location": used[0].copy(), "whiten": np.zeros((used.shape[1], 1))}
    detector.score(used[:, varied])
    values, vectors = np.linalg.eigh(np.atleast_2d(detector.C))
    known = values > TINY * values[-1]
    whiten = np.zeros((used.shape[1], int(known.sum())))
    whiten[varied] = vectors[:, known] / np.sqrt(values[known])
    location = used[0].copy()  # a constant column is where it is
    location[varied] = np.ravel(detector.mean)
    return {"location": location, "whiten": whiten}


def _forest(detectors: Any, rows: Array) -> State:
    detector = detectors.IForest(threshold=0.0)
    np.random.seed(0)
    detector.fit(rows)
    forest = detector.isolationforest
    trees = [t.tree_ for t in forest.estimators_]
    size = max(t.node_count for t in trees)
    lengths = [_lengths(t) for t in trees]
    return {
        "left": _padded([t.children_left for t in trees], size, -1),
        "right": _padded([t.children_right for t in trees], size, -1),
        "feature": _padded([np.maximum(t.feature, 0) for t in trees], size, 0),
        "threshold": _padded([t.threshold for t in trees], size, 0.0),
        "length": _padded(lengths, size, 0.0),
        "expected": np.array(expected_path(int(forest.max_samples_))),
        "offset": np.array(float(forest.offset_)),
    }


def _lengths(tree: Any) -> Array:
    """Length of the path to each node, and of the one that the rows of a leaf would still take."""
    depth = np.zeros(tree.node_count)
    for node in range(tree.node_count):
        for child in (tree.children_left[node], tree.children_right[node]):
            if child >= 0:
                depth[child] = depth[node] + 1
    rest = [0.0 if n <= 1 else expected_path(int(n)) for n in tree.n_node_samples]
    return np.asarray(depth + rest)


def _padded(parts: list[Any], size: int, filled: float) -> Array:
    found = np.full((len(parts), size), filled, np.asarray(parts[0]).dtype)
    for place, part in enumerate(parts):
        found[place, : len(part)] = part
    return found
