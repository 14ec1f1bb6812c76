"""Made-up rows in groups that share a random effect, such as the rows of one customer. ``calibration.py`` studies drift verdicts on them."""

from collections.abc import Callable, Mapping

import numpy as np
from drift_laws import named

from headrace_functions.views import Array

WHO = "who"
SIZES: Mapping[str, tuple[float, Callable[[int, np.random.Generator], Array]]] = {
    "five each": (5, lambda groups, r: np.full(groups, 5)),
    "geometric": (5, lambda groups, r: r.geometric(0.2, groups)),
    "one, or forty in a tenth": (4.9, lambda groups, r: np.where(r.random(groups) < 0.1, 40, 1)),
}
"""Rows of each group, and how many they are on average."""
REPEATS: Mapping[str, Callable[[int, np.random.Generator], Array]] = {
    "never": lambda rows, r: np.ones(rows, int),
    "twice": lambda rows, r: np.full(rows // 2, 2),
    "five times": lambda rows, r: np.full(rows // 5, 5),
    "geometric": lambda rows, r: r.geometric(0.2, rows // 5),
    "half of them five times": lambda rows, r: np.repeat([5, 1], [rows // 10, rows // 2]),
    "Pareto, to a tenth of all": lambda rows, r: np.minimum(np.ceil(r.pareto(1.0, rows // 8)).astype(int), rows // 10),
}
"""How often each caller sends its row, of about so many rows."""
KINDS = ("number", "number", "category", "number")


def grouped(
    shared: float, sizes: str, rows: int, fields: int, first: int, r: np.random.Generator, move: float = 0.0
) -> dict[str, Array | list[str]]:
    """About ``rows`` rows in random order; ``shared`` is the part of the variance that rows of a group have in common, 1 for equal rows.

    The first field moves by ``move`` standard deviations. Groups are named from ``first`` on.
    """
    mean, drawn = SIZES[sizes]
    of = np.repeat(np.arange(round(rows / mean)), drawn(round(rows / mean), r))
    of = of[r.permutation(len(of))]
    table: dict[str, Array | list[str]] = {WHO: named(of + first, "u")}
    for field in range(fields):
        level = np.sqrt(shared) * r.normal(size=of.max() + 1)[of] + np.sqrt(1 - shared) * r.normal(size=len(of))
        level = level + (move if field == 0 else 0.0)
        table[f"f{field}"] = (
            level,
            np.exp(level).round(1),
            named(np.digitize(level, [-1, 0, 0.7, 1.5])),
            np.where(level < 0.3, 0.0, level.round(2)),
        )[field % 4]
    return table
