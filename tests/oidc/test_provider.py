"""People and machines of a certified OpenID Connect provider, in a process of its own, against a platform that asks who they are.

Installed by ``make test-oidc`` into ``.cache/login-provider``: it needs Node and the npm registry.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx
import orjson
import pytest

from fixtures_platform import ADDER, RunningPlatform, body, environment, until
from headrace_controller.client import Client
from headrace_controller.definitions import GrantDefinition
from support.login_provider import RunningProvider, free_port, installed, log_in

pytestmark = pytest.mark.skipif(not installed(), reason="run it by: make test-oidc")


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
        "--oidc-cli-client-id",
        "terminal",
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


def test_a_person_logs_in_and_may_what_their_groups_may(platform: RunningPlatform, admin: Client) -> None:
    with httpx.Client() as browser:
        back = log_in(browser, platform.url, "ann@example.org")
        assert (303, "/models/adder") == (back.status_code, back.headers["location"]), back.text
        who = browser.get(f"{platform.url}/api/v1/access/whoami").json()
        assert ("user:ann@example.org", ["growth"], ["viewer:adder"]) == (who["subject"], who["groups"], who["roles"])
        assert browser.get(f"{platform.url}/models/adder").status_code == 200
    entry = admin.audit(who="user:ann@example.org", what="come_back")[0]
    assert "done" == entry.outcome


def test_a_person_without_a_grant_sees_nothing(platform: RunningPlatform, admin: Client) -> None:
    with httpx.Client() as browser:
        log_in(browser, platform.url, "bob@example.org")
        assert browser.get(f"{platform.url}/models/adder").status_code == 403


def test_a_blocked_person_is_out_at_once_and_not_let_in_again(platform: RunningPlatform, admin: Client) -> None:
    with httpx.Client() as browser:
        log_in(browser, platform.url, "ann@example.org")
        admin.block("user:ann@example.org")
        try:
            assert browser.get(f"{platform.url}/api/v1/access/whoami").status_code == 401
            assert log_in(browser, platform.url, "ann@example.org").status_code == 401
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
        log_in(browser, platform.url, "ann@example.org")
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


def test_a_person_logs_in_from_a_terminal_and_commands_show_who_they_are(
    platform: RunningPlatform, admin: Client, tmp_path: Path
) -> None:
    """The command prints a page and a code; the person opens it in a browser, says yes, and the command goes on by itself."""
    shown = {k: v for k, v in environment().items() if k != "HEADRACE_API_KEY"} | {"XDG_CONFIG_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "headrace_controller.cli"]
    login = [*command, "login", "--provider", "--url", platform.url]
    with subprocess.Popen(login, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=shown) as process:
        assert process.stderr is not None
        page = process.stderr.readline().split()[1]
        code = process.stderr.readline().split()[-1]
        with httpx.Client(timeout=30) as browser:
            said = confirmed(browser, page, code, "ann@example.org")
        assert "Sign-in Success" in said, said
        out, error = process.communicate(timeout=60)
    assert 0 == process.returncode, error
    assert f"logged in at {platform.url} as user:ann@example.org (viewer:adder)\n" == out
    kept = tmp_path / "headrace" / "credentials.json"
    assert 0o600 == kept.stat().st_mode & 0o777

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        told = [*command, *arguments, "--url", platform.url]
        return subprocess.run(told, capture_output=True, text=True, env=shown, check=False, timeout=60)

    who = run("access", "whoami", "--json")
    assert ("user:ann@example.org", ["growth"]) == (
        orjson.loads(who.stdout)["subject"],
        orjson.loads(who.stdout)["groups"],
    )
    refused = run("alias", "set", "adder@prod", "adder:1")
    assert "user:ann@example.org lacks the permission 'operate' on adder" in refused.stderr, refused
    stale = orjson.loads(kept.read_bytes())
    place = platform.url.rstrip("/")
    login_kept = orjson.loads(stale[place]["key"])
    head, _, tail = login_kept["id_token"].split(".")
    login_kept["id_token"] = f"{head}.e30.{tail}"  # it says no end, so it is renewed
    kept.write_bytes(orjson.dumps({place: {"key": orjson.dumps(login_kept).decode()}}))
    assert "user:ann@example.org" in run("access", "whoami").stdout
    assert stale != orjson.loads(kept.read_bytes())


def confirmed(browser: httpx.Client, page: str, code: str, who: str) -> str:
    """What the provider's page says after a person has confirmed the code, logged in and said yes."""
    answer = browser.get(page, follow_redirects=True)
    for _ in range(6):
        action = re.search(r'action="([^"]+)"', answer.text)
        if action is None:
            break
        fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', answer.text))
        form = fields | {"login": who, "password": "any"} | ({"user_code": code} if "user_code" in answer.text else {})
        target = urljoin(str(answer.url), action[1].replace("&amp;", "&"))
        answer = browser.post(target, data=form, follow_redirects=True)
    return answer.text
