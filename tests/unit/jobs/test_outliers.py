"""Outliers: the detector that is learnt from training data, the function it becomes, and the report of a window."""

import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import datasets

from fixtures_jobs import UNTIL, InProcess, category, given_log, given_version, number, objects
from headrace_controller.definitions.model import ModelDefinition
from headrace_functions.errors import InvalidInput
from headrace_functions.signature import Field, dtype
from headrace_functions.storage.objects import ObjectStore
from headrace_jobs.outliers.candidates import CANDIDATES, expected_path
from headrace_jobs.outliers.detector_selection import best, lags
from headrace_jobs.outliers.engines import NATIVE
from headrace_jobs.outliers.job import OutlierRun, interval
from headrace_jobs.outliers.scorer import METHODS, FieldCode
from headrace_jobs.outliers.series import POINTS, outstanding, spectral_residual
from headrace_jobs.outliers.training import fit, learn
from headrace_jobs.report.models import OutlierReport
from headrace_jobs.report.page import page
from headrace_jobs.statistics.ranks import area
from headrace_jobs.window import Window

__all__ = ["objects"]

WINDOW = Window.parse("1h", UNTIL.isoformat())


def run(objects: ObjectStore, model: object, rate: float = 0.01) -> OutlierReport:
    report, _ = OutlierRun(model.id, WINDOW, rate).report(objects, InProcess(), lambda *_: None)  # type: ignore[attr-defined]
    assert len(page(report)) < 1_000_000
    return report


def codes(width: int) -> list[FieldCode]:
    return [FieldCode(f"f{i}", "number", 1, 0.0, 7.0, {}, 0.0) for i in range(width)]


def columns(matrix: np.ndarray) -> Mapping[str, list[np.ndarray]]:
    return {f"f{i}": [matrix[:, i]] for i in range(matrix.shape[1])}


def digits(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    x, y = datasets.load_digits(return_X_y=True)
    return x[y != 2], x[y == 2]


def clusters(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    place = random.integers(0, 5, 2000)
    return random.uniform(-6, 6, (5, 6))[place] + random.normal(size=(2000, 6)), random.uniform(-6, 6, (200, 6))


def correlated(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    x = random.normal(size=(2000, 4)) @ random.normal(size=(4, 20)) + 0.5 * random.normal(size=(2000, 20))
    return x[200:], random.permuted(x, axis=0)[:200]


def crescents(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    x, _ = datasets.make_moons(2000, noise=0.05, random_state=3)
    off = random.uniform((-1.2, -0.7), (2.2, 1.2), (400, 2))
    return x, off[np.sqrt(((off[:, None] - x[None]) ** 2).sum(axis=2)).min(axis=1) > 0.15]


@pytest.mark.parametrize("make", [digits, clusters, correlated, crescents])
def test_the_candidate_taken_without_labels_is_near_the_best_by_the_labels(
    make: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]],
) -> None:
    """Within 0.005 of the area under the ROC curve of the best candidate that learnt the same rows."""
    random = np.random.default_rng(7)
    ordinary, odd = make(random)
    order = random.permutation(len(ordinary))
    known, new = ordinary[order[::2]], ordinary[order[1::2]]
    taken = fit(codes(known.shape[1]), columns(known)).detector
    ours, theirs = (taken.encoding.matrix(columns(rows)) for rows in (new, odd))
    areas = {}
    for name, fitting in CANDIDATES.items():
        only = fit(codes(known.shape[1]), columns(known), engine=replace(NATIVE, candidates={name: fitting})).detector
        areas[name] = area(only.scores(ours), only.scores(theirs))

    assert areas[taken.method] >= max(areas.values()) - 0.005


@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_new_rows_like_the_training_data_raise_no_more_alarms_than_wanted(objects: ObjectStore, rate: float) -> None:
    random = np.random.default_rng(0)
    fields = [number(f"f{i}") for i in range(6)]
    model = given_version(objects, fields, {f.name: random.normal(size=20_000) for f in fields})
    given_log(objects, model, {f.name: random.normal(size=20_000) for f in fields})
    report = run(objects, model, rate)
    assert report.verdict == "as-expected"
    assert report.rate == pytest.approx(rate, rel=0.35)
    assert report.low <= report.rate <= report.high


def test_categories_that_new_rows_are_the_first_to_have_are_expected_where_many_are_rare(objects: ObjectStore) -> None:
    random = np.random.default_rng(5)
    share = 1 / np.arange(1, 301)

    def rows(count: int) -> dict[str, list[object]]:
        city = random.choice(300, count, p=share / share.sum())
        return {"amount": random.lognormal(2, 1, count).tolist(), "city": [f"c{i}" for i in city]}

    model = given_version(objects, [number("amount"), category("city")], rows(400))
    given_log(objects, model, rows(2000))

    report = run(objects, model)

    assert "as-expected" == report.verdict
    assert report.rate <= report.expected_high


def test_a_window_with_planted_rows_is_severe_and_names_the_rows_and_their_fields(objects: ObjectStore) -> None:
    random = np.random.default_rng(1)
    fields = [number("age"), number("income"), category("plan")]
    plans = random.choice(["free", "paid"], 2000)
    model = given_version(
        objects, fields, {"age": random.normal(40, 9, 2000), "income": random.normal(3, 1, 2000), "plan": plans}
    )
    ages = random.normal(40, 9, 300)
    ages[:120] = 400.0
    given_log(objects, model, {"age": ages, "income": random.normal(3, 1, 300), "plan": plans[:300]})
    report = run(objects, model)
    assert (report.verdict, report.severity) == ("more-outliers", "severe")
    first = report.worst[0]
    assert first.fields[0].name == "age"
    assert first.fields[0].value == 400.0
    assert first.fields[0].share > 0.5
    assert {w.request_id for w in report.worst} <= {f"req-{i}" for i in range(120)}
    assert len(report.worst) == 50
    assert sum(s.outliers for s in report.history) == report.outliers


def test_hard_columns_are_coped_with(objects: ObjectStore) -> None:
    """Constant and empty columns, NaN, infinity, unseen categories, fewer than five features: no error and no NaN."""
    random = np.random.default_rng(2)
    fields = [number("constant"), number("empty"), number("holes"), category("plan")]
    training = {
        "constant": np.full(500, 7.0),
        "empty": np.full(500, np.nan),
        "holes": np.where(random.random(500) < 0.5, np.nan, random.normal(size=500)),
        "plan": random.choice(["free", "paid"], 500).tolist(),
    }
    model = given_version(objects, fields, training)
    usual = {name: list(values[:100]) for name, values in training.items()}
    given_log(objects, model, usual)
    odd = {
        "constant": [8.0, 7.0, 7.0],
        "empty": [np.nan] * 3,
        "holes": [0.1, np.inf, 0.1],
        "plan": ["paid", "paid", "x"],
    }
    given_log(objects, model, odd, request="odd")
    report = run(objects, model, rate=0.05)
    assert {w.request_id for w in report.worst[:3]} == {"odd-0", "odd-1", "odd-2"}
    assert np.isfinite([w.score for w in report.worst]).all()
    reasons = {w.request_id: w.fields[0].name for w in report.worst[:3]}
    assert reasons == {"odd-0": "constant", "odd-1": "holes", "odd-2": "plan"}


def test_one_feature_is_enough(objects: ObjectStore) -> None:
    model = given_version(objects, [number("x")], {"x": np.random.default_rng(0).normal(size=200)})
    given_log(objects, model, {"x": np.append(np.zeros(50), 99.0)})
    assert run(objects, model).worst[0].request_id == "req-50"


def test_few_rows_in_the_window_are_not_enough_data(objects: ObjectStore) -> None:
    model = given_version(objects, [number("x")], {"x": np.arange(100.0)})
    assert run(objects, model).verdict == "not-enough-data"
    given_log(objects, model, {"x": [1e9] * 29})
    assert run(objects, model).verdict == "not-enough-data"


def test_without_training_data_the_error_says_what_to_do(objects: ObjectStore) -> None:
    model = given_version(objects, [number("x")], None)
    with pytest.raises(InvalidInput, match="no training data") as error:
        run(objects, model)
    assert error.value.field == "training-data"
    assert error.value.hint


def shipped(folder: Path) -> ModuleType:
    """The function as a process imports it: by its file alone."""
    spec = importlib.util.spec_from_file_location("shipped_function", folder / "function.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["shipped_function"] = module
    spec.loader.exec_module(module)
    return module


def test_the_function_answers_requests_as_the_report_scores_the_log(objects: ObjectStore, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    image = Field("image", dtype("float32"), (8, 8), "image")
    vector = Field("vector", dtype("float64"), (3,), "embedding")
    word = Field("word", dtype("string"), (), "text")
    level = Field("level", dtype("int64"), (), "categorical")
    fields = [number("x"), category("plan"), level, word, vector, image]
    rows: dict[str, list[object]] = {
        "x": [None if i % 9 == 0 else float(v) for i, v in enumerate(random.normal(size=300))],
        "plan": [None if i % 7 == 0 else str(v) for i, v in enumerate(random.choice(["a", "b"], 300))],
        "level": random.integers(0, 3, 300).tolist(),
        "word": ["w" * int(k) for k in random.integers(1, 9, 300)],
        "vector": random.normal(size=(300, 3)).tolist(),
        "image": random.normal(size=(300, 64)).tolist(),
    }
    model = given_version(objects, fields, rows)
    given_log(objects, model, rows)
    report, key = OutlierRun(model.id, WINDOW, 0.5).report(objects, InProcess(), lambda *_: None)
    for name in ("function.py", "detector.npz"):
        (tmp_path / name).write_bytes(objects.get(key + name))
    function = shipped(tmp_path)
    answers = function.predict(
        function.load(str(tmp_path)),
        x=np.array([np.nan if v is None else v for v in rows["x"]]),
        plan=np.array(rows["plan"], object),
        level=np.array(rows["level"]),
        word=np.array(rows["word"], object),
        vector=np.array(rows["vector"]),
        image=np.array(rows["image"], np.float32).reshape(300, 8, 8),
    )
    assert answers["value"].shape == (300,)
    for worst in report.worst:
        place = int(worst.request_id.removeprefix("req-"))
        assert answers["score"][place] == pytest.approx(worst.score, rel=1e-9)
        assert answers["value"][place] == pytest.approx(worst.value)


def test_the_kept_definition_is_one_that_apply_takes(objects: ObjectStore) -> None:
    fields = [number("x"), category("plan"), Field("image", dtype("float32"), (2, 2), "image")]
    rows = {"x": np.arange(50.0), "plan": ["a", "b"] * 25, "image": np.zeros((50, 4)).tolist()}
    model = given_version(objects, fields, rows)
    _, key = OutlierRun(model.id, WINDOW).report(objects, InProcess(), lambda *_: None)
    definition = ModelDefinition.model_validate(orjson.loads(objects.get(key + "definition.json")))
    assert definition.name == "churn-outliers"
    assert definition.metadata["monitors"] == "churn:1"
    assert [f.name for f in definition.contract.input_fields()] == ["x", "plan", "image"]


def test_the_same_training_data_is_the_same_function(objects: ObjectStore) -> None:
    model = given_version(objects, [number("x"), number("y")], {"x": np.arange(60.0), "y": np.arange(60.0) ** 2})
    keys = {OutlierRun(model.id, WINDOW).report(objects, InProcess(), lambda *_: None)[1] for _ in range(2)}
    assert len(keys) == 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(20, 80), st.integers(1, 6))
def test_every_detector_gives_a_finite_score_and_a_share(seed: int, count: int, width: int) -> None:
    random = np.random.default_rng(seed)
    matrix = random.choice([0.0, 1.0, 1e300, -1e300, np.nan, np.inf, 5.0], (count, width))
    learnt = fit(codes(width), columns(matrix))
    scores = learnt.detector.scores(learnt.detector.encoding.matrix(columns(matrix)))
    values = learnt.detector.values(scores)
    assert np.isfinite(scores).all()
    assert ((values >= 0) & (values <= 1)).all()


def test_the_interval_is_clopper_and_pearsons() -> None:
    for hits, rows in ((0, 10), (3, 50), (10, 10), (7, 1000)):
        found = stats.binomtest(hits, rows).proportion_ci(0.95, "exact")
        assert interval(hits, rows) == pytest.approx((found.low, found.high), abs=1e-12)


def test_the_expected_path_is_that_of_an_unsuccessful_search() -> None:
    assert expected_path(256) == pytest.approx(10.2448, abs=1e-3)  # Liu et al. 2008 use 256 rows


def test_a_slower_candidate_must_be_better() -> None:
    def areas(tails: float, mahalanobis: float, forest: float) -> dict[str, dict[str, float]]:
        return {"tails": {"far": tails}, "mahalanobis": {"far": mahalanobis}, "forest": {"far": forest}}

    assert best(areas(0.9, 0.9015, 0.9015), 10**6) == "tails"
    assert best(areas(0.9, 0.95, 0.9515), 10**6) == "mahalanobis"
    assert best(areas(0.9, 0.905, 0.905), 10**6) == "mahalanobis"
    assert best(areas(0.9, 0.905, 0.905), 100) == "tails", "so few held-out rows do not show such a lead"


def test_the_candidate_that_is_never_far_behind_is_taken_before_the_one_that_is_best_on_average() -> None:
    areas = {"tails": {"far": 1.0, "local": 0.6}, "forest": {"far": 0.9, "local": 0.69}}

    assert lags(areas) == pytest.approx({"tails": 0.09, "forest": 0.1})
    assert best({**areas, "density": {"far": 0.96, "local": 0.65}}, 10**6) == "density"


@pytest.mark.parametrize("digit", [1, 8])
def test_a_class_that_was_never_seen_is_told_by_the_local_candidate_that_is_taken(digit: int) -> None:
    """One digit of ten is not learnt: the area under the ROC curve of the candidate taken is at least 0.85, and near the best one."""
    x, y = datasets.load_digits(return_X_y=True)
    random = np.random.default_rng(digit)
    ordinary = random.permutation(x[y != digit])
    known, new = ordinary[:900], ordinary[900:]
    learnt = fit(codes(64), columns(known))
    ours, theirs = (learnt.detector.encoding.matrix(columns(rows)) for rows in (new, x[y == digit]))

    assert learnt.detector.method in ("neighbours", "density")
    assert area(learnt.detector.scores(ours), learnt.detector.scores(theirs)) >= 0.85


def test_neighbours_are_those_of_a_plain_search() -> None:
    random = np.random.default_rng(0)
    rows, new = random.normal(size=(300, 5)) * [1, 2, 3, 4, 5], random.normal(size=(50, 5)) * 9
    state = CANDIDATES["neighbours"](rows)
    apart = np.sqrt((((new[:, None] - rows[None]) / rows.std(axis=0)) ** 2).sum(axis=2))
    expected = np.sort(apart, axis=1)[:, :10].mean(axis=1)

    assert METHODS["neighbours"](new, state) == pytest.approx(expected, rel=1e-4)
    assert METHODS["density"](new, state) == pytest.approx(
        expected / state["own"][np.argsort(apart, axis=1)[:, :10]].mean(axis=1), rel=1e-3
    )


def test_fields_that_training_lacks_are_left_out_and_said(objects: ObjectStore) -> None:
    model = given_version(objects, [number("x"), number("new")], {"x": np.arange(60.0)})
    assert learn(objects, model).skipped == {"new": "the training data has no such column"}


def test_a_burst_of_rows_is_told_and_a_daily_rhythm_is_not(objects: ObjectStore) -> None:
    """Twice as many rows by a smooth swing stand out of nothing; thrice as many at once do."""
    random = np.random.default_rng(0)
    swing = random.poisson(50 + 25 * np.sin(np.arange(POINTS) / POINTS * 2 * np.pi))
    assert outstanding(spectral_residual(swing.astype(float)), swing) == []
    burst = swing.copy()
    burst[100] *= 4
    assert outstanding(spectral_residual(burst.astype(float)), burst)[0] == 100


def test_rows_that_come_at_random_stand_out_in_one_window_of_a_hundred() -> None:
    random = np.random.default_rng(1)
    found = 0
    for rate in (6, 20, 200):
        for _ in range(200):
            counts = random.poisson(rate, POINTS)
            found += bool(outstanding(spectral_residual(counts.astype(float)), counts))
    assert found <= 12


def test_few_rows_and_even_ones_stand_out_of_nothing() -> None:
    for counts in (np.eye(1, POINTS, 7)[0], np.full(POINTS, 50.0), np.zeros(POINTS)):
        assert outstanding(spectral_residual(counts), counts) == []


def test_the_report_names_the_time_of_a_burst(objects: ObjectStore) -> None:
    fields = [number("x")]
    random = np.random.default_rng(0)
    model = given_version(objects, fields, {"x": random.normal(size=500)})
    given_log(objects, model, {"x": random.normal(size=POINTS * 10)})
    given_log(
        objects, model, {"x": random.normal(size=60)}, until=UNTIL - timedelta(minutes=30), span=timedelta(seconds=10)
    )
    report = run(objects, model)
    assert report.times[0].start.startswith("2026-11-22T11:29")
    assert "Unusual times" in page(report)
