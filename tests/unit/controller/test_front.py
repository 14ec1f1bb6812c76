"""The front of the controller in a cluster: what is passed on, and the port that has figures alone."""

from collections.abc import Iterable
from typing import Any

import pytest
from werkzeug.test import Client

from headrace_controller.incluster.gateway_passthrough import HEALTH, Front, figures_alone


def management(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Says which path reached it."""
    start_response("200 OK", [("content-type", "text/plain")])
    return [environ["PATH_INFO"].encode()]


def test_figures_are_answered_where_only_figures_are() -> None:
    assert Client(figures_alone(management)).get("/metrics").text == "/metrics"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/v1/models"), ("GET", "/"), ("POST", "/metrics"), ("DELETE", "/metrics"), ("GET", "/metrics/../api")],
)
def test_nothing_else_is(method: str, path: str) -> None:
    answer = Client(figures_alone(management)).open(path, method=method)
    assert answer.status_code == 404
    assert "GET /metrics" in answer.text


def test_health_asks_nobody_and_pages_are_the_management_apis() -> None:
    front = Front(management, "http://127.0.0.1:9")
    assert Client(front).get(HEALTH).text == "alive\n"
    assert Client(front).get("/models").text == "/models"
    front.close()


def test_a_gateway_that_does_not_answer_is_said() -> None:
    front = Front(management, "http://127.0.0.1:9")
    answer = Client(front).post("/v2/models/churn/infer", json={})
    assert answer.status_code == 502
    assert "the gateway does not answer" in answer.get_json()["detail"]
    front.close()
