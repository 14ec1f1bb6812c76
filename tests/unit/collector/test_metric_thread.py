"""Scoring beside collecting: when it keeps its process, when it lets it end, and that nothing is lost or doubled by the end."""

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest
from deltalake import DeltaTable

from fixtures_jobs import given_log, given_version, number, objects
from headrace_controller.collector.collect import Collector
from headrace_controller.collector.scoring import Scoring
from headrace_controller.collector.scoring_thread import PATIENCE, MetricThread
from headrace_controller.gateway_client import GatewayAsking
from headrace_controller.health.thread import HealthThread
from headrace_controller.health.writer import HealthWriter
from headrace_controller.incluster.collector import Collecting, keep_awake
from headrace_controller.monitoring.attached import attach
from headrace_controller.monitoring.specs import MetricSpec
from headrace_controller.requestlog.model_requests import Ask, Reply, Unanswered
from headrace_functions.names import VersionId
from headrace_functions.recording.shipper import Shipper
from headrace_functions.signature import Field, dtype
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version

__all__ = ["objects"]

WATCH = VersionId("watch", 1)
VALUE = Field("value", dtype("float64"), profile="numerical")
SECONDS = 20.0


@pytest.fixture
def churn(objects: ObjectStore) -> Version:
    given_version(objects, [number("x")], None, outputs=[VALUE], version=WATCH)
    return given_version(objects, [number("x")], None)


def watched(objects: ObjectStore, version: Version, name: str = "high") -> None:
    attach(Documents(objects), version.id, MetricSpec(name, WATCH, "<=", 10.0))


def by_x(_: VersionId, body: bytes) -> Reply:
    (x,) = orjson.loads(body)["inputs"]
    return Reply(200, orjson.dumps({"outputs": [{"name": "value", "data": x["data"]}]}))


def away(_version: VersionId, _body: bytes) -> Reply:
    raise Unanswered("asleep")


def scored(objects: ObjectStore, version: Version) -> list[tuple[str, float]]:
    url = objects.table_url(layout.metric_table(version.id))
    if not DeltaTable.is_deltatable(url):
        return []
    rows: list[dict[str, Any]] = DeltaTable(url).to_pyarrow_table().to_pylist()
    return sorted((r["metric"], r["value"]) for r in rows)


def until(condition: Any, what: str) -> None:
    pause = threading.Event()
    for _ in range(int(SECONDS / 0.01)):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError(f"not in {SECONDS:g} s: {what}")


class Threads:
    """Makes threads, and ends them with the test."""

    def __init__(self) -> None:
        self.now = 0.0
        self._made: list[MetricThread] = []

    def of(self, objects: ObjectStore, ask: Ask) -> MetricThread:
        self._made.append(MetricThread(Scoring(objects, ask), lambda: self.now))
        return self._made[-1]

    def end(self) -> None:
        for thread in self._made:
            thread.stop(SECONDS)


@pytest.fixture
def threads() -> Iterator[Threads]:
    made = Threads()
    yield made
    made.end()


def test_it_lags_until_the_log_is_scored(objects: ObjectStore, churn: Version, threads: Threads) -> None:
    watched(objects, churn)
    given_log(objects, churn, {"x": [1.0, 2.0]})
    metrics = threads.of(objects, by_x)
    metrics.start()
    assert metrics.lags
    until(lambda: not metrics.lags, "all is scored")
    assert scored(objects, churn) == [("high", 1.0), ("high", 2.0)]


def test_a_model_that_never_answers_keeps_no_process_for_ever(
    objects: ObjectStore, churn: Version, threads: Threads
) -> None:
    watched(objects, churn)
    given_log(objects, churn, {"x": [1.0]})
    metrics = threads.of(objects, away)
    metrics.start()
    threads.now = PATIENCE - 1
    assert metrics.lags
    threads.now = PATIENCE + 1
    assert not metrics.lags


def test_a_model_that_answers_slowly_is_waited_for(objects: ObjectStore, churn: Version, threads: Threads) -> None:
    """An answer before the patience is over begins it anew."""
    watched(objects, churn)
    given_log(objects, churn, {"x": [float(i) for i in range(2000)]})
    may, asked = threading.Semaphore(0), threading.Semaphore(0)

    def slow(version: VersionId, body: bytes) -> Reply:
        asked.release()
        may.acquire(timeout=SECONDS)
        return by_x(version, body)

    metrics = threads.of(objects, slow)
    metrics.start()
    assert asked.acquire(timeout=SECONDS)
    threads.now = PATIENCE - 1
    may.release()
    assert asked.acquire(timeout=SECONDS)
    assert metrics.lags  # the first of two questions is answered
    threads.now = 2 * PATIENCE - 2
    assert metrics.lags
    may.release()
    until(lambda: not metrics.lags, "all is scored")


def test_a_metric_that_is_attached_is_scored_at_once(objects: ObjectStore, churn: Version, threads: Threads) -> None:
    given_log(objects, churn, {"x": [1.0]})
    metrics = threads.of(objects, by_x)
    metrics.start()
    until(lambda: not metrics.lags, "there is nothing to score")
    watched(objects, churn)
    metrics.look()
    until(lambda: scored(objects, churn), "what is in the log is scored")


def test_an_end_within_a_question_loses_and_doubles_nothing(
    objects: ObjectStore, churn: Version, threads: Threads
) -> None:
    """The process ends while a model is asked: the next one scores each row once, and the first still knows that it lags."""
    watched(objects, churn)
    given_log(objects, churn, {"x": [float(i) for i in range(1500)]})
    asked, go = threading.Event(), threading.Event()

    def held(version: VersionId, body: bytes) -> Reply:
        asked.set()
        go.wait(SECONDS)
        return by_x(version, body)

    first = threads.of(objects, held)
    first.start()
    assert asked.wait(SECONDS)
    first.stop()
    go.set()
    first.stop(SECONDS)
    assert first.lags
    assert scored(objects, churn) == []
    second = threads.of(objects, by_x)
    second.start()
    until(lambda: not second.lags, "the next process scores the rest")
    assert scored(objects, churn) == [("high", float(i)) for i in range(1500)]


def test_two_collectors_at_once_score_each_row_once(objects: ObjectStore, churn: Version) -> None:
    """A new revision starts while the old one ends: whoever commits second sees that it is done."""
    watched(objects, churn)
    given_log(objects, churn, {"x": [1.0]})
    given_log(objects, churn, {"x": [2.0]})

    def after_the_other(version: VersionId, body: bytes) -> Reply:
        Scoring(objects, by_x).round()
        return by_x(version, body)

    slow = Scoring(objects, after_the_other)
    assert slow.round() == 1.0
    assert "another collector has written to the log of churn:1" in slow.problems[0]
    assert (slow.round(), slow.problems) == (None, [])
    assert scored(objects, churn) == [("high", 1.0), ("high", 2.0)]


class Told:
    """Counts words to the collector; the wait after ``words`` of them ends."""

    def __init__(self, stop: threading.Event) -> None:
        self.count = 0
        self._stop = stop

    def __call__(self) -> None:
        self.count += 1
        self._stop.set()


def cluster_collecting(objects: ObjectStore, metrics: MetricThread, tmp: Any) -> Collecting:
    collector = Collector(objects, Shipper(tmp / "spool", objects), metrics.grown)
    return Collecting(collector, metrics, HealthThread(HealthWriter(objects), every=0.01))


def test_in_a_cluster_the_next_process_is_called_where_metrics_lag_at_the_end(
    objects: ObjectStore, churn: Version, threads: Threads, tmp_path: Any
) -> None:
    watched(objects, churn)
    given_log(objects, churn, {"x": [1.0]})
    stop = threading.Event()
    stop.set()
    told = Told(stop)
    collecting = cluster_collecting(objects, threads.of(objects, away), tmp_path)
    collecting.start()
    keep_awake(collecting, told, stop)
    assert told.count == 1


def test_in_a_cluster_nobody_is_called_where_all_is_scored(
    objects: ObjectStore, churn: Version, threads: Threads, tmp_path: Any
) -> None:
    """Else the collector would never sleep."""
    watched(objects, churn)
    given_log(objects, churn, {"x": [1.0]})
    collecting = cluster_collecting(objects, threads.of(objects, by_x), tmp_path)
    collecting.start()
    until(lambda: not collecting.lags, "all is scored")
    stop = threading.Event()
    stop.set()
    told = Told(stop)
    keep_awake(collecting, told, stop)
    assert told.count == 0


def test_in_a_cluster_it_keeps_awake_while_metrics_lag(
    objects: ObjectStore, churn: Version, threads: Threads, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace_controller.incluster.collector.KEEP_AWAKE", 0.01)
    watched(objects, churn)
    given_log(objects, churn, {"x": [1.0]})
    stop = threading.Event()
    told = Told(stop)
    collecting = cluster_collecting(objects, threads.of(objects, away), tmp_path)
    collecting.start()
    keep_awake(collecting, told, stop)
    assert told.count == 2  # once while it lagged, once at the end


def test_questions_bear_the_platforms_word() -> None:
    """So that the gateway keeps them out of the log; a gateway that is away is no answer."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=b"{}")

    client = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://gateway")
    assert GatewayAsking(client, lambda: "word")(WATCH, b"{}") == Reply(200, b"{}")
    assert seen[0].url.path == "/v2/models/watch/versions/1/infer"
    assert seen[0].headers["x-headrace-purpose"] == "explain word"
    nobody = httpx.Client(base_url="http://127.0.0.1:9")
    with pytest.raises(Unanswered, match="does not answer"):
        GatewayAsking(nobody, lambda: "word")(WATCH, b"{}")
