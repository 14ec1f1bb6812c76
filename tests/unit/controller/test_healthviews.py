"""Health as pages draw it: a level is what the rows can show, beyond what is usual."""

import numpy as np
import pytest

from headrace_controller.pages.healthviews import Bucket, lower_bound, sure_level, usual_failures


@pytest.mark.parametrize(
    ("share", "rows", "level"),
    [(1 / 3, 3, 1), (0.5, 100, 3), (0.02, 50, 0), (0.02, 10_000, 1), (0.0, 10, 0), (1.0, 1, 1), (1.0, 20, 2)],
)
def test_a_share_counts_as_far_as_its_rows_can_show_it(share: float, rows: int, level: int) -> None:
    assert level == sure_level(share, rows)


def test_the_bound_lies_below_the_share_and_comes_closer_with_more_rows() -> None:
    bounds = [lower_bound(0.1, n) for n in (10, 100, 1000, 100_000)]
    assert bounds == sorted(bounds)
    assert 0.098 < bounds[-1] < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_rows_of_the_law_of_training_lie_beyond_its_extremes_as_often_as_is_usual(seed: int) -> None:
    rng = np.random.default_rng([5, seed])
    beyond = [float((rng.standard_t(2, 4000)[:, None] > rng.standard_t(2, 200).max()).mean()) for _ in range(300)]
    assert usual_failures(1, 200)["above-max"] == pytest.approx(float(np.mean(beyond)), abs=0.002)


def test_without_traffic_there_is_no_level_and_failing_checks_beyond_the_usual_are_loud() -> None:
    assert Bucket().worst is None
    quiet = Bucket(rows=400, requests=400, checks={"above-max": 0.08}, usual={"above-max": 0.09})
    loud = Bucket(rows=400, requests=400, checks={"above-max": 0.60}, usual={"above-max": 0.09})
    assert (0, 3) == (quiet.worst, loud.worst)
