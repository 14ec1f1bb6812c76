"""Families of calibrations: what the logit of a class may depend on, from nothing at all to a bent curve of all probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.performance.scores import LIMIT

ENOUGH = 100
"""Rows of the class, and rows of the others, that a bend is learnt from; with fewer its curve is straight (Platt 1999)."""
CROSSED = 10
"""Rows for each parameter from which on a class's logit may depend on the probabilities of all classes."""
REACH = 9.21
"""Logits and logarithms from which on a probability is next to certain (0.9999): scores beyond are a cell of their own."""
KNOTS = (0.05, 0.275, 0.5, 0.725, 0.95)
"""Knots of the spline, as shares of the reference rows below (Harrell 2001)."""
RIDGE = 0.3
"""Penalty of bends, steps and of other classes' parts, in units of rows: it decides where rows do not."""
FAINT = 0.01  # penalty of slopes and constants, which keeps them finite where classes do not overlap

Ranks = tuple[Array, Array]
"""Scores of the reference, ascending, and their normal scores."""

CONSTANT, SCORE, ANSWERED, BOTH, PROBABILITY, ENDS, SPLINE, OTHERS = (
    "constant", "score", "answered", "both", "probability", "ends", "spline", "others",
)  # fmt: skip
WIDTH = {SPLINE: len(KNOTS) - 1, ENDS: 4}


@dataclass(frozen=True, slots=True)
class Family:
    """``own`` columns have a parameter for each class, ``shared`` ones the same for all; ``ranks`` is there where there are splines."""

    name: str
    classes: int
    """Of several; 1 for two."""
    own: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    ranks: tuple[Ranks, ...] = ()
    few: bool = False
    """Whether rows are so few that slopes and constants are drawn to what the model gives too."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of a class's part of the design, the score among them always."""
        return tuple(dict.fromkeys((SCORE, *self.own, *self.shared)))

    def design(self, probabilities: Array, answered: Array) -> list[Array]:
        """Columns ``(n, t)`` of each class at rows ``(n, k)``."""
        with np.errstate(divide="ignore"):
            logs = np.log(probabilities)
            rest = np.log1p(-probabilities)
        raw = logs - rest if self.classes == 1 else logs
        scores = np.clip(raw, -REACH, REACH)
        return [
            np.concatenate([self._column(name, place, answered, scores, logs, rest) for name in self.columns], axis=1)
            for place in range(self.classes)
        ]

    def _column(self, name: str, place: int, answered: Array, scores: Array, logs: Array, rest: Array) -> Array:
        """One column, or a few ``(n, t)``, of the class at a ``place``; ``logs`` and ``rest`` are logarithms of ``p`` and ``1 - p``."""
        if name == OTHERS:
            return np.delete(scores, place, axis=1)
        if name == SPLINE:
            return _spline(np.interp(scores[:, place], *self.ranks[place]))
        if name == ENDS:
            return _ends(logs[:, place], rest[:, place])
        made = {
            CONSTANT: np.ones(len(scores)),
            SCORE: scores[:, place],
            ANSWERED: answered[:, place].astype(np.float64),
            BOTH: np.maximum(logs[:, place] + rest[:, place], -REACH),
            PROBABILITY: np.exp(logs[:, place]),
        }
        return np.asarray(made[name])[:, None]

    def _width(self, name: str) -> int:
        return self.classes - 1 if name == OTHERS else WIDTH.get(name, 1)

    @property
    def places(self) -> dict[str, slice]:
        """Where each column stands in the part of a class."""
        ends = np.cumsum([0, *(self._width(name) for name in self.columns)])
        return {name: slice(int(ends[i]), int(ends[i + 1])) for i, name in enumerate(self.columns)}

    @property
    def prior(self) -> Array:
        """Parameters ``(t,)`` that leave the probabilities what they are."""
        own = np.zeros(sum(self._width(name) for name in self.columns))
        own[self.places[SCORE]] = 1.0
        return np.tile(own, self.classes)

    @property
    def basis(self) -> Array:
        """The directions ``(t, f)`` in which the parameters are free."""
        width, places = len(self.prior) // self.classes, self.places
        every = range(self.classes)
        free = [[c * width + at] for name in self.own for c in every for at in range(width)[places[name]]]
        free += [[c * width + at for c in every] for name in self.shared for at in range(width)[places[name]]]
        found = np.zeros((width * self.classes, len(free)))
        for i, rows in enumerate(free):
            found[rows, i] = 1.0
        return found

    @property
    def penalty(self) -> Array:
        """Of each free direction ``(f,)``."""
        each = [(name, self._width(name) * self.classes) for name in self.own]
        each += [(name, self._width(name)) for name in self.shared]
        weak = () if self.few else (CONSTANT, SCORE)
        return np.array([FAINT if name in weak else RIDGE for name, count in each for _ in range(count)])


def candidates(probabilities: Array, weights: Array, counts: Array) -> Sequence[Family]:
    """Families for the rows ``(n, k)`` by growing wealth; ``counts`` are of the classes, two or more."""
    k = probabilities.shape[1]
    own = counts[1:] if k == 1 else counts
    few = bool((np.minimum(own, counts.sum() - own) < ENOUGH).any())
    if k == 1:
        plain = (CONSTANT, SCORE, ANSWERED)
        simple = [Family("given", 1), Family("straight", 1, (CONSTANT, SCORE), few=few)]
        if few:
            return simple
        ranks = _ranks(probabilities, weights)
        return [
            *simple,
            Family("beta", 1, (*plain, BOTH)),
            Family("cells", 1, (*plain, PROBABILITY, ENDS)),
            Family("spline", 1, (*plain, PROBABILITY, ENDS, SPLINE), ranks=ranks),
        ]
    simple = [
        Family("given", k),
        Family("tempered", k, (), (SCORE, ANSWERED)),
        Family("vector", k, (CONSTANT,), (SCORE, ANSWERED, ENDS), few=few),
    ]
    if few:
        return simple
    ranks = _ranks(probabilities, weights)
    found = [
        *simple,
        Family("straight", k, (CONSTANT, SCORE, ANSWERED), (ENDS,)),
        Family("spline", k, (CONSTANT, SCORE, ANSWERED, SPLINE), (ENDS,), ranks),
    ]
    crossed = Family("crossed", k, (CONSTANT, SCORE, ANSWERED, SPLINE, OTHERS), (ENDS,), ranks)
    if counts.sum() >= CROSSED * crossed.basis.shape[1]:
        found.append(crossed)
    return found


def _ranks(probabilities: Array, weights: Array) -> tuple[Ranks, ...]:
    with np.errstate(divide="ignore"):
        scores = np.log(probabilities)
        if probabilities.shape[1] == 1:
            scores = scores - np.log1p(-probabilities)
    return tuple(_rank(column, weights) for column in np.clip(scores, -REACH, REACH).T)


def _rank(scores: Array, weights: Array) -> Ranks:
    points, place = np.unique(scores, return_inverse=True)
    met = np.bincount(place, weights)
    middle = (np.cumsum(met) - met / 2) / met.sum()  # ties share the mean rank
    return points, _special().ndtri(middle)


def _ends(logs: Array, rest: Array) -> Array:
    """Columns ``(n, 4)``: whether a probability is next to 0, and how much nearer than ``REACH``; the same of 1."""
    parts = []
    for end in (logs, rest):
        beyond = np.maximum(-REACH - end, 0.0) / REACH
        parts += [(beyond > 0).astype(np.float64), np.minimum(beyond, LIMIT / REACH - 1)]
    return np.stack(parts, axis=1)


def _spline(x: Array) -> Array:
    """Columns ``(n, 4)`` of a natural cubic spline of normal scores; Harrell's scale."""
    knots = _special().ndtri(np.array(KNOTS))
    beyond = np.maximum(x - knots[:, None], 0.0)
    bent = beyond * beyond * beyond  # a power takes twenty times as long
    curves = (bent[:-1] - bent[-1]) / (knots[-1] - knots[:-1, None])
    return np.column_stack([x, *((curves[:-1] - curves[-1]) / (knots[-1] - knots[0]) ** 2)])


def _special() -> Any:
    from scipy import special  # takes a while to import; an explanation does without

    return special
