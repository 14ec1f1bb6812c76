"""A function server that starts alone fetches what its environment names, and refuses what is not that."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest

from controller_support import wait_until
from headrace_controller import archive
from headrace_functions.errors import InvalidInput, Malformed, NotFound
from headrace_functions.names import VersionId
from headrace_functions.platform_secret import function_proof
from headrace_functions.protection import protect
from headrace_functions.record import RecordHeader, decode
from headrace_functions.runtime import fetch
from headrace_functions.signature import Field, dtype
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from support.store_proxy import SECRET, served
from support.versions import version

FUNCTION = "def predict(model, x):\n    return {'y': x + 1}\n"


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(str(tmp_path / "store"))


@pytest.fixture
def released(tmp_path: Path, store: ObjectStore) -> Version:
    (tmp_path / "function.py").write_text(FUNCTION)
    digest = archive.pack(["function.py"], tmp_path, tmp_path / "artifact.tar.zst")
    it = Version.from_document(version("adder", 3).to_document() | {"artifact": digest})
    store.put(layout.artifact(it.id), tmp_path / "artifact.tar.zst")
    store.put(layout.version_document(it.id), orjson.dumps(it.to_document()))
    return it


@pytest.fixture
def environment(tmp_path: Path, released: Version) -> dict[str, str]:
    (tmp_path / "work").mkdir()
    return {
        "HEADRACE_VERSION": "adder:3",
        "HEADRACE_STORAGE": str(tmp_path / "store"),
        "HEADRACE_ARTIFACT": released.artifact,
        "HEADRACE_LISTEN": "tcp:127.0.0.1:0",
        "HEADRACE_WORK": str(tmp_path / "work"),
        "HOSTNAME": "adder-v3-pod-1",
    }


def test_version_and_artifact_are_where_the_settings_say(environment: dict[str, str], released: Version) -> None:
    settings = fetch.settings_from(environment)
    assert settings.read_version() == released
    assert (settings.artifact / "function.py").read_text() == FUNCTION
    assert (settings.listen, settings.replica) == ("tcp:127.0.0.1:0", "adder-v3-pod-1")


def test_a_container_that_starts_anew_in_its_pod_finds_the_artifact_there(environment: dict[str, str]) -> None:
    first = fetch.settings_from(environment)
    (first.artifact / "kept").touch()
    assert (fetch.settings_from(environment).artifact / "kept").exists()


@pytest.mark.parametrize(
    "name", ["HEADRACE_VERSION", "HEADRACE_STORAGE", "HEADRACE_ARTIFACT", "HEADRACE_LISTEN", "HEADRACE_WORK"]
)
def test_a_variable_that_is_missing_is_named(environment: dict[str, str], name: str) -> None:
    del environment[name]
    with pytest.raises(InvalidInput, match=name):
        fetch.settings_from(environment)


@pytest.mark.parametrize(("name", "value"), [("HEADRACE_VERSION", "adder"), ("HEADRACE_LISTEN", "8080")])
def test_a_variable_that_makes_no_sense_is_refused_before_anything_is_fetched(
    environment: dict[str, str], name: str, value: str
) -> None:
    with pytest.raises(InvalidInput):
        fetch.settings_from(environment | {name: value})
    assert list(Path(environment["HEADRACE_WORK"]).iterdir()) == []


def test_the_library_is_imported_while_the_artifact_is_on_its_way(
    environment: dict[str, str], store: ObjectStore, released: Version
) -> None:
    """The store holds the artifact back until somebody is told of the version."""
    told: list[Version] = []
    may_come = threading.Event()

    class Slow:
        def get(self, key: str) -> bytes:
            assert key != layout.artifact(released.id) or may_come.wait(30)
            return store.get(key)

    def meanwhile(version: Version) -> None:
        told.append(version)
        may_come.set()

    settings = fetch.settings_from(environment, Slow(), meanwhile=meanwhile)

    assert told == [released]
    assert (settings.artifact / "function.py").is_file()


def test_a_version_that_is_not_in_the_store_is_named(environment: dict[str, str]) -> None:
    with pytest.raises(NotFound, match=r"models/adder/versions/9/version\.json"):
        fetch.settings_from(environment | {"HEADRACE_VERSION": "adder:9"})


def test_an_artifact_that_was_changed_in_the_store_is_not_loaded(
    environment: dict[str, str], store: ObjectStore, released: Version
) -> None:
    store.put(layout.artifact(released.id), store.get(layout.artifact(released.id)) + b"more")
    with pytest.raises(Malformed, match="SHA-256 does not match") as caught:
        fetch.settings_from(environment)
    assert caught.value.expected == released.artifact
    assert not (Path(environment["HEADRACE_WORK"]) / "artifact").exists()


def test_a_version_of_another_platform_is_not_served(environment: dict[str, str]) -> None:
    with pytest.raises(Malformed, match="a different artifact"):
        fetch.settings_from(environment | {"HEADRACE_ARTIFACT": "0" * 64})


@pytest.mark.parametrize("content", [b"not json", b"{}", b"[]"])
def test_a_document_that_is_no_version_is_refused(
    environment: dict[str, str], store: ObjectStore, content: bytes
) -> None:
    store.put(layout.version_document(VersionId("adder", 3)), content)
    with pytest.raises(Malformed, match="is not a version"):
        fetch.settings_from(environment)


def test_a_process_that_is_told_by_its_environment_serves_and_ships_its_records(
    environment: dict[str, str], store: ObjectStore
) -> None:
    """One request, then TERM: its record is in the inbox when the process has ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "headrace_functions.runtime"]
    variables = environment | {"PATH": os.environ["PATH"], "HEADRACE_LISTEN": f"tcp:127.0.0.1:{port}"}
    with subprocess.Popen(command, env=variables) as process:
        try:
            url = f"http://127.0.0.1:{port}/v2/models/adder"
            wait_until(lambda: answers(f"{url}/ready"))
            body = {"inputs": [{"name": "x", "shape": [2], "datatype": "FP64", "data": [1.0, 2.0]}]}
            answer = httpx.post(f"{url}/infer", json=body, headers={"x-request-id": "one"}, trust_env=False)
            assert answer.json()["outputs"][0]["data"] == [2.0, 3.0]
        finally:
            process.terminate()
            process.wait(30)
    assert process.returncode == 0
    (segment,) = list(store.walk("inbox/adder-v3/"))
    assert b"one" in store.get(segment.key)


@contextmanager
def pod(environment: dict[str, str], token: dict[str, str]) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """A function server as in a pod of a platform: it has a token and no store."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {k: v for k, v in environment.items() if k != "HEADRACE_STORAGE"} | token
    variables |= {"PATH": os.environ["PATH"], "HEADRACE_LISTEN": f"tcp:127.0.0.1:{port}"}
    with subprocess.Popen([sys.executable, "-m", "headrace_functions.runtime"], env=variables) as process:
        try:
            url = f"http://127.0.0.1:{port}/v2/models/adder"
            wait_until(lambda: answers(f"{url}/ready"))
            yield process, url
        finally:
            process.terminate()
            process.wait(30)


def ask(url: str, name: str, **headers: str) -> None:
    body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}
    answer = httpx.post(f"{url}/infer", json=body, headers={"x-request-id": name, **headers}, trust_env=False)
    assert answer.json()["outputs"][0]["data"] == [2.0]


def logged(store: ObjectStore) -> list[RecordHeader]:
    return [r.header for o in store.walk("inbox/adder-v3/") for r in decode(store.get(o.key))]


def test_a_pod_with_a_token_alone_serves_and_hands_its_records_over(
    environment: dict[str, str], store: ObjectStore
) -> None:
    """It believes who shows the proof that its token gives, and nobody else; the collector is told of its records."""
    with served(store) as proxy:
        with pod(environment, proxy.variables("adder-v3")) as (process, url):
            proof = function_proof(SECRET, "adder-v3")
            ask(url, "proven", **{"x-headrace-proof": proof, "x-headrace-sequence": "both"})
            ask(url, "forged", **{"x-headrace-proof": SECRET, "x-headrace-sequence": "both"})
        assert process.returncode == 0
        assert {"proven": "both", "forged": ""} == {h.request_id: h.sequence for h in logged(store)}
        assert proxy.arrived


NOSY = """
import os

def predict(model, email):
    return {"told": ["key" if "HEADRACE_HASH_KEY" in os.environ else "nothing" for _ in email]}
"""


@pytest.mark.parametrize("key", ["0f" * 32, ""])
def test_a_pod_that_is_told_the_key_of_hashes_logs_hashes_and_the_model_does_not_find_the_key(
    tmp_path: Path, environment: dict[str, str], store: ObjectStore, key: str
) -> None:
    """Without the key nothing is kept of the value."""
    (tmp_path / "function.py").write_text(NOSY)
    digest = archive.pack(["function.py"], tmp_path, tmp_path / "nosy.tar.zst")
    email, told = Field("email", dtype("string"), sensitive="hash"), Field("told", dtype("string"))
    it = Version.from_document(
        version("adder", 3, inputs=(email,), outputs=(told,)).to_document() | {"artifact": digest}
    )
    store.put(layout.artifact(it.id), tmp_path / "nosy.tar.zst")
    store.put(layout.version_document(it.id), orjson.dumps(it.to_document()))
    with served(store) as proxy:
        variables = proxy.variables("adder-v3") | ({fetch.HASH_KEY: key} if key else {})
        with pod(environment | {"HEADRACE_ARTIFACT": digest}, variables) as (_, url):
            body = {"inputs": [{"name": "email", "shape": [1], "datatype": "BYTES", "data": ["ann@example.org"]}]}
            answer = httpx.post(f"{url}/infer", json=body, trust_env=False).json()

    assert ["nothing"] == answer["outputs"][0]["data"]
    (record,) = [r for o in store.walk("inbox/adder-v3/") for r in decode(store.get(o.key))]
    kept = protect([email], {"email": np.array([b"ann@example.org"], object)}, bytes.fromhex(key))["email"][0]
    assert record.request.endswith(kept.encode())
    assert 16 * bool(key) == len(kept)
    assert b"ann@example.org" not in record.request


def test_while_the_proxy_is_away_records_wait_in_the_pod_and_each_arrives_once(
    environment: dict[str, str], store: ObjectStore
) -> None:
    """The gateway goes, the function answers on; another gateway comes, and the pod is told to end."""
    with served(store) as first:
        port, token = int(first.url.rpartition(":")[2]), first.variables("adder-v3")
        running = pod(environment, token)
        process, url = running.__enter__()
        ask(url, "before")
        wait_until(lambda: [h.request_id for h in logged(store)] == ["before"])
    for number in range(20):
        ask(url, f"away-{number}")
    with served(store, port=port):
        ask(url, "after")
        running.__exit__(None, None, None)

    assert process.returncode == 0
    assert Counter(["before", *(f"away-{n}" for n in range(20)), "after"]) == Counter(
        h.request_id for h in logged(store)
    )


def test_a_pod_whose_token_is_not_the_platforms_says_so_and_ends(
    environment: dict[str, str], store: ObjectStore
) -> None:
    with served(store) as proxy:
        told = {k: v for k, v in environment.items() if k != "HEADRACE_STORAGE"}
        ended = start(told | proxy.variables("adder-v3") | {"HEADRACE_STORE_TOKEN": "function.adder-v3.forged"})
    assert ended.returncode == 1
    assert "each with its token" in ended.stderr
    assert "check whether the platform's secret has changed" in ended.stderr


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def start(environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "headrace_functions.runtime"]
    path = {"PATH": os.environ["PATH"]}
    return subprocess.run(command, check=False, env=path | environment, capture_output=True, text=True, timeout=60)


def test_a_process_without_settings_says_what_it_lacks_and_ends_with_1() -> None:
    ended = start({})
    assert ended.returncode == 1
    assert "HEADRACE_VERSION is not set" in ended.stderr


@pytest.mark.parametrize("name", ["HEADRACE_VERSION", "HEADRACE_ARTIFACT", "HEADRACE_LISTEN"])
def test_a_process_that_lacks_a_variable_says_which_in_one_line(environment: dict[str, str], name: str) -> None:
    ended = start({k: v for k, v in environment.items() if k != name})
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"cannot start: the variable {name} is not set")


def test_a_process_whose_artifact_is_not_in_the_store_says_so(
    environment: dict[str, str], store: ObjectStore, released: Version
) -> None:
    store.delete(layout.artifact(released.id))
    ended = start(environment)
    assert ended.returncode == 1
    assert f"cannot start: no object {layout.artifact(released.id)}" in ended.stderr


def test_a_process_on_one_machine_never_imports_a_client_of_object_storage(tmp_path: Path) -> None:
    code = "import sys, headrace_functions.runtime.fetch, headrace_functions.runtime.prefetch, json; print(json.dumps(sorted(sys.modules)))"
    loaded: list[Any] = json.loads(subprocess.check_output([sys.executable, "-c", code], timeout=60))
    assert not {"obstore", "zstandard"} & {name.partition(".")[0] for name in loaded}
