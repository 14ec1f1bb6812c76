"""``python tests/benchmarks/anchors.py``: rules of rows of usual models, held against 20,000 rows that nobody has seen.

Each set is drawn anew: 3000 rows to train on (of which the background is 1000), 24 rows to explain, and 20,000 to hold the rules against. What is stated
of a rule holds where the model gives the row's answer to at least so many of the rows under it.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier

from headrace_jobs.explain.anchors import BUDGET, Anchor, Background, anchor
from headrace_jobs.explain.predicates import fulfils

FIRST = 8_100_000
TRAINING, BACKGROUND, EXPLAINED, UNSEEN = 3000, 1000, 24, 20_000
ROWS = TRAINING + EXPLAINED + UNSEEN

Make = Callable[[int], tuple[np.ndarray, np.ndarray]]


def drawn(make: Callable[..., Any], **options: Any) -> Make:
    return lambda seed: make(n_samples=ROWS, random_state=seed, **options)


SETS: dict[str, tuple[Make, Callable[[], Any]]] = {
    "hastie, forest": (drawn(datasets.make_hastie_10_2), lambda: RandomForestClassifier(40, n_jobs=1)),
    "moons, nearest neighbours": (drawn(datasets.make_moons, noise=0.3), lambda: KNeighborsClassifier(9)),
    "informative 12, boosted trees": (
        drawn(datasets.make_classification, n_features=12, n_informative=8, flip_y=0.05),
        lambda: HistGradientBoostingClassifier(max_iter=60),
    ),
    "informative 20 of four classes, network": (
        drawn(datasets.make_classification, n_features=20, n_informative=8, n_classes=4),
        lambda: MLPClassifier((30,), max_iter=60),
    ),
    "rare class, logistic": (
        drawn(datasets.make_classification, n_features=8, n_informative=5, weights=[0.9]),
        lambda: LogisticRegression(max_iter=500),
    ),
    "quantiles of three classes, forest": (
        drawn(datasets.make_gaussian_quantiles, n_features=5, n_classes=3),
        lambda: RandomForestClassifier(40),
    ),
}


def held(found: Anchor, row: np.ndarray, unseen: np.ndarray, same: np.ndarray) -> float:
    """The share of unseen rows under the rule that have the answer; NaN where there are fewer than 20."""
    assert all(fulfils(p, row[None, p.feature])[0] for p in found.predicates)
    under = np.ones(len(unseen), bool)
    for p in found.predicates:
        under &= fulfils(p, unseen[:, p.feature])
    return float(same[under].mean()) if under.sum() >= 20 else np.nan


def rules(name: str, seed: int) -> list[tuple[Anchor, float]]:
    make, model = SETS[name]
    x, y = make(seed)
    fitted = model()
    fitted = fitted.set_params(**{k: seed for k in fitted.get_params() if k == "random_state"}).fit(
        x[:TRAINING], y[:TRAINING]
    )
    known, unseen = x[:BACKGROUND], x[TRAINING + EXPLAINED :]
    answers, later = fitted.predict(known), fitted.predict(unseen)
    found = []
    for row in x[TRAINING : TRAINING + EXPLAINED]:
        own = fitted.predict(row[None])[0]

        def same(rows: np.ndarray, own: Any = own) -> np.ndarray:
            return np.asarray(fitted.predict(rows.astype(np.float64)) == own)

        background = Background(known.astype(object), answers == own, x[BACKGROUND:TRAINING].astype(object))
        one = anchor(same, row.astype(object), background, budget=BUDGET - BACKGROUND - 1)
        found.append((one, held(one, row.astype(object), unseen, later == own)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2, help="of each set (default: %(default)s)")
    parser.add_argument("--first", type=int, default=FIRST, help="first seed (default: %(default)s)")
    options = parser.parse_args()
    started = time.monotonic()
    print(
        "| set, model | rules | sound | of them ≥ 0.90 on unseen rows | stated bound holds | mean stated, bound, met | coverage | asked, median and most | ended by the budget |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    every: list[tuple[Anchor, float]] = []
    for name in SETS:
        found = [one for seed in range(options.first, options.first + options.runs) for one in rules(name, seed)]
        every += found
        print(f"| {name} | {said(found)} |", flush=True)
    print(f"| all | {said(every)} |\n\n{time.monotonic() - started:.0f} s")


def said(found: list[tuple[Anchor, float]]) -> str:
    known = [(a, met) for a, met in found if np.isfinite(met)]
    sound = [(a, met) for a, met in known if a.precision_low >= 0.9]
    high = np.mean([met >= 0.9 for _, met in sound]) if sound else np.nan
    holds = np.mean([met >= a.precision_low for a, met in known])
    means = [
        np.mean(x)
        for x in ([a.precision for a, _ in known], [a.precision_low for a, _ in known], [m for _, m in known])
    ]
    asked, coverage = [a.asked for a, _ in found], np.mean([a.coverage for a, _ in found])
    spent = sum(a.spent and a.precision_low < 0.9 for a, _ in found)
    return (
        f"{len(found)} | {len(sound)} | {high:.0%} | {holds:.0%} | {means[0]:.3f}, {means[1]:.3f}, {means[2]:.3f} | {coverage:.0%} | "
        f"{np.median(asked):.0f}, {max(asked)} | {spent}"
    )


if __name__ == "__main__":
    main()
