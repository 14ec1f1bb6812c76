"""The standby of a runtime image as a process: it forks, answers and records for versions it never saw, within its bounds."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from function_support import wait_until
from headrace_controller import archive
from headrace_functions.names import VersionId
from headrace_functions.platform_secret import function_proof
from headrace_functions.record import decode
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Limits, Runtime, Version
from support.store_proxy import SECRET, served
from support.versions import version

LOCK = b"numpy==2.4.6\n"
RUNTIME = Runtime("image", hashlib.sha256(LOCK).hexdigest())
DOUBLE = "def predict(model, x):\n    return {'y': x * 2}\n"
PID = "import os\nimport numpy as np\ndef predict(model, x):\n    return {'y': np.full(len(x), float(os.getpid()))}\n"
SLOW = "import time\ndef predict(model, x):\n    time.sleep(float(x[0]))\n    return {'y': x}\n"
PROGRAM = """
import sys
from pathlib import Path
from headrace_functions.standby import __main__ as standby
standby.LOCK = Path(sys.argv[1])
sys.exit(standby.main())
"""


class Standby:
    """The process, and the store it reads and ships to."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.store = ObjectStore(str(folder / "store"))
        (folder / "lock.txt").write_bytes(LOCK)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._proxy = ExitStack()
        self.proxy = self._proxy.enter_context(served(self.store))
        told = {"HEADRACE_STORE_PROXY": self.proxy.url, "HEADRACE_WORK": str(folder / "work")}
        told |= {"HEADRACE_NAMESPACE": "none", "PORT": str(port), "HOSTNAME": "standby-pod", **settings}
        command = [sys.executable, "-c", PROGRAM, str(folder / "lock.txt")]
        with (folder / "standby.log").open("wb") as log:
            self.process = subprocess.Popen(command, env={**os.environ, **told}, stdout=log, stderr=log)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False)
        wait_until(self._up, seconds=30, what="the standby")

    def _up(self) -> bool:
        try:
            return self.http.get("/v2/health/ready").status_code == 200
        except httpx.ConnectError:
            assert self.process.poll() is None, (self.folder / "standby.log").read_text()
            return False

    def publish(self, made: Version, code: str) -> Version:
        folder = self.folder / made.id.service
        folder.mkdir()
        (folder / "function.py").write_text(code)
        packed = self.folder / f"{made.id.service}.tar.zst"
        released = replace(made, artifact=archive.pack(["function.py"], folder, packed))
        self.store.put(layout.artifact(made.id), packed)
        self.store.put(layout.version_document(made.id), orjson.dumps(released.to_document()))
        return released

    def prepare(self, made: Version) -> httpx.Response:
        return self.http.put(f"/versions/{made.id}/{made.artifact}", headers=self.token(made))

    def ask(self, made: Version, x: float, **headers: str) -> httpx.Response:
        tensor = {"name": "x", "shape": [1], "datatype": "FP64", "data": [x]}
        named = {"x-headrace-standby": f"{made.id} {made.artifact}", **self.token(made), **headers}
        return self.http.post(f"/v2/models/{made.id.model}/infer", json={"inputs": [tensor]}, headers=named)

    def token(self, made: Version) -> dict[str, str]:
        """What a gateway shows for the version."""
        return {"x-headrace-store-token": self.proxy.token(made.id.service)}

    def answer(self, made: Version, x: float) -> float:
        reply = self.ask(made, x)
        assert reply.status_code == 200, reply.text
        return float(reply.json()["outputs"][0]["data"][0])

    def answering(self) -> list[str]:
        told: list[str] = self.http.get("/standby").json()["versions"]
        return told

    def records(self) -> list[Any]:
        """All that was shipped to the inbox."""
        keys = [o.key for o in self.store.walk(layout.INBOX)]
        return [r.header for key in keys if key.endswith(".seg") for r in decode(self.store.get(key))]

    def stop(self) -> None:
        self.http.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(30) == 0, (self.folder / "standby.log").read_text()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self._proxy.close()


Start = Callable[..., Standby]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[Standby] = []

    def begin(**settings: str) -> Standby:
        running.append(Standby(tmp_path, **settings))
        return running[-1]

    yield begin
    for standby in running:
        standby.stop()


def made(model: str = "m", n: int = 1, **more: Any) -> Version:
    return version(model, n, runtime=RUNTIME, **more)


def test_a_version_it_never_saw_is_answered_and_recorded_as_in_its_own_pod(start: Start) -> None:
    standby = start()
    double = standby.publish(made(), DOUBLE)
    assert standby.prepare(double).status_code == 200
    proven = {
        "x-request-id": "first",
        "x-headrace-sequence": "s",
        "x-headrace-stage": "1",
        "x-headrace-proof": function_proof(SECRET, double.id.service),
    }
    reply = standby.ask(double, 21.0, **proven)
    assert reply.json()["outputs"][0]["data"] == [42.0]
    assert reply.headers["x-request-id"] == "first"
    standby.stop()
    (record,) = standby.records()
    assert (record.request_id, record.model, record.version, record.sequence, record.stage) == ("first", "m", 1, "s", 1)
    assert record.replica == "standby-pod/m-v1-1"
    assert record.outcome == "ok"


def test_a_request_alone_brings_its_version_up_once_for_all_who_ask(start: Start) -> None:
    """Whichever pod of a standby gets a request can answer it; forty at once share one function server."""
    standby = start()
    who = standby.publish(made(), PID)
    with ThreadPoolExecutor(40) as pool:
        assert len(set(pool.map(lambda x: standby.answer(who, float(x)), range(40)))) == 1


def test_what_the_function_refuses_is_its_answer_and_recorded(start: Start) -> None:
    standby = start()
    small = standby.publish(made(limits=Limits(max_body=20)), DOUBLE)
    reply = standby.ask(small, 1.0)
    assert reply.status_code == 413
    assert "x-request-id" in reply.headers
    assert "x-headrace-standby" not in reply.headers
    standby.stop()
    assert [r.outcome for r in standby.records()] == ["refused"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"runtime": None}, "a different environment"),
        ({"runtime": replace(RUNTIME, layer="b" * 64)}, "a different environment"),
        ({"runtime": replace(RUNTIME, lock="b" * 64)}, "a different environment"),
    ],
)
def test_a_version_of_another_environment_is_refused(start: Start, change: dict[str, Any], words: str) -> None:
    standby = start()
    other = standby.publish(replace(made(), **change), DOUBLE)
    for reply in (standby.prepare(other), standby.ask(other, 1.0)):
        assert reply.status_code == 503
        assert reply.headers["x-headrace-standby"] == "refused"
        assert words in reply.json()["detail"]
    assert standby.answering() == []


def test_an_artifact_that_is_not_what_was_named_is_refused(start: Start) -> None:
    standby = start()
    double = standby.publish(made(), DOUBLE)
    other = replace(double, artifact="b" * 64)
    assert "refers to a different artifact" in standby.prepare(other).json()["detail"]
    standby.store.put(layout.artifact(double.id), b"damaged")
    assert "SHA-256" in standby.prepare(replace(double, id=VersionId("m", 1))).json()["detail"]


def test_a_version_that_cannot_load_is_refused_with_the_reason_and_not_tried_again_at_once(start: Start) -> None:
    standby = start()
    broken = standby.publish(made(), "raise RuntimeError('no weights')\n")
    for _ in range(3):
        reply = standby.ask(broken, 1.0)
        assert reply.headers["x-headrace-standby"] == "refused"
        assert "no weights" in reply.json()["detail"]
    assert len(list((standby.folder / "work" / "log").glob("m-v1-*.log"))) == 1


def test_of_more_versions_than_it_may_have_the_least_recently_used_idle_one_goes(start: Start) -> None:
    standby = start(HEADRACE_STANDBY_VERSIONS="2")
    versions = [standby.publish(made("m", n), PID) for n in (1, 2, 3)]
    first, second = standby.answer(versions[0], 1.0), standby.answer(versions[1], 1.0)
    assert standby.answer(versions[0], 1.0) == first
    standby.answer(versions[2], 1.0)
    assert standby.answering() == ["m:1", "m:3"]
    assert not Path(f"/proc/{int(second)}").exists()


def test_while_all_are_busy_one_more_is_refused_and_nobody_is_disturbed(start: Start) -> None:
    standby = start(HEADRACE_STANDBY_VERSIONS="1", HEADRACE_STANDBY_REQUESTS="1")
    slow, other = standby.publish(made("slow", 1), SLOW), standby.publish(made("m", 2), DOUBLE)
    standby.prepare(slow)
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(standby.ask, slow, 2.0)
        wait_until(lambda: standby.prepare(slow).status_code == 503, what="the request is open")
        assert "are open in its standby" in standby.prepare(slow).json()["detail"]
        assert "already serves 1 versions" in standby.ask(other, 1.0).json()["detail"]
        assert busy.result().status_code == 200
    assert standby.answer(other, 4.0) == 8.0


def test_a_function_server_that_outgrows_its_memory_ends_and_its_version_is_refused(start: Start) -> None:
    standby = start(HEADRACE_STANDBY_CHILD_MIB="100")
    code = "import numpy as np\nkept = np.ones(25_000_000)\ndef predict(model, x):\n    return {'y': x}\n"
    large = standby.publish(made(), code)
    standby.answer(large, 1.0)
    wait_until(lambda: standby.answering() == [], what="it has ended")
    assert "too much for a standby" in standby.ask(large, 1.0).json()["detail"]


def test_an_idle_function_server_ends(start: Start) -> None:
    standby = start(HEADRACE_STANDBY_IDLE="1")
    pid = standby.answer(standby.publish(made(), PID), 1.0)
    wait_until(lambda: not Path(f"/proc/{int(pid)}").exists(), what="it has ended")
    assert standby.answering() == []


def test_artifacts_are_kept_while_there_is_room(start: Start) -> None:
    standby = start(HEADRACE_STANDBY_DISK_MIB="1", HEADRACE_STANDBY_VERSIONS="1")
    padding = "\n#" + "x" * 400_000
    versions = [standby.publish(made("m", n), DOUBLE + padding) for n in (1, 2, 3, 4)]
    for v in versions:
        assert standby.answer(v, 1.0) == 2.0
    kept = {p.name.partition("-v")[2][0] for p in (standby.folder / "work" / "stock").iterdir()}
    assert kept == {"3", "4"}


def test_term_finishes_what_is_open_and_ships_every_record(start: Start) -> None:
    standby = start()
    slow = standby.publish(made(), SLOW)
    standby.prepare(slow)
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(standby.ask, slow, 1.0)
        began = time.monotonic()
        wait_until(lambda: _open(standby), what="the request is open")
        standby.process.send_signal(signal.SIGTERM)
        assert busy.result().status_code == 200
    assert time.monotonic() - began > 0.9
    standby.stop()
    assert len(standby.records()) == 1


def _open(standby: Standby) -> bool:
    """Whether the function server of m:1 is connected to."""
    sockets = Path("/proc/net/unix").read_text().splitlines()
    return sum(str(standby.folder / "work" / "run" / "m-v1-") in line for line in sockets) > 1


def test_a_killed_function_server_fails_only_what_it_had(start: Start) -> None:
    """The open request may have been seen, so it is no refusal; the next one gets a new function server."""
    standby = start()
    slow, who = standby.publish(made(), SLOW), standby.publish(made("who", 1), PID)
    first = standby.answer(who, 1.0)
    os.kill(int(first), signal.SIGKILL)
    second = wait_until(lambda: standby.ask(who, 1.0).json().get("outputs"), what="a new one")[0]["data"][0]
    assert second != first
    standby.prepare(slow)
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(standby.ask, slow, 20.0)
        wait_until(lambda: _open(standby), what="the request is open")
        os.kill(_process_of(standby, "m-v1"), signal.SIGKILL)
        reply = busy.result()
    assert reply.status_code == 503
    assert "x-headrace-standby" not in reply.headers


def _process_of(standby: Standby, service: str) -> int:
    """The process whose standard output is the log of the service's function server."""
    (log,) = (standby.folder / "work" / "log").glob(f"{service}-*.log")
    (pid,) = (int(fd.parts[2]) for fd in Path("/proc").glob("[0-9]*/fd/1") if os.path.realpath(fd) == str(log))
    return pid
