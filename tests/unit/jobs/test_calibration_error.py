"""The expected calibration error is what its definition says, from counts as from rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_jobs.performance.metrics import CALIBRATION_BINS, of_counts
from headrace_jobs.performance.scores import BINS, count


def of_rows(probabilities: np.ndarray, actual: np.ndarray) -> float:
    """By the definition, row by row."""
    bins = np.minimum((probabilities * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = [
        abs(actual[bins == b].mean() - probabilities[bins == b].mean()) * (bins == b).sum() for b in np.unique(bins)
    ]
    return float(sum(gaps) / len(actual))


def counted(probabilities: np.ndarray, actual: np.ndarray) -> float:
    answered = probabilities >= 0.5
    whole = count(probabilities[:, None], answered[:, None])
    yes = count(probabilities[actual == 1][:, None], answered[actual == 1][:, None])
    return of_counts(yes, whole - yes, np.arange(BINS))["calibration_error"]


@given(st.integers(0, 1000), st.integers(1, 400))
def test_counts_give_what_the_rows_give(seed: int, rows: int) -> None:
    random = np.random.default_rng(seed)
    probabilities = (
        random.integers(0, 50, rows) + 0.5
    ) / 50  # in the middle of a fiftieth: the grid moves none into another bin
    actual = random.integers(0, 2, rows)
    assert counted(probabilities, actual) == pytest.approx(of_rows(probabilities, actual), abs=0.002)


def test_a_model_that_always_says_too_much_is_off_by_how_much_it_says_too_much() -> None:
    random = np.random.default_rng(0)
    truth = random.uniform(0.1, 0.6, 200_000)
    actual = (random.random(200_000) < truth).astype(int)
    assert counted(truth + 0.2, actual) == pytest.approx(0.2, abs=0.005)
    assert counted(truth, actual) < 0.01
