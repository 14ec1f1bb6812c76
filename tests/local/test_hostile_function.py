"""Model code that tries what it must not: what the kernel keeps from it on one machine, tried from inside ``predict``."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import pytest

from fixtures_platform import ADDER, RunningPlatform, body, until
from headrace_controller.client import Client
from headrace_functions.runtime import confinement

HOSTILE = """
import gc, glob, os, signal, socket, tempfile

def tried(what):
    try:
        found = what()
        return "reached" if found is None or found else "nothing there"
    except Exception as error:
        return type(error).__name__

def read(path):
    with open(path, "rb") as file:
        return file.read(10)

def write(path):
    with open(path, "wb") as file:
        file.write(b"forged")

def ask(sock, request):
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(5)
        asking.connect(sock)
        asking.sendall(request)
        return b"200" in asking.recv(100).split(b"\\r\\n")[0]

def known_secret(value):
    return any(value.encode() in repr(o).encode() for o in gc.get_objects() if isinstance(o, dict))

def load(path):
    import pathlib
    home = pathlib.Path(path).resolve().parents[1]
    for door in (home / "run" / "purpose", home / "hash-key"):
        try:
            print("TOLD", door.name, door.read_text())
        except Exception as error:
            print("TOLD", door.name, type(error).__name__)

def predict(model, question):
    home, sockets, parent, secret, port = question[0].split("|")
    doors = [
        lambda: read(home + "/run/purpose"), lambda: read(home + "/hash-key"), lambda: read(home + "/run/first-admin-key"),
        lambda: os.listdir(home + "/data"), lambda: os.listdir(home + "/spool"), lambda: os.listdir(home + "/artifacts"),
        lambda: os.listdir("/root"), lambda: os.listdir(home), lambda: os.listdir("/tmp"),
        lambda: write(home + "/data/models/victim/versions/1/definition.json"), lambda: write(home + "/run/up.lock"),
        lambda: write("/etc/forged"), lambda: write("/tmp/forged-by-a-function"),
        lambda: os.kill(int(parent), signal.SIGCONT), lambda: read("/proc/" + parent + "/environ"),
        lambda: os.environ["AWS_SECRET_ACCESS_KEY"], lambda: known_secret(secret),
        lambda: ask(sockets + "/controller.sock", b"GET /api/v1/status HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n"),
        lambda: ask(sockets + "/gateway.sock", b"GET /services HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n"),
        lambda: socket.create_connection(("127.0.0.1", int(port)), 5).close(), lambda: socket.socket().bind(("127.0.0.1", 0)),
        lambda: len(bytearray(1 << 30)),
    ]
    own = [
        lambda: tempfile.TemporaryFile().write(b"mine"), lambda: read(__file__), lambda: read("/etc/hostname"),
    ]
    return {"answer": [",".join([*map(tried, doors), "own", *map(tried, own)])]}
"""
DOORS = 22

pytestmark = pytest.mark.skipif(confinement.available() < 6, reason="needs a kernel with Landlock 6 (Linux 6.12)")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    patch = pytest.MonkeyPatch()
    patch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-bucket")
    found = RunningPlatform(
        tmp_path_factory.mktemp("hostile") / "home", "--auth", "--no-function-network", "--function-memory", "512"
    ).start()
    patch.setenv("HEADRACE_API_KEY", found.settings.first_key.read_text().strip())
    text = {"shape": "scalar", "type": "string", "profile": "none"}
    contract = {"inputs": {"question": text}, "outputs": {"answer": text}}
    found.apply_python("hostile", HOSTILE, found.home.parent / "hostile", contract=contract)
    found.apply_python("victim", ADDER, found.home.parent / "victim")
    yield found
    patch.undo()
    assert 0 == found.stop()


def ask(platform: RunningPlatform, name: str, content: object) -> httpx.Response:
    headers = {"authorization": f"Bearer {platform.settings.first_key.read_text().strip()}"}
    return httpx.post(f"{platform.url}/v2/models/{name}/infer", json=content, headers=headers, timeout=30)


def test_a_hostile_function_reaches_nothing_of_the_platform(platform: RunningPlatform) -> None:
    assert 200 == ask(platform, "victim", body(1.0)).status_code
    parent = orjson.loads((platform.settings.run / "up.lock").read_bytes())["pid"]
    question = f"{platform.home}|{platform.settings.sockets}|{parent}|{platform.settings.purpose.read_text()}"
    question += f"|{httpx.URL(platform.url).port}"
    content = {"inputs": [{"name": "question", "shape": [1], "datatype": "BYTES", "data": [question]}]}
    answer = ask(platform, "hostile", content)
    found = answer.json()["outputs"][0]["data"][0].split(",")
    assert DOORS == found.index("own")
    assert [] == [(place, said) for place, said in enumerate(found[:DOORS]) if said == "reached"], found
    assert {"FileNotFoundError"}.isdisjoint(found), found
    assert ["reached"] * 3 == found[DOORS + 1 :], found
    assert not Path("/tmp/forged-by-a-function").exists()


def test_model_code_that_is_tried_by_its_build_reaches_nothing_either(platform: RunningPlatform) -> None:
    with Client(platform.url, key=platform.settings.first_key.read_text().strip()) as client:
        log = client.build_log("hostile:1").text
    assert "TOLD purpose PermissionError" in log
    assert "TOLD hash-key PermissionError" in log


def test_a_confined_function_is_logged_and_leaves_nothing_behind(platform: RunningPlatform) -> None:
    assert 200 == ask(platform, "victim", body(1.0)).status_code
    until(lambda: platform.logged("victim:1"), "the request is logged")
    folders = platform.settings.run / "functions"
    assert list(folders.glob("victim-v1-*"))
    platform.kill("victim-v1")
    assert 200 == ask(platform, "victim", body(1.0)).status_code
    assert 1 == len(list(folders.glob("victim-v1-*")))
