"""The front of the controller in a cluster: what is passed on, and the port that has figures alone."""

from collections.abc import Iterable
from typing import Any

import pytest
from werkzeug.test import Client

from headrace_controller.catalog.snapshot import CatalogSnapshot
from headrace_controller.incluster.gateway_passthrough import HEALTH, Front, figures_alone, for_platform_alone
from headrace_functions.gateway.last_known import PATH
from headrace_functions.gateway.routes import route_from_document
from headrace_functions.platform_secret import PlatformSecret
from support.versions import version

SECRET = PlatformSecret("secret")
PROVEN = {"x-headrace-proof": "secret"}


def management(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Says which path reached it."""
    start_response("200 OK", [("content-type", "text/plain")])
    return [environ["PATH_INFO"].encode()]


def test_figures_are_answered_where_only_figures_are() -> None:
    assert Client(figures_alone(management, SECRET)).get("/metrics").text == "/metrics"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/v1/models"), ("GET", "/"), ("POST", "/metrics"), ("DELETE", "/metrics"), ("GET", "/metrics/../api")],
)
def test_nothing_else_is(method: str, path: str) -> None:
    answer = Client(figures_alone(management, SECRET)).open(path, method=method)
    assert answer.status_code == 404
    assert "GET /metrics" in answer.text


def test_health_asks_nobody_and_pages_are_the_management_apis() -> None:
    front = Front(management, "http://127.0.0.1:9", CatalogSnapshot, SECRET)
    assert Client(front).get(HEALTH).text == "alive\n"
    assert Client(front).get("/models").text == "/models"
    front.close()


def test_a_gateway_that_does_not_answer_is_said() -> None:
    front = Front(management, "http://127.0.0.1:9", CatalogSnapshot, SECRET)
    answer = Client(front).post("/v2/models/churn/infer", json={})
    assert answer.status_code == 502
    assert "the gateway does not answer" in answer.get_json()["detail"]
    front.close()


def test_gateways_are_told_what_a_name_led_to_when_the_store_was_last_read() -> None:
    one = version("churn", 1)
    known = CatalogSnapshot({one.id: one}, {"churn": one.id}, {("churn", "prod"): one.id})
    front = Front(management, "http://127.0.0.1:9", lambda: known, SECRET)
    for name in ("churn", "churn:1", "churn%3A1", "churn@prod", "churn%40prod"):
        answer = Client(front).get(f"{PATH}{name}", headers=PROVEN)
        assert one == route_from_document(answer.get_json()), name
    for name, status in (("other", 404), ("churn:2", 404), ("no name", 400), ("", 400)):
        assert status == Client(front).get(f"{PATH}{name}", headers=PROVEN).status_code, name
    for headers in ({}, {"x-headrace-proof": ""}, {"x-headrace-proof": "another"}):
        assert 401 == Client(front).get(f"{PATH}churn", headers=headers).status_code
    front.close()


def test_pods_that_run_users_code_are_refused_by_their_address() -> None:
    front = Client(for_platform_alone(management, {"10.0.0.7"}.__contains__))
    assert "/api/v1/models" == front.get("/api/v1/models", environ_base={"REMOTE_ADDR": "10.0.0.8"}).text
    for headers in ({}, {"x-forwarded-for": "10.0.0.8"}, {"x-headrace-peer": "10.0.0.8"}):
        refused = front.get("/api/v1/models", environ_base={"REMOTE_ADDR": "10.0.0.7"}, headers=headers)
        assert (403, "forbidden") == (refused.status_code, refused.get_json()["code"])
