"""Keys are replaced on a platform that serves: no request is lost, none is answered by a function with the old key, and the old one is refused."""

from collections.abc import Callable
from pathlib import Path

import httpx
import orjson
import pytest

from fixtures_platform import ADDER, Load, RunningPlatform, headrace, until
from headrace_functions.platform_secret import PROOF

TEXT = {"shape": "scalar", "type": "string", "profile": "none", "sensitive": "hash"}
ECHO = "def predict(model, who):\n    return {'who2': [w for w in who]}\n"


@pytest.fixture
def platform(new_platform: Callable[..., RunningPlatform]) -> RunningPlatform:
    found = new_platform()
    found.apply_python("adder", ADDER, found.home / "adder")
    return found


def private(platform: RunningPlatform, secret: str) -> int:
    """The status that the gateway's private side answers with to a secret."""
    transport = httpx.HTTPTransport(uds=str(platform.settings.gateway_socket))
    with httpx.Client(transport=transport, base_url="http://gateway") as gateway:
        return gateway.get("/summary", headers={PROOF.decode(): secret}).status_code


def test_no_request_is_lost_while_the_secret_is_replaced_and_functions_start_anew(platform: RunningPlatform) -> None:
    old = platform.settings.purpose.read_text()
    load = Load(platform, "adder")
    with load.running():
        load.wait_for(100)
        first = set(platform.pids("adder-v1"))
        for _ in range(3):
            done = headrace("access", "rotate-secret", "--url", platform.url, "--yes", "--json")
            assert (0, 1800.0) == (done.returncode, orjson.loads(done.stdout)["old_taken_seconds"]), done.stderr
            load.wait_for(60)
    assert {200} == set(load.counts())
    until(lambda: not first & set(platform.pids("adder-v1")), "functions that know the old secret have ended")
    until(lambda: len(platform.logged("adder:1")) >= len(load.answered()), "every answer is logged")
    assert load.answered() == {r["request_id"] for r in platform.logged("adder:1")}
    new = platform.settings.purpose.read_text()
    assert (200, 403) == (private(platform, new), private(platform, old)), (
        "two replacements ago, so it is not supported"
    )
    assert 0o600 == platform.settings.purpose.stat().st_mode & 0o777


def test_a_secret_that_is_replaced_at_once_is_refused_at_once(platform: RunningPlatform) -> None:
    old = platform.settings.purpose.read_text()
    assert 200 == private(platform, old)
    assert 0 == headrace("access", "rotate-secret", "--url", platform.url, "--yes", "--at-once").returncode
    assert 403 == private(platform, old)
    assert 200 == platform.infer("adder", 1.0).status_code
    entry = headrace("audit", "list", "--url", platform.url, "--what", "rotate_secret", "--json").stdout
    assert old not in entry
    assert platform.settings.purpose.read_text() not in entry
    assert 1 == len(orjson.loads(entry))


def test_a_gateway_that_was_killed_while_the_secret_was_replaced_ends_functions_with_the_old_one(
    platform: RunningPlatform,
) -> None:
    assert 200 == platform.infer("adder", 1.0).status_code
    before = set(platform.pids("adder-v1"))
    platform.settings.purpose.write_text("0" * 32)  # as a rotation that was cut short has left it
    platform.kill("gateway")
    answer = until(lambda: _answered(platform), "it answers again")
    assert 200 == answer.status_code
    assert not before & set(platform.pids("adder-v1"))


def _answered(platform: RunningPlatform) -> httpx.Response | None:
    try:
        return platform.infer("adder", 1.0)
    except httpx.TransportError:
        return None


def test_values_have_another_hash_by_another_key_and_are_erased_by_both(
    platform: RunningPlatform, tmp_path: Path
) -> None:
    contract = {"inputs": {"who": TEXT}, "outputs": {"who2": {**TEXT, "sensitive": "drop"}}}
    platform.apply_python("echo", ECHO, tmp_path / "echo", contract=contract)

    def ask(request_id: str, who: str) -> None:
        body = {"inputs": [{"name": "who", "shape": [1], "datatype": "BYTES", "data": [who]}]}
        url = f"{platform.url}/v2/models/echo/infer"
        assert 200 == httpx.post(url, json=body, headers={"x-request-id": request_id}, timeout=30).status_code

    def hashes() -> dict[str, str]:
        return {r["request_id"]: r["in.who"] for r in platform.logged("echo:1")}

    ask("before", "maya-1971")
    ask("before-2", "maya-1971")
    done = headrace("access", "rotate-hash-key", "--url", platform.url, "--yes", "--json")
    assert ["echo:1"] == orjson.loads(done.stdout)["versions"]
    ask("after", "maya-1971")
    ask("other", "noah-1971")
    found = until(lambda: (h := hashes()) and len(h) == 4 and h, "all are logged")
    assert found["before"] == found["before-2"] != found["after"]
    kept = platform.home / "hash-key.retired"
    assert 0o600 == kept.stat().st_mode & 0o777
    erased = headrace("erase", "--url", platform.url, "--field", "who", "--value", "maya-1971", "--yes", "--json")
    assert 3 == orjson.loads(erased.stdout)["counts"]["log_rows"], erased.stderr
    assert {"other"} == set(hashes())
