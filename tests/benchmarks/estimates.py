"""``python tests/benchmarks/estimates.py``: estimates of performance without labels, held against the truth on fresh seeds.

Worlds of known covariate shift: inputs move, what they mean stays. Each run draws a reference, learns nothing but its calibration,
and estimates a window; the realised metrics are then counted. The table of docs/reports.md is what this prints. Its seeds start at
``FIRST``, far from those that tests and choices were made with; they are not looked at to choose anything.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable

import numpy as np

from headrace_jobs.performance import cbpe
from headrace_jobs.performance.counting import known_classes

FIRST = 700_000
WIDTH = 5
"""Inputs of each world."""

World = Callable[[np.random.Generator, int, float], cbpe.Known]


def _known(p: np.ndarray, truth: np.ndarray, random: np.random.Generator) -> cbpe.Known:
    return known_classes(p[:, None], (p >= 0.5)[:, None], (random.random(len(p)) < truth).astype(int), binary=True)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def overconfident(random: np.random.Generator, rows: int, shift: float) -> cbpe.Known:
    """A logistic world, and a model that is surer than it should be."""
    x = random.normal(size=(rows, WIDTH)) + shift * np.array([1.0, 0.5, 0, 0, 0])
    raw = x @ np.array([1.2, -0.7, 0.5, 0.3, 0.0]) - 0.3
    return _known(_sigmoid(1.8 * raw + 0.3), _sigmoid(raw), random)


def bent(random: np.random.Generator, rows: int, shift: float) -> cbpe.Known:
    """A world that bends, and a model whose scores are another monotone function of the truth."""
    x = random.normal(shift, 1, rows)
    truth = _sigmoid(1.5 * np.sinh(x / 1.5) - 0.5)
    return _known(np.clip(truth**1.7, 1e-6, 1 - 1e-6), truth, random)


def rare(random: np.random.Generator, rows: int, shift: float) -> cbpe.Known:
    """One row in twelve is positive, more with the shift."""
    x = random.normal(size=(rows, 2)) + np.array([shift, 0.0])
    raw = 1.5 * x[:, 0] + 0.5 * x[:, 1] - 3.5
    return _known(_sigmoid(0.7 * raw), _sigmoid(raw), random)


def three(random: np.random.Generator, rows: int, shift: float) -> cbpe.Known:
    """Three classes; a score of one against the others is no sufficient statistic."""
    logits = 1.2 * random.normal(size=(rows, 3)) + np.array([shift, 0.0, -0.5])
    truth = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    actual = (random.random(rows)[:, None] > truth.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    p = truth**1.4 / (truth**1.4).sum(axis=1, keepdims=True)
    return known_classes(p, p.argmax(axis=1)[:, None] == np.arange(3), actual, binary=False)


WORLDS: dict[str, World] = {"overconfident": overconfident, "bent": bent, "rare": rare, "three classes": three}


def study(world: World, runs: int, reference: int, window: int, first: int) -> dict[str, tuple[float, float, float]]:
    """By metric: mean absolute error of the estimate, of "same as reference", and the share of intervals that held."""
    found: dict[str, list[tuple[float, float, bool]]] = defaultdict(list)
    for seed in range(first, first + runs):
        random = np.random.default_rng(seed)
        known = world(random, reference, 0.0)
        now = world(random, window, float(random.uniform(-1, 1)))
        before, realised = known.metrics(), now.metrics()
        for name, estimate in cbpe.estimate(known, now.positives + now.negatives, seed).items():
            held = estimate.low <= realised[name] <= estimate.high
            found[name].append((abs(estimate.value - realised[name]), abs(before[name] - realised[name]), held))
    return {
        name: tuple(float(v) for v in np.mean(np.array(rows, np.float64), axis=0))  # type: ignore[misc]
        for name, rows in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="of each world and size (default: %(default)s)")
    parser.add_argument("--first", type=int, default=FIRST, help="first seed (default: %(default)s)")
    options = parser.parse_args()
    print("| world | reference, window | metric | error of the estimate | of same as reference | interval held |")
    print("|---|---|---|---|---|---|")
    for reference, window in ((1000, 500), (5000, 5000)):
        for name, world in WORLDS.items():
            for metric, (ours, theirs, held) in study(world, options.runs, reference, window, options.first).items():
                sizes = f"{reference:,}, {window:,}"
                print(f"| {name} | {sizes} | `{metric}` | {ours:.4f} | {theirs:.4f} | {held:.1%} |", flush=True)


if __name__ == "__main__":
    main()
