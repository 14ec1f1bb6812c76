"""The management API: every route described, errors as problem documents, limits, pages of lists, events."""

import io
import json
import re
from pathlib import Path
from typing import Any

import flask
import pytest
from flask.testing import FlaskClient

from controller_support import FakeServices, fail, make_platform, release
from headrace_controller import archive
from headrace_controller.api import application, events, routing
from headrace_controller.api.application import RESOURCES, create_app
from headrace_controller.service.jobs import Job, JobRequest, Jobs
from headrace_controller.service.platform import Platform
from headrace_functions.names import VersionId
from support.reports import least

FUNCTION = "def predict(model, x):\n    return {'y': x * 2}\n"
WAIT = 120.0


@pytest.fixture
def services() -> FakeServices:
    return FakeServices()


@pytest.fixture
def platform(tmp_path: Path, services: FakeServices) -> Platform:
    return make_platform(tmp_path / "home", services)


@pytest.fixture
def app(platform: Platform) -> flask.Flask:
    return create_app(platform)


@pytest.fixture
def client(app: flask.Flask) -> FlaskClient:
    return app.test_client()


def upload(folder: Path, definition: dict[str, Any], **parts: tuple[bytes, str]) -> dict[str, Any]:
    (folder / "function.py").write_text(FUNCTION)
    archive.pack(["function.py"], folder, folder / "payload.tar.zst")
    data: dict[str, Any] = {
        "definition": json.dumps(definition),
        "payload": (io.BytesIO((folder / "payload.tar.zst").read_bytes()), "payload.tar.zst"),
    }
    return {**data, **{name: (io.BytesIO(content), file) for name, (content, file) in parts.items()}}


DEFINITION = {
    "kind": "Model",
    "name": "m",
    "framework": "python",
    "payload": ["function.py"],
    "contract": {"inputs": {"x": {"type": "double"}}},
}


def test_every_route_is_in_the_openapi_document_and_nothing_else(app: flask.Flask, client: FlaskClient) -> None:
    document = client.get("/api/v1/openapi.json").json
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    served = set()
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        if path.startswith("/api/v1") and path != "/api/v1/openapi.json":
            served |= {(m, path) for m in rule.methods - {"HEAD", "OPTIONS"}}
    assert described == served
    assert document["openapi"] == "3.1.0"


def test_the_openapi_document_is_whole(client: FlaskClient) -> None:
    document = client.get("/api/v1/openapi.json").json
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert references <= set(document["components"]["schemas"])
    operations = [o for item in document["paths"].values() for o in item.values()]
    assert len({o["operationId"] for o in operations}) == len(operations)
    for operation in operations:
        assert "default" in operation["responses"]
        names = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
        assert all(p.get("required") for p in operation["parameters"] if p["in"] == "path"), names


def test_every_operation_has_a_sentence_of_documentation() -> None:
    for resource in RESOURCES:
        for operation in resource.operations:
            assert operation.summary, operation.name
            assert operation.summary[0].isupper(), operation.name


def test_a_version_is_built_from_an_upload_and_its_log_can_be_followed(
    client: FlaskClient, platform: Platform, tmp_path: Path
) -> None:
    answer = client.post("/api/v1/models/m/versions", data=upload(tmp_path, DEFINITION))
    assert answer.status_code == 202
    assert answer.json["created"]
    assert answer.json["version"]["id"] == "m:1"
    assert platform.builds.wait(platform.versions.model("m").latest.id, WAIT)
    shown = client.get("/api/v1/models/m/versions/1").json
    assert shown["state"] == "released", shown["reason"]
    assert [f["name"] for f in shown["signature"]["outputs"]] == ["y"]
    part = client.get("/api/v1/models/m/versions/1/build-log?offset=10").json
    assert part["done"]
    assert part["text"].endswith("m:1 is released\n")
    again = client.post("/api/v1/models/m/versions", data=upload(tmp_path, DEFINITION))
    assert (again.json["created"], again.json["version"]["id"]) == (False, "m:1")


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"definition": "{"}, 400, "definition"),
        ({"definition": json.dumps({**DEFINITION, "nmae": "x"})}, 400, "nmae"),
        ({"definition": json.dumps({**DEFINITION, "name": "other"})}, 400, "definition"),
        ({"payload": None}, 400, "payload"),
        ({"training-data": (io.BytesIO(b"x"), "train.exe")}, 400, "training-data"),
    ],
)
def test_an_upload_that_is_wrong_is_refused_and_leaves_nothing(
    client: FlaskClient, platform: Platform, tmp_path: Path, change: dict[str, Any], status: int, field: str
) -> None:
    data = {k: v for k, v in {**upload(tmp_path, DEFINITION), **change}.items() if v is not None}
    answer = client.post("/api/v1/models/m/versions", data=data)
    assert (answer.status_code, answer.json["field"]) == (status, field)
    assert platform.catalog.models() == []
    assert list((platform.home / "builds").glob("*")) == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/api/v1/models/none", None, 404, "not-found"),
        ("GET", "/api/v1/models/none/versions/1", None, 404, "not-found"),
        ("GET", "/api/v1/nothing", None, 404, "not-found"),
        ("PATCH", "/api/v1/models", None, 405, "method-not-allowed"),
        ("GET", "/api/v1/models?limit=0", None, 400, "invalid"),
        ("GET", "/api/v1/models?limit=many", None, 400, "invalid"),
        ("GET", "/api/v1/models?lmit=5", None, 400, "invalid"),
        ("GET", "/api/v1/versions?label=team", None, 400, "invalid"),
        ("GET", "/api/v1/versions?status=lost", None, 400, "invalid"),
        ("PUT", "/api/v1/models/a/aliases/prod", "{", 400, "malformed"),
        ("PUT", "/api/v1/models/a/aliases/prod", '{"version": "one"}', 400, "invalid"),
        ("PUT", "/api/v1/models/a/aliases/prod", '{"versoin": 1}', 400, "invalid"),
        ("PUT", "/api/v1/models/bad/aliases/prod", '{"version": 1}', 400, "invalid"),
        ("PUT", "/api/v1/sequences/s", '{"name": "other", "pipeline": [[{"model": "a:1"}]]}', 400, "invalid"),
        ("PUT", "/api/v1/sequences/s", '{"name": "s", "pipeline": [[{"model": "a:1", "weight": 7}]]}', 400, "invalid"),
        ("PUT", "/api/v1/sequences/a", '{"name": "a", "pipeline": [[{"model": "a:1"}]]}', 409, "conflict"),
        ("PUT", "/api/v1/schedules/s", '{"cron": "x", "model": "a"}', 400, "invalid"),
        ("POST", "/api/v1/jobs", '{"kind": "explain", "model": "a"}', 400, "invalid"),
        ("POST", "/api/v1/jobs", '{"window": "soon", "model": "a"}', 400, "invalid"),
        ("POST", "/api/v1/jobs", '{"window": "0rows", "model": "a"}', 400, "invalid"),
        ("POST", "/api/v1/jobs", '{"kind": "profile", "chunks": "1h", "model": "a"}', 400, "invalid"),
        ("POST", "/api/v1/jobs", '{"kind": "drift", "points": 100, "model": "a"}', 400, "invalid"),
        ("POST", "/api/v1/explanations", '{"model": "a", "request_id": ""}', 400, "invalid"),
        ("GET", "/api/v1/logs/a/1?since=yesterday", None, 400, "invalid"),
        ("GET", "/api/v1/logs/a/1?order=up", None, 400, "invalid"),
        ("GET", "/api/v1/reports/a/1/drift/none", None, 404, "not-found"),
        ("GET", "/api/v1/jobs/none", None, 404, "not-found"),
        ("GET", "/api/v1/services/bad/1", None, 404, "not-found"),
    ],
)
def test_errors_are_problem_documents(
    client: FlaskClient, platform: Platform, method: str, path: str, body: str | None, status: int, code: str
) -> None:
    release(platform.catalog, "a")
    fail(platform.catalog, "bad")
    answer = client.open(path, method=method, data=body, headers={"x-request-id": "mine"})
    assert answer.content_type == "application/problem+json"
    assert (answer.status_code, answer.json["code"], answer.json["request_id"]) == (status, code, "mine")
    assert answer.headers["x-request-id"] == "mine"
    assert answer.json["detail"]


def test_a_path_that_there_is_not_is_named(client: FlaskClient) -> None:
    assert "there is nothing at /api/v1/nothing" == client.get("/api/v1/nothing").json["detail"]


def test_a_defect_says_nothing_of_itself_but_the_request_id(
    client: FlaskClient, platform: Platform, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(type(platform.catalog), "models", lambda self: 1 / 0)
    answer = client.get("/api/v1/models", headers={"x-request-id": "mine"})
    assert (answer.status_code, answer.json["code"]) == (500, "internal")
    assert "division" not in answer.text
    assert "request mine failed" in caplog.text


def test_a_body_past_its_limit_is_refused(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "JSON_BODY", 100)
    answer = client.put("/api/v1/models/a/aliases/prod", data="x" * 101)
    assert answer.status_code == 413
    assert answer.content_type == "application/problem+json"


def test_a_page_of_another_site_cannot_change_anything(client: FlaskClient, platform: Platform) -> None:
    release(platform.catalog, "a")
    for no_url in ("http://[::1", "http://a]b"):
        assert 403 == client.delete("/api/v1/models/a", headers={"origin": no_url}).status_code
    answer = client.delete("/api/v1/models/a", headers={"origin": "http://elsewhere.example"})
    assert answer.status_code == 403
    assert platform.catalog.models() == ["a"]
    assert client.get("/api/v1/models", headers={"origin": "http://elsewhere.example"}).status_code == 200
    assert client.delete("/api/v1/models/a", headers={"origin": "http://localhost"}).status_code == 204


def test_lists_come_in_pages_that_join_to_the_whole(client: FlaskClient, platform: Platform) -> None:
    for number in range(7):
        release(platform.catalog, f"m{number}", metadata={"parity": str(number % 2)})
    found, token = [], None
    while True:
        page = client.get("/api/v1/models", query_string={"limit": 3, **({"page-token": token} if token else {})}).json
        found += [m["name"] for m in page["items"]]
        token = page["next"]
        if token is None:
            break
    assert found == [f"m{n}" for n in range(7)]
    odd = client.get("/api/v1/versions?label=parity=1&status=released").json["items"]
    assert [v["id"] for v in odd] == ["m1:1", "m3:1", "m5:1"]
    assert [m["name"] for m in client.get("/api/v1/models?q=5").json["items"]] == ["m5"]


def test_services_show_sleep_and_take_word(client: FlaskClient, platform: Platform, services: FakeServices) -> None:
    release(platform.catalog, "a")
    assert client.get("/api/v1/services/a/1").json["state"] == "asleep"
    services.services = [{"name": "a-v1", "version": "a:1", "state": "ready", "replicas": 1, "reason": ""}]
    assert client.get("/api/v1/services").json["items"][0]["state"] == "ready"
    assert client.post("/api/v1/services/a/1/wake").status_code == 202
    assert client.post("/api/v1/services/a/1/sleep").status_code == 202
    assert services.heard == [("wake", "a-v1"), ("sleep", "a-v1")]


def test_a_change_reaches_an_open_event_stream(client: FlaskClient, platform: Platform) -> None:
    release(platform.catalog, "a")
    response = client.get("/api/v1/events")
    stream = response.iter_encoded()
    assert next(stream) == b"retry: 2000\n\n"
    platform.aliases.move("a", "prod", 1)
    assert next(stream).startswith(b"event: change\ndata: ")
    response.close()


def test_streams_are_bounded_and_a_closed_one_makes_room(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = [client.get("/api/v1/events") for _ in range(events.MAX_STREAMS)]
    assert [r.status_code for r in opened] == [200] * events.MAX_STREAMS
    refused = client.get("/api/v1/events")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "10")
    opened.pop().close()
    again = client.get("/api/v1/events")
    assert again.status_code == 200
    for response in [*opened, again]:
        response.close()


def test_a_report_page_may_run_and_load_nothing(client: FlaskClient, platform: Platform) -> None:
    version = release(platform.catalog, "a")
    objects = platform.catalog.documents.objects
    objects.create(
        "reports/a/v1/drift/x.json",
        json.dumps(least("drift", verdict="drift", severity="low")).encode(),
    )
    objects.create("reports/a/v1/drift/x.html", b"<script>alert(1)</script>")
    answer = client.get(f"/api/v1/reports/a/{version.number}/drift/x/page")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    [listed] = client.get("/api/v1/reports?model=a:1").json["items"]
    assert (listed["id"], listed["verdict"], listed["severity"]) == ("a:1/drift/x", "drift", "low")
    assert client.get("/api/v1/reports/a/1/drift/x").json["verdict"] == "drift"


def test_the_limits_of_bodies_are_the_documented_ones() -> None:
    assert application.MAX_BODY == 16 * 1024 * 1024
    assert routing.JSON_BODY == 1024 * 1024


@pytest.mark.parametrize(
    ("body", "arguments"),
    [
        (
            {"kind": "drift", "window": "10000rows", "against": "previous", "chunks": "1h", "method": "age=ks"},
            {"window": "10000rows", "against": "previous", "chunks": "1h", "method": "age=ks"},
        ),
        ({"kind": "drift", "detector": "joint,mmd"}, {"detector": "joint,mmd"}),
        ({"kind": "profile", "window": "7d"}, {"window": "7d"}),
        (
            {"kind": "attribution", "rows": "outliers", "count": 5, "output": "score"},
            {"rows": "outliers", "count": "5", "output": "score"},
        ),
        (
            {"kind": "performance", "metric_file": "x = 1", "metric": "cost"},
            {"metric-function": "8ff436def1451285599a1b1ad70800493b8dcafde2912e1a38345633054e4c26:cost"},
        ),
        (
            {"kind": "drift", "where": "latency_ms > 20", "time": "caller_time"},
            {"where": "latency_ms > 20", "time": "caller_time"},
        ),
        (
            {"kind": "quality", "rules": [{"rule": "rows", "min": 5, "severity": "low"}]},
            {"rules": '[{"rule":"rows","min":5.0,"severity":"low"}]'},
        ),
        (
            {"kind": "projection", "dimensions": 3, "points": 500, "request_id": "r", "row": 1},
            {"dimensions": "3", "points": "500", "request-id": "r", "row": "1"},
        ),
    ],
)
def test_options_of_an_analysis_are_those_of_its_command_line(
    client: FlaskClient,
    platform: Platform,
    monkeypatch: pytest.MonkeyPatch,
    body: dict[str, object],
    arguments: dict[str, str],
) -> None:
    release(platform.catalog, "a")
    started: list[JobRequest] = []
    monkeypatch.setattr(
        Jobs,
        "start",
        lambda _, request: started.append(request) or Job("j", {**request.to_document()}, "queued", "t", "t"),
    )

    answer = client.post("/api/v1/jobs", json={"model": "a", **body})

    assert answer.status_code == 202, answer.json
    assert [request.arguments for request in started] == [arguments]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "performance", "metric_file": "def cost(:", "metric": "cost"}, "metric_file"),
        ({"kind": "performance", "metric_file": "#" * 70_000, "metric": "cost"}, "metric_file"),
        ({"kind": "performance", "metric_file": "x = 1", "metric": "not a name"}, "metric"),
        ({"kind": "performance", "metric": "cost"}, "metric"),
        ({"kind": "drift", "metric_file": "x = 1", "metric": "cost"}, "metric_file"),
        ({"kind": "drift", "where": "1; drop table log"}, "where"),
        ({"kind": "drift", "rules": [{"rule": "rows", "min": 5}]}, "rules"),
        ({"kind": "quality"}, "rules"),
        ({"kind": "quality", "rules": [{"rule": "missing", "field": "nobody"}]}, "monitoring.rules.field"),
        ({"kind": "quality", "rules": [{"rule": "rows", "min": "many"}]}, "rules.0.min"),
    ],
)
def test_what_a_job_cannot_do_is_refused_at_once(
    client: FlaskClient, platform: Platform, body: dict[str, Any], field: str
) -> None:
    release(platform.catalog, "a")
    answer = client.post("/api/v1/jobs", json={"model": "a", **body})
    assert answer.status_code in (400, 413, 422)
    assert answer.json is not None
    assert answer.json["field"] == field


def test_an_attribution_is_told_where_to_ask(platform: Platform) -> None:
    """Whoever starts it, a schedule too."""
    release(platform.catalog, "a")
    (platform.home / "jobs").mkdir(parents=True)
    job = platform.jobs.start(JobRequest("attribution", VersionId("a", 1)))
    assert job.request["arguments"]["endpoint"] == platform.endpoint
