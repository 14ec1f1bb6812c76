"""Two versions on the same rows: what is said holds for any law, and nothing is said that chance would show."""

import math
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import orjson
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from controller_support import make_platform, release, serving, wait_until
from fixtures_jobs import UNTIL, given_log
from headrace_controller import clock
from headrace_controller.api.application import create_app
from headrace_controller.cli.entrypoint import front
from headrace_controller.collector.scoring import Scoring
from headrace_controller.comparison import intervals
from headrace_controller.comparison.paired import Pair, compare
from headrace_controller.monitoring.specs import MetricSpec
from headrace_controller.pages import blueprint
from headrace_controller.requestlog.model_requests import Reply
from headrace_controller.service.comparisons import as_document
from headrace_controller.service.platform import Platform
from headrace_controller.service.replays import ReplayRequest
from headrace_functions.errors import InvalidInput, NotFound
from headrace_functions.names import VersionId
from headrace_functions.paired_charts import answers_of_both
from headrace_functions.signature import Field, dtype

A, B = VersionId("a", 1), VersionId("b", 1)
SCORE = Field("score", dtype("float64"), profile="numerical")
LABEL = Field("label", dtype("int64"), profile="categorical")
SEEDS = range(400)


def coverage(of: Any, truth: float) -> float:
    return sum(found.low <= truth <= found.high for found in map(of, SEEDS)) / len(SEEDS)


@pytest.mark.parametrize("law", ["normal", "lognormal", "ties"])
@pytest.mark.parametrize("n", [40, 400])
def test_the_interval_of_a_median_difference_holds_for_any_law(law: str, n: int) -> None:
    draw = {
        "normal": lambda r: r.normal(1, 1, n),
        "lognormal": lambda r: r.lognormal(0, 2, n),
        "ties": lambda r: r.integers(0, 3, n).astype(float),
    }[law]
    found = coverage(lambda seed: intervals.median_difference(draw(np.random.default_rng(seed))), 1.0)
    assert found >= 0.93


@pytest.mark.parametrize("p", [0.02, 0.3])
@pytest.mark.parametrize("n", [50, 1000])
def test_the_interval_of_a_difference_of_shares_holds(p: float, n: int) -> None:
    def found(seed: int) -> intervals.Estimate:
        random = np.random.default_rng(seed)
        first = random.random(n) < p
        flipped = random.random(n) < 0.1
        return intervals.difference_of_shares(first, first ^ flipped)

    assert coverage(found, 0.1 * (1 - 2 * p)) >= 0.92


@pytest.mark.parametrize(("freedom", "expected"), [(1, 12.706), (4, 2.776), (9, 2.262), (29, 2.045), (999, 1.962)])
def test_student_s_point_is_that_of_the_tables(freedom: int, expected: float) -> None:
    assert expected == pytest.approx(intervals._student(freedom), rel=2e-3)


def test_the_rows_needed_are_about_those_that_tell_the_difference() -> None:
    """At the number that is told, four of five samples tell a difference of that size."""
    random = np.random.default_rng(1)
    found = intervals.mean_difference(random.normal(0.1, 1.0, 100) * 1.0)
    needed = intervals.rows_needed(intervals.Estimate(0.1, 0.1 - 0.196, 0.1 + 0.196), 100)
    assert needed is not None
    told = sum(intervals.mean_difference(random.normal(0.1, 1.0, needed)).told for _ in range(300)) / 300
    assert 0.8 == pytest.approx(told, abs=0.08)
    assert intervals.rows_needed(intervals.Estimate(1.0, 0.5, 1.5), 100) is None
    assert not math.isnan(found.value)


def pairs(first: list[Any], second: list[Any], column: str, labels: list[Any] | None = None) -> list[Pair]:
    return [
        Pair(
            f"r{i}",
            0,
            {column: a, "latency_ms": 5.0},
            {column: b, "latency_ms": 9.0 + i % 3},
            None,
            labels[i] if labels else None,
        )
        for i, (a, b) in enumerate(zip(first, second, strict=True))
    ]


def test_the_same_answers_agree_wholly_and_no_row_differs() -> None:
    found = compare([SCORE], pairs([0.1, None, 0.3] * 20, [0.1, None, 0.3] * 20, "out.score"), latency=False)
    (output,) = found.outputs
    assert (1.0, [], None) == (output.agreement.value, list(found.differing), found.latency)


def test_the_rows_that_differ_most_come_first() -> None:
    first, second = [1.0] * 50, [1.0] * 50
    second[7], second[3] = 9.0, 2.0
    found = compare([SCORE], pairs(first, second, "out.score"), latency=True)
    assert ["r7", "r3"] == [p.request_id for p in found.differing]
    assert 0.96 == found.outputs[0].agreement.value
    assert found.latency is not None
    assert (5.0, 10.0, "first") == (found.latency.first, found.latency.second, found.latency.better)


def test_latency_is_compared_where_both_sides_know_it_and_nowhere_else() -> None:
    given = pairs([0.1] * 40, [0.2] * 40, "out.score")
    unknown = [replace(p, second={**p.second, "latency_ms": None}) for p in given]
    found = compare([SCORE], [*given[:30], *unknown[30:]], latency=True)
    assert found.latency is not None
    assert 30 == found.latency.rows
    assert compare([SCORE], unknown, latency=True).latency is None


def test_the_more_accurate_one_is_told_whatever_its_classes_are_spelled_like() -> None:
    random = np.random.default_rng(2)
    truth = random.integers(0, 2, 400)
    weak = np.where(random.random(400) < 0.3, 1 - truth, truth)
    strong = np.where(random.random(400) < 0.1, 1 - truth, truth)
    labels = [str(bool(t)) for t in truth]
    found = compare([LABEL], pairs(weak.tolist(), strong.tolist(), "out.label", labels), latency=False)
    assert found.quality is not None
    assert ("accuracy", "second", 400) == (found.quality.name, found.quality.better, found.quality.rows)
    said = as_document("a:1", "b:1", found)["sentence"]
    assert said.startswith("b:1 has the better accuracy: 0.68 of a:1, 0.9")


def test_of_equal_ones_none_is_told_in_nineteen_of_twenty_samples() -> None:
    told = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        truth = random.integers(0, 2, 300)
        first, second = (np.where(random.random(300) < 0.2, 1 - truth, truth) for _ in range(2))
        found = compare([LABEL], pairs(first.tolist(), second.tolist(), "out.label", truth.tolist()), latency=False)
        told += bool(found.quality and found.quality.better)
    assert told <= 19  # of 10 that are expected; more has a probability of 0.003


@given(st.lists(st.tuples(st.none() | st.floats(-1e6, 1e6), st.none() | st.floats(-1e6, 1e6)), min_size=1, max_size=40))
def test_agreement_does_not_depend_on_which_is_first(answers: list[tuple[float | None, float | None]]) -> None:
    first, second = ([a for a, _ in answers], [b for _, b in answers])
    one = compare([SCORE], pairs(first, second, "out.score"), latency=False).outputs[0]
    other = compare([SCORE], pairs(second, first, "out.score"), latency=False).outputs[0]
    assert one.agreement == other.agreement
    if one.mean_difference and other.mean_difference:
        assert one.mean_difference.value == pytest.approx(-other.mean_difference.value, rel=1e-6, abs=1e-6)


# By logs


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """``a:1`` and ``b:1`` have answered the same sixty requests, ``b`` twice as much; ``c:1`` gives something else."""
    found = make_platform(tmp_path / "home")
    for model in ("a", "b"):
        release(found.catalog, model, inputs="x", outputs="y")
    release(found.catalog, "c", inputs="x", outputs="z")
    x = [float(i) for i in range(60)]
    for version, factor in ((A, 1.0), (B, 2.0)):
        known = found.catalog.get(version).version
        assert known is not None
        given_log(found.catalog.documents.objects, known, {"x": x, "y": [factor * v for v in x]})
        found.metrics.attach(version, MetricSpec("big", None, "<=", None, "y > 50"))
    Scoring(found.catalog.documents.objects, lambda _v, _b: Reply(500, b"")).round()
    return found


def test_rows_of_both_logs_are_compared_with_their_metrics(platform: Platform) -> None:
    found = platform.comparisons.of_log(A, B)
    assert 60 == found.rows
    (output,) = found.outputs
    assert (29.5, 59.0) == output.means
    assert 1.0 == output.correlation
    (metric,) = found.metrics
    assert ("big unhealthy", "first", 60) == (metric.name, metric.better, metric.rows)
    assert "r" in found.differing[0].request_id


def test_the_command_says_it_and_what_cannot_be_compared(platform: Platform) -> None:
    with serving(platform) as url:

        def run(*command: str) -> Any:
            return CliRunner().invoke(front, ["compare", *command, "--since", "3650d", "--url", url])

        shown = run("a:1", "b:1").output
        assert "a:1 has the better big unhealthy" in shown
        assert "rows that differ most" in shown
        document = orjson.loads(run("a:1", "b:1", "--json").output)
        assert (60, 1.0) == (document["rows"], document["outputs"][0]["correlation"])
        for command, said in (
            (("a:1", "a:1"), "is also the first version"),
            (("a:1", "c:1"), "have no output with the same name"),
            (("a:1", "b:7"), "b:7"),
        ):
            refused = run(*command)
            assert 1 == refused.exit_code
            assert said in refused.output + refused.stderr


def doubling(_: VersionId, body: bytes) -> Reply:
    (tensor,) = orjson.loads(body)["inputs"]
    value = tensor["data"][0]
    if value == 7.0:
        return Reply(500, b"{}")
    return Reply(200, orjson.dumps({"outputs": [{"name": "y", "datatype": "FP64", "shape": [1], "data": [2 * value]}]}))


def test_a_replay_asks_each_row_once_compares_and_is_kept(platform: Platform) -> None:
    asked: list[bytes] = []

    def ask(version: VersionId, body: bytes) -> Reply:
        asked.append(body)
        return doubling(version, body)

    platform.replays.ask, platform.replays.sleep = ask, lambda _seconds: None
    with serving(platform) as url:
        command = ["replay", "a:1", "--to", "b:1", "--since", "3650d", "--rate", "500", "--json", "--url", url]
        found = orjson.loads(CliRunner().invoke(front, command).stdout)
    assert ("done", 60, 60, 1) == (found["state"], found["total"], found["asked"], found["failed"])
    assert (60, 59) == (len(asked), found["result"]["rows"])
    assert found["result"]["latency"] is None
    kept = make_platform(platform.home).replays.get(found["id"])
    assert ("done", 59) == (kept.state, (kept.result or {})["rows"])


def test_a_replay_that_a_restart_cut_short_says_so(platform: Platform) -> None:
    waiting = Event()
    platform.replays.ask = lambda _v, _b: Reply(200, b"") if waiting.wait(20) else Reply(500, b"")
    started = platform.replays.start(ReplayRequest(A, B))
    assert "interrupted" == make_platform(platform.home).replays.get(started.id).state
    waiting.set()


@pytest.mark.parametrize(("change", "field"), [({"rows": 0}, "rows"), ({"rate": 0.0}, "rate"), ({"rate": 1e6}, "rate")])
def test_a_replay_that_cannot_be_is_refused_naming_the_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        ReplayRequest(A, B, **change)
    assert field == caught.value.field


def test_an_unknown_replay_is_not_found(platform: Platform) -> None:
    with pytest.raises(NotFound):
        platform.replays.get("../secret")


# The page


def test_the_page_shows_figures_answers_slices_and_differences(platform: Platform) -> None:
    client = create_app(platform, blueprint(platform)).test_client()
    since = "since=2020-01-01T00:00:00Z&until=2021-01-01T00:00:00Z"
    empty = client.get(f"/compare?first=a:1&second=b:1&{since}").text
    assert "have answered no request in common" in empty
    page = client.get(compared("a:1", "b:1")).text
    for said in ("a:1 has the better big unhealthy", "a:1 is better", "Answers of both", "On the same 60 rows", "req-"):
        assert said in page
    twin = client.get(compared("a:1", "b:1").replace("/compare", "/compare.json")).get_json()
    assert 60 == twin["result"]["rows"]
    assert 200 == client.get("/compare").status_code
    assert 404 == client.get("/compare?first=a:1&second=nobody:1").status_code


def compared(first: str, second: str) -> str:
    """The page over the days around the logs that tests make."""
    since, until = (clock.show(UNTIL + sign * timedelta(days=30)) for sign in (-1, 1))
    return f"/compare?first={first}&second={second}&since={since}&until={until}"


def test_a_replay_is_begun_by_the_page_and_its_result_shown(platform: Platform) -> None:
    platform.replays.ask, platform.replays.sleep = doubling, lambda _seconds: None
    client = create_app(platform, blueprint(platform)).test_client()
    begun = client.post("/compare", data={"first": "a:1", "second": "b:1"}, headers={"sec-fetch-site": "same-origin"})
    assert 303 == begun.status_code
    where = begun.headers["location"]
    wait_until(lambda: platform.replays.get(where.rpartition("=")[2]).state == "done")
    page = client.get(where).text
    assert "answered 1 of 60 rows with an error" in page
    assert "On the same 59 rows" in page


@pytest.mark.parametrize("value", [[], [1.0], [math.nan] * 3])
def test_answers_of_nothing_and_of_one_value_are_drawn(value: list[float]) -> None:
    drawn = answers_of_both(value, value, ("a:1", "<b>"))
    assert ("1 rows" in drawn) is (value == [1.0])
    assert "<b>" not in drawn
