"""Metrics from counts are the metrics of the rows, as scikit-learn defines them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as exact

from headrace_jobs.performance import multiclass, scores
from headrace_jobs.performance.counting import known_classes
from headrace_jobs.performance.metrics import Errors

CLASSES = 3


@given(st.floats(0, 1))
def test_the_bin_of_a_probability_is_one_that_is_near(p: float) -> None:
    centre = scores.PROBABILITIES[scores.bins_of(np.array([p]))[0]]

    assert centre == pytest.approx(p, abs=0.0011)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.integers(20, 400))
def test_metrics_of_two_classes_are_scikit_learns(seed: int, rows: int) -> None:
    random = np.random.default_rng(seed)
    p = random.beta(0.6, 0.6, rows)
    actual = (random.random(rows) < p).astype(int)
    actual[:2] = [0, 1]
    answered = p >= 0.5

    found = known_classes(p[:, None], answered[:, None], actual, binary=True).metrics()

    assert found["roc_auc"] == pytest.approx(exact.roc_auc_score(actual, scores.bins_of(p)))
    assert found["f1"] == pytest.approx(exact.f1_score(actual, answered, zero_division=0))
    assert found["precision"] == pytest.approx(exact.precision_score(actual, answered, zero_division=0))
    assert found["recall"] == pytest.approx(exact.recall_score(actual, answered))
    assert found["accuracy"] == pytest.approx(exact.accuracy_score(actual, answered))
    assert found["log_loss"] == pytest.approx(exact.log_loss(actual, p), abs=2e-3)
    assert found["brier"] == pytest.approx(exact.brier_score_loss(actual, p), abs=1e-3)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.integers(30, 400))
def test_metrics_of_several_classes_are_scikit_learns_means_over_the_classes(seed: int, rows: int) -> None:
    random = np.random.default_rng(seed)
    p = random.dirichlet(np.ones(CLASSES), rows)
    actual = np.array([random.choice(CLASSES, p=row) for row in p])
    actual[:CLASSES] = range(CLASSES)
    answered = p.argmax(axis=1)

    found = known_classes(p, answered[:, None] == np.arange(CLASSES), actual, binary=False).metrics()

    assert found["roc_auc"] == pytest.approx(
        np.mean([exact.roc_auc_score(actual == i, scores.bins_of(p[:, i])) for i in range(CLASSES)])
    )
    for name, score in (
        ("f1", exact.f1_score),
        ("precision", exact.precision_score),
        ("recall", exact.recall_score),
    ):
        expected = score(actual, answered, average="macro", zero_division=0)
        assert found[name] == pytest.approx(expected), name
    assert found["accuracy"] == pytest.approx(exact.accuracy_score(actual, answered))
    assert found["log_loss"] == pytest.approx(exact.log_loss(actual, p), abs=2e-3)
    one_hot = actual[:, None] == np.arange(CLASSES)
    assert found["brier"] == pytest.approx(((p - one_hot) ** 2).sum(axis=1).mean(), abs=2e-3)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=2, max_size=60), st.data())
def test_errors_add_up_from_parts_to_scikit_learns_metrics(
    rows: list[tuple[float, float]], data: st.DataObject
) -> None:
    answers, actual = np.array(rows).T
    cut = data.draw(st.integers(0, len(rows)))

    found = Errors.of(answers[:cut], actual[:cut]).merge(Errors.of(answers[cut:], actual[cut:])).metrics()

    assert found["mae"] == pytest.approx(exact.mean_absolute_error(actual, answers))
    assert found["rmse"] == pytest.approx(exact.root_mean_squared_error(actual, answers))
    if np.ptp(actual) > 1e-3:
        assert found["r2"] == pytest.approx(exact.r2_score(actual, answers), rel=1e-6, abs=1e-6)
    if (np.abs(actual) > 1e-6).all():
        assert found["mape"] == pytest.approx(exact.mean_absolute_percentage_error(actual, answers))


def test_a_metric_that_is_not_defined_is_nan_and_not_a_guess() -> None:
    p = np.array([[0.2], [0.7]])

    found = known_classes(p, p >= 0.5, np.array([0, 0]), binary=True).metrics()

    assert np.isnan(found["roc_auc"])
    assert np.isnan(Errors.of(np.array([1.0]), np.array([0.0])).metrics()["mape"])


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.integers(30, 400), st.booleans())
def test_metrics_of_drawn_labels_are_those_of_their_counts(seed: int, rows: int, often: bool) -> None:
    """Of an estimate's repetitions: rows that are met several times count as that many, those that are not met as none."""
    random = np.random.default_rng(seed)
    p = random.dirichlet(np.ones(CLASSES), rows).round(2)
    p /= p.sum(axis=1, keepdims=True)
    actual = random.integers(0, CLASSES, rows)
    answered = p.argmax(axis=1)[:, None] == np.arange(CLASSES)
    times = random.poisson(1.0, rows) if often else np.ones(rows, np.int64)
    met = np.repeat(np.arange(rows), times)

    found = multiclass.Counter.of(multiclass.Answers(p, answered, rows)).drawn(actual, times if often else None)

    expected = known_classes(p[met], answered[met], actual[met], binary=False).metrics()
    assert {n: expected[n] for n in found} == pytest.approx(found, rel=1e-9, nan_ok=True)
    assert {*expected} - {*found} == {"calibration_error"}
