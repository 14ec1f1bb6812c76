"""Bounds of a share that was observed."""

import math

import numpy as np

from headrace_functions.views import Array

STEPS = 20  # halvings of the interval in which a bound lies


def lower(hits: int, count: int, alpha: float) -> float:
    """The lower end of a one-sided interval of a share (Clopper and Pearson 1934); 0 of no rows."""
    from scipy.special import betaincinv  # takes a while to import

    return float(betaincinv(hits, count - hits + 1, alpha)) if hits else 0.0


def bounds(hits: int, count: int, confidence: float) -> tuple[float, float]:
    """The smallest and largest probability whose Kullback–Leibler divergence from the observed share is within ``confidence / count``."""
    if not count:
        return 0.0, 1.0
    share, limit = hits / count, confidence / count
    return _edge(share, 0.0, limit), _edge(share, 1.0, limit)


def uppers(hits: Array, counts: Array, confidence: float) -> Array:
    """The larger of ``bounds`` of many rules at once ``(n,)``: hundreds of rules are compared for each length."""
    share, limit = hits / counts, confidence / counts
    inside, outside = share.copy(), np.ones(len(share))
    for _ in range(STEPS):
        middle = (inside + outside) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            own = np.where(share > 0, share * np.log(share / middle), 0.0)
            rest = np.where(share < 1, (1 - share) * np.log((1 - share) / (1 - middle)), 0.0)
        near = own + rest <= limit
        inside, outside = np.where(near, middle, inside), np.where(near, outside, middle)
    return np.asarray(np.where(share == 1, 1.0, inside))


def _edge(share: float, end: float, limit: float) -> float:
    inside, outside = share, end
    if divergence(share, end) <= limit:
        return end
    for _ in range(STEPS):
        middle = (inside + outside) / 2
        if divergence(share, middle) <= limit:
            inside = middle
        else:
            outside = middle
    return inside


def divergence(p: float, q: float) -> float:
    """Kullback–Leibler divergence of two Bernoulli distributions, in nats."""
    total = 0.0
    for own, other in ((p, q), (1 - p, 1 - q)):
        if own > 0:
            if other <= 0:
                return math.inf
            total += own * math.log(own / other)
    return total
