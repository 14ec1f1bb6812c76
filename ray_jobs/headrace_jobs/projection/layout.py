"""Where rows lie on the map: t-SNE from the principal components on, or these alone. The only user of scikit-learn here."""

from typing import Any, Literal

import numpy as np

from headrace_functions.views import Array

Method = Literal["tsne", "pca"]
METHODS: tuple[Method, ...] = ("tsne", "pca")
PERPLEXITY = 30.0
MIN_ROWS = 10
NEIGHBOURS = 10
"""Rows whose nearness on the map is held against that in the data, for its trustworthiness."""


def layout(x: Array, dimensions: int, method: Method) -> Array:
    """Rows ``(n, d)`` as places ``(n, dimensions)`` within [-1, 1]; the same rows are the same map on the same machine.

    t-SNE keeps near rows near (van der Maaten and Hinton 2008); distances between far groups mean little on its map.
    """
    places = _principal(x, dimensions)
    if method == "tsne":
        from sklearn.manifold import TSNE  # two seconds and 100 MB that only a map needs

        start = places / max(float(places[:, 0].std()), 1e-12) * 1e-4
        perplexity = min(PERPLEXITY, (len(x) - 1) / 3)
        fit = TSNE(dimensions, perplexity=perplexity, init=start.astype(np.float32), random_state=0, n_jobs=1)
        places = fit.fit_transform(x)
    middle = (places.max(axis=0) + places.min(axis=0)) / 2
    span = float((places.max(axis=0) - places.min(axis=0)).max()) / 2
    return np.asarray((places - middle) / (span or 1.0), np.float64)


def trustworthiness(x: Array, places: Array) -> float:
    """0 to 1: how few rows that are near on the map are far in the data (Venna and Kaski 2001)."""
    from sklearn.manifold import trustworthiness as measured  # as above

    return float(measured(x, places, n_neighbors=min(NEIGHBOURS, (len(x) - 1) // 2)))


def nearest(x: Array, to: Array, count: int) -> tuple[Array, Array]:
    """Distances ``(m, count)`` and places in ``x`` ``(m, count)`` of the nearest rows of ``x`` to each row of ``to``."""
    from sklearn.neighbors import NearestNeighbors  # as above

    found: Any = NearestNeighbors(n_neighbors=min(count, len(x))).fit(x)
    distances, places = found.kneighbors(to)
    return np.asarray(distances), np.asarray(places)


def _principal(x: Array, dimensions: int) -> Array:
    """The first principal components; the sign of each is that of its largest loading, so that it does not flip."""
    centred = x - x.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    kept = directions[:dimensions]
    largest = np.abs(kept).argmax(axis=1)
    kept = kept * np.sign(kept[np.arange(len(kept)), largest])[:, None]
    places = centred @ kept.T
    return np.pad(places, ((0, 0), (0, dimensions - places.shape[1])))
