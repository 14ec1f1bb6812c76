"""Logging in at a provider from a terminal, against a provider that a test plays: what is asked, waited for, kept and renewed."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from headrace_controller.cli import credentials
from headrace_controller.cli.device_login import EARLY, Asked, DeviceLogin, Login
from headrace_functions.errors import InvalidInput, Unauthenticated, Unreachable

ISSUER = "https://login.example"
DOCUMENT = {"device_authorization_endpoint": f"{ISSUER}/device", "token_endpoint": f"{ISSUER}/token"}
CODES = {
    "device_code": "d-1",
    "user_code": "WDJB-MJHT",
    "verification_uri": f"{ISSUER}/go",
    "verification_uri_complete": f"{ISSUER}/go?user_code=WDJB-MJHT",
    "expires_in": 300,
    "interval": 5,
}


def id_token(exp: float) -> str:
    middle = base64.urlsafe_b64encode(json.dumps({"exp": exp}).encode()).rstrip(b"=").decode()
    return f"head.{middle}.signature"


class World:
    """A provider and a clock."""

    def __init__(self, *answers: tuple[int, Any]) -> None:
        self.document: Any = DOCUMENT
        self.codes: tuple[int, Any] = (200, CODES)
        self.answers = list(answers)
        self.asked: list[dict[str, str]] = []
        self.slept: list[float] = []
        self.now = 1000.0
        self.flow = DeviceLogin(
            httpx.Client(transport=httpx.MockTransport(self._answer)), lambda: self.now, self._sleep
        )

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json=self.document)
        self.asked.append({k: v[0] for k, v in parse_qs(request.content.decode()).items()})
        status, document = self.codes if request.url.path == "/device" else self.answers.pop(0)
        return httpx.Response(status, json=document)

    def begin(self) -> Asked:
        return self.flow.begin(ISSUER, "terminal", "openid email")


def error(name: str) -> tuple[int, Any]:
    return 400, {"error": name}


def test_a_person_opens_a_page_and_the_command_waits_as_the_provider_says() -> None:
    granted = {"id_token": id_token(9e9), "refresh_token": "r-1", "access_token": "unused"}
    w = World(error("authorization_pending"), error("slow_down"), error("authorization_pending"), (200, granted))
    asked = w.begin()
    assert (CODES["verification_uri_complete"], "WDJB-MJHT") == (asked.url, asked.user_code)
    login = w.flow.wait(asked)
    assert Login(ISSUER, "terminal", f"{ISSUER}/token", granted["id_token"], "r-1") == login
    assert [5.0, 5.0, 10.0, 10.0] == w.slept
    assert {"client_id": "terminal", "scope": "openid email offline_access"} == w.asked[0]
    grant = "urn:ietf:params:oauth:grant-type:device_code"
    assert {"grant_type": grant, "device_code": "d-1", "client_id": "terminal"} == w.asked[1]


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([error("access_denied")], "was denied"),
        ([error("expired_token")], "in time"),
        ([error("authorization_pending")] * 60, "in time"),
        ([error("invalid_client")], "invalid_client"),
        ([(500, {})], "answers 500"),
        ([(200, {"access_token": "a"})], "no ID token"),
    ],
)
def test_a_login_that_does_not_happen_is_told(answers: list[tuple[int, Any]], says: str) -> None:
    w = World(*answers)
    with pytest.raises(Unauthenticated, match=says):
        w.flow.wait(w.begin())


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        (lambda w: setattr(w, "document", {"token_endpoint": f"{ISSUER}/token"}), InvalidInput, "does not support logins from a terminal"),
        (lambda w: setattr(w, "document", {**DOCUMENT, "token_endpoint": "http://evil.example/t"}), InvalidInput, "not encrypted"),
        (lambda w: setattr(w, "codes", (401, {"error": "invalid_client"})), Unauthenticated, "invalid_client"),
        (lambda w: setattr(w, "codes", (200, {})), Unauthenticated, "refused the login"),
        (lambda w: setattr(w, "document", ["no object"]), Unreachable, "did not return a JSON object"),
    ],
)  # fmt: skip
def test_a_provider_that_cannot_is_said(change: Callable[[World], None], kind: type[Exception], says: str) -> None:
    w = World()
    change(w)
    with pytest.raises(kind, match=says):
        w.begin()


def test_a_token_is_renewed_shortly_before_it_ends_and_the_refresh_token_is_kept_where_no_other_comes() -> None:
    w = World((200, {"id_token": id_token(9000)}))
    login = Login(ISSUER, "terminal", f"{ISSUER}/token", id_token(1000 + EARLY + 1), "r-1")
    assert login == w.flow.current(login)
    w.now += 2
    fresh = w.flow.current(login)
    assert (id_token(9000), "r-1") == (fresh.id_token, fresh.refresh_token)
    assert [{"grant_type": "refresh_token", "refresh_token": "r-1", "client_id": "terminal"}] == w.asked


@pytest.mark.parametrize(("token", "refresh"), [(id_token(1000), ""), ("nonsense", ""), (id_token(1000), "revoked")])
def test_a_login_that_has_ended_says_how_to_begin_anew(token: str, refresh: str) -> None:
    w = World(error("invalid_grant"))
    with pytest.raises(Unauthenticated) as found:
        w.flow.current(Login(ISSUER, "terminal", f"{ISSUER}/token", token, refresh))
    assert "headrace login --provider" == found.value.hint


def test_a_kept_login_is_shown_as_its_token_and_a_renewed_one_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {"XDG_CONFIG_HOME": str(tmp_path)}
    monkeypatch.setattr(credentials, "_keyring", lambda: None)
    url = "https://models.example"
    old = Login(ISSUER, "terminal", f"{ISSUER}/token", id_token(0), "r-1")
    fresh = Login(ISSUER, "terminal", f"{ISSUER}/token", id_token(9e9), "r-2")
    monkeypatch.setattr(DeviceLogin, "current", lambda _self, login: fresh if login == old else login)
    credentials.keep(url, old.to_text(), environment)
    assert fresh.id_token == credentials.shown_to(url, environment)
    assert fresh.to_text() == credentials.kept_for(url, environment)
    credentials.keep(url, "hrk_key", environment)
    assert "hrk_key" == credentials.shown_to(url, environment)
    assert credentials.shown_to("https://other.example", environment) is None


def test_a_kept_login_that_was_damaged_says_what_to_do() -> None:
    with pytest.raises(Unauthenticated) as found:
        Login.from_text('{"issuer": 1}')
    assert "headrace login --provider" == found.value.hint
