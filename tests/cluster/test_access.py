"""A platform in a cluster that asks callers who they are: the gateway, the management API and every part among themselves."""

import httpx
import pytest

from .installed import Installed, until
from .tumours import ROWS, project, request_of

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def model(guarded: Installed, tmp_path_factory: pytest.TempPathFactory) -> str:
    guarded.headrace("apply", "-f", str(project(tmp_path_factory.mktemp("models") / "1", 1.0)))
    guarded.kubectl("wait", "--for=create", "isvc/tumour-v1", "--timeout=60s")
    guarded.kubectl("wait", "--for=condition=Ready", "isvc/tumour-v1", "--timeout=120s")
    return "tumour"


def ask(platform: Installed, key: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    url = f"{platform.gateway_url}/v2/models/tumour/infer"
    return httpx.post(url, json=request_of(ROWS[:1]), headers=headers, timeout=90, trust_env=False)


def test_without_a_key_nobody_is_answered(guarded: Installed, model: str) -> None:
    """Neither at the gateway nor, though Kubernetes lets them through, at the management API."""
    assert 401 == ask(guarded, "").status_code
    assert 401 == ask(guarded, "hrk_forged").status_code
    stranger = Installed(guarded.namespace, guarded.storage, guarded.context, guarded.api)
    with pytest.raises(AssertionError, match="asks who you are"):
        stranger.headrace("model", "list")


def test_a_key_opens_what_its_role_says_and_the_log_tells_whose_it_was(guarded: Installed, model: str) -> None:
    key = guarded.headrace("access", "key", "create", "web", "--role", "caller:tumour").strip().splitlines()[-1]
    until(lambda: ask(guarded, key).status_code == 200, "the gateway has learnt of the key", 10)
    until(
        lambda: "key:web" in [r["caller"] for r in guarded.headrace("log", "query", "tumour:1", "--json")],
        "its name is in the log",
    )
    caller = Installed(guarded.namespace, guarded.storage, guarded.context, guarded.api, key)
    with pytest.raises(AssertionError, match="lacks the permission"):
        caller.headrace("model", "delete", "tumour", "--yes")

    guarded.headrace("access", "key", "revoke", "web")
    until(lambda: ask(guarded, key).status_code == 401, "a revoked key is refused within five seconds", 5)


def test_the_parts_of_the_platform_know_one_another(guarded: Installed, model: str) -> None:
    """The gateway asks the controller why a version does not start; the controller says so only to who may ask."""
    problems = guarded.headrace("status", "--json")["problems"]
    assert [] == [p for p in problems if "log refused" not in p], "others of these tests forge records"
    services = {s["name"] for s in guarded.headrace("service", "list", "--json")}
    assert "tumour-v1" in services
