"""``python tests/benchmarks/estimate_models.py``: estimates without labels of usual models on data sets that nothing was tuned to.

Each run splits or draws a data set anew, trains a model, keeps a reference of rows that the model has not seen, and estimates a window:
one of the same population and one of another mix of the same rows (covariate shift: rows are kept by a feature). The realised metrics are
then counted. Beside the estimate stands "same as reference". The tables of docs/reports.md are what this prints; its seeds start at
``FIRST``, far from those that choices were made with. ``--rows FOLDER`` writes the rows of each run for a peer to estimate.
"""

import argparse
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.ensemble import (
    AdaBoostClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from headrace_jobs.performance.counting import known_classes
from headrace_jobs.performance.estimators import Side, of_classes, of_numbers
from headrace_jobs.performance.metrics import Errors

FIRST = 7_300_000
Rows = tuple[np.ndarray, np.ndarray]


def drawn(make: Callable[..., Rows], rows: int = 15_000, **options: Any) -> Callable[[int], Rows]:
    return lambda seed: make(n_samples=rows, random_state=seed, **options)


def bundled(
    load: Callable[..., Any], target: Callable[[np.ndarray], np.ndarray] = lambda y: y
) -> Callable[[int], Rows]:
    """A bundled set in another order for each seed."""

    def rows(seed: int) -> Rows:
        x, y = load(return_X_y=True)
        order = np.random.default_rng(seed).permutation(len(y))
        return np.asarray(x, np.float64)[order], target(y)[order]

    return rows


def saturated(seed: int) -> Rows:
    """Two classes: one row in seven lies where a model is certain, and one in thirty of these is of the other class."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(15_000, 6))
    logit = 1.4 * x[:, 0] - x[:, 1] + 0.7 * x[:, 2] * x[:, 3]
    sure = random.random(len(x)) < 0.14
    x[:, 4] = np.where(sure, np.sign(logit) * random.uniform(6, 9, len(x)), x[:, 4])
    y = random.random(len(x)) < 1 / (1 + np.exp(-logit))
    y = np.where(sure, (x[:, 4] > 0) ^ (random.random(len(x)) < 0.028), y)
    return x, y.astype(int)


def skewed(seed: int) -> Rows:
    """Numbers whose errors are skewed and grow with an input (log-normal)."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(15_000, 5))
    return x, np.exp(0.6 * x[:, 0] + 0.3 * x[:, 1]) * random.lognormal(0, 0.5 + 0.2 * (x[:, 2] > 0), 15_000) * 20


def heavy(seed: int) -> Rows:
    """Numbers whose errors have heavy tails (Student's t with 4 degrees of freedom)."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(15_000, 5))
    return x, 10 * x[:, 0] + 5 * np.sin(3 * x[:, 1]) + 6 * random.standard_t(4, 15_000) * (1 + (x[:, 2] > 1))


CLASSES: dict[str, tuple[Callable[[int], Rows], Callable[[], Any]]] = {
    "saturated, boosted trees": (saturated, lambda: HistGradientBoostingClassifier(max_iter=150)),
    "saturated, forest": (saturated, lambda: RandomForestClassifier(60)),
    "saturated, network that knows its rows by heart": (
        saturated,
        lambda: make_pipeline(StandardScaler(), MLPClassifier((40,), alpha=0, learning_rate_init=0.01, max_iter=150)),
    ),
    "moons, naive Bayes": (drawn(datasets.make_moons, noise=0.35), GaussianNB),
    "hastie, boosted trees": (drawn(datasets.make_hastie_10_2), lambda: HistGradientBoostingClassifier(max_iter=80)),
    "hastie, forest": (drawn(datasets.make_hastie_10_2), lambda: RandomForestClassifier(60)),
    "informative 12, naive Bayes": (
        drawn(datasets.make_classification, n_features=12, n_informative=6, n_redundant=4, flip_y=0.1),
        GaussianNB,
    ),
    "rare class, logistic": (
        drawn(datasets.make_classification, n_features=8, n_informative=5, weights=[0.93], flip_y=0.03),
        lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    ),
    "circles, nearest neighbours": (
        drawn(datasets.make_circles, noise=0.25, factor=0.5),
        lambda: KNeighborsClassifier(15),
    ),
    "informative 12, network": (
        drawn(datasets.make_classification, n_features=12, n_informative=8, flip_y=0.05),
        lambda: make_pipeline(StandardScaler(), MLPClassifier((20,), max_iter=80)),
    ),
    "informative 12, AdaBoost": (
        drawn(datasets.make_classification, n_features=12, n_informative=8, flip_y=0.05),
        lambda: AdaBoostClassifier(n_estimators=40),
    ),
    "digits odd, naive Bayes": (bundled(datasets.load_digits, lambda y: y % 2), GaussianNB),
    "breast cancer, forest": (bundled(datasets.load_breast_cancer), lambda: RandomForestClassifier(60)),
    "digits, naive Bayes (10 classes)": (bundled(datasets.load_digits), GaussianNB),
    "digits, forest (10 classes)": (bundled(datasets.load_digits), lambda: RandomForestClassifier(60)),
    "informative 12, boosted trees (4 classes)": (
        drawn(datasets.make_classification, n_features=12, n_informative=8, n_classes=4, flip_y=0.05),
        lambda: HistGradientBoostingClassifier(max_iter=40),
    ),
    "gaussian quantiles, naive Bayes (3 classes)": (
        drawn(datasets.make_gaussian_quantiles, n_features=4, n_classes=3),
        GaussianNB,
    ),
}
NUMBERS: dict[str, tuple[Callable[[int], Rows], Callable[[], Any]]] = {
    "friedman 1, forest": (drawn(datasets.make_friedman1, 15_000, noise=1.5), lambda: RandomForestRegressor(40)),
    "friedman 2, boosted trees": (drawn(datasets.make_friedman2, 15_000, noise=60.0), HistGradientBoostingRegressor),
    "skewed errors, linear": (skewed, LinearRegression),
    "skewed errors, boosted trees": (skewed, HistGradientBoostingRegressor),
    "heavy tails, boosted trees": (heavy, HistGradientBoostingRegressor),
    "diabetes, linear": (bundled(datasets.load_diabetes), LinearRegression),
}


def sizes(rows: int) -> tuple[int, int, int]:
    """Rows to train on, of the reference, and of the window."""
    if rows >= 9000:
        return 2000, 3000, 4000
    return (rows // 6, rows // 2, rows // 3) if rows > 500 else (60, 310, rows - 370)


def shifted(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Which rows of another mix are kept: by the feature that varies most among the first, up to seven times as often."""
    column = x[:, int(random.integers(min(x.shape[1], 4)))]
    spread = column.std() or 1.0
    lean = 1 / (1 + np.exp(-random.choice((-2.0, 2.0)) * (column - np.median(column)) / spread))
    return np.asarray(random.random(len(x)) < lean)


@dataclass(frozen=True, slots=True)
class Case:
    reference: Side
    actual: np.ndarray
    windows: Mapping[str, tuple[Side, np.ndarray]]


def case(rows: Callable[[int], Rows], model: Callable[[], Any], seed: int) -> Case:
    random = np.random.default_rng(seed)
    x, y = rows(seed)
    y = np.unique(y, return_inverse=True)[1] if len(np.unique(y)) < 20 else y
    train, reference, window = sizes(len(y))
    fitted = model()
    params = {k: seed for k in fitted.get_params() if k.endswith("random_state")}
    fitted = fitted.set_params(**params).fit(x[:train], y[:train])
    rest = np.arange(train + reference, len(y))
    same = rest[:window]
    other = rest[shifted(x[rest], random)][:window]
    known = slice(train, train + reference)
    return Case(
        side(fitted, x[known]),
        y[known],
        {"same": (side(fitted, x[same]), y[same]), "shift": (side(fitted, x[other]), y[other])},
    )


def side(fitted: Any, x: np.ndarray) -> Side:
    if not hasattr(fitted, "predict_proba"):
        return Side(x, fitted.predict(x).astype(float), None)
    p = np.clip(fitted.predict_proba(x), 0, 1)
    if p.shape[1] == 2:
        return Side(x, p[:, 1:], p[:, 1:] > 0.5)
    return Side(x, p, p.argmax(axis=1)[:, None] == np.arange(p.shape[1]))


def realised(side: Side, actual: np.ndarray) -> Mapping[str, float]:
    if side.answered is None:
        return Errors.of(side.answers, actual).metrics()
    return known_classes(side.answers, side.answered, actual, binary=side.answers.shape[1] == 1).metrics()


@dataclass(frozen=True, slots=True)
class Found:
    """Of one metric of one window: errors of the estimate, of the estimate without weights, of "same as reference"; whether the interval held."""

    error: float
    plain: float
    same: float
    held: bool


def runs(name: str, count: int, first: int, kept: Path | None) -> Iterator[tuple[str, str, Found]]:
    """Window, metric, and what was found of it, run by run."""
    rows, model = {**CLASSES, **NUMBERS}[name]
    for seed in range(first, first + count):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = case(rows, model, seed)
        same = realised(found.reference, found.actual)
        for window, (now, actual) in found.windows.items():
            truth = realised(now, actual)
            estimate = of_classes if now.answered is not None else of_numbers
            ours = estimate(found.reference, found.actual, now)
            plain = ours if window == "same" else estimate(found.reference, found.actual, now, weighted=False)
            for metric in ours.keys() & plain.keys():
                one, met = ours[metric], truth[metric]
                errors = (abs(value - met) for value in (one.value, plain[metric].value, same[metric]))
                yield window, metric, Found(*errors, one.low <= met <= one.high)
            if kept is not None and now.answered is not None and now.answers.shape[1] == 1:
                keep(kept / f"{name.replace(' ', '_').replace(',', '')}-{seed}-{window}.npz", found, now, actual)


def keep(file: Path, found: Case, now: Side, actual: np.ndarray) -> None:
    before = found.reference
    np.savez(file, x=before.features, p=before.answers, y=found.actual, x1=now.features, p1=now.answers, y1=actual)


def line(found: list[Found]) -> str:
    errors = np.array([(f.error, f.plain, f.same) for f in found]).mean(axis=0)
    return " | ".join((*(f"{e:.4f}" for e in errors), f"{np.mean([f.held for f in found]):.0%}"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="of each data set and model (default: %(default)s)")
    parser.add_argument("--first", type=int, default=FIRST, help="first seed (default: %(default)s)")
    parser.add_argument("--only", choices=(*CLASSES, *NUMBERS), action="append", help="these only (default: all)")
    parser.add_argument("--minutes", type=float, default=25.0, help="no new set is begun after (default: %(default)s)")
    parser.add_argument("--rows", type=Path, help="folder to keep the rows of two classes in")
    options = parser.parse_args()
    started = time.monotonic()
    every: dict[tuple[str, str], dict[str, list[Found]]] = defaultdict(dict)
    print(
        "| set, model | window | metric | error of the estimate | without weights | same as reference | interval held |"
    )
    print("|---|---|---|---|---|---|---|")
    for name in options.only or (*CLASSES, *NUMBERS):
        if time.monotonic() - started > 60 * options.minutes:
            print(f"| {name} | left out: time is up | | | | | |")
            continue
        for window, metric, found in runs(name, options.runs, options.first, options.rows):
            every[window, metric].setdefault(name, []).append(found)
        for (window, metric), sets in sorted(every.items()):
            if name in sets:
                print(f"| {name} | {window} | `{metric}` | {line(sets[name])} |", flush=True)
    print(
        "\n| window | metric | sets | error by that of same as reference | the same without weights | interval held | least, of a set |"
    )
    print("|---|---|---|---|---|---|---|")
    for (window, metric), sets in sorted(every.items()):
        print(f"| {window} | `{metric}` | {len(sets)} | {summary(list(sets.values()))} |")
    print(f"\n{options.runs} runs of each, {time.monotonic() - started:.0f} s")


def summary(sets: list[list[Found]]) -> str:
    """Geometric means over the sets of mean errors by those of "same as reference"; how often intervals held, and in the worst set."""
    means = np.array([[np.mean([getattr(f, n) for f in found]) for n in ("error", "plain", "same")] for found in sets])
    ratio, plain = np.exp(np.log(means[:, :2] / means[:, 2:]).mean(axis=0))
    held = [np.mean([f.held for f in found]) for found in sets]
    return f"{ratio:.2f} | {plain:.2f} | {np.mean(held):.1%} | {min(held):.0%}"


if __name__ == "__main__":
    main()
