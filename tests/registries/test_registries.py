"""Payloads from a bucket of Google's kind and from an OCI registry, by real servers on loopback. ``make test-registries``."""

import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from fixtures_platform import until
from headrace_controller.projects.payload_sources import fetch
from headrace_functions.errors import InvalidInput, NotFound, StorageFailed

pytestmark = pytest.mark.timeout(300)
PROGRAMS = Path(__file__).parents[2] / ".cache" / "registries"
MODEL = b"a model" * 1000
DIGEST = hashlib.sha256(MODEL).hexdigest()
PUSH = """
import sys, oras.client
client = oras.client.OrasClient(insecure=True)
answer = client.push(target=sys.argv[1], files=sys.argv[2:], disable_path_validation=True)
print(answer.headers["Docker-Content-Digest"])
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def running(folder: Path, command: list[str | Path], probe: str) -> Iterator[None]:
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env={**os.environ, "OTEL_TRACES_EXPORTER": "none"}
        )
    try:
        until(lambda: answers(probe), f"{command[0]} answers", 60)
        yield
    finally:
        process.terminate()
        process.wait(20)


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """``gs://models`` with an object and a folder; the client is led there by its key, as Google's emulators are used."""
    data = tmp_path / "buckets" / "models"
    (data / "churn" / "3" / "words").mkdir(parents=True)
    (data / "model.onnx").write_bytes(MODEL)
    (data / "churn" / "3" / "model.onnx").write_bytes(MODEL)
    (data / "churn" / "3" / "words" / "list.txt").write_text("a b")
    url = f"http://127.0.0.1:{free_port()}"
    command = [PROGRAMS / "fake-gcs-server", "-backend", "memory", "-data", tmp_path / "buckets", "-scheme", "http"]
    command += ["-host", "127.0.0.1", "-port", url.rpartition(":")[2], "-public-host", url.removeprefix("http://")]
    key = {"gcs_base_url": url, "disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps(key))
    with running(tmp_path, [str(c) for c in command], f"{url}/storage/v1/b"):
        yield


def test_an_object_and_a_prefix_of_a_bucket_are_fetched(google: None, tmp_path: Path) -> None:
    into = tmp_path / "one"
    into.mkdir()
    found = fetch(f"gs://models/model.onnx#sha256={DIGEST}", into, lambda _text: None)
    assert (MODEL, DIGEST, "gs://models/model.onnx") == (found.path.read_bytes(), found.sha256, found.url)
    folder = tmp_path / "many"
    folder.mkdir()
    found = fetch("gs://models/churn/3/", folder, lambda _text: None)
    assert {"model.onnx", "words/list.txt"} == {
        p.relative_to(found.path).as_posix() for p in found.path.rglob("*") if p.is_file()
    }


def test_what_is_not_there_and_what_has_other_bytes_is_said(google: None, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        fetch("gs://models/other.onnx", tmp_path, lambda _text: None)
    with pytest.raises(InvalidInput, match="does not match its digest"):
        fetch(f"gs://models/model.onnx#sha256={'0' * 64}", tmp_path, lambda _text: None)


def test_a_bucket_without_credentials_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", "no json")
    with pytest.raises(StorageFailed, match="cannot be opened"):
        fetch("gs://models/model.onnx", tmp_path, lambda _text: None)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """Host and port of a registry."""
    host = f"127.0.0.1:{free_port()}"
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
        "http": {"addr": host},
    }
    (tmp_path / "registry.yml").write_text(json.dumps(settings))
    with running(tmp_path, [str(PROGRAMS / "registry"), "serve", "registry.yml"], f"http://{host}/v2/"):
        yield host


def pushed(target: str, folder: Path, *names: str) -> str:
    """What was pushed by oras; the digest of its manifest."""
    uv = Path(sys.executable).with_name("uv")
    command = [uv, "run", "--quiet", "--no-project", "--with", "oras", "python", "-c", PUSH, target, *names]
    done = subprocess.run(command, cwd=folder, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_files_and_folders_of_an_artifact_are_fetched_by_tag_and_by_digest(registry: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "words").mkdir(parents=True)
    (source / "model.onnx").write_bytes(MODEL)
    (source / "words" / "list.txt").write_text("a b")
    digest = pushed(f"{registry}/models/churn:3", source, "model.onnx", "words")
    for number, name in enumerate((":3", f"@{digest}")):
        into = tmp_path / str(number)
        into.mkdir()
        found = fetch(f"oci://{registry}/models/churn{name}", into, lambda _text: None)
        assert digest == f"sha256:{found.sha256}"
        assert (MODEL, "a b") == (
            (found.path / "model.onnx").read_bytes(),
            (found.path / "words" / "list.txt").read_text(),
        )


def test_an_artifact_of_one_file_is_that_file(registry: str, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(MODEL)
    pushed(f"{registry}/one:1", tmp_path, "model.onnx")
    into = tmp_path / "into"
    into.mkdir()
    assert "model.onnx" == fetch(f"oci://{registry}/one:1", into, lambda _text: None).path.name


def test_other_bytes_another_manifest_and_an_absent_tag_are_refused(registry: str, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(MODEL)
    pushed(f"{registry}/one:1", tmp_path, "model.onnx")
    for number, (name, error, said) in enumerate(
        (
            (":2", NotFound, "does not exist"),
            (f"@sha256:{'0' * 64}", NotFound, "does not exist"),
            ("", InvalidInput, "cannot be parsed"),
        )
    ):
        into = tmp_path / str(number)
        into.mkdir()
        with pytest.raises(error, match=said):
            fetch(f"oci://{registry}/one{name}", into, lambda _text: None)
    (blob,) = (tmp_path / "registry").rglob(f"{DIGEST}/data")
    blob.write_bytes(b"another" * 1000)
    into = tmp_path / "changed"
    into.mkdir()
    with pytest.raises(InvalidInput, match="does not match its digest"):
        fetch(f"oci://{registry}/one:1", into, lambda _text: None)
