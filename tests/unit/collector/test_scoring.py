"""Metrics: every answered row is scored once by the version's metric models, whatever fails on the way."""

from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st

from fixtures_jobs import SCORE, category, given_log, given_version, number, objects
from headrace_controller.collector.scoring import ATTEMPTS, FIRST_PAUSE, LAST_PAUSE, Scoring
from headrace_controller.monitoring.attached import attach, detach, metrics_of
from headrace_controller.monitoring.specs import COMPARISONS, MetricSpec, wants_outliers
from headrace_controller.monitoring.values import Health, total
from headrace_controller.requestlog.model_requests import Reply, Unanswered
from headrace_functions.errors import InvalidInput, NotFound
from headrace_functions.names import VersionId
from headrace_functions.signature import Field, dtype
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version

__all__ = ["objects"]

WATCH = VersionId("watch", 1)
VALUE = Field("value", dtype("float64"), profile="numerical")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Model:
    """A metric model: answers ``value = x`` and remembers how many rows it was asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.answer: Callable[[dict[str, Any]], Reply] = self.by_x

    def __call__(self, version: VersionId, body: bytes) -> Reply:
        tensors = {t["name"]: t for t in orjson.loads(body)["inputs"]}
        self.asked.append(tensors["x"]["shape"][0])
        return self.answer(tensors)

    @staticmethod
    def by_x(tensors: dict[str, Any]) -> Reply:
        return Reply(200, orjson.dumps({"outputs": [{"name": "value", "data": tensors["x"]["data"]}]}))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def churn(objects: ObjectStore) -> Version:
    """A version with inputs ``x`` and ``plan``, watched by ``watch:1``: healthy iff ``x <= 10``."""
    given_version(objects, [number("x")], None, outputs=[VALUE], version=WATCH)
    version = given_version(objects, [number("x"), category("plan")], None)
    attach(Documents(objects), version.id, MetricSpec("high", WATCH, "<=", 10.0))
    return version


def log_rows(objects: ObjectStore, version: Version, values: list[float], request: str = "req", **more: Any) -> None:
    given_log(objects, version, {"x": values, "plan": ["a"] * len(values)}, request=request, **more)


def values(objects: ObjectStore, version: Version) -> list[dict[str, Any]]:
    table = DeltaTable(objects.table_url(layout.metric_table(version.id))).to_pyarrow_table()
    return sorted(table.to_pylist(), key=lambda r: r["request_id"])


def test_each_answered_row_has_its_value_and_health(objects: ObjectStore, churn: Version, model: Model) -> None:
    log_rows(objects, churn, [1.0, 99.0])
    log_rows(objects, churn, [5.0], request="refused", outcome="refused")
    assert Scoring(objects, model).round() is None
    found = values(objects, churn)
    assert [(r["request_id"], r["value"], r["healthy"]) for r in found] == [
        ("req-0", 1.0, True),
        ("req-1", 99.0, False),
    ]
    assert {(r["metric"], r["model"], r["operator"], r["threshold"]) for r in found} == {
        ("high", "watch:1", "<=", 10.0)
    }


def test_a_restart_scores_nothing_twice_and_misses_nothing(objects: ObjectStore, churn: Version, model: Model) -> None:
    for part in range(4):
        log_rows(objects, churn, [float(part)], request=f"r{part}")
        for _ in range(2):
            Scoring(objects, model).round()
    assert [r["value"] for r in values(objects, churn)] == [0.0, 1.0, 2.0, 3.0]
    assert model.asked == [1, 1, 1, 1]


def test_a_crash_between_answer_and_commit_is_redone_with_the_same_result(
    objects: ObjectStore, churn: Version, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_rows(objects, churn, [3.0])
    scoring = Scoring(objects, model)
    with monkeypatch.context() as patched:
        patched.setattr(scoring._values, "append", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            scoring.round()
    Scoring(objects, model).round()
    assert [r["value"] for r in values(objects, churn)] == [3.0]


def test_compaction_of_the_log_is_no_new_rows(objects: ObjectStore, churn: Version, model: Model) -> None:
    for part in range(3):
        log_rows(objects, churn, [float(part)], request=f"r{part}")
    DeltaTable(objects.table_url(layout.log_table(churn.id))).optimize.compact()
    log_rows(objects, churn, [7.0], request="r7")
    Scoring(objects, model).round()
    assert [r["value"] for r in values(objects, churn)] == [0.0, 1.0, 2.0, 7.0]


def test_a_model_that_cannot_be_reached_is_asked_again_after_growing_pauses(
    objects: ObjectStore, churn: Version, model: Model, clock: Clock
) -> None:
    def away(_: object) -> Reply:
        raise Unanswered("asleep")

    model.answer = away
    log_rows(objects, churn, [1.0])
    scoring = Scoring(objects, model, clock)
    pauses = []
    for _ in range(12):
        wait = scoring.round()
        assert wait is not None
        asked = len(model.asked)
        clock.now += wait / 2
        scoring.round()
        assert len(model.asked) == asked, "it was asked before the pause was over"
        clock.now += wait
        pauses.append(wait)
    assert pauses[0] == FIRST_PAUSE
    assert pauses == sorted(pauses)
    assert pauses[-1] == LAST_PAUSE
    model.answer = model.by_x
    clock.now += LAST_PAUSE
    assert scoring.round() is None
    assert [r["value"] for r in values(objects, churn)] == [1.0]


def test_a_model_that_fails_on_its_rows_gets_them_written_with_its_words(
    objects: ObjectStore, churn: Version, model: Model, clock: Clock
) -> None:
    model.answer = lambda _: Reply(500, orjson.dumps({"detail": "boom"}))
    log_rows(objects, churn, [1.0, 2.0])
    scoring = Scoring(objects, model, clock)
    while (wait := scoring.round()) is not None:
        clock.now += wait
    assert len(model.asked) == ATTEMPTS
    assert {(r["value"], r["healthy"], r["error"]) for r in values(objects, churn)} == {(None, None, "500: boom")}


def test_rows_at_fault_are_set_apart_from_their_batch(objects: ObjectStore, churn: Version, model: Model) -> None:
    def strict(tensors: dict[str, Any]) -> Reply:
        if any(x > 90 for x in tensors["x"]["data"]):
            return Reply(422, orjson.dumps({"detail": "x: too large"}))
        return model.by_x(tensors)

    model.answer = strict
    log_rows(objects, churn, [1.0, 2.0, 99.0, 4.0, 5.0])
    Scoring(objects, model).round()
    found = values(objects, churn)
    assert [r["value"] for r in found] == [1.0, 2.0, None, 4.0, 5.0]
    assert found[2]["error"] == "422: x: too large"


def test_a_metric_that_wants_what_is_not_there_says_so(objects: ObjectStore, churn: Version, model: Model) -> None:
    other = VersionId("other", 1)
    given_version(objects, [number("weight")], None, outputs=[VALUE], version=other)
    attach(Documents(objects), churn.id, MetricSpec("high", other, "<=", 1.0))
    log_rows(objects, churn, [1.0])
    Scoring(objects, model).round()
    assert values(objects, churn)[0]["error"] == "other:1 wants 'weight', which churn:1 neither takes nor gives"
    assert model.asked == []


def test_a_metric_may_look_at_the_answer(objects: ObjectStore, model: Model) -> None:
    given_version(objects, [number("x"), SCORE], None, outputs=[VALUE], version=WATCH)
    version = given_version(objects, [number("x")], None)
    attach(Documents(objects), version.id, MetricSpec("both", WATCH, "<=", 1.0))
    model.answer = lambda t: Reply(200, orjson.dumps({"outputs": [{"name": "value", "data": t["score"]["data"]}]}))
    given_log(objects, version, {"x": [1.0], "score": [0.25]})
    Scoring(objects, model).round()
    assert values(objects, version)[0]["value"] == 0.25


def test_a_metric_attached_later_scores_the_log_from_its_beginning(
    objects: ObjectStore, churn: Version, model: Model
) -> None:
    log_rows(objects, churn, [1.0])
    Scoring(objects, model).round()
    attach(Documents(objects), churn.id, MetricSpec("low", WATCH, ">", 5.0))
    Scoring(objects, model).round()
    assert sorted((r["metric"], r["healthy"]) for r in values(objects, churn)) == [("high", True), ("low", False)]


def test_a_detached_metric_is_scored_no_more(objects: ObjectStore, churn: Version, model: Model) -> None:
    detach(Documents(objects), churn, "high")
    log_rows(objects, churn, [1.0])
    Scoring(objects, model).round()
    assert model.asked == []
    with pytest.raises(NotFound):
        detach(Documents(objects), churn, "high")


def test_many_rows_are_asked_in_batches(objects: ObjectStore, churn: Version, model: Model) -> None:
    log_rows(objects, churn, np.arange(2500.0).tolist())
    Scoring(objects, model).round()
    assert model.asked == [1000, 1000, 500]
    assert len(values(objects, churn)) == 2500


@given(st.sampled_from(sorted(COMPARISONS)), st.floats(allow_nan=False), st.floats(-1e9, 1e9))
def test_healthy_is_what_the_operator_says(operator: str, value: float, threshold: float) -> None:
    spec = MetricSpec("m", WATCH, operator, threshold)
    assert spec.healthy(value) == eval(f"value {operator} threshold")
    assert not spec.healthy(float("nan"))
    assert MetricSpec.from_document(spec.to_document()) == spec


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"monitoring-model": "w:1"}, "threshold"),
        ({"threshold": 1}, "monitoring-model"),
        ({"monitoring-model": "w", "threshold": 1}, "monitoring-model"),
        ({"monitoring-model": "w:1", "threshold": "much"}, "threshold"),
        ({"monitoring-model": "w:1", "threshold": 1, "operator": "=>"}, "operator"),
        ({"monitoring-model": "w:1", "threshold": 1, "tresh": 1}, "tresh"),
    ],
)
def test_a_wrong_metric_is_refused_naming_the_key(config: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        MetricSpec.of_config("m", config)
    assert caught.value.field == field


def test_outliers_without_a_model_are_asked_of_the_platform() -> None:
    assert MetricSpec.of_config("outliers", {}) is None
    assert wants_outliers(({"name": "outliers", "config": {}},)) == 0.01
    assert wants_outliers(({"name": "outliers", "config": {"rate": 0.05}},)) == 0.05
    assert wants_outliers(({"name": "outliers", "config": {"monitoring-model": "w:1", "threshold": 1}},)) is None
    with pytest.raises(InvalidInput, match="rate"):
        MetricSpec.of_config("outliers", {"rate": 2})


def test_the_definition_and_what_was_attached_make_the_metrics(objects: ObjectStore, churn: Version) -> None:
    documents = Documents(objects)
    assert [(s.name, s.threshold) for s in metrics_of(documents, churn)] == [("high", 10.0)]
    attach(documents, churn.id, MetricSpec("high", WATCH, "<=", 20.0))
    attach(documents, churn.id, MetricSpec("high", WATCH, "<=", 20.0))
    assert documents.last_number(layout.metric_spec(churn.id, "high")) == 2
    assert [(s.name, s.threshold) for s in metrics_of(documents, churn)] == [("high", 20.0)]


def test_health_leaves_errors_out_of_the_share() -> None:
    hours = [Health("2026-11-22T10:00:00Z", 2, 1, 0), Health("2026-11-22T11:00:00Z", 1, 0, 1)]
    assert [h.share for h in hours] == [0.5, None]
    assert (total(hours).rows, total(hours).share) == (3, 0.5)
