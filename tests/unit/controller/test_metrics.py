"""Metrics as people meet them: attached, listed, shown; and a learnt detector that becomes a model by the path of every build."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import orjson
import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from controller_support import make_platform, release, serving, wait_until
from fixtures_jobs import UNTIL, InProcess, category, given_log, given_version, number
from headrace_controller import clock
from headrace_controller.cli.entrypoint import front
from headrace_controller.client import Client
from headrace_controller.collector.scoring import Scoring
from headrace_controller.definitions.model import ModelDefinition
from headrace_controller.definitions.validation_errors import explain
from headrace_controller.monitoring.specs import MetricSpec
from headrace_controller.requestlog.model_requests import Reply
from headrace_controller.service.jobs import Job
from headrace_controller.service.metrics import RECENT
from headrace_controller.service.outliers import OutlierModels
from headrace_controller.service.platform import Platform
from headrace_functions.errors import InvalidInput, NotFound
from headrace_functions.names import VersionId
from headrace_jobs.outliers.job import OutlierRun
from headrace_jobs.window import Window

M, WATCH = VersionId("m", 1), VersionId("watch", 1)


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return make_platform(tmp_path / "home")


def scored(platform: Platform) -> None:
    """``m:1`` watched by ``watch:1`` (healthy iff x <= 10), two requests logged and scored."""
    release(platform.catalog, "m", inputs="x", outputs="y")
    release(platform.catalog, "watch", inputs="x", outputs="value")
    version = platform.catalog.get(M).version
    assert version is not None
    platform.metrics.attach(M, MetricSpec("high", WATCH, "<=", 10.0))
    given_log(platform.catalog.documents.objects, version, {"x": [1.0, 99.0], "y": [0.0, 0.0]})

    Scoring(platform.catalog.documents.objects, by_x).round()


def by_x(_: VersionId, body: bytes) -> Reply:
    (tensor,) = orjson.loads(body)["inputs"]
    return Reply(200, orjson.dumps({"outputs": [{"name": "value", "data": tensor["data"]}]}))


def test_a_metric_is_listed_and_shown_with_its_values_and_history(platform: Platform) -> None:
    scored(platform)
    with serving(platform) as url, Client(url) as client:
        (listed,) = client.metrics(M)
        assert (listed.name, listed.model, listed.health.rows, listed.health.unhealthy) == ("high", "watch:1", 2, 1)
        shown = client.metric(M, "high")
        assert {v["request_id"]: v["healthy"] for v in shown.values} == {"req-0": True, "req-1": False}
        assert sum(h.unhealthy for h in shown.history) == 1
        request = client.logged_request(M, "req-1")
        assert request.rows[0]["in.x"] == 99.0
        assert request.metrics[0]["value"] == 99.0
        with pytest.raises(NotFound):
            client.logged_request(M, "nobody's")


def test_health_is_of_the_seven_days_before_the_last_value(platform: Platform) -> None:
    """However many values there are: hours are counted in the table."""
    scored(platform)
    version = platform.catalog.get(M).version
    assert version is not None
    values = [5.0, 50.0, float("nan")] * 80
    given_log(
        platform.catalog.documents.objects,
        version,
        {"x": values, "y": [0.0] * 240},
        until=UNTIL - timedelta(hours=2),
        span=timedelta(days=10),
        request="old",
    )
    Scoring(platform.catalog.documents.objects, by_x).round()
    hours = platform.metrics.history(M, "high")
    everything = platform.metrics.values(M, "high", 1000)
    since = clock.show(clock.parse(everything[0]["received"], field="received") - RECENT, "microseconds")
    recent = [v for v in everything if v["received"] >= since]
    state = platform.metrics.get(M, "high").health
    assert 150 < len(recent) < len(everything) == 242
    assert state.rows == sum(h.rows for h in hours) == len(recent)
    assert state.unhealthy == sum(v["healthy"] is False for v in recent)
    assert state.errors == sum(v["healthy"] is None for v in recent)
    assert [h.start for h in hours] == sorted({f"{v['received'][:13]}:00:00Z" for v in recent})


def test_the_command_line_shows_a_request_with_its_metrics(platform: Platform) -> None:
    scored(platform)
    with serving(platform) as url:
        listed = CliRunner().invoke(front, ["metric", "list", "m:1", "--url", url])
        shown = CliRunner().invoke(front, ["metric", "show", "m:1", "high", "--url", url])
        request = CliRunner().invoke(front, ["log", "show", "m:1", "req-1", "--url", url])
        page = Client(url)._request("GET", "/models/m?version=1&tab=metrics").text
    assert "value <= 10" in listed.output
    assert "req-1" in shown.output
    assert "watch:1" in request.output
    assert "watch:1" in page


def test_a_metric_is_attached_changed_and_detached_by_the_command_line(platform: Platform) -> None:
    scored(platform)
    with serving(platform) as url:
        for command in (
            ["metric", "add", "m:1", "low", "--model", "watch:1", "--threshold", "0", "--operator", ">"],
            ["metric", "rm", "m:1", "high"],
        ):
            assert CliRunner().invoke(front, [*command, "--url", url]).exit_code == 0
    assert [s.spec.name for s in platform.metrics.select(M)] == ["low"]


def test_a_model_without_the_output_value_is_no_metric(platform: Platform) -> None:
    release(platform.catalog, "m")
    with pytest.raises(InvalidInput, match="value"):
        platform.metrics.attach(M, MetricSpec("self", M, "<=", 1.0))


def test_a_definition_with_a_wrong_metric_is_refused_naming_it() -> None:
    document = {
        "kind": "Model",
        "name": "m",
        "payload": ["f.py"],
        "monitoring": [{"name": "load", "config": {"monitoring-model": "w:1", "threshold": 1, "operator": "~"}}],
    }
    with pytest.raises(ValidationError) as caught:
        ModelDefinition.model_validate(document)
    assert "operator" in explain(caught.value).message


def test_what_a_job_learnt_is_built_served_and_attached(platform: Platform) -> None:
    objects = platform.catalog.documents.objects
    random = np.random.default_rng(0)
    rows = {"x": random.normal(size=300), "plan": random.choice(["a", "b"], 300).tolist()}
    platform.catalog.claim_name("churn", "model")
    made = platform.catalog.claim_version(
        "churn", {"definition": {"kind": "Model", "name": "churn"}, "content": "c", "artifact": "0" * 64, "created": ""}
    )
    given_version(objects, [number("x"), category("plan")], rows)
    platform.catalog.add_status(made, "released")
    _, folder = OutlierRun(made, Window.parse("1h", UNTIL.isoformat())).report(objects, InProcess(), lambda *_: None)
    models = OutlierModels(platform.catalog, platform.builds, platform.jobs, platform.metrics)
    models.open()
    job = Job("j", {"kind": "outliers", "model": "churn:1"}, "done", "", "", result={"function": folder})
    for listener in platform.jobs._listeners:
        listener(job)
    wait_until(lambda: bool(platform.metrics.select(made)), 60)
    (state,) = platform.metrics.select(made)
    assert str(state.spec.model) == "churn-outliers:1"
    assert (state.spec.operator, state.spec.threshold) == ("<=", 0.99)
    assert models.serve(made, folder) == VersionId("churn-outliers", 1), "the same detector is the same version"
    served = platform.catalog.get(VersionId("churn-outliers", 1)).version
    assert served is not None
    assert [f.name for f in served.signature.outputs] == ["value", "score"]


def test_a_formula_is_attached_shown_and_refused_by_the_command_line(platform: Platform) -> None:
    scored(platform)
    with serving(platform) as url:

        def run(*command: str) -> tuple[int, str]:
            result = CliRunner().invoke(front, ["metric", *command, "--url", url])
            return result.exit_code, result.output + result.stderr

        assert run("add", "m:1", "much", "--expression", "x > 10") == (0, "much: healthy iff not (x > 10)\n")
        assert run("add", "m:1", "twice", "--expression", "x * 2", "--threshold", "9")[0] == 0
        code, said = run("add", "m:1", "bad", "--expression", "age > 10")
        assert code == 1
        assert "there is no field 'age'" in said
        listed = run("list", "m:1")[1]
    assert "not (x > 10)" in listed
    assert "x * 2 <= 9" in listed


def test_a_model_is_named_by_an_alias_and_a_metric_has_one_source(platform: Platform) -> None:
    scored(platform)
    platform.aliases.move("watch", "champion", 1)
    with serving(platform) as url, Client(url) as client:
        assert client.put_metric(M, "low", model="watch@champion", threshold=1.0).model == "watch:1"
        with pytest.raises(InvalidInput, match="either a model or an expression"):
            client.put_metric(M, "low", model="watch:1", expression="x > 1", threshold=1.0)
        with pytest.raises(InvalidInput, match="either a model or an expression"):
            client.put_metric(M, "low", threshold=1.0)
