"""A platform that asks callers who they are, as people and programs meet it: first key, login, grants, log, revocation."""

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest

from fixtures_platform import ADDER, RunningPlatform, body, headrace, until
from headrace_controller.access.control import AccessControl
from headrace_controller.api import schemas
from headrace_controller.client import Client
from headrace_controller.definitions import GrantDefinition
from headrace_controller.embedded.home import holder_of
from headrace_functions.access.authentication import REMEMBER
from headrace_functions.access.source import EVERY, PolicySource
from headrace_functions.errors import Conflict, Forbidden, Unauthenticated
from headrace_functions.rpc.descriptors import SERVICE, message
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore

MOST_SECONDS = 5.0
"""Within which a revocation holds everywhere, as the docs promise."""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of settings for the commands of this test."""
    folder = tmp_path_factory.mktemp("config")
    before = os.environ.get("XDG_CONFIG_HOME")
    os.environ["XDG_CONFIG_HOME"] = str(folder)
    yield folder
    del os.environ["XDG_CONFIG_HOME"]
    if before is not None:
        os.environ["XDG_CONFIG_HOME"] = before


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, config: Path) -> Iterator[RunningPlatform]:
    found = RunningPlatform(tmp_path_factory.mktemp("asked") / "home", "--auth", "--grpc-port", "0").start()
    first = found.settings.first_key
    assert 0o600 == stat.S_IMODE(first.stat().st_mode)
    done = headrace("login", "--url", found.url, stdin=first.read_text())
    assert done.returncode == 0, done.stderr
    assert "as key:first-admin (admin:*)" in done.stdout
    found.apply_python("adder", ADDER, found.home.parent / "adder")
    found.apply_python("other", ADDER, found.home.parent / "other")
    yield found
    assert 0 == found.stop()


@pytest.fixture(scope="module")
def admin(platform: RunningPlatform) -> Iterator[Client]:
    with Client(platform.url, key=platform.settings.first_key.read_text().strip()) as client:
        yield client


def ask(platform: RunningPlatform, name: str, key: str, request_id: str = "") -> httpx.Response:
    headers = {"authorization": f"Bearer {key}", **({"x-request-id": request_id} if request_id else {})}
    return httpx.post(f"{platform.url}/v2/models/{name}/infer", json=body(1.0), headers=headers, timeout=30)


def test_nothing_is_told_to_who_shows_nothing(platform: RunningPlatform) -> None:
    for path in ("/v2/models/adder", "/v2/models/ghost", "/v1/models/adder", "/metrics", "/api/v1/status"):
        assert httpx.get(platform.url + path).status_code == 401
    assert platform.infer("adder", 1.0).status_code == platform.infer("ghost", 1.0).status_code == 401
    assert httpx.get(platform.url + "/models/adder").headers["location"].startswith("/login?next=")
    with httpx.stream("GET", f"{platform.url}/events?page=/&parts=main") as stream:
        assert stream.status_code in (303, 401)
    assert httpx.get(platform.url + "/v2/health/ready").status_code == 200


def test_a_key_calls_what_its_roles_name_and_the_log_says_who(platform: RunningPlatform, admin: Client) -> None:
    key = admin.create_key("web", ["caller:adder"]).key
    assert ask(platform, "adder", key, "by-web").json()["outputs"][0]["data"] == [2.0]
    assert ask(platform, "other", key).status_code == ask(platform, "ghost", key).status_code == 403

    def row() -> list[dict[str, object]]:
        return [r for r in platform.logged("adder:1") if r["request_id"] == "by-web"]

    assert "key:web" == until(row, "the request is logged")[0]["caller"]
    with Client(platform.url, key=key) as client, pytest.raises(Forbidden):
        client.model("adder")


def test_grpc_and_streamed_and_deferred_answers_ask_who_calls_as_http_does(
    platform: RunningPlatform, admin: Client
) -> None:
    keys = {name: admin.create_key(name, ["caller:adder"]).key for name in ("first", "second")}
    holder = holder_of(platform.settings)
    assert holder is not None
    with grpc.insecure_channel(holder.grpc) as channel:
        made = channel.unary_unary(f"/{SERVICE}/ModelInfer", lambda m: m.SerializeToString(), lambda b: b)

        def code(name: str, *metadata: tuple[str, str]) -> grpc.StatusCode:
            request = message("inference.ModelInferRequest")(model_name=name)
            request.inputs.add(name="x", datatype="FP64", shape=[1]).contents.fp64_contents.append(1.0)
            try:
                made(request, metadata=metadata, timeout=30)
            except grpc.RpcError as error:
                return error.code()  # type: ignore[attr-defined]
            return grpc.StatusCode.OK

        bearer = ("authorization", f"Bearer {keys['first']}")
        assert [
            grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED,
            grpc.StatusCode.OK, grpc.StatusCode.OK,
        ] == [
            code("adder"), code("adder", ("authorization", "Bearer guess")), code("other", bearer),
            code("adder", bearer), code("adder", ("x-api-key", keys["first"])),
        ]  # fmt: skip
    url = f"{platform.url}/v2/models"
    mine, other = ({"authorization": f"Bearer {keys[name]}"} for name in ("first", "second"))
    assert 401 == httpx.post(f"{url}/adder/generate_stream", json={"x": 1.0}).status_code
    assert 403 == httpx.post(f"{url}/other/generate_stream", json={"x": 1.0}, headers=mine).status_code
    assert 200 == httpx.post(f"{url}/adder/generate_stream", json={"x": 1.0}, headers=mine, timeout=30).status_code
    accepted = httpx.post(f"{url}/adder/infer", json=body(1.0), headers={**mine, "prefer": "respond-async"})
    place = platform.url + accepted.headers["location"]
    assert 202 == accepted.status_code
    assert 401 == httpx.get(place).status_code
    assert 404 == httpx.get(place, headers=other).status_code
    assert until(lambda: httpx.get(place, headers=mine).status_code == 200, "the caller's own answer is there")


def test_a_caller_cannot_say_who_it_is(platform: RunningPlatform, admin: Client) -> None:
    key = admin.create_key("liar", ["caller:adder"]).key
    said = {"authorization": f"Bearer {key}", "x-headrace-caller": "user:somebody", "x-headrace-proof": "guess"}
    url = f"{platform.url}/v2/models/adder/infer"
    assert httpx.post(url, json=body(1.0), headers=said).status_code == 200
    logged = lambda: [r for r in platform.logged("adder:1") if r["caller"] == "key:liar"]  # noqa: E731
    until(logged, "the request is logged by its key")
    assert not any(r["caller"] == "user:somebody" for r in platform.logged("adder:1"))


def test_a_grant_and_its_end_count_at_once(platform: RunningPlatform, admin: Client) -> None:
    key = admin.create_key("nightly", ["viewer:nothing"]).key
    assert ask(platform, "adder", key).status_code == 403
    grant = {"name": "nightly", "subjects": "key:nightly", "role": "caller", "names": "add*"}
    assert admin.apply_grant(GrantDefinition.model_validate(grant)).matches == 1
    assert ask(platform, "adder", key).status_code == 200
    admin.delete_grant("nightly")
    assert ask(platform, "adder", key).status_code == 403


def test_a_revoked_key_is_refused_though_nobody_can_be_told(platform: RunningPlatform, admin: Client) -> None:
    key = admin.create_key("leaked", ["caller:adder"]).key
    assert ask(platform, "adder", key).status_code == 200
    # The worst case: the change comes from elsewhere, so that the gateway sees it at its next look.
    documents = Documents(ObjectStore(platform.settings.storage_url))
    AccessControl(documents, PolicySource(documents)).revoke_key("leaked")
    began = time.monotonic()
    until(lambda: ask(platform, "adder", key).status_code == 401, "the revocation holds", MOST_SECONDS)
    assert time.monotonic() - began < MOST_SECONDS
    assert EVERY < MOST_SECONDS
    assert REMEMBER <= MOST_SECONDS


def test_the_command_line_keeps_a_key_for_its_user_alone(platform: RunningPlatform, config: Path) -> None:
    file = config / "headrace" / "credentials.json"
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    assert headrace("status", "--url", platform.url).returncode == 0
    wrong = headrace("login", "--url", platform.url, stdin="hrk_wrong")
    assert wrong.returncode == 1
    assert "unknown" in wrong.stderr
    assert headrace("status", "--url", platform.url).returncode == 0


def test_keys_stand_in_no_log_and_no_process_arguments(platform: RunningPlatform, admin: Client) -> None:
    key = admin.create_key("grep", ["admin"]).key
    with Client(platform.url, key=key) as client:
        client.status()
        ask(platform, "adder", key)
    secrets = [key, platform.settings.first_key.read_text().strip(), platform.settings.purpose.read_text()]
    logs = b"".join(f.read_bytes() for f in platform.settings.logs.rglob("*") if f.is_file())
    arguments = b"".join(p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline") if p.is_file())
    assert [] == [s for s in secrets if s.encode() in logs or s.encode() in arguments]


def test_the_last_administrator_cannot_leave(platform: RunningPlatform, admin: Client) -> None:
    for key in admin.api_keys():
        if key.name != "first-admin" and key.state == "active" and "admin:*" in key.roles:
            admin.revoke_key(key.name)
    with pytest.raises(Conflict, match="nobody who can administer"):
        admin.revoke_key("first-admin")


def test_a_refusal_at_the_gateway_is_audited(platform: RunningPlatform, admin: Client) -> None:
    key = admin.create_key("outsider", ["caller:nothing"]).key
    for _ in range(3):
        assert ask(platform, "adder", key).status_code == 403

    def told() -> list[schemas.AuditEntry]:
        return [e for e in admin.audit(who="key:outsider") if e.what == "call"]

    entry = until(told, "the refusal is audited", 30)[0]
    assert ("adder", "refused", 403, "127.0.0.1") == (entry.on, entry.outcome, entry.status, entry.origin)
    assert "" == admin.verify_audit().fault


def test_a_killed_gateway_asks_again_who_callers_are(platform: RunningPlatform, admin: Client) -> None:
    key = admin.create_key("steady", ["caller:adder"]).key
    platform.kill("gateway")
    assert ask(platform, "adder", key).status_code == 200
    assert ask(platform, "adder", key[:-1] + "x").status_code == 401


def test_whoever_has_the_store_gets_in_again(platform: RunningPlatform) -> None:
    done = headrace("access", "recover", "--home", str(platform.home), "--yes")
    assert done.returncode == 0, done.stderr
    with Client(platform.url, key=done.stdout.strip()) as client:

        def known() -> bool:
            try:
                return client.who_am_i().roles == ["admin:*"]
            except Unauthenticated:
                return False

        until(known, "the key is taken", MOST_SECONDS)
