"""Which candidate is taken, without labels: the one that is never far behind at telling held-out rows from anomalies made of them.

Anomalies are planted in rows that no candidate was fitted to, in six ways that real ones take (after Han, Hu, Huang, Jiang
and Zhao 2022): *global* rows lie anywhere in the range of training, *far* ones have fields of another order of magnitude, *local* ones are rows
spread wider than they should be, *dependency* ones have columns of different rows, *field* ones one column of another row (a single sensor or
field that is wrong), *scaled* ones are as a whole farther from the centre. Each candidate
gets the area under the ROC curve for each way. Which way the real ones will take nobody knows, so the candidate is taken whose largest lag behind the
best of a way is smallest (Savage 1951): a mean would favour those that are made for the way which is hardest for the others.
"""

from collections.abc import Mapping

import numpy as np

from headrace_functions.views import Array

MARGIN = 0.002
"""A candidate that is slower to score must lag by so much less."""
FAR = (3.0, 30.0)  # standard deviations
WIDER = 3.0
SCALED = (1.5, 2.5)


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
        "field": _one_of_another(rows, random),
        "scaled": centre + (rows - centre) * random.uniform(*SCALED, (len(rows), 1)),
    }


def _one_of_another(rows: Array, random: np.random.Generator) -> Array:
    """Each row with one of its columns taken from another row."""
    made, every = rows.copy(), np.arange(len(rows))
    columns = random.integers(0, rows.shape[1], len(rows))
    made[every, columns] = rows[random.permutation(len(rows)), columns]
    return made


def lags(areas: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """How far each candidate is at most behind the best of a way; ``areas`` are by candidate and way."""
    ways = next(iter(areas.values()))
    leading = {way: max(found[way] for found in areas.values()) for way in ways}
    return {name: max(leading[way] - found[way] for way in ways) for name, found in areas.items()}


def best(areas: Mapping[str, Mapping[str, float]], rows: int) -> str:
    """The candidate to take; ``areas`` are by candidate, in the order of their speed, and way, each of ``rows`` held-out rows.

    A slower one has to lead by more than a single held-out row may make.
    """
    found = lags(areas)
    most = min(found.values()) + MARGIN + 1 / rows
    return next(name for name, lag in found.items() if lag <= most)
