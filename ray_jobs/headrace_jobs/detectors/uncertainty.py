"""Uncertainty: is the model less, or more, sure of its answers than on the reference?"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.detectors.base import Finding, Rows
from headrace_jobs.detectors.distances import share_bound

MIN_ROWS = 30
METHOD = "entropy of the answered probabilities, Kolmogorov-Smirnov"


def uncertainty(reference: Rows, window: Rows) -> Finding | None:
    """None where the outputs hold no probabilities, or with fewer than ``MIN_ROWS`` rows on a side.

    Probabilities are the elements of an output that sum to one, or else a number in [0, 1]: the probability of a class.
    """
    sides = [entropies(side.outputs) for side in (reference, window)]
    names = [name for name in sides[0] if name in sides[1]]
    if not names:
        return None
    before, after = (side[names[0]] for side in sides)
    if min(len(before), len(after)) < MIN_ROWS:
        return None
    test = _stats().ks_2samp(before, after, method="asymp")
    distance, at = float(test.statistic), float(test.statistic_location)
    f, g = float((before <= at).mean()), float((after <= at).mean())
    low = share_bound(distance, f, g, len(before), len(after))
    return Finding("uncertainty", METHOD, distance, float(min(max(test.pvalue, 0.0), 1.0)), distance, low, "moved")


def probabilities(outputs: Mapping[str, Array]) -> dict[str, Array]:
    """Probabilities ``(n, k)`` by column of the log; rows with a missing one are left out."""
    columns: dict[str, list[Array]] = defaultdict(list)
    for key, values in outputs.items():
        if values.dtype != object:
            columns[key.split("|", 1)[0]].append(values)
    found = {}
    for name, parts in columns.items():
        p = np.stack(parts, axis=1)
        p = p[~np.isnan(p).any(axis=1)]
        if not len(p) or p.min() < 0 or p.max() > 1:
            continue
        if p.shape[1] == 1:
            found[name] = np.concatenate((1 - p, p), axis=1)
        elif np.abs(p.sum(axis=1) - 1).max() < 1e-3:
            found[name] = p
    return found


def entropies(outputs: Mapping[str, Array]) -> dict[str, Array]:
    """Shannon entropy in nats ``(n,)`` of each row's probabilities, by column of the log."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = probabilities(outputs).items()
        return {name: -np.where(p > 0, p * np.log(p), 0.0).sum(axis=1) for name, p in found}


def _stats() -> Any:
    from scipy import stats  # takes a second to import; an explanation does without

    return stats
