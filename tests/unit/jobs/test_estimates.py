"""Estimates without labels: near what labels later say, in the interval that was promised. Seeded, so the figures repeat."""

import numpy as np
import pytest

from headrace_functions.views import Array
from headrace_jobs.performance import cbpe, dle
from headrace_jobs.performance.calibration import calibrate, method_for
from headrace_jobs.performance.counting import known_classes
from headrace_jobs.performance.metrics import Errors
from headrace_jobs.performance.scores import BINS, PROBABILITIES

RUNS = 60


def two_classes(random: np.random.Generator, rows: int, shift: float) -> cbpe.Known:
    """A model that is too sure of itself, over inputs that move by ``shift``; what it is sure of never changes."""
    logit = 1.5 * random.normal(shift, 1, rows) - 0.8 * random.normal(0, 1, rows) - 0.5
    actual = (random.random(rows) < 1 / (1 + np.exp(-logit))).astype(int)
    p = 1 / (1 + np.exp(-(1.7 * logit + 0.4)))
    return known_classes(p[:, None], (p >= 0.5)[:, None], actual, binary=True)


def three_classes(random: np.random.Generator, rows: int, shift: float) -> cbpe.Known:
    logits = random.normal(0, 1, (rows, 3)) * 1.2 + np.array([shift, 0.0, 0.0])
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    actual = (random.random(rows)[:, None] > true.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    p = true**1.5 / (true**1.5).sum(axis=1, keepdims=True)
    return known_classes(p, p.argmax(axis=1)[:, None] == np.arange(3), actual, binary=False)


@pytest.mark.parametrize(
    ("reference", "window"), [(1000, 500), (5000, 2000), (10_000, 20_000)], ids=["small", "middle", "large"]
)
def test_under_covariate_shift_estimates_beat_the_same_as_before_and_intervals_hold(
    reference: int, window: int
) -> None:
    """The share of realised values in their 95 % intervals is at least 0.90 over all metrics and 0.85 for each."""
    covered: dict[str, list[bool]] = {}
    wrong: dict[str, list[float]] = {}
    before: dict[str, list[float]] = {}
    for seed in range(RUNS):
        random = np.random.default_rng(seed)
        known = two_classes(random, reference, 0.0)
        now = two_classes(random, window, random.uniform(-1, 1))
        realised, same = now.metrics(), known.metrics()
        for name, found in cbpe.estimate(known, now.positives + now.negatives).items():
            covered.setdefault(name, []).append(found.low <= realised[name] <= found.high)
            wrong.setdefault(name, []).append(abs(found.value - realised[name]))
            before.setdefault(name, []).append(abs(same[name] - realised[name]))

    assert np.mean([np.mean(c) for c in covered.values()]) >= 0.90
    assert {name for name, c in covered.items() if np.mean(c) < 0.85} == set()
    # The area under the curve hardly moves in this world, so nothing can beat "as before" by much.
    moved = [name for name in wrong if name != "roc_auc"]
    assert {name for name in moved if np.mean(wrong[name]) > 0.8 * np.mean(before[name])} == set()
    assert np.mean(wrong["f1"]) < 0.35 * np.mean(before["f1"])


def test_estimates_of_three_classes_follow_a_shift() -> None:
    """Scores of one class against the others are no sufficient statistic, so intervals are a little less sure."""
    wrong, before, covered = [], [], []
    for seed in range(30):
        random = np.random.default_rng(seed)
        known, now = three_classes(random, 5000, 0.0), three_classes(random, 3000, random.uniform(1, 2))
        found, realised = cbpe.estimate(known, now.positives + now.negatives), now.metrics()["accuracy"]
        wrong.append(abs(found["accuracy"].value - realised))
        before.append(abs(known.metrics()["accuracy"] - realised))
        covered.append(found["accuracy"].low <= realised <= found["accuracy"].high)

    assert np.mean(wrong) < 0.5 * np.mean(before)
    assert np.mean(covered) >= 0.85


def test_an_estimate_repeats_to_the_bit() -> None:
    random = np.random.default_rng(0)
    known, now = two_classes(random, 1000, 0.0), two_classes(random, 300, 0.5)

    assert cbpe.estimate(known, now.positives) == cbpe.estimate(known, now.positives)


@pytest.mark.parametrize("rows", [200, 20_000])
def test_calibration_finds_the_share_of_the_class_at_a_score(rows: int) -> None:
    """Few rows get a curve of two parameters, many an isotonic one; both undo a model that is too sure of itself."""
    known = two_classes(np.random.default_rng(3), rows, 0.0)
    positives, negatives = known.positives[0].sum(axis=0), known.negatives[0].sum(axis=0)
    at = np.searchsorted(PROBABILITIES, [0.1, 0.3, 0.5, 0.7, 0.9])
    expected = 1 / (1 + np.exp(-(np.log(PROBABILITIES[at] / (1 - PROBABILITIES[at])) - 0.4) / 1.7))

    method = method_for(positives, negatives)
    found = calibrate(positives, negatives, np.arange(BINS), at, method)

    assert method == ("platt" if rows == 200 else "isotonic")
    assert np.abs(found - expected).max() < (0.12 if rows == 200 else 0.06)
    assert (np.diff(found) >= 0).all()


@pytest.mark.parametrize("actual", [0, 1])
def test_a_reference_of_one_class_calibrates_without_an_error(actual: int) -> None:
    p = np.linspace(0.01, 0.99, 400)[:, None]
    known = known_classes(p, p >= 0.5, np.full(400, actual), binary=True)

    found = cbpe.estimate(known, known.positives + known.negatives)

    assert all(np.isfinite([e.value, e.low, e.high]).all() for e in found.values())


def numbers(random: np.random.Generator, rows: int, shift: float) -> tuple[Array, Array, Array]:
    """Features, answers and actual values: the error grows with ``x``, which moves."""
    x = random.normal(shift, 1, rows)
    answers = 3 * x
    actual = answers + random.normal(0, 1, rows) * np.exp(0.5 * x)
    return np.column_stack((answers, x, random.normal(0, 1, rows))), answers, actual


def test_the_error_of_numbers_is_estimated_under_shift() -> None:
    wrong, before = {"mae": [], "rmse": []}, {"mae": [], "rmse": []}
    covered: list[bool] = []
    for seed in range(25):
        random = np.random.default_rng(seed)
        features, answers, actual = numbers(random, 3000, 0.0)
        window, now_answers, now_actual = numbers(random, 2000, random.uniform(-1, 0.8))
        found = dle.estimate(features, answers - actual, window, len(window))
        realised = Errors.of(now_answers, now_actual).metrics()
        same = Errors.of(answers, actual).metrics()
        for name, estimate in found.items():
            wrong[name].append(abs(estimate.value - realised[name]))
            before[name].append(abs(same[name] - realised[name]))
            covered.append(estimate.low <= realised[name] <= estimate.high)

    assert np.mean(wrong["mae"]) < 0.35 * np.mean(before["mae"])
    assert np.mean(wrong["rmse"]) < 0.6 * np.mean(before["rmse"])
    assert np.mean(covered) >= 0.9
