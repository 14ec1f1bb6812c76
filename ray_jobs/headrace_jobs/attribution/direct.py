"""SHAP values of many rows from the trees of a version's artifact, believed only where they give the version's own answers."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from headrace_functions.attribution.ensembles import MAX_LEAVES, UNITS, NotDirectError
from headrace_functions.attribution.matrices import in_order, places
from headrace_functions.attribution.outcome import Outcome
from headrace_functions.attribution.trees import predict, tree_shap
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import Array
from headrace_jobs.attribution.artifact import read_trees


@dataclass(frozen=True, slots=True)
class Found:
    """SHAP ``values`` ``(n, d)`` that each row's ``base`` and its ``answers`` ``(n,)`` differ by."""

    method: str
    unit: str
    values: Array
    base: Array
    answers: Array


def middle(values: Array) -> Array:
    """The mean of numbers, the most frequent of other values, as an array of one row."""
    if values.dtype.kind in "fiu":
        return np.asarray(values.astype(np.float64).mean(axis=0, keepdims=True))
    texts = [str(v) for v in values.tolist()]  # NumPy's texts would lose NULs at their ends
    counts = Counter(texts)
    place = texts.index(min(counts, key=lambda text: (-counts[text], text)))
    return values[place : place + 1]


def by_trees(
    objects: ObjectStore, version: Version, outcome: Outcome, rows: Array, answers: Array, most: int = MAX_LEAVES
) -> Found:
    """From the artifact, where it is made of trees and gives the endpoint's answers."""
    if outcome.answer is not None:
        raise NotDirectError("a category is no sum of trees")
    found = read_trees(objects, version, outcome.place)
    if (leaves := sum(int((t.left < 0).sum()) for t in found.trees)) > most:
        raise NotDirectError(f"its trees have {leaves:,} leaves, more than {most:,}")
    x = found.seen(in_order(version.signature, found, rows))
    try:
        values, base = tree_shap(found.trees, x)
    except ValueError as error:
        raise NotDirectError(f"its trees have {error}") from error
    whole = base + values.sum(axis=1)
    apart = float((np.abs(found.answer(whole) - answers) / np.maximum(np.abs(answers), 1)).max())
    if not apart <= found.close:
        raise NotDirectError(f"the trees differ from the endpoint's answers by {apart:.3g}")
    raw = predict(found.trees, x) + found.offset
    back = np.empty_like(values)
    back[:, places(version.signature, found)] = values
    return Found("trees", UNITS[found.link], back, np.full(len(rows), base + found.offset), raw)
