"""Calibration: from the probabilities that a model gives to the share of rows that are of a class, learnt from rows whose labels are known.

A logistic model, of several classes a multinomial one over whole rows, for the probability of one class against the others does not hold
all that a row says (Dirichlet calibration, Kull et al. 2019). What the logit of a class may depend on says its *family*
(``families``); the one that foretells rows best that it has not learnt from, by the logarithmic score, is taken.

The score equations of a logistic model make its expectation of every column equal to what was met. So a column that says whether the class was
answered makes the confusion matrix of the reference come out as it was, and cells for scores that are next to certain keep the mass of these.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.performance.families import Family, candidates

WIDER = 1.4
"""Standard errors are taken so much wider: the sandwich estimator is too small where rows are few (Long and Ervin 2000), and the family was
chosen by the same rows. Raised from 1.25 after a study of models, on whose rows it has not been measured again."""
FOLDS = 5
JUDGES = 20_000
"""Rows that tell families apart and show what one does not fit, at most; the one that is taken is learnt from all."""
STEPS = 60  # of Newton's method; it needs about eight
LONGEST = 2.0  # change of a parameter in one of them
SMALL = 1e-6
"""Change from which on another step would be in the last digits: each leaves about the square of the one before."""
EQUAL = 0.5
"""Of a standard error: a family with more columns is taken where it foretells no worse than so, for it may bend where it must."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Rows of known class: ``probabilities`` and ``answered`` ``(n, k)``, k is 1 for two classes, ``actual`` ``(n,)`` places of classes.

    ``weights`` ``(n,)`` say how often each is met, ``squares`` the sum of the squares of what was added up to that.
    """

    probabilities: Array
    answered: Array
    actual: Array
    weights: Array
    squares: Array

    @classmethod
    def of(cls, probabilities: Array, answered: Array, actual: Array, weights: Array | None = None) -> "Reference":
        w = np.ones(len(actual)) if weights is None else weights.astype(np.float64)
        return cls(probabilities, answered, actual, w, w**2)

    def at(self, chosen: Array) -> "Reference":
        return Reference(*(x[chosen] for x in self._columns))

    @property
    def _columns(self) -> tuple[Array, ...]:
        return self.probabilities, self.answered, self.actual, self.weights, self.squares

    @property
    def classes(self) -> int:
        return max(int(self.probabilities.shape[1]), 2)

    @property
    def counts(self) -> Array:
        """Effective rows of each class ``(k,)``."""
        met, squared = (np.bincount(self.actual, w, self.classes) for w in (self.weights, self.squares))
        return np.asarray(np.divide(met**2, squared, out=np.zeros(len(met)), where=squared > 0))

    @property
    def marks(self) -> Array:
        """1 where a row is of the class, 0 elsewhere: ``(n, k)``."""
        places = np.array([1]) if self.probabilities.shape[1] == 1 else np.arange(self.classes)
        return np.asarray(self.actual[:, None] == places, np.float64)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was learnt: ``theta`` ``(t,)``, of each class its part, and ``root`` ``(t, f)``, a root of its covariance."""

    family: Family
    theta: Array
    root: Array

    @property
    def method(self) -> str:
        return self.family.name

    def design(self, probabilities: Array, answered: Array) -> list[Array]:
        """What the logit of each class is linear in, at rows ``(n, k)``; k is 1 for two classes."""
        return self.family.design(probabilities, answered)

    def shares(self, design: list[Array], theta: Array | None = None) -> Array:
        """The share of rows of each class ``(n, k)`` where the ``design`` is."""
        return _shares(design, self.theta if theta is None else theta)

    def odds(self, design: list[Array], thetas: Array) -> Array:
        """``shares`` of three or more classes under each of ``thetas`` ``(r, t)``, up to a factor of the row: ``(k, r, n)``."""
        return _odds(design, thetas)

    def another(self, random: np.random.Generator) -> Array:
        """Parameters that might as well have been learnt, from their normal distribution."""
        return np.asarray(self.theta + self.root @ random.normal(size=self.root.shape[1]))


def learn(reference: Reference) -> Calibration:
    """The calibration that foretells held-out rows best."""
    with single_thread():
        return _learn(reference)


def single_thread() -> AbstractContextManager[Any]:
    """Sums of several threads differ in the last bit, and a report is the same to the byte."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn

    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits


def some(reference: Reference) -> Reference:
    """At most ``JUDGES`` of the rows, always the same."""
    rows = len(reference.actual)
    return reference if rows <= JUDGES else reference.at(np.sort(np.random.default_rng(0).permutation(rows)[:JUDGES]))


def _learn(reference: Reference) -> Calibration:
    found = candidates(reference.probabilities, reference.weights, reference.counts)
    judges = some(reference)
    chosen = found[0] if len(found) == 1 else best([held_out_losses(f, judges) for f in found], found)
    return fitted(chosen, reference)


def best(losses: Sequence[Array], found: Sequence[Family]) -> Family:
    """The family with the least mean of ``losses`` ``(n,)``, or a richer one that is no worse; families are by growing wealth."""
    means = np.array([one.mean() for one in losses])
    least = int(means.argmin())
    for place in range(len(found) - 1, least, -1):
        apart = losses[place] - losses[least]
        if apart.mean() <= EQUAL * apart.std() / len(apart) ** 0.5:
            return found[place]
    return found[least]


def folds_of(reference: Reference) -> Array:
    """The fold of each row ``(n,)``: rows are dealt out class by class, so that each has its share."""
    order = np.argsort(reference.actual, kind="stable")
    random = np.random.default_rng(0)
    dealt = np.empty(len(order), np.int64)
    within = random.permutation(len(order))
    dealt[np.lexsort((within, reference.actual))] = np.arange(len(order)) % FOLDS
    return dealt


def held_out_losses(family: Family, reference: Reference) -> Array:
    """Weighted logarithmic losses ``(n,)`` of rows under calibrations that have not learnt from them."""
    shares = held_out_shares(family, reference)
    of_class = shares if shares.shape[1] > 1 else np.hstack((1 - shares, shares))
    own = of_class[np.arange(len(of_class)), reference.actual]
    return np.asarray(-np.log(np.maximum(own, 1e-15)) * reference.weights)


def held_out_shares(family: Family, reference: Reference) -> Array:
    """Shares ``(n, k)`` of rows under calibrations that have not learnt from them."""
    folds = folds_of(reference)
    design = family.design(reference.probabilities, reference.answered)
    found = np.empty(reference.probabilities.shape)
    for fold in range(FOLDS):
        inside, outside = folds == fold, folds != fold
        rows = _Rows.of([part[outside] for part in design], reference.at(outside), family)
        found[inside] = _shares([part[inside] for part in design], rows.maximum())
    return found


def fitted(family: Family, reference: Reference) -> Calibration:
    """The family learnt from all rows: Newton's method on the penalised likelihood, with the sandwich estimator (Huber 1967; White 1982)."""
    rows = _Rows.of(family.design(reference.probabilities, reference.answered), reference, family)
    theta = rows.maximum()
    return Calibration(family, theta, rows.root(theta))


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows that parameters are learnt from; those of all classes are one vector ``(t,)``, free along the columns of ``basis`` ``(t, f)``."""

    design: list[Array]
    reference: Reference
    targets: Array
    prior: Array
    """Parameters that leave the probabilities what they are."""
    basis: Array
    penalty: Array
    """Of each free direction ``(f,)``."""
    few: bool

    @classmethod
    def of(cls, design: list[Array], reference: Reference, family: Family) -> "_Rows":
        return cls(design, reference, reference.marks, family.prior, family.basis, family.penalty, family.few)

    def maximum(self) -> Array:
        """The parameters under which the targets are likeliest, penalty considered."""
        free = np.zeros(self.basis.shape[1])
        theta = self.prior
        for _ in range(STEPS if len(free) else 0):
            shares = _shares(self.design, theta)
            off = (shares - self.targets) * self.reference.weights[:, None]
            gradient = np.concatenate([part.T @ off[:, c] for c, part in enumerate(self.design)])
            step = np.linalg.solve(self._bend(shares), self.basis.T @ gradient + self.penalty * free)
            largest = float(np.abs(step).max())
            free = free - step * min(1.0, LONGEST / max(largest, SMALL))
            theta = self.prior + self.basis @ free
            if largest < SMALL:
                break
        return theta

    def root(self, theta: Array) -> Array:
        """A root of the covariance of ``theta``; of few rows the model itself says how they vary."""
        if not self.basis.shape[1]:
            return np.zeros((len(theta), 0))
        shares = _shares(self.design, theta)
        covariance = inverse = np.linalg.inv(self._bend(shares))
        if not self.few:
            off = (shares - self.reference.marks) * np.sqrt(self.reference.squares)[:, None]
            each = self._scaled(off) @ self.basis
            covariance = inverse @ (each.T @ each) @ inverse
        sizes, directions = np.linalg.eigh((covariance + covariance.T) / 2)
        return np.asarray(self.basis @ (WIDER * directions * np.sqrt(np.maximum(sizes, 0.0))))

    def _bend(self, shares: Array) -> Array:
        """Second derivatives of the penalised likelihood along the free directions, with the sign that makes them positive.

        A matrix times its own transpose is half the work of two different ones, so roots of the weights go to both sides.
        """
        weights = self.reference.weights[:, None]
        every = self._scaled(shares * np.sqrt(weights))
        found = -(every.T @ every)
        roots, first = np.sqrt(shares * weights), 0
        for c, part in enumerate(self.design):
            own, last = part * roots[:, c, None], first + part.shape[1]
            found[first:last, first:last] += own.T @ own
            first = last
        return np.asarray(self.basis.T @ found @ self.basis + np.diag(self.penalty))

    def _scaled(self, factors: Array) -> Array:
        """All parts of the design side by side ``(n, t)``, each times the ``factors`` ``(n, k)`` of its class."""
        return np.concatenate([part * factors[:, c, None] for c, part in enumerate(self.design)], axis=1)


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
