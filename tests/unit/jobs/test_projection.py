"""The map: rows that must be given together lie together, the same log is the same map, and neighbours are those of the data."""

import numpy as np
import pytest

from fixtures_jobs import CHURN, InProcess, category, given_log, given_version, number, objects
from headrace_functions.errors import InvalidInput, NotFound
from headrace_functions.storage.objects import ObjectStore
from headrace_jobs.projection import layout as module
from headrace_jobs.projection.job import MAX_POINTS, ProjectionRun
from headrace_jobs.report.models import ProjectionReport
from headrace_jobs.report.page import page
from headrace_jobs.report.report_store import encode
from headrace_jobs.window import Window

__all__ = ["objects"]


def rows(count: int, seed: int, move: float = 0.0) -> dict[str, object]:
    random = np.random.default_rng(seed)
    x = random.normal(size=(6, count)) + move
    words = np.array(["a", "b"], object)[random.integers(0, 2, count)]
    return {**{f"f{i}": x[i] for i in range(6)}, "plan": words, "score": np.tanh(x[0])}


def given_traffic(objects: ObjectStore, move: float = 0.0, count: int = 200) -> None:
    fields = [*(number(f"f{i}") for i in range(6)), category("plan")]
    version = given_version(objects, fields, rows(400, 0))
    given_log(objects, version, rows(count, 1, move))


def project(objects: ObjectStore, **options: object) -> ProjectionReport:
    window = Window.parse("1h", "2026-11-22T12:00:00Z")
    run = ProjectionRun(CHURN, window, **{"points": 200, **options})  # type: ignore[arg-type]
    return run.report(objects, InProcess(), lambda *_: None)


@pytest.mark.parametrize(("move", "low", "high"), [(0.0, 0.0, 0.1), (6.0, 0.95, 1.0)])
def test_the_share_of_rows_far_from_training_is_small_without_drift_and_all_of_another_cluster(
    objects: ObjectStore, move: float, low: float, high: float
) -> None:
    given_traffic(objects, move)

    assert low <= project(objects, method="pca").beyond <= high


@pytest.mark.parametrize("dimensions", [2, 3])
def test_clusters_lie_apart_on_the_map_and_neighbours_stay_near(objects: ObjectStore, dimensions: int) -> None:
    given_traffic(objects, 6.0)

    report = project(objects, dimensions=dimensions)

    places = np.array([p.at for p in report.points])
    sides = np.array([p.side for p in report.points])
    _, near = module.nearest(places, places, 2)
    assert (sides[near[:, 1]] == sides).mean() > 0.98
    assert all(len(p.at) == dimensions and max(map(abs, p.at)) <= 1 for p in report.points)
    assert report.trustworthiness > 0.8


def test_the_same_log_is_the_same_map_to_the_byte(objects: ObjectStore) -> None:
    given_traffic(objects, 1.0)

    assert encode(project(objects)) == encode(project(objects))


def test_neighbours_of_a_request_are_the_nearest_rows_of_the_data_whatever_the_sample(objects: ObjectStore) -> None:
    given_traffic(objects, count=500)

    report = project(objects, request_id="req-321", method="pca", points=40)

    distances = [n.distance for n in report.neighbours]
    assert len(distances) == 10
    assert distances == sorted(distances)
    assert "req-321" in {p.request_id for p in report.points}
    assert "req-321" not in {report.points[n.point].request_id for n in report.neighbours}


def test_a_request_that_is_not_in_the_window_is_not_found(objects: ObjectStore) -> None:
    given_traffic(objects)

    with pytest.raises(NotFound, match="no answered request nobody"):
        project(objects, request_id="nobody", method="pca")


def test_the_page_of_the_biggest_map_is_below_one_megabyte(objects: ObjectStore) -> None:
    fields = [number(f"f{i}") for i in range(6)]
    version = given_version(objects, fields, rows(3000, 0))
    given_log(objects, version, rows(3000, 1), request="0123456789abcdef0123456789abcdef")

    report = project(objects, method="pca", points=MAX_POINTS)

    text = page(report)
    assert len(report.points) == MAX_POINTS
    assert len(text.encode()) < 1_000_000
    assert text.count("<svg") == 3
    assert "<script" not in text


@pytest.mark.parametrize(
    ("options", "said"),
    [({"dimensions": 4}, "dimensions"), ({"points": 5}, "points"), ({"points": 10**6}, "points"), ({"method": "x"}, "method")],
)  # fmt: skip
def test_a_map_that_cannot_be_is_refused(objects: ObjectStore, options: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        project(objects, **options)


def test_too_few_rows_are_no_map(objects: ObjectStore) -> None:
    given_traffic(objects, count=3)

    with pytest.raises(InvalidInput, match="10 rows a side: training has 100, the window 3"):
        project(objects)


def test_constant_rows_make_a_map_without_nan() -> None:
    for method in module.METHODS:
        places = module.layout(np.zeros((40, 3)), 2, method)
        assert np.isfinite(places).all()
