"""People and machines of a certified OpenID Connect provider, in a process of its own, against a platform that asks who they are.

Installed by ``make test-oidc`` into ``.cache/login-provider``: it needs Node and the npm registry.
"""

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx
import orjson
import pytest

from fixtures_platform import ADDER, RunningPlatform, body, until
from headrace_controller.client import Client
from headrace_controller.definitions import GrantDefinition

FOLDER = Path(__file__).parents[2] / ".cache" / "login-provider"
pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (FOLDER / "node_modules").is_dir(), reason="run it by: make test-oidc"
)
PEOPLE = {"ann@example.org": ["growth"], "bob@example.org": []}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class RunningProvider:
    def __init__(self, port: int, redirect: str) -> None:
        self.issuer = f"http://127.0.0.1:{port}"
        self._command = ["node", "provider.mjs", str(port), redirect, orjson.dumps(PEOPLE).decode()]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "RunningProvider":
        shutil.copy(Path(__file__).parent / "provider.mjs", FOLDER / "provider.mjs")
        self._process = subprocess.Popen(
            self._command, cwd=FOLDER, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self._answers, "the provider answers")
        return self

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.issuer}/jwks").is_success
        except httpx.HTTPError:
            return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

    def token(self, audience: str = "urn:headrace") -> str:
        """A machine's access token."""
        form = {"grant_type": "client_credentials", "scope": "call", "resource": audience}
        answer = httpx.post(f"{self.issuer}/token", data=form, auth=("robot", "robot-secret"))
        found: str = answer.json()["access_token"]
        return found


@pytest.fixture(scope="module")
def ports() -> tuple[int, int]:
    return free_port(), free_port()


@pytest.fixture(scope="module")
def provider(ports: tuple[int, int]) -> Iterator[RunningProvider]:
    found = RunningProvider(ports[0], f"http://127.0.0.1:{ports[1]}/login/callback").start()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def platform(
    provider: RunningProvider, ports: tuple[int, int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningPlatform]:
    patch = pytest.MonkeyPatch()
    patch.setenv("HEADRACE_OIDC_CLIENT_SECRET", "a-secret")
    options = (
        "--auth",
        "--oidc-issuer",
        provider.issuer,
        "--oidc-client-id",
        "headrace",
        "--oidc-audience",
        "urn:headrace",
    )
    found = RunningPlatform(
        tmp_path_factory.mktemp("people") / "home",
        *options,
        "--oidc-scopes",
        "openid email groups",
        "--port",
        str(ports[1]),
    ).start()
    patch.setenv("HEADRACE_API_KEY", found.settings.first_key.read_text().strip())
    found.apply_python("adder", ADDER, found.home.parent / "adder")
    yield found
    patch.undo()
    assert 0 == found.stop()


@pytest.fixture(scope="module")
def admin(platform: RunningPlatform) -> Iterator[Client]:
    with Client(platform.url, key=platform.settings.first_key.read_text().strip()) as client:
        for name, subject, role in (("growth", "group:growth", "viewer"), ("robot", "machine:robot", "caller")):
            grant = {"name": name, "subjects": subject, "role": role, "names": "adder"}
            client.apply_grant(GrantDefinition.model_validate(grant))
        yield client


def follow(browser: httpx.Client, answer: httpx.Response, until_host: str) -> httpx.Response:
    while answer.is_redirect and not answer.headers["location"].startswith(until_host):
        answer = browser.get(urljoin(str(answer.url), answer.headers["location"]))
    return answer


def log_in(browser: httpx.Client, platform: RunningPlatform, who: str, after: str = "/models/adder") -> httpx.Response:
    """As a person does: to the provider, name and password, consent, back."""
    answer = browser.get(f"{platform.url}/login/provider", params={"next": after})
    answer = follow(browser, answer, platform.url)
    for _ in range(4):
        if answer.is_redirect:
            break
        action = re.search(r'action="([^"]+)"', answer.text)
        prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
        assert action is not None, answer.text
        assert prompt is not None, answer.text
        form = {"prompt": prompt[1], "login": who, "password": "any"}
        answer = follow(browser, browser.post(urljoin(str(answer.url), action[1]), data=form), platform.url)
    return browser.get(answer.headers["location"])


def test_a_person_logs_in_and_may_what_their_groups_may(platform: RunningPlatform, admin: Client) -> None:
    with httpx.Client() as browser:
        back = log_in(browser, platform, "ann@example.org")
        assert (303, "/models/adder") == (back.status_code, back.headers["location"]), back.text
        who = browser.get(f"{platform.url}/api/v1/access/whoami").json()
        assert ("user:ann@example.org", ["growth"], ["viewer:adder"]) == (who["subject"], who["groups"], who["roles"])
        assert browser.get(f"{platform.url}/models/adder").status_code == 200
    entry = admin.audit(who="user:ann@example.org", what="come_back")[0]
    assert "done" == entry.outcome


def test_a_person_without_a_grant_sees_nothing(platform: RunningPlatform, admin: Client) -> None:
    with httpx.Client() as browser:
        log_in(browser, platform, "bob@example.org")
        assert browser.get(f"{platform.url}/models/adder").status_code == 403


def test_a_blocked_person_is_out_at_once_and_not_let_in_again(platform: RunningPlatform, admin: Client) -> None:
    with httpx.Client() as browser:
        log_in(browser, platform, "ann@example.org")
        admin.block("user:ann@example.org")
        try:
            assert browser.get(f"{platform.url}/api/v1/access/whoami").status_code == 401
            assert log_in(browser, platform, "ann@example.org").status_code == 401
        finally:
            admin.unblock("user:ann@example.org")


def test_a_login_that_another_browser_began_is_refused(platform: RunningPlatform, provider: RunningProvider) -> None:
    with httpx.Client() as ours, httpx.Client() as victim:
        begun = ours.get(f"{platform.url}/login/provider").headers["location"]
        state = httpx.URL(begun).params["state"]
        for answer in (
            victim.get(f"{platform.url}/login/callback", params={"state": state, "code": "stolen"}),
            victim.get(f"{platform.url}/login/callback", params={"error": "access_denied"}),
            ours.get(f"{platform.url}/login/callback", params={"state": state, "code": "guessed"}),
            ours.get(f"{platform.url}/login/callback", params={"state": state, "code": "again"}),
        ):
            assert 401 == answer.status_code
            assert "API key" in answer.text


def test_a_machine_shows_its_token(platform: RunningPlatform, admin: Client, provider: RunningProvider) -> None:
    shown = {"authorization": f"Bearer {provider.token()}"}
    url = f"{platform.url}/v2/models/adder/infer"
    assert httpx.post(url, json=body(1.0), headers=shown, timeout=30).status_code == 200
    logged = until(
        lambda: [r for r in platform.logged("adder:1") if r["caller"] == "machine:robot"], "the request is logged"
    )
    assert logged
    assert httpx.get(f"{platform.url}/api/v1/models/adder", headers=shown).status_code == 403


def test_open_sessions_hold_while_the_provider_is_away(
    platform: RunningPlatform, admin: Client, provider: RunningProvider
) -> None:
    token = provider.token()
    with httpx.Client() as browser:
        log_in(browser, platform, "ann@example.org")
        provider.stop()
        assert browser.get(f"{platform.url}/api/v1/access/whoami").status_code == 200
        url = f"{platform.url}/v2/models/adder/infer"
        assert httpx.post(url, json=body(1.0), headers={"authorization": f"Bearer {token}"}).status_code == 200
        # The way there needs nothing of the provider; coming back does, and says so.
        begun = browser.get(f"{platform.url}/login/provider").headers["location"]
        state = httpx.URL(begun).params["state"]
        answer = browser.get(f"{platform.url}/login/callback", params={"state": state, "code": "any"})
        assert 502 == answer.status_code
        assert "does not answer" in answer.text
    provider.start()
