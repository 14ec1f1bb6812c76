"""Calibration: from the probabilities that a model gives to the share of rows that are of a class, learnt from rows whose labels are known.

A logistic model, of several classes a multinomial one over whole rows, for the probability of one class against the others does not hold
all that a row says (Dirichlet calibration, Kull et al. 2019). A class's logit is linear in the logits (of several classes: logarithms) of the given
probabilities, plus a natural cubic spline of the normal score of its own probability among the reference's: the first goes on beyond the
reference as a straight line, the second takes any bend within it. Unlike an isotonic curve it has too few parameters to be surer than the truth
on the rows that it has learnt from, and the error of these is known.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_functions.views import Array

ENOUGH = 100
"""Rows of the class, and rows of the others, that a bend is learnt from; with fewer its curve is straight (Platt 1999)."""
CROSSED = 10
"""Rows for each parameter from which on a class's logit depends on the probabilities of all classes; with fewer on its own alone."""
REACH = 12.0  # logits and logarithms beyond it are as sure as a curve needs them
KNOTS = (0.05, 0.275, 0.5, 0.725, 0.95)
"""Knots of the spline, as shares of the reference rows below (Harrell 2001)."""
RIDGE = 0.3
"""Penalty of bends and of other classes' parts, in units of rows: it decides where rows do not."""
FAINT = 0.01  # penalty of a class's own slope and constant, which keeps them finite where classes do not overlap
WIDER = 1.15
"""Standard errors are taken so much wider: the sandwich estimator is too small where rows are few (Long and Ervin 2000). Chosen on seeds of its own."""
STEPS = 60  # of Newton's method; it needs about eight
LONGEST = 2.0  # change of a parameter in one of them
SMALL = 1e-6
"""Change from which on another step would be in the last digits: each leaves about the square of the one before."""

Ranks = tuple[Array, Array]
"""Scores of the reference, ascending, and their normal scores."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was learnt: ``theta`` ``(t,)``, of each class its part, and ``root`` ``(t, t)``, a root of its covariance.

    ``ranks`` has None for a class whose curve is straight. ``crossed`` says whether a class sees the others' probabilities.
    """

    ranks: tuple[Ranks | None, ...]
    crossed: bool
    theta: Array
    root: Array

    @property
    def methods(self) -> tuple[str, ...]:
        """Which curves there are."""
        known = [r is not None for r in self.ranks]
        return (*(("spline",) if any(known) else ()), *(() if all(known) else ("straight",)))

    def design(self, probabilities: Array) -> list[Array]:
        """What the logit of each class is linear in, at rows ``(n, k)``; k is 1 for two classes."""
        return _design(probabilities, self.ranks, crossed=self.crossed)

    def shares(self, design: list[Array], theta: Array | None = None) -> Array:
        """The share of rows of each class ``(n, k)`` where the ``design`` is."""
        return _shares(design, self.theta if theta is None else theta)

    def odds(self, design: list[Array], thetas: Array) -> Array:
        """``shares`` of three or more classes under each of ``thetas`` ``(r, t)``, up to a factor of the row: ``(k, r, n)``."""
        return _odds(design, thetas)

    def another(self, random: np.random.Generator) -> Array:
        """Parameters that might as well have been learnt, from their normal distribution."""
        return np.asarray(self.theta + self.root @ random.normal(size=len(self.theta)))


def learn(probabilities: Array, actual: Array, weights: Array | None = None) -> Calibration:
    """Learn from rows ``(n, k)`` of class ``actual`` ``(n,)``, each met ``weights`` ``(n,)`` times; k is 1 for two classes.

    Newton's method on the penalised likelihood; the covariance is the sandwich estimator (Huber 1967; White 1982).
    """
    w = np.ones(len(actual)) if weights is None else weights.astype(np.float64)
    with single_thread():
        return _learn(probabilities, actual, w)


def single_thread() -> AbstractContextManager[Any]:
    """Sums of several threads differ in the last bit, and a report is the same to the byte."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn

    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits


def _learn(probabilities: Array, actual: Array, w: Array) -> Calibration:
    k = probabilities.shape[1]
    counts = np.bincount(actual, w, max(k, 2))
    own = counts[1:] if k == 1 else counts
    straight = np.minimum(own, counts.sum() - own) < ENOUGH
    scores = _scores(probabilities)
    ranks = tuple(None if few else _ranks(scores[:, c], w) for c, few in enumerate(straight))
    parameters = sum(1 + k + (0 if r is None else len(KNOTS) - 1) for r in ranks)
    crossed = k > 1 and not straight.any() and bool(counts.sum() >= CROSSED * parameters)
    marks = (actual[:, None] == (1 if k == 1 else np.arange(k))).astype(np.float64)
    targets = _smoothed(marks, actual, counts) if straight.any() else marks
    rows = _Rows.of(_design(probabilities, ranks, crossed=crossed), w, crossed=crossed)
    theta = rows.maximum(targets)
    return Calibration(ranks, crossed, theta, rows.root(theta, None if straight.any() else marks))


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows that parameters are learnt from; those of all classes are one vector ``(t,)``."""

    design: list[Array]
    weights: Array
    prior: Array
    """Parameters that leave the probabilities what they are."""
    penalty: Array

    @classmethod
    def of(cls, design: list[Array], weights: Array, *, crossed: bool) -> "_Rows":
        prior = [np.zeros(part.shape[1]) for part in design]
        penalty = [np.full(part.shape[1], RIDGE) for part in design]
        for place in range(len(design)):
            slope = 1 + place if crossed else 1
            prior[place][slope] = 1.0
            penalty[place][[0, slope]] = FAINT
        return cls(design, weights, np.concatenate(prior), np.concatenate(penalty))

    def maximum(self, targets: Array) -> Array:
        """The parameters under which ``targets`` ``(n, k)`` are likeliest, penalty considered."""
        theta = self.prior
        for _ in range(STEPS):
            shares = _shares(self.design, theta)
            off = (shares - targets) * self.weights[:, None]
            gradient = np.concatenate([part.T @ off[:, c] for c, part in enumerate(self.design)])
            step = np.linalg.solve(self._bend(shares), gradient + self.penalty * (theta - self.prior))
            largest = float(np.abs(step).max())
            theta = theta - step * min(1.0, LONGEST / max(largest, SMALL))
            if largest < SMALL:
                break
        return theta

    def root(self, theta: Array, marks: Array | None) -> Array:
        """A root of the covariance of ``theta``; without ``marks`` the model itself says how rows vary."""
        shares = _shares(self.design, theta)
        inverse = np.linalg.inv(self._bend(shares))
        covariance = inverse
        if marks is not None:
            each = self._scaled((shares - marks) * np.sqrt(self.weights)[:, None])
            covariance = inverse @ (each.T @ each) @ inverse
        sizes, directions = np.linalg.eigh((covariance + covariance.T) / 2)
        return np.asarray(WIDER * directions * np.sqrt(np.maximum(sizes, 0.0)))

    def _bend(self, shares: Array) -> Array:
        """Second derivatives of the penalised likelihood, with the sign that makes them positive.

        A matrix times its own transpose is half the work of two different ones, so roots of the weights go to both sides.
        """
        every = self._scaled(shares * np.sqrt(self.weights)[:, None])
        found = np.diag(self.penalty) - every.T @ every
        roots, first = np.sqrt(shares * self.weights[:, None]), 0
        for c, part in enumerate(self.design):
            own, last = part * roots[:, c, None], first + part.shape[1]
            found[first:last, first:last] += own.T @ own
            first = last
        return np.asarray(found)

    def _scaled(self, factors: Array) -> Array:
        """All parts of the design side by side ``(n, t)``, each times the ``factors`` ``(n, k)`` of its class."""
        return np.concatenate([part * factors[:, c, None] for c, part in enumerate(self.design)], axis=1)


def _scores(probabilities: Array) -> Array:
    """Logits of the second of two classes, logarithms of several, within ``REACH``; of the shape of ``probabilities``."""
    with np.errstate(divide="ignore"):
        found = np.log(probabilities)
        if probabilities.shape[1] == 1:
            found = found - np.log1p(-probabilities)
    return np.asarray(np.clip(found, -REACH, REACH))


def _ranks(scores: Array, weights: Array) -> Ranks:
    points, place = np.unique(scores, return_inverse=True)
    met = np.bincount(place, weights)
    middle = (np.cumsum(met) - met / 2) / met.sum()  # ties share the mean rank
    return points, _special().ndtri(middle)


def _design(probabilities: Array, ranks: tuple[Ranks | None, ...], *, crossed: bool) -> list[Array]:
    scores = _scores(probabilities)
    one = np.ones((len(scores), 1))
    found = []
    for place, known in enumerate(ranks):
        own = scores[:, place]
        parts = [one, scores if crossed else own[:, None]]
        if known is not None:
            parts.append(_spline(np.interp(own, *known)))
        found.append(np.concatenate(parts, axis=1))
    return found


def _spline(x: Array) -> Array:
    """Columns ``(n, 4)`` of a natural cubic spline of normal scores; Harrell's scale."""
    knots = _special().ndtri(np.array(KNOTS))
    beyond = np.maximum(x - knots[:, None], 0.0)
    bent = beyond * beyond * beyond  # a power takes twenty times as long
    curves = (bent[:-1] - bent[-1]) / (knots[-1] - knots[:-1, None])
    return np.column_stack([x, *((curves[:-1] - curves[-1]) / (knots[-1] - knots[0]) ** 2)])


def _shares(design: list[Array], theta: Array) -> Array:
    """Shares ``(n, k)``: of two classes the logistic function, of several the softmax."""
    if len(design) == 1:
        return np.asarray(1 / (1 + np.exp(-np.clip(design[0] @ theta, -700, 700))))[:, None]
    odds = _odds(design, theta[None])[:, 0]
    return np.asarray(odds / odds.sum(axis=0)).T


def _odds(design: list[Array], thetas: Array) -> Array:
    """Shares up to a factor of the row, the largest of which is 1: ``(k, r, n)`` for ``thetas`` ``(r, t)``, in their precision."""
    ends = np.cumsum([0, *(part.shape[1] for part in design)])
    found = np.empty((len(design), len(thetas), len(design[0])), thetas.dtype)
    for place, part in enumerate(design):
        np.matmul(thetas[:, ends[place] : ends[place + 1]], part.T, out=found[place])
    found -= found.max(axis=0)  # a class after the other: sums over long rows are fast, over short ones slow
    return np.exp(found, out=found)


def _smoothed(marks: Array, actual: Array, counts: Array) -> Array:
    """Targets a little less sure than the labels (Platt 1999): a class that was met once is not certain."""
    doubt = (1 / (counts + 2))[actual][:, None]
    return np.where(marks > 0, 1 - doubt, doubt / max(marks.shape[1] - 1, 1))


def _special() -> Any:
    from scipy import special  # takes a while to import; an explanation does without

    return special
