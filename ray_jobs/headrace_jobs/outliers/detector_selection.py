"""Which candidate is taken, without labels: the one that tells held-out rows from anomalies made of them.

Anomalies are planted in rows that no candidate was fitted to, in four ways that real ones take (after Han, Hu, Huang, Jiang
and Zhao 2022): *global* rows lie anywhere in the range of training, *far* ones have fields of another order of magnitude, *local* ones are rows
spread wider than they should be, *dependency* ones have columns of different rows. Each candidate gets the area under the ROC curve
for each way; the mean decides. Ways that no candidate sees (all areas near one half) weigh as much as the others: they are
the same for all.
"""

from collections.abc import Mapping

import numpy as np

from headrace_functions.views import Array

MARGIN = 0.001
"""A candidate that is slower to score must be better by so much."""
FAR = (3.0, 30.0)  # standard deviations
WIDER = 3.0


def planted(rows: Array, seed: int = 0) -> Mapping[str, Array]:
    """Anomalies by the way they were made, each ``(n, d)`` from ``n`` ordinary rows."""
    random = np.random.default_rng(seed)
    low, high = rows.min(axis=0), rows.max(axis=0)
    margin = 0.1 * (high - low)
    centre = np.median(rows, axis=0)
    spread = rows.std(axis=0)
    some = np.asarray(random.random(rows.shape) < 0.3)
    return {
        "global": random.uniform(low - margin, high + margin, rows.shape),
        "far": rows + some * spread * random.choice((-1.0, 1.0), rows.shape) * random.uniform(*FAR, rows.shape),
        "local": centre + (rows - centre) * np.where(some, WIDER, 1.0),
        "dependency": random.permuted(rows, axis=0),
    }


def area(ordinary: Array, unusual: Array) -> float:
    """How often an unusual row scores above an ordinary one, ties counted half (Mann and Whitney 1947)."""
    ordered = np.sort(ordinary)
    below = np.searchsorted(ordered, unusual, "left") + np.searchsorted(ordered, unusual, "right")
    return float(below.mean() / 2 / len(ordered))


def best(areas: Mapping[str, float]) -> str:
    """The candidate to take; ``areas`` are in the order of their speed."""
    chosen = ""
    for name, found in areas.items():
        if not chosen or found > areas[chosen] + MARGIN:
            chosen = name
    return chosen
