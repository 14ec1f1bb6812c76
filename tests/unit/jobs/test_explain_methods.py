"""Rules, counterfactuals and saliency: what they claim holds for the model, and a question is asked once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier

from fixtures_jobs import CHURN, Answering, category, given_log, given_version, number, objects
from headrace_functions.errors import InvalidInput
from headrace_functions.signature import Field, Signature, dtype
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_jobs.commands import main
from headrace_jobs.explain.anchors import TARGET, Background, anchor, measured
from headrace_jobs.explain.answer_equality import same_as
from headrace_jobs.explain.bounds import bounds, divergence, lower, uppers
from headrace_jobs.explain.counterfactuals import counterfactuals, scales
from headrace_jobs.explain.job import ExplainRun
from headrace_jobs.explain.methods import METHODS
from headrace_jobs.explain.predicates import Predicate, fulfils
from headrace_jobs.explain.saliency import masks_of, rise
from headrace_jobs.report.page import page

__all__ = ["objects"]

LABEL = Field("label", dtype("string"), profile="categorical")


def predict(age: np.ndarray, plan: np.ndarray, noise: np.ndarray) -> dict[str, np.ndarray]:
    leaves = (age > 50) & (plan == "basic")
    return {"label": np.where(leaves, "leave", "stay").astype(object)}


@pytest.fixture
def version(objects: ObjectStore) -> Version:
    random = np.random.default_rng(0)
    training = {
        "age": random.normal(50, 10, 1500),
        "plan": np.array(["basic", "pro"], object)[random.integers(0, 2, 1500)],
        "noise": random.normal(size=1500),
    }
    version = given_version(objects, (number("age"), category("plan"), number("noise")), training, (LABEL,))
    given_log(
        objects,
        version,
        {"age": [70.0, 40.0], "plan": ["basic", "pro"], "noise": [0.0, 0.1], "label": ["leave", "stay"]},
    )
    return version


def explained(objects: ObjectStore, url: str, method: str, request: str = "req-0", budget: int = 3000):
    report = METHODS[method](ExplainRun(CHURN, request, 0, url, budget), objects, lambda *_: None)
    assert len(page(report)) < 1_000_000
    return report


def test_a_value_that_is_missing_is_a_condition_of_a_rule() -> None:
    random = np.random.default_rng(1)
    rows = np.empty((600, 2), object)
    rows[:, 0] = np.where(random.random(600) < 0.3, None, random.normal(50, 10, 600))
    rows[:, 1] = np.array(["basic", "pro", None], object)[random.integers(0, 3, 600)]

    def model(asked: np.ndarray) -> np.ndarray:
        return np.array([age is None and plan is None for age, plan in asked])

    found = anchor(model, np.array([None, None], object), Background(rows, model(rows)))

    assert {Predicate(0, "is missing", None), Predicate(1, "is missing", None)} == set(found.predicates)
    assert found.precision == 1
    assert found.coverage == pytest.approx(model(rows).mean(), abs=0.04)


def test_a_rule_about_a_text_names_its_words() -> None:
    random = np.random.default_rng(2)
    words = ["good", "great", "poor", "film", "book", "song", "day", "long", "short", "new"]
    rows = np.array([[" ".join(random.choice(words, 6))] for _ in range(600)], object)

    def model(asked: np.ndarray) -> np.ndarray:
        return np.array(["good" in text.split() and "poor" not in text.split() for (text,) in asked])

    found = anchor(model, np.array(["good film day song book new!"], object), Background(rows, model(rows)))

    assert Predicate(0, "contains", "good") in found.predicates
    assert {p.value for p in found.predicates} <= {"good", "film", "day", "song", "book", "new"}
    assert found.precision > model(rows).mean() + 0.3


@pytest.mark.parametrize("row", [["never seen"], [None], [float("nan")]])
def test_a_row_without_a_condition_to_try_has_the_empty_rule(row: list[object]) -> None:
    rows = np.array([[None]] * 200, object)

    found = anchor(lambda asked: np.ones(len(asked), bool), np.array(row, object), Background(rows, np.ones(200, bool)))

    assert ((), 1.0, 1.0) == (found.predicates, found.precision, found.coverage)


def test_an_anchor_names_what_the_answer_hangs_on(objects: ObjectStore, version: Version) -> None:
    with Answering(version, predict) as endpoint:
        found = explained(objects, endpoint.url, "anchors")
        assert endpoint.rows == found.asked
    assert {(p.name, p.relation) for p in found.rule} == {("age", ">"), ("plan", "=")}
    assert found.precision >= TARGET
    assert 0 < found.coverage < 0.6
    assert found.answer == "label = leave"


def test_a_counterfactual_changes_the_answer_and_no_more_than_it_needs(objects: ObjectStore, version: Version) -> None:
    with Answering(version, predict) as endpoint:
        found = explained(objects, endpoint.url, "counterfactual")
    for row in found.rows:
        changes = {c.name: c.after for c in row.changes}
        assert "noise" not in changes
        assert len(changes) == 1
        assert changes.get("plan") == "pro" or changes["age"] <= 50
    assert [r.distance for r in found.rows] == sorted(r.distance for r in found.rows)


def test_the_nearest_row_with_another_answer_may_be_one_of_the_log(objects: ObjectStore) -> None:
    """Its answer stands in the log, so nobody is asked about it; rows that failed, or have the same answer, are no neighbours."""
    training = {"age": np.linspace(51, 80, 50), "plan": ["basic"] * 50, "noise": np.zeros(50)}
    version = given_version(objects, (number("age"), category("plan"), number("noise")), training, (LABEL,))
    leaving = {"age": [70.0], "plan": ["basic"], "noise": [0.0]}
    given_log(objects, version, {**leaving, "label": ["leave"]})
    given_log(objects, version, {**leaving, "label": ["stay"]}, request="failed", outcome="failed")
    with Answering(version, predict) as endpoint:
        with pytest.raises(InvalidInput, match="looked at"):
            explained(objects, endpoint.url, "counterfactual")
        given_log(
            objects, version, {"age": [45.0], "plan": ["basic"], "noise": [3.0], "label": ["stay"]}, request="near"
        )
        found = explained(objects, endpoint.url, "counterfactual")
    assert found.compared == 1
    assert [(r.source, [(c.name, c.after) for c in r.changes]) for r in found.rows] == [("log", [("age", 45.0)])]


def test_more_rows_than_the_budget_are_not_asked(objects: ObjectStore, version: Version) -> None:
    with Answering(version, predict) as endpoint:
        with pytest.raises(InvalidInput, match="budget"):
            explained(objects, endpoint.url, "counterfactual", budget=100)
        assert endpoint.rows == 0


@pytest.mark.parametrize("budget", [4, 100, 700, 3000])
def test_an_anchor_within_any_budget_is_the_best_rule_so_far_with_an_honest_bound(
    objects: ObjectStore, version: Version, budget: int
) -> None:
    with Answering(version, predict) as endpoint:
        found = explained(objects, endpoint.url, "anchors", budget=budget)

        assert endpoint.rows == found.asked <= budget
    assert 0 <= found.precision_low <= found.precision <= 1
    if budget < 1000:
        assert "ended the search" in found.sentence


def test_a_bound_of_few_independent_rows_is_low_however_many_are_perturbed() -> None:
    """Five rows under the rule, all with the answer: 95 % sure of 0.549 (0.05 to the power of a fifth)."""
    rows = np.arange(200.0)[:, None].astype(object)
    background = Background(rows, np.ones(200, bool))
    rule = [Predicate(0, ">", 194.5)]

    found = measured(lambda given: np.ones(len(given), bool), rule, background, 0)

    assert (found.real, found.precision) == (5, 1.0)
    assert found.precision_low == pytest.approx(0.05 ** (1 / 5))


@given(st.integers(0, 300), st.integers(0, 300))
def test_the_lower_end_is_clopper_and_pearsons(hits: int, misses: int) -> None:
    expected = stats.beta.ppf(0.05, hits, misses + 1) if hits else 0.0

    assert lower(hits, hits + misses, 0.05) == pytest.approx(expected)


@pytest.mark.parametrize("method", ["shap", "anchors", "counterfactual"])
def test_the_same_question_twice_asks_the_model_nothing(
    objects: ObjectStore, version: Version, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Answering(version, predict) as endpoint:
        command = ["explain", "--model", "churn:1", "--request-id", "req-0", "--endpoint", endpoint.url]
        command += ["--storage", objects.url, "--method", method, "--budget", "3000"]
        assert main(command) == 0
        asked = endpoint.rows
        first = capsys.readouterr().out
        assert main(command) == 0
        assert endpoint.rows == asked > 0
    assert '"cached":true' in capsys.readouterr().out
    assert first


def test_a_model_without_an_image_has_no_saliency_and_says_what_to_do(objects: ObjectStore, version: Version) -> None:
    with Answering(version, predict) as endpoint, pytest.raises(InvalidInput, match="no image") as caught:
        explained(objects, endpoint.url, "rise")
    assert caught.value.hint


def test_saliency_of_a_logged_image_finds_the_patch_that_decides(objects: ObjectStore) -> None:
    image, score = Field("image", dtype("float32"), (8, 8), "image"), number("score")
    digits = load_digits().images[:200]
    version = given_version(objects, [image], {"image": digits.reshape(200, 64).tolist()}, (score,))
    shown = digits[0].copy()
    shown[5:8, 0:3] = 16.0
    given_log(objects, version, {"image": [shown.reshape(-1).tolist()], "score": [1.0]})

    def bright(image: np.ndarray) -> dict[str, np.ndarray]:
        return {"score": image[:, 5:8, 0:3].mean(axis=(1, 2)).astype(np.float64)}

    with Answering(version, bright) as endpoint:
        found = explained(objects, endpoint.url, "rise", budget=1500)
    y, x = np.unravel_index(np.argmax(found.saliency), (8, 8))
    assert 5 <= y < 8
    assert 0 <= x < 3


def test_rise_finds_a_planted_patch_on_digits_95_times_in_100() -> None:
    images, random, hits = load_digits().images, np.random.default_rng(0), 0
    for seed in range(60):
        image = images[seed].copy()
        top, left = random.integers(0, 6, 2)
        image[top : top + 3, left : left + 3] = 16.0

        def sees(batch: np.ndarray, top: int = top, left: int = left) -> np.ndarray:
            return 1 / (1 + np.exp(12 - batch[:, top : top + 3, left : left + 3].mean(axis=(1, 2))))

        values = rise(sees, image, np.zeros((8, 8)), 1000, seed).values
        y, x = np.unravel_index(values.argmax(), values.shape)
        hits += top <= y < top + 3 and left <= x < left + 3
    assert hits >= 0.95 * 60


def test_masks_are_shares_and_show_half_on_average() -> None:
    masks = masks_of(28, 20, 500, np.random.default_rng(0))
    assert masks.shape == (500, 28, 20)
    assert masks.min() >= 0
    assert masks.max() <= 1
    assert masks.mean() == pytest.approx(0.5, abs=0.02)


def test_most_anchors_cost_one_question_besides_the_background() -> None:
    """A question takes longer than its rows: what is likely to be measured next goes with the one before."""
    x, y = load_breast_cancer(return_X_y=True)
    forest = RandomForestClassifier(30, random_state=0).fit(x[:400], y[:400])
    known = forest.predict(x[:400])
    questions = []
    for row, own in zip(x[400:420], forest.predict(x[400:420]), strict=True):
        asked: list[int] = []

        def same(rows: np.ndarray, own: int = own, asked: list[int] = asked) -> np.ndarray:
            asked.append(len(rows))
            return np.asarray(forest.predict(rows.astype(np.float64)) == own)

        found = anchor(same, row.astype(object), Background(x[:400].astype(object), known == own))
        assert found.asked == sum(asked)
        questions.append(len(asked))
    assert np.median(questions) == 1


def test_anchors_of_a_forest_hold_on_rows_that_nobody_has_seen() -> None:
    x, y = load_breast_cancer(return_X_y=True)
    places = np.random.default_rng(0).permutation(len(x))
    known, new = places[:400], places[400:]
    forest = RandomForestClassifier(30, random_state=0).fit(x[known], y[known])
    answers, held_out = forest.predict(x[known]), forest.predict(x[new])
    rows, real = x[known].astype(object), []
    for row in x[new][:15]:
        own = forest.predict(row[None])[0]
        found = anchor(
            lambda r, own=own: forest.predict(r.astype(float)) == own,
            row.astype(object),
            Background(rows, answers == own),
        )
        assert all(fulfils(p, row.astype(object)[None, p.feature])[0] for p in found.predicates)
        under = np.logical_and.reduce(
            [fulfils(p, x[new][:, p.feature].astype(object)) for p in found.predicates] or [held_out >= 0]
        )
        real.append(float((held_out[under] == own).mean()))
    assert np.mean(real) >= 0.95


@given(st.integers(0, 500), st.integers(1, 500), st.floats(0.5, 5))
def test_bounds_hold_the_share_and_are_where_the_divergence_is_the_limit(
    hits: int, count: int, confidence: float
) -> None:
    hits = min(hits, count)
    low, high = bounds(hits, count, confidence)
    assert 0 <= low <= hits / count <= high <= 1
    for edge in (low, high):
        if 0 < edge < 1:
            assert divergence(hits / count, edge) == pytest.approx(confidence / count, rel=1e-2, abs=1e-5)


def test_counterfactuals_of_numbers_and_words_need_a_change_where_it_counts() -> None:
    row = np.array([1.0, "a"], object)
    others = np.array([[9.0, "b"], [9.0, "a"]], object)
    found = counterfactuals(lambda r: r[:, 0].astype(float) < 5, row, others, scales(others))
    assert [(c.changed, c.row.tolist()) for c in found] == [((0,), [9.0, "a"])]


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_a_value_that_is_missing_in_both_rows_is_no_change(missing: float | None) -> None:
    row = np.array([1.0, missing, missing], object)
    others = np.array([[9.0, np.nan, None], [9.0, None, np.nan], [8.0, 2.0, "a"]], object)
    found = counterfactuals(lambda r: r[:, 0].astype(float) < 5, row, others, scales(others))
    assert [(0,), (0,)] == [c.changed for c in found]


def test_of_many_features_only_those_that_decide_stay_changed() -> None:
    """256 that differ, of which the sum of seven makes the answer, in far fewer questions than features."""
    random = np.random.default_rng(0)
    row, others = random.random(256).astype(object), random.random((40, 256)).astype(object)
    deciding = random.permutation(256)[:7]
    row[deciding], others[:, deciding] = 0.0, 1.0
    asked = []

    def low(rows: np.ndarray) -> np.ndarray:
        asked.append(len(rows))
        return rows[:, deciding].astype(float).sum(axis=1) < 6.5

    found = counterfactuals(low, row, others, scales(others))

    assert {place for one in found for place in one.changed} == set(deciding.tolist())
    assert len(asked) <= 90


def test_a_number_is_the_same_answer_near_it_or_on_its_side_of_one_half() -> None:
    signature = Signature((number("x"),), (number("y"),))
    wide = same_as(signature, {"y": np.array([10.0])}, {"y": np.array([0.0, 20.0])})
    assert wide.of({"y": np.array([8.0, 10.0, 13.0])}).tolist() == [True, True, False]
    side = same_as(signature, {"y": np.array([0.6])}, {"y": np.array([0.0, 1.0])})
    assert side.of({"y": np.array([0.5, 0.49])}).tolist() == [True, False]


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 300)), min_size=1, max_size=20), st.floats(0.1, 10))
def test_the_bounds_of_many_rules_are_those_of_each(rules: list[tuple[int, int]], confidence: float) -> None:
    counts = np.array([count for _, count in rules])
    hits = np.minimum([h for h, _ in rules], counts)
    found = uppers(hits, counts, confidence)
    each = [bounds(int(h), int(c), confidence)[1] for h, c in zip(hits, counts, strict=True)]
    np.testing.assert_allclose(found, each, atol=2e-6)
