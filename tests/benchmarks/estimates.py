"""``python tests/benchmarks/estimates.py``: estimates of performance without labels, held against the truth on fresh seeds.

Worlds of known covariate shift: inputs move, what they mean stays; the estimate sees the scores alone. Each run draws a reference, learns nothing but its calibration,
and estimates a window; the realised metrics are then counted. The table of docs/reports.md is what this prints. Its seeds start at
``FIRST``, far from those that tests and choices were made with; they are not looked at to choose anything.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from headrace_jobs.performance.calibration import Reference
from headrace_jobs.performance.cbpe import Known
from headrace_jobs.performance.counting import known_classes
from headrace_jobs.performance.estimate import Estimate
from headrace_jobs.performance.estimators import drawing, estimate_classes
from headrace_jobs.performance.likeness import like_window
from headrace_jobs.performance.multiclass import Answers
from headrace_jobs.performance.scores import count

FIRST = 900_000
WIDTH = 5
"""Inputs of each world."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Given probabilities ``(n, k)``, k is 1 for two classes, and the class of each row ``(n,)``."""

    probabilities: np.ndarray
    actual: np.ndarray

    @property
    def binary(self) -> bool:
        return self.probabilities.shape[1] == 1

    @property
    def answered(self) -> np.ndarray:
        if self.binary:
            return np.asarray(self.probabilities >= 0.5)
        return self.probabilities.argmax(axis=1)[:, None] == np.arange(self.probabilities.shape[1])

    def known(self) -> Known:
        return known_classes(self.probabilities, self.answered, self.actual, binary=self.binary)


World = Callable[[np.random.Generator, int, float], Rows]


def _two(p: np.ndarray, truth: np.ndarray, random: np.random.Generator) -> Rows:
    return Rows(p[:, None], (random.random(len(p)) < truth).astype(int))


def _many(p: np.ndarray, truth: np.ndarray, random: np.random.Generator) -> Rows:
    actual = (random.random(len(p))[:, None] > truth.cumsum(axis=1)).sum(axis=1).clip(0, p.shape[1] - 1)
    return Rows(p, actual)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def _softmax(x: np.ndarray) -> np.ndarray:
    odds = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def overconfident(random: np.random.Generator, rows: int, shift: float) -> Rows:
    """A logistic world, and a model that is surer than it should be."""
    x = random.normal(size=(rows, WIDTH)) + shift * np.array([1.0, 0.5, 0, 0, 0])
    raw = x @ np.array([1.2, -0.7, 0.5, 0.3, 0.0]) - 0.3
    return _two(_sigmoid(1.8 * raw + 0.3), _sigmoid(raw), random)


def bent(random: np.random.Generator, rows: int, shift: float) -> Rows:
    """A world that bends, and a model whose scores are another monotone function of the truth."""
    x = random.normal(shift, 1, rows)
    truth = _sigmoid(1.5 * np.sinh(x / 1.5) - 0.5)
    return _two(np.clip(truth**1.7, 1e-6, 1 - 1e-6), truth, random)


def rare(random: np.random.Generator, rows: int, shift: float) -> Rows:
    """One row in twelve is positive, more with the shift."""
    x = random.normal(size=(rows, 2)) + np.array([shift, 0.0])
    raw = 1.5 * x[:, 0] + 0.5 * x[:, 1] - 3.5
    return _two(_sigmoid(0.7 * raw), _sigmoid(raw), random)


def three(random: np.random.Generator, rows: int, shift: float) -> Rows:
    """Three classes; a score of one against the others is no sufficient statistic."""
    truth = _softmax(1.2 * random.normal(size=(rows, 3)) + np.array([shift, 0.0, -0.5]))
    return _many(_softmax(1.4 * np.log(truth)), truth, random)


def hedging(random: np.random.Generator, rows: int, shift: float) -> Rows:
    """Three classes, and a model that is too sure but for a share of its answer that is the same for all classes."""
    x = random.normal(size=(rows, 4)) + shift * np.array([1.0, 0.5, 0, 0])
    parts = np.array([[1.0, -0.6, 0.2], [0.4, 0.8, -0.9], [-0.5, 0.3, 0.7], [0.2, -0.4, 0.5]])
    truth = _softmax(1.3 * x @ parts + np.array([0, 0.3, -0.4]))
    return _many(0.85 * _softmax(1.6 * np.log(truth)) + 0.05, truth, random)


def coarse(random: np.random.Generator, rows: int, shift: float) -> Rows:
    """Three classes, and a model that knows its inputs in steps alone, as a tree does."""
    x = random.normal(size=(rows, 2)) + shift * np.array([1.0, 0.5])

    def share(x: np.ndarray) -> np.ndarray:
        return _softmax(1.5 * np.stack((x[:, 0], x[:, 1], -0.5 * x[:, 0]), axis=1))

    return _many(0.95 * share(np.round(1.5 * x).clip(-3, 3) / 1.5) + 0.05 / 3, share(x), random)


def five(random: np.random.Generator, rows: int, shift: float) -> Rows:
    """Five classes, one of them rare, and a model that is too sure of some and not sure enough of others."""
    x = random.normal(size=(rows, 3)) + shift * np.array([1.0, 0.5, 0])
    parts = np.array([[1.0, -0.6, 0.2, 0.5, -1.0], [0.4, 0.8, -0.9, -0.3, 0.0], [-0.5, 0.3, 0.7, 0.1, -0.6]])
    truth = _softmax(1.3 * x @ parts + np.array([0, 0.3, -0.4, 0.2, -1.2]))
    return _many(_softmax(np.log(truth) * np.array([1.5, 1.0, 1.3, 0.8, 1.2])), truth, random)


WORLDS: dict[str, World] = {
    "overconfident": overconfident, "bent": bent, "rare": rare,
    "three classes": three, "hedging": hedging, "coarse": coarse, "five classes": five,
}  # fmt: skip


def estimated(reference: Rows, window: Rows, seed: int) -> Mapping[str, Estimate]:
    """What the job makes of a reference and a window."""
    answers = Answers(window.probabilities, window.answered, len(window.actual))
    scores = count(window.probabilities, window.answered) if window.binary else None
    rows = Reference.of(reference.probabilities, reference.answered, reference.actual)
    like = partial(like_window, rows, reference.probabilities, answers, window.probabilities)
    return estimate_classes(rows, drawing(answers, scores, seed), like).estimates


def study(world: World, runs: int, reference: int, window: int, first: int) -> dict[str, tuple[float, float, float]]:
    """By metric: mean absolute error of the estimate, of "same as reference", and the share of intervals that held."""
    found: dict[str, list[tuple[float, float, bool]]] = defaultdict(list)
    for seed in range(first, first + runs):
        random = np.random.default_rng(seed)
        before = world(random, reference, 0.0)
        now = world(random, window, float(random.uniform(-1, 1)))
        same, realised = before.known().metrics(), now.known().metrics()
        for name, estimate in estimated(before, now, seed).items():
            held = estimate.low <= realised[name] <= estimate.high
            found[name].append((abs(estimate.value - realised[name]), abs(same[name] - realised[name]), held))
    return {
        name: tuple(float(v) for v in np.mean(np.array(rows, np.float64), axis=0))  # type: ignore[misc]
        for name, rows in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="of each world and size (default: %(default)s)")
    parser.add_argument("--world", choices=WORLDS, action="append", help="these only (default: all)")
    parser.add_argument("--first", type=int, default=FIRST, help="first seed (default: %(default)s)")
    options = parser.parse_args()
    print("| world | reference, window | metric | error of the estimate | of same as reference | interval held |")
    print("|---|---|---|---|---|---|")
    for reference, window in ((1000, 500), (5000, 5000)):
        for name in options.world or WORLDS:
            for metric, (ours, theirs, held) in study(
                WORLDS[name], options.runs, reference, window, options.first
            ).items():
                sizes = f"{reference:,}, {window:,}"
                print(f"| {name} | {sizes} | `{metric}` | {ours:.4f} | {theirs:.4f} | {held:.1%} |", flush=True)


if __name__ == "__main__":
    main()
