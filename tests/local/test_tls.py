"""The front door over TLS: callers verify it, sessions are marked for it, the platform's own processes go on, and a renewed certificate is taken."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fixtures_platform import ADDER, RunningPlatform, body, environment, headrace, until
from headrace_controller.client import Client
from headrace_controller.inference_client import AsyncClient
from support.certificates import make_certificate


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls") / "files")


@pytest.fixture(scope="module")
def platform(
    tmp_path_factory: pytest.TempPathFactory, shared_environments: Path, files: tuple[Path, Path]
) -> Iterator[RunningPlatform]:
    home = tmp_path_factory.mktemp("home")
    (home / "environments").symlink_to(shared_environments)
    running = RunningPlatform(
        home, "--tls-cert", str(files[0]), "--tls-key", str(files[1]), "--grpc-port", "0", "--auth"
    ).start()
    key = (home / "run" / "first-admin-key").read_text().strip()
    try:
        (home / "adder").mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HEADRACE_API_KEY", key)
            done = apply(running, home / "adder")
            assert done == 0
            yield running
    finally:
        assert running.stop() == 0


def apply(platform: RunningPlatform, folder: Path) -> int:
    (folder / "function.py").write_text(ADDER)
    (folder / "headrace.yaml").write_text(
        "kind: Model\nname: adder\nframework: python\npayload: [function.py]\n"
        "contract: {inputs: {x: {type: double}}, outputs: {y: {type: double}}}\n"
    )
    return headrace("apply", "--home", str(platform.home), "-f", str(folder)).returncode


def at_localhost(platform: RunningPlatform) -> str:
    assert platform.url.startswith("https://127.0.0.1:")
    return platform.url.replace("127.0.0.1", "localhost")


def test_a_caller_who_trusts_the_authority_is_answered_and_one_who_does_not_is_not(
    platform: RunningPlatform, files: tuple[Path, Path]
) -> None:
    url = at_localhost(platform)
    key = (platform.home / "run" / "first-admin-key").read_text().strip()
    with httpx.Client(verify=ssl.create_default_context(cafile=str(files[0])), headers={"x-api-key": key}) as client:
        answer = client.post(f"{url}/v2/models/adder/infer", json=body(1.0))
        assert (200, [2.0]) == (answer.status_code, answer.json()["outputs"][0]["data"])
        assert 200 == client.get(f"{url}/").status_code
    with httpx.Client(trust_env=False) as client, pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        client.get(f"{url}/v2")
    plain = url.replace("https:", "http:")
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{plain}/v2")


def test_the_clients_take_the_authority_by_argument_and_by_variable(
    platform: RunningPlatform, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = at_localhost(platform)
    with Client(url, ca=files[0]) as client:
        assert "adder" in [m.name for m in client.models()]
    monkeypatch.setenv("HEADRACE_CA_FILE", str(files[0]))
    with Client(url) as client:
        assert "adder" in [m.name for m in client.models()]

    async def ask() -> Any:
        async with AsyncClient(url) as client:
            return await client.ask("adder", {"x": [1.0]})

    assert [2.0] == list(asyncio.run(ask())["y"])


def test_commands_verify_by_the_file_that_is_named_and_the_homes_own_platform_by_its_certificate(
    platform: RunningPlatform, files: tuple[Path, Path], tmp_path: Path
) -> None:
    url = at_localhost(platform)
    assert 0 == headrace("model", "list", "--home", str(platform.home)).returncode
    assert 0 == headrace("model", "list", "--url", url, "--ca", str(files[0])).returncode
    refused = headrace("model", "list", "--url", url)
    assert (1, True) == (refused.returncode, "--ca" in refused.stderr), refused.stderr
    other = make_certificate(tmp_path / "other")[0]
    assert 1 == headrace("model", "list", "--url", url, "--ca", str(other)).returncode
    wrong = headrace("model", "list", "--url", url, "--ca", str(tmp_path / "none.pem"))
    assert (1, True) == (wrong.returncode, "none.pem" in wrong.stderr)


def test_a_login_gives_a_cookie_for_encrypted_connections_alone(
    platform: RunningPlatform, files: tuple[Path, Path]
) -> None:
    url = at_localhost(platform)
    key = (platform.home / "run" / "first-admin-key").read_text().strip()
    with httpx.Client(verify=ssl.create_default_context(cafile=str(files[0])), trust_env=False) as browser:
        answer = browser.post(f"{url}/login", data={"key": key}, headers={"origin": url})
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-headrace=")
    assert {"Secure", "HttpOnly"} <= {part.strip() for part in cookie.split(";")}


def test_the_platforms_own_processes_reach_the_gateway(platform: RunningPlatform) -> None:
    """gRPC, streams and analyses ask it on this machine without TLS; the address is in no answer."""
    grpc = pytest.importorskip("grpc")
    from headrace_controller.embedded.home import holder_of
    from headrace_functions.rpc.descriptors import SERVICE, message

    holder = holder_of(platform.settings)
    assert holder is not None
    with grpc.insecure_channel(holder.grpc) as channel:
        call = channel.unary_unary(
            f"/{SERVICE}/ServerLive",
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=message("inference.ServerLiveResponse").FromString,
        )
        assert call(message("inference.ServerLiveRequest")(), timeout=10).live


def test_a_renewed_certificate_is_taken_without_a_restart(
    new_platform: Callable[..., RunningPlatform], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_TLS_LOOK_SECONDS", "0.1")
    old = make_certificate(tmp_path / "files")
    platform = new_platform("--tls-cert", str(old[0]), "--tls-key", str(old[1]))
    url = at_localhost(platform)
    first = ssl.create_default_context(cafile=str(old[0]))
    assert 200 == httpx.get(f"{url}/v2", verify=first).status_code
    new = make_certificate(tmp_path / "files")
    trusting = ssl.create_default_context(cafile=str(new[0]))

    def taken() -> bool:
        try:
            return httpx.get(f"{url}/v2", verify=trusting).status_code == 200
        except httpx.ConnectError:
            return False

    until(taken, "the new certificate is shown")
    new[1].write_text("no key")
    new[0].touch()
    assert 200 == httpx.get(f"{url}/v2", verify=trusting).status_code, "a broken file leaves the one before"


@pytest.mark.parametrize(
    ("cert", "key", "said"),
    [
        ("cert.pem", "", "--tls-cert and --tls-key must be given together"),
        ("none.pem", "key.pem", "none.pem"),
        ("cert.pem", "other/key.pem", "is not the key of"),
        ("key.pem", "key.pem", "does not contain a certificate"),
        ("cert.pem", "hidden/key.pem", "password"),
    ],
)
def test_files_that_cannot_be_used_are_said_before_anything_starts(
    tmp_path: Path, cert: str, key: str, said: str
) -> None:
    make_certificate(tmp_path / "files")
    make_certificate(tmp_path / "files" / "other")
    hidden = make_certificate(tmp_path / "files" / "hidden", password=b"secret")
    if key.startswith("hidden"):
        cert = "hidden/cert.pem"
    assert hidden[0].is_file()
    folder = tmp_path / "files"
    given = ["--tls-cert", str(folder / cert), *(["--tls-key", str(folder / key)] if key else [])]
    done = headrace("up", "--home", str(tmp_path / "home"), "--port", "0", *given)
    assert 1 == done.returncode
    assert said in done.stderr


def test_environment_of_the_tests_has_no_authority_of_its_own() -> None:
    assert "HEADRACE_CA_FILE" not in environment()
