"""How far a histogram lies from that of training, beyond what chance explains. Pure."""

from typing import Any

import numpy as np

from headrace_controller.health.plan import Series

LEAST_ROWS = 30
"""Fewer rows say nothing about a distribution."""
SURENESS = 4.0
"""Standard deviations above what chance is expected to give that still count as chance. Four, because a version has dozens of fields and each is looked at every minute:
three gave, on rare categories at 30 rows a minute, about one false opening a month in twenty fields."""

Array = np.ndarray[Any, Any]


def moved(series: Series, counts: Array) -> list[float | None]:
    """For each row ``[rows, finite, missing, *bins]`` of ``counts``: the share of rows that lie elsewhere than in training.

    It is the total variation distance to the shares of training, less what a sample of that size is expected to show without any
    change, scaled so that 1 is "all of them". None where there are fewer than ``LEAST_ROWS`` or no training data.
    """
    if not series.expected:
        return [None] * len(counts)
    rows = counts[:, 0].astype(np.float64)
    shares = np.asarray(series.expected)
    with np.errstate(all="ignore"):
        distance = np.abs(counts[:, 2:] / rows[:, np.newaxis] - shares).sum(axis=1) / 2
        chance = _chance(shares, rows, series.trained)
        beyond = np.clip((distance - chance) / (1 - chance), 0.0, 1.0)
    known = (rows >= LEAST_ROWS) & np.isfinite(beyond)
    return [share if sure else None for share, sure in zip(np.round(beyond, 4).tolist(), known.tolist(), strict=True)]


def _chance(shares: Array, rows: Array, trained: int) -> Array:
    """Distance that a sample of ``rows`` shows by chance alone, but for one in a thousand."""
    p = shares * (1 - shares)
    noise = 1 / np.maximum(rows, 1) + 1 / max(trained, 1)
    # Mean and variance of |x| of a normal x; bins are taken for independent, which errs on the side of calm.
    mean = np.sqrt(2 / np.pi) * np.sqrt(p).sum() * np.sqrt(noise) / 2
    deviation = np.sqrt((1 - 2 / np.pi) * p.sum() * noise) / 2
    chance: Array = np.minimum(mean + SURENESS * deviation, 0.999)
    return chance
