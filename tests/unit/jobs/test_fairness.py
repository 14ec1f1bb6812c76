"""Fairness: shares of groups, their intervals, and verdicts that need more than chance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fixtures_jobs import SCORE, UNTIL, InProcess, category, given_labels, given_log, given_version, number, objects
from headrace_functions.errors import InvalidInput
from headrace_functions.signature import Field, dtype
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_jobs.fairness.job import FairnessRun
from headrace_jobs.fairness.shares import difference, quantile, ratio, wilson
from headrace_jobs.report.models import FairnessReport
from headrace_jobs.report.page import page
from headrace_jobs.window import Window

__all__ = ["objects"]

WINDOW = Window.parse("1h", UNTIL.isoformat())
LABEL = Field("label", dtype("string"), profile="categorical", categories=("no", "yes"))
PROBABILITIES = Field("probabilities", dtype("float64"), (2,), columns=("no", "yes"))


def run(objects: ObjectStore, model: Version, group: str = "sex", **options: str) -> FairnessReport:
    report = FairnessRun(model.id, WINDOW, group, **options).report(objects, InProcess(), lambda *_: None)
    assert len(page(report)) < 1_000_000
    return report


def loans(objects: ObjectStore, shares: dict[str, float], rows: int = 1000) -> Version:
    """A version whose answers are ``yes`` in these shares of each group, in turn."""
    model = given_version(
        objects, [category("sex"), number("age")], {"sex": ["f", "m"], "age": [20.0, 60.0]}, (LABEL,), target=["paid"]
    )
    for name, part in shares.items():
        answers = ["yes" if i < part * rows else "no" for i in range(rows)]
        given_log(
            objects, model, {"sex": [name] * rows, "age": np.linspace(18, 80, rows), "label": answers}, request=name
        )
    return model


def test_a_group_that_is_answered_yes_half_as_often_is_found(objects: ObjectStore) -> None:
    report = run(objects, loans(objects, {"m": 0.6, "f": 0.25}))
    groups = {g.name: g for g in report.groups}
    assert report.verdict == "disparity"
    assert report.positive == "yes"
    assert groups["f"].selection.value == 0.25
    other = next(g for g in report.groups if g.name != report.reference)
    assert other.impact is not None
    assert other.impact.low < other.impact.value < other.impact.high
    assert report.severity in ("medium", "severe")


def test_equal_groups_are_no_disparity_and_chance_is_none(objects: ObjectStore) -> None:
    assert run(objects, loans(objects, {"m": 0.5, "f": 0.47})).verdict == "no-disparity"


def test_alarms_without_a_difference_are_rare(objects: ObjectStore) -> None:
    """500 seeded draws of two groups of 40 to 400 rows with the same share: the four-fifths rule by its whole interval."""
    random, alarms = np.random.default_rng(0), 0
    for _ in range(500):
        n, m, share = random.integers(40, 400), random.integers(40, 400), random.uniform(0.1, 0.9)
        found = ratio(int(random.binomial(n, share)), int(n), int(random.binomial(m, share)), int(m), quantile(1))
        alarms += found is not None and (found[2] < 0.8 or found[1] > 1.25)
    assert alarms / 500 <= 0.05


def test_opportunity_is_of_those_who_deserve_it(objects: ObjectStore) -> None:
    """Groups are selected as often, but of those who paid back one group is refused."""
    model = loans(objects, {"m": 0.5, "f": 0.5})
    for name, paid in (("m", range(500)), ("f", range(500, 1000))):
        given_labels(
            objects,
            model,
            1 if name == "m" else 2,
            {"request_id": [f"{name}-{i}" for i in paid], "paid": ["yes"] * 500},
        )
    report = run(objects, model)
    groups = {g.name: g for g in report.groups}
    assert report.labelled == 1000
    assert groups["m"].opportunity is not None
    assert groups["m"].opportunity.value == 1.0
    assert groups["f"].opportunity is not None
    assert groups["f"].opportunity.value == 0.0
    assert report.severity == "severe"
    assert "deserve" in report.sentence


def test_small_groups_are_shown_and_not_judged(objects: ObjectStore) -> None:
    model = loans(objects, {"m": 0.9})
    given_log(objects, model, {"sex": ["f"] * 29, "age": [1.0] * 29, "label": ["no"] * 29}, request="few")
    report = run(objects, model)
    assert report.verdict == "not-enough-data"
    assert {g.name: g.rows for g in report.groups} == {"m": 1000, "f": 29}


def test_an_empty_window_is_not_enough_data(objects: ObjectStore) -> None:
    model = given_version(objects, [category("sex")], {"sex": ["f"]}, (LABEL,))
    assert run(objects, model).verdict == "not-enough-data"


def test_a_number_is_grouped_by_quartiles_of_training(objects: ObjectStore) -> None:
    model = given_version(objects, [number("age")], {"age": np.arange(101.0)}, (LABEL,))
    given_log(objects, model, {"age": [*np.arange(100.0), np.nan], "label": ["yes"] * 101})
    report = run(objects, model, "age")
    assert {g.name: g.rows for g in report.groups} == {
        "≤ 25": 26,
        "25 to 50": 25,
        "50 to 75": 25,
        "> 75": 24,
        "missing": 1,
    }


def test_the_largest_probability_is_the_answer(objects: ObjectStore) -> None:
    model = given_version(objects, [category("sex")], {"sex": ["f"]}, (PROBABILITIES,))
    given_log(objects, model, {"sex": ["f"] * 40, "probabilities": [[0.2, 0.8]] * 10 + [[0.7, 0.3]] * 30})
    report = run(objects, model)
    assert report.groups[0].selection.value == 0.25


def test_a_probability_counts_from_one_half(objects: ObjectStore) -> None:
    model = given_version(objects, [category("sex")], {"sex": ["f"]}, (SCORE,), {"score": [0.1, 0.9]})
    given_log(objects, model, {"sex": ["f"] * 4, "score": [0.5, 0.9, 0.1, np.nan]})
    report = run(objects, model)
    assert (report.groups[0].selection.value, report.rows, report.unusable) == (pytest.approx(2 / 3), 3, 1)


@pytest.mark.parametrize(
    ("options", "field"),
    [({"group": "nothing"}, "group"), ({"positive": "maybe"}, "positive"), ({"output": "none"}, "output")],
)
def test_what_cannot_be_compared_is_refused_naming_it(
    objects: ObjectStore, options: dict[str, str], field: str
) -> None:
    model = given_version(objects, [category("sex")], {"sex": ["f"]}, (LABEL,))
    with pytest.raises(InvalidInput) as caught:
        run(objects, model, **{"group": "sex", **options})
    assert caught.value.field == field


@given(st.integers(0, 300), st.integers(1, 300))
def test_the_interval_of_a_share_is_wilsons(hits: int, count: int) -> None:
    hits = min(hits, count)
    found = stats.binomtest(hits, count).proportion_ci(0.95, "wilson")
    assert wilson(hits, count, quantile(1)) == pytest.approx((found.low, found.high), abs=1e-12)


def test_differences_are_newcombes() -> None:
    """Newcombe 1998, table II, (a): 56/70 less 48/80 by method 10 is 0.0524 to 0.3339."""
    found = difference(56, 70, 48, 80, quantile(1))
    assert found is not None
    assert found == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_ratios_are_those_of_the_logarithm() -> None:
    found = ratio(20, 100, 40, 100, quantile(1))
    spread = 1.959964 * np.sqrt(1 / 20 - 1 / 100 + 1 / 40 - 1 / 100)
    assert found == pytest.approx((0.5, 0.5 * np.exp(-spread), 0.5 * np.exp(spread)))
    assert ratio(0, 10, 0, 10, 1.96) is None


@pytest.mark.parametrize("positive", ["true", "True"])
def test_groups_and_answers_that_are_truth_values_are_named_as_in_the_contract(
    objects: ObjectStore, positive: str
) -> None:
    flag, granted = (Field(name, dtype("bool"), profile="categorical") for name in ("member", "granted"))
    rows = {"member": [True, False], "granted": [True, False]}
    model = given_version(objects, [flag], {"member": rows["member"]}, (granted,))
    given_log(objects, model, {name: values * 200 for name, values in rows.items()})
    report = run(objects, model, "member", positive=positive)
    assert ("true", {"true", "false"}) == (report.positive, {g.name for g in report.groups})
