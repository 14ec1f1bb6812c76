"""``python tests/benchmarks/outlier_choice.py``: the detector that is chosen without labels, held against the best by the labels.

Sets with true outliers: bundled ones of which a class is not learnt, and drawn ones. Each is split anew: half of the ordinary rows are learnt,
the other half and the outliers are told apart. ``AUC`` is the area under the ROC curve of each candidate and of the one that is taken.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn import datasets

from headrace_jobs.outliers.candidates import CANDIDATES
from headrace_jobs.outliers.engines import NATIVE
from headrace_jobs.outliers.scorer import FieldCode
from headrace_jobs.outliers.training import fit
from headrace_jobs.statistics.ranks import area

FIRST = 9_400_000
Set = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]
"""Ordinary rows and outliers."""


def unseen(load: Callable[..., Any], label: int) -> Set:
    def rows(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x, y = load(return_X_y=True)
        return x[y != label], x[y == label]

    return rows


def alone(load: Callable[..., Any], label: int) -> Set:
    """One class is ordinary."""

    def rows(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x, y = load(return_X_y=True)
        return x[y == label], x[y != label]

    return rows


def clusters(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Seven clusters of unequal spread in eight dimensions, and rows between them."""
    centres, spread = random.uniform(-6, 6, (7, 8)), random.uniform(0.3, 1.2, 7)
    place = random.integers(0, 7, 4000)
    x = centres[place] + random.normal(size=(4000, 8)) * spread[place, None]
    return x, random.uniform(-6, 6, (300, 8))


def crescents(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two crescents, and rows off them."""
    x, _ = datasets.make_moons(4000, noise=0.05, random_state=int(random.integers(2**31)))
    off = random.uniform((-1.2, -0.7), (2.2, 1.2), (600, 2))
    near = np.sqrt(((off[:, None] - x[None]) ** 2).sum(axis=2)).min(axis=1)
    return x, off[near > 0.15]


def roll(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A rolled sheet, and rows between its windings."""
    x, _ = datasets.make_swiss_roll(4000, noise=0.3, random_state=int(random.integers(2**31)))
    return x, random.uniform(x.min(axis=0), x.max(axis=0), (400, 3))


def correlated(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sixty columns of ten causes, and rows whose columns do not go together."""
    mix = random.normal(size=(10, 60))
    x, other = (random.normal(size=(n, 10)) @ mix + 0.5 * random.normal(size=(n, 60)) for n in (4000, 4000))
    return x, random.permuted(other, axis=0)[:300]


def large(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A large table of skewed columns, some of them counts, and rows that are extreme in a few of these."""
    x = np.exp(random.normal(size=(40_000, 12)) * random.uniform(0.3, 1.2, 12))
    x[:, 6:] = random.poisson(2 * x[:, 6:])
    far = x[:800].copy()
    some = random.random(far.shape) < 0.25
    some[np.arange(800), random.integers(0, 12, 800)] = True
    return x[800:], np.where(some, (far + 1) * random.uniform(6, 30, far.shape), far)


def mixed(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Four numbers, and four categories as surprisals: rows of rare categories and numbers in the tails."""
    weights = 0.5 ** np.arange(1, 9)
    weights /= weights.sum()
    x = np.column_stack((random.normal(size=(5000, 4)), -np.log(weights)[random.choice(8, (5000, 4), p=weights)]))
    odd = np.column_stack((random.normal(size=(300, 4)) * 1.8, -np.log(weights)[random.integers(2, 8, (300, 4))]))
    return x, odd


def spread(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Heavy tails in six columns that go together, and rows at another place of the plane."""
    x = random.standard_t(4, (6000, 6)) @ (np.eye(6) + 0.5)
    return x, random.normal(size=(300, 6)) * 3 + random.choice((-6, 6), (300, 6))


SETS: dict[str, Set] = {
    **{f"digits, {d} unseen": unseen(datasets.load_digits, d) for d in (1, 2, 5, 6, 8)},
    "breast cancer, malignant": alone(datasets.load_breast_cancer, 1),
    **{f"wine, {c} unseen": unseen(datasets.load_wine, c) for c in (1,)},
    "iris, virginica alone": alone(datasets.load_iris, 2),
    "clusters": clusters,
    "crescents": crescents,
    "roll": roll,
    "correlated, 60 columns": correlated,
    "large, skewed": large,
    "mixed categories": mixed,
    "heavy tails": spread,
}


def columns(matrix: np.ndarray) -> dict[str, list[np.ndarray]]:
    return {f"f{i}": [column] for i, column in enumerate(matrix.T.astype(np.float64))}


def areas(rows: Set, seed: int) -> tuple[str, dict[str, float], float]:
    """The candidate that was taken, the area of each, and of the one taken."""
    random = np.random.default_rng(seed)
    ordinary, odd = rows(random)
    order = random.permutation(len(ordinary))
    known, new = ordinary[order[: len(order) // 2]], ordinary[order[len(order) // 2 :]]
    codes = [FieldCode(f"f{i}", "number", 1, 0.0, 7.0, {}, 0.0) for i in range(known.shape[1])]
    taken = fit(codes, columns(known)).detector
    ours, theirs = (taken.encoding.matrix(columns(x)) for x in (new, odd))
    found = {}
    for name, fitting in CANDIDATES.items():  # each fitted to the same rows
        only = fit(codes, columns(known), engine=replace(NATIVE, candidates={name: fitting})).detector
        found[name] = area(only.scores(ours), only.scores(theirs))
    return taken.method, found, area(taken.scores(ours), taken.scores(theirs))


def lines(runs: int, first: int) -> Iterator[str]:
    yield (
        "| set | "
        + " | ".join(CANDIDATES)
        + " | taken | its AUC | below the best |\n|---|"
        + "---|" * (len(CANDIDATES) + 3)
    )
    below = []
    for name, rows in SETS.items():
        found = [areas(rows, seed) for seed in range(first, first + runs)]
        each = {c: float(np.mean([a[c] for _, a, _ in found])) for c in CANDIDATES}
        ours, taken = float(np.mean([a for _, _, a in found])), sorted({t for t, _, _ in found})
        below.append(max(each.values()) - ours)
        figures = " | ".join(f"{a:.3f}" for a in each.values())
        yield f"| {name} | {figures} | {', '.join(taken)} | {ours:.3f} | {below[-1]:.3f} |"
    yield f"\n{sum(b <= 0.005 for b in below)} of {len(below)} sets within 0.005 of the best, at most {max(below):.3f} below"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="of each set (default: %(default)s)")
    parser.add_argument("--first", type=int, default=FIRST, help="first seed (default: %(default)s)")
    options = parser.parse_args()
    started = time.monotonic()
    for line in lines(options.runs, options.first):
        print(line, flush=True)
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
