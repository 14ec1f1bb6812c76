"""Ranks: how often values of one side lie above those of another."""

import numpy as np

from headrace_functions.views import Array


def area(below: Array, above: Array) -> float:
    """How often a value of ``above`` ``(m,)`` is larger than one of ``below`` ``(n,)``, ties counted half (Mann and Whitney 1947).

    It is the area under the ROC curve of the values as a score of the side.
    """
    ordered = np.sort(below)
    passed = np.searchsorted(ordered, above, "left") + np.searchsorted(ordered, above, "right")
    return float(passed.mean() / 2 / len(ordered))
