"""A platform in a cluster that asks callers who they are: the gateway, the management API and every part among themselves."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from headrace_controller.definitions import GrantDefinition

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
    with pytest.raises(AssertionError, match="authentication is required"):
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


def test_a_service_account_shows_a_token_that_was_made_for_the_platform(guarded: Installed, model: str) -> None:
    """Not the one that every pod has for the Kubernetes API; and a deleted account is refused soon."""
    guarded.kubectl("create", "serviceaccount", "checkout")
    subject = f"machine:system:serviceaccount:{guarded.namespace}:checkout"
    grant = {"kind": "Grant", "name": "checkout", "subjects": [subject], "role": "caller", "names": ["tumour"]}
    with guarded.client() as client:
        client.apply_grant(GrantDefinition.model_validate(grant))
    token = guarded.kubectl("create", "token", "checkout", "--audience", "headrace").strip()
    other = guarded.kubectl("create", "token", "checkout").strip()

    until(lambda: ask(guarded, token).status_code == 200, "the gateway has learnt of the grant", 20)
    refused = ask(guarded, other)
    assert (401, True) == (refused.status_code, "--audience headrace" in refused.text)
    until(
        lambda: subject in [r["caller"] for r in guarded.headrace("log", "query", "tumour:1", "--json")],
        "its name is in the log",
    )
    guarded.kubectl("delete", "serviceaccount", "checkout")
    until(lambda: ask(guarded, token).status_code == 401, "a deleted account is refused", 60)


def test_pages_are_at_the_gateways_url_for_who_logs_in_and_they_are_live(guarded: Installed, model: str) -> None:
    with httpx.Client(base_url=guarded.gateway_url, trust_env=False, timeout=60) as browser:
        sent = browser.get("/models/tumour")
        assert (303, "/login?next=%2Fmodels%2Ftumour") == (sent.status_code, sent.headers["location"])
        assert 401 == browser.get("/events?page=/models/tumour&parts=versions").status_code
        form, ours = {"key": guarded.key, "next": "/models/tumour"}, {"origin": guarded.gateway_url}
        logged_in = browser.post("/login", data=form, headers=ours)
        assert 303 == logged_in.status_code, logged_in.text
        assert "/models/tumour" == logged_in.headers["location"]
        page = browser.get("/models/tumour")
        assert (200, True) == (page.status_code, "tumour" in page.text)
        assert live(browser, page.text)


def test_pages_are_live_through_a_port_forward_too(guarded: Installed, model: str) -> None:
    with forwarded(guarded) as url, httpx.Client(base_url=url, trust_env=False, timeout=60) as browser:
        browser.headers["authorization"] = f"Bearer {guarded.key}"
        page = browser.get("/models/tumour")
        assert 200 == page.status_code
        assert live(browser, page.text)


def live(browser: httpx.Client, page: str) -> bool:
    """Whether the parts that a page names come by its stream."""
    parts = sorted(set(re.findall(r'data-part="([a-z]+)"', page)))
    assert parts
    with browser.stream("GET", "/events", params={"page": "/models/tumour", "parts": ",".join(parts)}) as stream:
        assert 200 == stream.status_code, stream.read()
        return any(line == "event: parts" for line in stream.iter_lines())


@contextmanager
def forwarded(platform: Installed) -> Iterator[str]:
    """The controller's URL on this machine."""
    program = shutil.which("kubectl")
    assert program is not None
    command = [program, "-n", platform.namespace, "port-forward", "svc/headrace-controller", ":80"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
            assert found is not None
            yield f"http://127.0.0.1:{found[1]}"
        finally:
            process.terminate()


def test_a_hashed_field_is_logged_as_its_hash_by_a_key_that_the_home_does_not_have(
    guarded: Installed, tmp_path: Path
) -> None:
    """Equal values stay equal; another key gives other hashes, and the old ones are found when the value is erased."""
    (tmp_path / "function.py").write_text(
        "def predict(model, email):\n    return {'length': [len(e) for e in email]}\n"
    )
    email = {"shape": "scalar", "type": "string", "profile": "none", "sensitive": "hash"}
    length = {"shape": "scalar", "type": "int64", "profile": "none"}
    contract = {"name": "predict", "inputs": {"email": email}, "outputs": {"length": length}}
    document = {
        "kind": "Model",
        "name": "mailer",
        "runtime": "python",
        "payload": ["function.py"],
        "contract": contract,
    }
    (tmp_path / "headrace.yaml").write_text(yaml.safe_dump(document))
    guarded.headrace("apply", "-f", str(tmp_path))

    def send(value: str) -> None:
        tensor = {"name": "email", "shape": [1], "datatype": "BYTES", "data": [value]}
        headers = {"authorization": f"Bearer {guarded.key}"}
        url = f"{guarded.gateway_url}/v2/models/mailer/infer"
        answer = httpx.post(url, json={"inputs": [tensor]}, headers=headers, timeout=120, trust_env=False)
        assert 200 == answer.status_code, answer.text

    def kept() -> list[str]:
        return [r["in.email"] for r in guarded.headrace("log", "query", "mailer:1", "--json")]

    for value in ("ann@example.org", "ann@example.org", "bob@example.org"):
        send(value)
    until(lambda: len(kept()) == 3, "all are logged")
    before = kept()
    assert (2, {16}) == (len(set(before)), {len(v) for v in before})

    guarded.headrace("access", "rotate-hash-key", "--yes")
    revision = "jsonpath={.status.components.predictor.latestReadyRevision}"
    first = "mailer-v1-predictor-00001"
    until(lambda: guarded.kubectl("get", "isvc", "mailer-v1", "-o", revision) != first, "pods with the new key", 180)
    send("ann@example.org")
    until(lambda: len(kept()) == 4, "the one by the new key is logged")
    assert 3 == len(set(kept()))

    guarded.headrace("erase", "--field", "email", "--value", "ann@example.org", "--yes")
    assert {before[-1] if before.count(before[-1]) == 1 else before[0]} == set(kept())
