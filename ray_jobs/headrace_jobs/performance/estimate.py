"""An estimate with its interval, and how two ways to estimate the same are put together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from headrace_jobs.performance import metrics

DRAWS = 200
"""Repetitions that an interval comes from."""
CURVES = 40
"""Repetitions that tell how much of it is due to what is not known of the curve."""
TAILS = (0.025, 0.975)
REACH = 1.96
"""Standard deviations within which 95 % of normal values lie."""
LEAST = 0.25
"""Share of a weighted estimate's variance that its difference from the unweighted one has at least."""

Spread = Mapping[str, float]
"""By metric a standard deviation beyond that of the draws."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric of a window and the 95 % interval that its realised value should lie in."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Drawn:
    """Expected metrics; those of labels that were drawn; and the variance of the expected ones over other calibrations."""

    expected: metrics.Values
    draws: Sequence[metrics.Values]
    variance: metrics.Values


def estimates(drawn: Drawn, spread: Spread) -> dict[str, Estimate]:
    """The metrics that can be estimated and are defined, with their intervals, wider by the ``spread`` of the misfit."""
    sound = {k: v for k, v in drawn.expected.items() if np.isfinite(v) and k not in metrics.REALISED_ALONE}
    return {
        name: between(value, [d[name] for d in drawn.draws], spread.get(name, 0.0)) for name, value in sound.items()
    }


def between(value: float, draws: Sequence[float], spread: float = 0.0) -> Estimate:
    """A value with the interval that 95 % of the draws lie in, and that holds it; ``spread`` is the standard deviation of what else is not known."""
    known = np.array([d for d in draws if np.isfinite(d)] or [value])
    low, high = np.quantile(known, TAILS)
    below, above = (np.hypot(max(part, 0.0), REACH * spread) for part in (value - low, high - value))
    return Estimate(value, float(value - below), float(value + above))


def variances(found: Sequence[metrics.Values]) -> metrics.Values:
    """Variance of each metric over repetitions, undefined ones left out; 0 where there are none."""
    return {name: _variance([one[name] for one in found]) for name in (found[0] if found else ())}


def together(
    plain: Mapping[str, Estimate], weighted: Mapping[str, Estimate], before: Drawn, after: Drawn
) -> dict[str, Estimate]:
    """Estimates by an unweighted and by a weighted calibration as one.

    The difference of the two is the unweighted one's error and the weighted one's chance. Its square less its variance (Hausman 1978)
    estimates the square of the first, and so which part of the way to the weighted estimate has the least expected error.
    """
    found = dict(plain)
    for name in plain.keys() & weighted.keys():
        chance = max(after.variance[name] - before.variance[name], LEAST * after.variance[name])
        found[name] = blend(plain[name], weighted[name], chance)
    return {name: found[name] for name in plain}


def blend(plain: Estimate, weighted: Estimate, chance: float) -> Estimate:
    """An estimate between two; ``chance`` is the variance of their difference."""
    apart = weighted.value - plain.value
    part = max(apart**2 - chance, 0.0) / apart**2 if apart else 0.0
    value, rest = plain.value + part * apart, (1 - part) * abs(apart)
    below = max(plain.value - plain.low, weighted.value - weighted.low)
    above = max(plain.high - plain.value, weighted.high - weighted.value)
    return Estimate(value, float(value - np.hypot(below, rest)), float(value + np.hypot(above, rest)))


def _variance(values: Sequence[float]) -> float:
    known = np.array([v for v in values if np.isfinite(v)])
    return float(known.var()) if len(known) else 0.0
