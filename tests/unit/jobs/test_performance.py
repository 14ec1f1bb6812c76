"""The performance job over real Delta tables: estimated figures, labels that come late, verdicts, and what is refused."""

import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from deltalake import DeltaTable

from fixtures_jobs import (
    CHURN,
    SCORE,
    UNTIL,
    InProcess,
    given_labels,
    given_log,
    given_reference_data,
    given_version,
    number,
    objects,
)
from headrace_functions.errors import InvalidInput
from headrace_functions.profile import spread_rows
from headrace_functions.signature import Field, dtype
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_jobs.performance import judging
from headrace_jobs.performance.estimate import Estimate
from headrace_jobs.performance.findings import kindest
from headrace_jobs.performance.job import PerformanceRun
from headrace_jobs.performance.metrics import REALISED_ALONE, Metric
from headrace_jobs.report.models import MetricPerformance, PerformanceReport
from headrace_jobs.report.page import page
from headrace_jobs.report.report_store import encode
from headrace_jobs.window import Window

__all__ = ["objects"]

PROBABILITIES = Field("probabilities", dtype("float64"), (2,), "numerical", ("no", "yes"))
LABEL = Field("label", dtype("string"), (), "categorical", categories=("no", "yes"))
PROBABILITY = Field("probability", dtype("float64"), (), "numerical")


def performance(objects: ObjectStore, output: str | None = None) -> PerformanceReport:
    window = Window.parse("1h", "2026-11-22T12:00:00Z")
    report = PerformanceRun(CHURN, window, output).report(objects, InProcess(), lambda *_: None)
    json.loads(encode(report))  # plain JSON without NaN, or this raises
    assert "<svg" in page(report) or report.verdict == "not-enough-data"
    if report.tables:
        assert all(sum(map(sum, table.confusion)) == pytest.approx(1) for table in report.tables)
    return report


def of(report: PerformanceReport, name: str) -> MetricPerformance:
    return next(m for m in report.metrics if m.name == name)


def rows(count: int, seed: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An input, the calibrated probability of "yes", and the class."""
    random = np.random.default_rng(seed)
    x = random.normal(shift, 1, count)
    p = 1 / (1 + np.exp(-2 * x))
    return x, p, np.where(random.random(count) < p, "yes", "no").astype(object)


def given_classifier(objects: ObjectStore, count: int = 3000, *, honest: bool = True) -> Version:
    """A classifier whose reference is of rows that it has not learnt from, or else its training data."""
    x, p, label = rows(count, 1)
    answers = {"probabilities": np.column_stack((1 - p, p)).tolist(), "label": np.where(p >= 0.5, "yes", "no")}
    training = {"x": x, "churned": label}
    version = given_version(objects, [number("x")], training, (LABEL, PROBABILITIES), answers, target=["churned"])
    if honest:
        given_reference_data(objects, version, {**training, **answers})
    return version


def given_traffic(
    objects: ObjectStore, version: Version, count: int = 1000, shift: float = 0.0, seed: int = 2
) -> np.ndarray:
    """Traffic of which the returned labels are not known yet."""
    x, p, label = rows(count, seed, shift)
    logged = {"x": x, "probabilities": np.column_stack((1 - p, p)).tolist(), "label": np.where(p >= 0.5, "yes", "no")}
    given_log(objects, version, logged)
    return label


def ids(count: int) -> list[str]:
    return [f"req-{i}" for i in range(count)]


def test_traffic_like_the_training_data_is_steady(objects: ObjectStore) -> None:
    given_traffic(objects, given_classifier(objects))

    report = performance(objects)

    assert (report.verdict, report.severity, report.judged) == ("steady", "none", "estimated")
    assert (report.problem, report.output, report.classes) == ("binary", "probabilities", ("no", "yes"))
    assert report.rows.reference == 3000
    estimated = [m for m in report.metrics if m.name not in REALISED_ALONE]
    assert all(m.estimated is not None and m.low <= m.estimated <= m.high for m in estimated)


def test_traffic_where_the_model_is_unsure_has_degraded_before_any_label_says_so(objects: ObjectStore) -> None:
    version = given_classifier(objects)
    random = np.random.default_rng(5)
    x = random.normal(0, 0.2, 1000)  # all near the boundary
    p = 1 / (1 + np.exp(-2 * x))
    given_log(
        objects,
        version,
        {"x": x, "probabilities": np.column_stack((1 - p, p)).tolist(), "label": np.where(p >= 0.5, "yes", "no")},
    )

    report = performance(objects)
    realised = np.maximum(p, 1 - p).mean()

    assert (report.verdict, report.severity) == ("degraded", "severe")
    assert of(report, "accuracy").estimated == pytest.approx(realised, abs=0.03)
    assert report.sentence.startswith("Performance has degraded: `")


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_the_same_rows_in_other_files_give_the_same_report(objects: ObjectStore, kind: str) -> None:
    """A compaction of the log, or another store, changes no verdict: rows are ordered and folded by what they are."""
    version = given_classifier(objects) if kind == "classes" else given_regressor(objects)
    x, p, _ = rows(1000, 5, 0.7)
    answers = {"probabilities": np.column_stack((1 - p, p)).tolist(), "label": np.where(p >= 0.5, "yes", "no")}
    traffic = {"x": x, **(answers if kind == "classes" else {"score": 3 * x})}
    given_log(objects, version, {k: v[:400] for k, v in traffic.items()}, until=UNTIL - timedelta(minutes=30))
    given_log(objects, version, {k: v[400:] for k, v in traffic.items()}, span=timedelta(minutes=20), request="late")
    before = performance(objects)

    DeltaTable(objects.table_url(layout.log_table(version.id))).optimize.compact()
    after = performance(objects)

    assert (2, 1) == (before.rows.files, after.rows.files)
    assert before == after.model_copy(update={"rows": before.rows})


def overfitted(count: int, seed: int, *, learnt: bool) -> dict[str, np.ndarray]:
    """A model that is certain of rows that it has learnt, and right; of others it knows no more than ``x`` says."""
    x, p, label = rows(count, seed)
    p = np.where(label == "yes", 0.99, 0.01) if learnt else p
    return {"x": x, "churned": (label == "yes").astype(np.int64), "probability": p}


@pytest.mark.parametrize("labelled", [False, True], ids=["estimated", "realised"])
def test_a_model_that_knows_its_training_data_by_heart_is_not_called_degraded(
    objects: ObjectStore, labelled: bool
) -> None:
    """Without an honest reference the verdict says so; with one it is steady."""
    training = overfitted(2000, 1, learnt=True)
    version = given_version(objects, [number("x")], training, (PROBABILITY,), training, target=["churned"])
    now = overfitted(1000, 2, learnt=False)
    given_log(objects, version, {"x": now["x"], "probability": now["probability"]})
    if labelled:
        given_labels(objects, version, 1, {"request_id": ids(1000), "churned": now["churned"]})

    by_heart = performance(objects)
    given_reference_data(objects, version, overfitted(2000, 3, learnt=False))
    honest = performance(objects)

    assert (by_heart.verdict, by_heart.severity) == ("no-reference", "none")
    assert {m.severity for m in by_heart.metrics} == {"none"}
    assert "does not say that it has degraded" in by_heart.sentence
    assert (honest.verdict, honest.severity) == ("steady", "none")
    assert (
        of(honest, "accuracy").low
        <= ((now["probability"] >= 0.5) == now["churned"]).mean()
        <= of(honest, "accuracy").high
    )


def test_rows_of_the_reference_data_are_all_used(objects: ObjectStore) -> None:
    version = given_classifier(objects, honest=False)
    x, p, label = rows(20_000, 3)
    answers = {"probabilities": np.column_stack((1 - p, p)).tolist(), "label": np.where(p >= 0.5, "yes", "no")}
    given_reference_data(objects, version, {"x": x, "churned": label, **answers})

    assert performance(objects).rows.reference == 20_000


def test_the_confusion_matrix_and_the_reliability_curve_are_what_was_met(objects: ObjectStore) -> None:
    version = given_classifier(objects)
    label = given_traffic(objects, version)
    given_labels(objects, version, 1, {"request_id": ids(1000), "churned": label})
    _, p, _ = rows(1000, 2)

    report = performance(objects)
    found = {table.of: table for table in report.tables}

    assert list(found) == ["reference", "estimated", "realised"]
    expected = [[((label == c) & ((p >= 0.5) == a)).mean() for a in (False, True)] for c in ("no", "yes")]
    assert np.array(found["realised"].confusion)[:, :2] == pytest.approx(np.array(expected))
    assert np.array(found["estimated"].confusion)[:, :2] == pytest.approx(np.array(expected), abs=0.03)
    last = (p * 10).astype(int) == 9
    assert found["realised"].met[9] == pytest.approx((label == "yes")[last].mean())


def test_an_interval_that_covers_the_limit_is_not_called_degraded() -> None:
    """Precision of 0.9489 to 0.9924 may be as good as the 0.985 that it has to reach."""
    band, metric = judging.Band(0.995, 0.01), Metric("precision", "higher", 0.0, 1.0)
    covering, beyond = Estimate(0.9778, 0.9489, 0.9924), Estimate(0.95, 0.93, 0.97)

    assert band.severity(kindest(metric, covering), metric) == "none"
    assert band.severity(kindest(metric, beyond), metric) == "medium"


def test_labels_that_came_judge_instead_of_the_estimate(objects: ObjectStore) -> None:
    """Concept drift: the same inputs mean something else, which no estimate can see."""
    version = given_classifier(objects)
    label = given_traffic(objects, version)
    turned = np.where(label == "yes", "no", "yes")
    given_labels(objects, version, 1, {"request_id": ids(900), "churned": turned[:900]})

    report = performance(objects)

    assert (report.verdict, report.judged, report.rows.labelled) == ("degraded", "realised", 900)
    assert of(report, "accuracy").realised == pytest.approx(1 - np.mean(_answers(objects, label)), abs=0.05)
    assert of(report, "accuracy").estimated > 0.7


def _answers(objects: ObjectStore, label: np.ndarray) -> np.ndarray:
    _, p, _ = rows(len(label), 2)
    return np.where(p >= 0.5, "yes", "no") == label


def test_realised_accuracy_is_the_share_of_right_answers(objects: ObjectStore) -> None:
    version = given_classifier(objects)
    label = given_traffic(objects, version)
    given_labels(objects, version, 1, {"request_id": ids(1000), "churned": label})

    report = performance(objects)

    assert of(report, "accuracy").realised == pytest.approx(_answers(objects, label).mean())
    assert report.verdict == "steady"


def test_the_last_label_of_a_row_wins(objects: ObjectStore) -> None:
    version = given_classifier(objects)
    label = given_traffic(objects, version)
    wrong = np.where(label == "yes", "no", "yes")
    given_labels(objects, version, 1, {"request_id": ids(1000), "churned": wrong})
    given_labels(objects, version, 2, {"request_id": ids(1000), "churned": label})

    assert of(performance(objects), "accuracy").realised == pytest.approx(_answers(objects, label).mean())


def test_labels_are_joined_by_request_and_row(objects: ObjectStore) -> None:
    version = given_classifier(objects)
    x, p, label = rows(600, 2)
    logged = {"x": x, "probabilities": np.column_stack((1 - p, p)).tolist(), "label": np.where(p >= 0.5, "yes", "no")}
    given_log(objects, version, logged, same_request=True)
    order = np.random.default_rng(0).permutation(600)
    labels = {"request_id": ["req"] * 600, "row": order.astype(np.int32), "churned": label[order]}
    given_labels(objects, version, 1, labels)

    report = performance(objects)

    assert report.rows.labelled == 600
    assert of(report, "accuracy").realised == pytest.approx((np.where(p >= 0.5, "yes", "no") == label).mean())


def test_few_labels_are_shown_and_do_not_judge(objects: ObjectStore) -> None:
    """The first labels may be special: of cases that were noticed at once."""
    version = given_classifier(objects)
    label = given_traffic(objects, version)
    given_labels(objects, version, 1, {"request_id": ids(100), "churned": np.where(label[:100] == "yes", "no", "yes")})

    report = performance(objects)

    assert (report.judged, report.verdict, report.rows.labelled) == ("estimated", "steady", 100)
    assert of(report, "accuracy").realised < 0.5


def test_labels_that_are_no_class_are_counted_and_left_out(objects: ObjectStore) -> None:
    version = given_classifier(objects)
    label = given_traffic(objects, version)
    label[:10] = "perhaps"
    given_labels(objects, version, 1, {"request_id": ids(1000), "churned": label})

    report = performance(objects)

    assert (report.rows.strangers, report.rows.labelled) == (10, 990)
    assert any("no class of the model" in n.reason for n in report.notes)


def test_answers_that_are_no_probability_are_counted_and_left_out(objects: ObjectStore) -> None:
    version = given_classifier(objects)
    _, p, _ = rows(1000, 2)
    table = np.column_stack((1 - p, p))
    table[:5] = np.nan
    table[5] = [1.5, -0.5]
    given_log(objects, version, {"probabilities": table.tolist(), "label": np.where(p >= 0.5, "yes", "no")})

    report = performance(objects)

    assert (report.rows.window, report.rows.unusable) == (1000, 6)
    assert report.verdict == "steady"


@pytest.mark.parametrize(("reference", "window"), [(299, 1000), (3000, 29), (3000, 0)])
def test_few_rows_on_a_side_are_not_enough_data(objects: ObjectStore, reference: int, window: int) -> None:
    version = given_classifier(objects, reference)
    if window:
        given_traffic(objects, version, window)

    report = performance(objects)

    assert (report.verdict, report.severity) == ("not-enough-data", "none")
    assert "300 are needed" in report.sentence


def test_a_scalar_probability_and_a_target_of_two_numbers_are_a_binary_problem(objects: ObjectStore) -> None:
    x, p, label = rows(2000, 1)
    training = {"x": x, "churned": (label == "yes").astype(np.int64)}
    version = given_version(objects, [number("x")], training, (PROBABILITY,), {"probability": p}, target=["churned"])
    x, p, label = rows(1000, 2)
    given_log(objects, version, {"x": x, "probability": p})
    given_labels(objects, version, 1, {"request_id": ids(1000), "churned": label == "yes"})  # booleans for 0 and 1

    report = performance(objects)

    assert (report.problem, report.classes, report.verdict) == ("binary", ("0", "1"), "steady")
    assert of(report, "accuracy").realised == pytest.approx(((p >= 0.5) == (label == "yes")).mean())


def test_three_classes_are_measured_each_against_the_others(objects: ObjectStore) -> None:
    output = Field("probabilities", dtype("float64"), (3,), "numerical", ("0", "1", "2"))

    def sample(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(seed)
        p = random.dirichlet(np.ones(3) * 0.5, count)
        return p, (random.random(count)[:, None] > p.cumsum(axis=1)).sum(axis=1).clip(0, 2)

    p, kind = sample(1, 3000)
    training = {"x": p[:, 0], "kind": kind}
    version = given_version(objects, [number("x")], training, (output,), {"probabilities": p.tolist()}, target=["kind"])
    p, kind = sample(2, 1000)
    given_log(objects, version, {"x": p[:, 0], "probabilities": p.tolist()})
    given_labels(objects, version, 1, {"request_id": ids(1000), "kind": kind})

    report = performance(objects)

    assert (report.problem, report.verdict) == ("multiclass", "steady")
    accuracy = of(report, "accuracy")
    assert accuracy.realised == pytest.approx((p.argmax(axis=1) == kind).mean())
    assert accuracy.low <= accuracy.realised <= accuracy.high


def given_regressor(objects: ObjectStore) -> Version:
    x, y = line(2000, 1)
    training, answers = {"x": x, "price": y}, {"score": 3 * x}
    version = given_version(objects, [number("x")], training, (SCORE,), answers, target=["price"])
    given_reference_data(objects, version, {**training, **answers})
    return version


def line(count: int, seed: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    x = random.normal(shift, 1, count)
    return x, 3 * x + random.normal(0, 1, count) * np.exp(0.5 * x)


@pytest.mark.parametrize(("shift", "verdict"), [(0.0, "steady"), (1.2, "degraded")])
def test_the_error_of_a_number_is_estimated_and_realised(objects: ObjectStore, shift: float, verdict: str) -> None:
    version = given_regressor(objects)
    x, y = line(1000, 2, shift)
    given_log(objects, version, {"x": x, "score": 3 * x})

    before_labels = performance(objects)
    given_labels(objects, version, 1, {"request_id": ids(1000), "price": y})
    after = performance(objects)

    assert (before_labels.problem, before_labels.verdict, before_labels.judged) == ("regression", verdict, "estimated")
    assert (after.verdict, after.judged) == (verdict, "realised")
    assert of(after, "mae").realised == pytest.approx(np.abs(3 * x - y).mean())
    assert of(before_labels, "r2").estimated is None


def test_text_where_a_number_is_the_target_is_counted_and_left_out(objects: ObjectStore) -> None:
    version = given_regressor(objects)
    x, _ = line(100, 2)
    given_log(objects, version, {"x": x, "score": 3 * x})
    given_labels(objects, version, 1, {"request_id": ids(100), "price": ["dear"] * 100})

    report = performance(objects)

    assert (report.rows.strangers, report.rows.labelled) == (100, 0)


def test_the_same_run_is_the_same_report_to_the_byte(objects: ObjectStore) -> None:
    version = given_regressor(objects)
    x, _ = line(500, 2)
    given_log(objects, version, {"x": x, "score": 3 * x})

    assert encode(performance(objects)) == encode(performance(objects))


def test_a_version_without_a_target_is_refused(objects: ObjectStore) -> None:
    given_version(objects, [number("x")], {"x": [1.0]}, answers={"score": [1.0]})

    with pytest.raises(InvalidInput, match="one target column is needed") as refused:
        performance(objects)

    assert refused.value.field == "target"
    assert "apply again" in str(refused.value.hint)


def test_a_version_without_training_data_is_refused(objects: ObjectStore) -> None:
    given_version(objects, [number("x")], None, target=["y"])

    with pytest.raises(InvalidInput, match="no training data with answers"):
        performance(objects)


def test_an_output_that_is_no_prediction_of_the_target_is_refused(objects: ObjectStore) -> None:
    training = {"x": [1.0, 2.0], "kind": ["a", "b"]}
    given_version(objects, [number("x")], training, answers={"score": [3.0, 7.0]}, target=["kind"])

    with pytest.raises(InvalidInput, match="no output is a probability or a number"):
        performance(objects)


def test_an_unknown_output_is_refused_with_the_known_ones(objects: ObjectStore) -> None:
    given_regressor(objects)

    with pytest.raises(InvalidInput) as refused:
        performance(objects, "scores")

    assert refused.value.expected == "one of score"


def test_more_classes_than_can_be_counted_are_refused(objects: ObjectStore) -> None:
    names = tuple(str(i) for i in range(33))
    output = replace(PROBABILITIES, shape=(33,), columns=names)
    answers = {"probabilities": [[1 / 33] * 33] * 2}
    given_version(objects, [number("x")], {"x": [1.0, 2.0], "kind": [0, 1]}, (output,), answers, target=["kind"])

    with pytest.raises(InvalidInput, match="33 classes"):
        performance(objects)


def test_answers_on_some_of_the_training_rows_are_held_against_the_labels_of_these_rows(objects: ObjectStore) -> None:
    """A build answers 10,000 rows, evenly spread over the training data."""
    x, p, label = rows(12_345, 1)
    chosen = spread_rows(12_345, 10_000)
    training = {"x": x, "churned": (label == "yes").astype(np.int64)}
    given_version(objects, [number("x")], training, (PROBABILITY,), {"probability": p[chosen]}, target=["churned"])

    report = performance(objects)

    assert report.rows.reference == 10_000
    assert of(report, "accuracy").reference == pytest.approx(((p >= 0.5) == (label == "yes"))[chosen].mean())
