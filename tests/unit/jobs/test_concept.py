"""Concept drift where labels came, and the ranking of fields by what the model depends on."""

import numpy as np
import pytest
from scipy import stats

from fixtures_jobs import CHURN, SCORE, InProcess, category, given_labels, given_log, given_version, number, objects
from headrace_functions.signature import Field, dtype
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.views import Array
from headrace_jobs.columns import Coded, Numbers
from headrace_jobs.detectors.native import Native
from headrace_jobs.drift import concept as module
from headrace_jobs.drift.job import DriftRun
from headrace_jobs.importance import answers_of, importance
from headrace_jobs.report.models import DriftReport, Test
from headrace_jobs.report.page import page
from headrace_jobs.window import Window

__all__ = ["objects"]

N = 2000


def drift(objects: ObjectStore) -> DriftReport:
    run = DriftRun(CHURN, Window.parse("1h", "2026-11-22T12:00:00Z"), Native())
    report = run.report(objects, InProcess(), lambda *_: None)
    page(report)
    return report


def of_concept(report: DriftReport) -> Test:
    return next(t for t in report.whole if t.test == "concept")


def binary(seed: int, move: float = 0.0, turn: float = 0.0) -> dict[str, Array]:
    """A calibrated score; ``move`` shifts the input, ``turn`` changes what a score means."""
    random = np.random.default_rng(seed)
    age = random.normal(move, 1, N)
    score = 1 / (1 + np.exp(-age))
    return {"age": age, "score": score, "churned": (random.random(N) < np.abs(turn - score)).astype(np.int64)}


def given_binary(objects: ObjectStore, now: dict[str, Array]) -> None:
    before = binary(0)
    training = {"age": before["age"], "churned": before["churned"]}
    version = given_version(
        objects, [number("age")], training, (SCORE,), {"score": before["score"]}, target=["churned"]
    )
    given_log(objects, version, now)
    given_labels(objects, version, 1, {"request_id": [f"req-{i}" for i in range(N)], "churned": now["churned"]})


def test_labels_that_came_to_go_with_other_scores_are_concept_drift_though_no_field_moved(objects: ObjectStore) -> None:
    given_binary(objects, binary(1, turn=0.6))

    report = drift(objects)

    assert of_concept(report).severity != "none"
    assert report.verdict == "drift"
    assert "concept drift" in report.sentence
    assert {f.verdict for f in report.fields} == {"no-drift"}


def test_other_inputs_alone_are_no_concept_drift(objects: ObjectStore) -> None:
    given_binary(objects, binary(1, move=1.0))

    report = drift(objects)

    assert of_concept(report).severity == "none"
    assert "concept drift" not in report.sentence
    assert report.verdict == "drift"


def test_without_labels_there_is_no_such_test(objects: ObjectStore) -> None:
    version = given_version(
        objects, [number("age")], binary(0), (SCORE,), {"score": binary(0)["score"]}, target=["churned"]
    )
    given_log(objects, version, binary(1))

    assert [t.test for t in drift(objects).whole] == []


def test_labels_of_numbers_and_of_several_classes_are_compared_too(objects: ObjectStore) -> None:
    random = np.random.default_rng(3)

    def prices(offset: float) -> dict[str, Array]:
        size = random.normal(50, 10, N)
        return {"size": size, "price": size * 2, "paid": size * 2 + random.normal(offset, 5, N)}

    before, now = prices(0), prices(8)
    outputs = (Field("price", dtype("float64"), profile="numerical"),)
    training = {"size": before["size"], "paid": before["paid"]}
    version = given_version(objects, [number("size")], training, outputs, {"price": before["price"]}, target=["paid"])
    given_log(objects, version, now)
    given_labels(objects, version, 1, {"request_id": [f"req-{i}" for i in range(N)], "paid": now["paid"]})

    assert of_concept(drift(objects)).severity in ("medium", "severe")


def test_three_classes_that_change_places_are_found(objects: ObjectStore) -> None:
    random = np.random.default_rng(3)
    names = ("a", "b", "c")

    def rows(turn: int) -> dict[str, list[object]]:
        p = random.dirichlet([1, 1, 1], N)
        label = [names[(random.choice(3, p=row) + turn) % 3] for row in p]
        return {"x": random.normal(size=N).tolist(), "p": p.tolist(), "kind": label}

    before, now = rows(0), rows(1)
    outputs = (Field("p", dtype("float64"), (3,), columns=names),)
    version = given_version(
        objects, [number("x")], {"x": before["x"], "kind": before["kind"]}, outputs, {"p": before["p"]}, target=["kind"]
    )
    given_log(objects, version, now)
    given_labels(objects, version, 1, {"request_id": [f"req-{i}" for i in range(N)], "kind": now["kind"]})

    assert of_concept(drift(objects)).severity in ("medium", "severe")


@pytest.mark.parametrize(("n", "m"), [(2000, 2000), (5000, 200), (300, 300)])
def test_the_same_meaning_cries_wolf_in_at_most_one_of_twenty(n: int, m: int) -> None:
    """Even where the answers themselves moved: each side has shares of strata of its own."""
    random = np.random.default_rng(11)
    rates = np.linspace(0.02, 0.9, 10)
    alarms = 0
    for _ in range(300):
        tables = []
        for size in (n, m):
            strata = random.multinomial(size, random.dirichlet(np.full(10, 5.0)))
            hits = random.binomial(strata, rates)
            tables.append(np.stack((strata - hits, hits), axis=1).astype(float))
        found = module.compare(*tables)
        alarms += found is not None and found.p <= 0.05 and found.effect_low >= 0.02

    assert alarms <= stats.binom.ppf(0.999, 300, 0.05)


RARE = np.linspace(0.001, 0.03, 10)[:, None]
LABELS = {
    "two, one rare": np.concatenate((1 - RARE, RARE), axis=1),
    "five, two rare": np.concatenate(
        (0.97 - RARE, 0.02 + 0 * RARE, RARE / 2, RARE / 2 + 0.002, 0.008 + 0 * RARE), axis=1
    ),
}
"""Shares of labels in ten strata."""


def drawn(shares: Array, rows: int, random: np.random.Generator) -> Array:
    strata = random.multinomial(rows, np.full(len(shares), 1 / len(shares)))
    return np.stack([random.multinomial(n, share) for n, share in zip(strata, shares, strict=True)]).astype(float)


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize(("n", "m"), [(20_000, 200), (200, 20_000)])
def test_p_values_of_rare_labels_and_unequal_sides_are_not_too_small(labels: str, n: int, m: int) -> None:
    random = np.random.default_rng(17)
    shares = LABELS[labels] / LABELS[labels].sum(axis=1, keepdims=True)
    found = [module.compare(drawn(shares, n, random), drawn(shares, m, random)) for _ in range(200)]
    p = np.array([1.0 if one is None else one.p for one in found])

    assert [True, True] == [(p <= level).sum() <= stats.binom.ppf(0.999, 200, level) for level in (0.05, 0.01)]


def test_a_rare_label_that_becomes_frequent_is_found_whatever_the_sizes() -> None:
    random = np.random.default_rng(18)
    before, now = (np.concatenate((1 - share, share), axis=1) for share in (RARE, RARE + 0.08))
    found = [
        module.compare(drawn(before, n, random), drawn(now, m, random)) for n, m in ((20_000, 300), (2000, 20_000))
    ]

    assert [True, True] == [one is not None and one.p < 0.001 and one.effect_low > 0.02 for one in found]


def test_the_same_tables_have_the_same_p_value_each_time() -> None:
    random = np.random.default_rng(19)
    tables = (
        drawn(LABELS["five, two rare"] / LABELS["five, two rare"].sum(axis=1, keepdims=True), 900, random),
        drawn(np.full((10, 5), 0.2), 40_000, random),
    )

    assert module.compare(*tables) == module.compare(*tables)


def test_few_labels_say_nothing() -> None:
    assert module.compare(np.full((10, 2), 100.0), np.full((10, 2), 1.0)) is None
    assert module.compare(np.full((10, 2), 100.0), np.zeros((10, 1))) is None


def test_an_input_that_makes_the_answer_is_important_and_one_that_does_not_is_not() -> None:
    random = np.random.default_rng(0)
    x, z = random.normal(size=(2, 5000))
    word = Coded(random.integers(0, 3, 5000), ("a", "b", "c"))
    rows = np.arange(5000)
    (answer,) = answers_of(Numbers(2 * x + word.codes * 1.0), rows)

    found = [importance(one, rows, [answer]) for one in (Numbers(x), Numbers(z), word)]

    expected = [4 / (4 + 2 / 3), 0.0, (2 / 3) / (4 + 2 / 3)]
    assert found == pytest.approx(expected, abs=0.03)


def test_importance_copes_with_nan_constants_and_categories() -> None:
    rows = np.arange(200)
    nothing = Numbers(np.full(200, np.nan))
    constant = Numbers(np.ones(200))
    answers = answers_of(Coded(rows % 2, ("no", "yes")), rows)

    assert answers_of(constant, rows) == answers_of(nothing, rows) == []
    assert [importance(one, rows, answers) for one in (nothing, constant)] == [0.0, 0.0]
    assert importance(constant, rows, []) is None


def test_a_field_that_the_model_depends_on_goes_before_one_that_moved_further(objects: ObjectStore) -> None:
    random = np.random.default_rng(5)

    def rows(move: float) -> dict[str, Array]:
        used, unused = random.normal(0.6 * move, 1, N), random.normal(3 * move, 1, N)
        return {"used": used, "unused": unused, "score": np.tanh(used)}

    before = rows(0)
    version = given_version(
        objects,
        [number("unused"), number("used"), category("c")],
        {**before, "c": ["a"] * N},
        answers={"score": before["score"]},
    )
    given_log(objects, version, {**rows(1), "c": ["a"] * N})

    fields = drift(objects).fields

    ranked = [f.name for f in fields if f.side == "input"]
    assert ranked[:2] == ["used", "unused"]
    by_name = {f.name: f for f in fields}
    assert by_name["unused"].score > by_name["used"].score
    assert by_name["used"].importance == pytest.approx(1, abs=0.05)
    assert by_name["used"].impact == pytest.approx(by_name["used"].score * (by_name["used"].importance or 0))
