"""Health as pages draw it: a level is what the rows can show, beyond what is usual."""

import numpy as np
import pytest

from headrace_controller.health.buckets import StageTraffic
from headrace_controller.health.latency import Latency
from headrace_controller.pages.healthviews import Bucket, heat_rows, latest, lower_bound, sure_level, usual_failures
from headrace_controller.pages.model import _metric_row, _moved_row
from headrace_controller.pages.overview import _calm
from headrace_controller.pages.sequence import _traffic
from headrace_functions.charts import NOT_JUDGED


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
    quiet = Bucket(rows=400, requests=400, moved={"age": 0.0}, checks={"above-max": 0.08}, usual={"above-max": 0.09})
    loud = Bucket(rows=400, requests=400, checks={"above-max": 0.60}, usual={"above-max": 0.09})
    assert (0, 3) == (quiet.worst, loud.worst)


def test_an_output_without_a_reference_is_not_judged_and_not_healthy() -> None:
    bucket = Bucket(rows=400, requests=400, moved={"age": 0.0, "score": None})
    age, score = heat_rows([_moved_row(name, [bucket], None) for name in ("age", "score")], lambda _n, _w: "", str)
    assert ("healthy", 0.0) == (age["state"], age["now"])
    assert ("not judged", None, None) == (score["state"], score["now"], score["worst"])
    assert 'class="hu"' in score["strip"]
    assert 'data-levels="u"' in score["strip"]


def test_a_metric_that_has_scored_none_of_the_rows_is_not_judged() -> None:
    scored, waiting = (
        Bucket(rows=400, requests=400, metrics={"risk": 0.3}),
        Bucket(rows=400, requests=400),
    )
    assert [3, NOT_JUDGED, None] == _metric_row("risk", [scored, waiting, Bucket()]).levels


def test_traffic_of_which_only_the_errors_are_known_is_not_judged_unless_they_are_many() -> None:
    unknown = Bucket(rows=400, requests=400, moved={"score": None})
    failing = Bucket(rows=100, requests=400, failed=300, moved={"score": None})
    assert (NOT_JUDGED, 3) == (unknown.worst, failing.worst)
    assert (None, 0.0) == (unknown.unhealthy, Bucket(rows=400, requests=400, usual={"above-max": 0.0}).unhealthy)


def test_a_bucket_that_has_just_begun_leaves_the_word_to_the_one_before_it() -> None:
    judged, begun = Bucket(rows=400, requests=400, moved={"age": 0.5}), Bucket(rows=3, requests=3, moved={"age": None})
    assert latest([Bucket(), judged, begun, Bucket()]) is judged
    assert latest([judged, Bucket(), begun]) is begun
    assert latest([Bucket()]) is None


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (["healthy", "healthy"], "All 2 healthy."),
        (["healthy", "asleep", "not judged", "asleep"], "Nothing is unhealthy: 2 asleep, 1 healthy, 1 not judged."),
        (["healthy", "not read yet"], ""),
        ([], ""),
    ],
)
def test_the_overview_calls_healthy_what_is_known_to_be(states: list[str], said: str) -> None:
    assert said == _calm([{"state": state, "level": 0} for state in states])


def test_the_figures_of_a_stage_are_of_the_requests_through_it_and_not_of_all_of_its_version() -> None:
    through = StageTraffic(60, 3, Latency.of_bins({20: 57}))
    buckets = [
        Bucket(rows=600, requests=600, stages={"flow/0": through, "other/0": StageTraffic(540)}),
        Bucket(),
        Bucket(rows=600, requests=600),
    ]
    assert (through, 2) == _traffic(buckets, "flow/0")
    assert (StageTraffic(), 2) == _traffic(buckets, "flow/1")
    assert (StageTraffic(), 0) == _traffic([Bucket(rows=600, requests=600)], "flow/0")
