"""The front of the controller in a cluster: what is passed on, and the port that has figures alone."""

import queue
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from werkzeug.test import Client

from headrace_controller.catalog.snapshot import CatalogSnapshot
from headrace_controller.incluster.gateway_passthrough import (
    HEALTH,
    MAX_STREAMS,
    Front,
    figures_alone,
    for_platform_alone,
)
from headrace_functions.access.roles import Caller
from headrace_functions.errors import Unauthenticated
from headrace_functions.gateway import tokens
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


def no_tokens(_token: str) -> tuple[Caller, float]:
    raise Unauthenticated("this platform does not accept bearer tokens")


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
    front = Front(management, "http://127.0.0.1:9", CatalogSnapshot, SECRET, no_tokens)
    assert Client(front).get(HEALTH).text == "alive\n"
    assert Client(front).get("/models").text == "/models"
    front.close()


def test_a_gateway_that_does_not_answer_is_said() -> None:
    front = Front(management, "http://127.0.0.1:9", CatalogSnapshot, SECRET, no_tokens)
    answer = Client(front).post("/v2/models/churn/infer", json={})
    assert answer.status_code == 502
    assert "the gateway does not answer" in answer.get_json()["detail"]
    front.close()


def test_gateways_are_told_what_a_name_led_to_when_the_store_was_last_read() -> None:
    one = version("churn", 1)
    known = CatalogSnapshot({one.id: one}, {"churn": one.id}, {("churn", "prod"): one.id})
    front = Front(management, "http://127.0.0.1:9", lambda: known, SECRET, no_tokens)
    for name in ("churn", "churn:1", "churn%3A1", "churn@prod", "churn%40prod"):
        answer = Client(front).get(f"{PATH}{name}", headers=PROVEN)
        assert one == route_from_document(answer.get_json()), name
    for name, status in (("other", 404), ("churn:2", 404), ("no name", 400), ("", 400)):
        assert status == Client(front).get(f"{PATH}{name}", headers=PROVEN).status_code, name
    for headers in ({}, {"x-headrace-proof": ""}, {"x-headrace-proof": "another"}):
        assert 403 == Client(front).get(f"{PATH}churn", headers=headers).status_code
    front.close()


def test_gateways_are_told_whose_a_bearer_token_is_and_nobody_else_is() -> None:
    def verify(token: str) -> tuple[Caller, float]:
        if token != "a.good.one":
            raise Unauthenticated("the token is refused")
        return Caller("machine:robot", ("bots",)), 1234.5

    front = Front(management, "http://127.0.0.1:9", CatalogSnapshot, SECRET, verify)
    client = Client(front)
    answer = client.post(tokens.PATH, data="a.good.one", headers=PROVEN)
    assert {"subject": "machine:robot", "groups": ["bots"], "until": 1234.5} == answer.get_json()
    refused = client.post(tokens.PATH, data="a.bad.one", headers=PROVEN)
    assert (401, "the token is refused") == (refused.status_code, refused.get_json()["detail"])
    assert 403 == client.post(tokens.PATH, data="a.good.one").status_code
    front.close()


class FollowedPage(BaseHTTPRequestHandler):
    """A gateway that holds the stream of a page: it says what it was asked by, then waits to be left."""

    asked: ClassVar[queue.Queue[tuple[str, dict[str, str]]]] = queue.Queue()
    left: ClassVar[threading.Event] = threading.Event()

    def do_GET(self) -> None:
        self.asked.put((self.path, {k.lower(): v for k, v in self.headers.items()}))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b"event: beat\n\n")
        self.wfile.flush()
        self.rfile.read(1)  # nothing until the other side closes
        self.left.set()

    def log_message(self, *_: object) -> None: ...


def test_a_page_is_followed_at_the_gateway_by_the_platforms_proof_and_left_with_its_viewer() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), FollowedPage) as gateway:
        threading.Thread(target=gateway.serve_forever, daemon=True).start()
        front = Front(management, f"http://127.0.0.1:{gateway.server_port}", CatalogSnapshot, SECRET, no_tokens)
        shown = {"cookie": "session=1", "x-headrace-proof": "forged"}
        client = Client(front, use_cookies=False)
        answer = client.get("/events?page=/models&parts=list", headers=shown, buffered=False)
        assert b"event: beat\n\n" == next(answer.iter_encoded())
        path, headers = FollowedPage.asked.get(timeout=5)
        assert ("/events?page=/models&parts=list", "session=1", "secret") == (
            path,
            headers["cookie"],
            headers["x-headrace-proof"],
        )
        answer.close()
        assert FollowedPage.left.wait(5)
        front.close()
        gateway.shutdown()


def test_so_many_pages_are_followed_and_one_more_is_told_to_wait() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), FollowedPage) as gateway:
        threading.Thread(target=gateway.serve_forever, daemon=True).start()
        front = Front(management, f"http://127.0.0.1:{gateway.server_port}", CatalogSnapshot, SECRET, no_tokens)
        client = Client(front)
        held = [client.get("/events?page=/&parts=list", buffered=False) for _ in range(MAX_STREAMS)]
        assert 429 == client.get("/events?page=/&parts=list").status_code
        held.pop().close()
        held.append(client.get("/events?page=/&parts=list", buffered=False))
        assert 200 == held[-1].status_code
        for one in held:
            one.close()
        front.close()
        gateway.shutdown()


def test_pods_that_run_users_code_are_refused_by_their_address() -> None:
    front = Client(for_platform_alone(management, {"10.0.0.7"}.__contains__))
    assert "/api/v1/models" == front.get("/api/v1/models", environ_base={"REMOTE_ADDR": "10.0.0.8"}).text
    for headers in ({}, {"x-forwarded-for": "10.0.0.8"}, {"x-headrace-peer": "10.0.0.8"}):
        refused = front.get("/api/v1/models", environ_base={"REMOTE_ADDR": "10.0.0.7"}, headers=headers)
        assert (403, "forbidden") == (refused.status_code, refused.get_json()["code"])
