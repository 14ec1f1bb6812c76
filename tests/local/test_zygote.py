"""A warm zygote forks function servers that live a life of their own."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from function_support import Deployed, Home, Notifications, alive, client, scalars, wait_until
from headrace_functions.signature import Signature

TABLE = Signature(scalars("a"), scalars("y"))
ECHO = "def predict(model, a): return {'y': a}"
RANDOM = """
import random
import numpy as np
def predict(model, a): return {"y": np.array([random.random(), np.random.rand()])}
"""
ASK = {"inputs": [{"name": "a", "datatype": "FP64", "shape": [1], "data": [1]}]}


class Zygote:
    """The process and its control socket."""

    def __init__(self, framework: str, folder: Path) -> None:
        ours, theirs = socket.socketpair()
        command = [
            sys.executable,
            "-m",
            "headrace_functions.runtime.zygote",
            "--fd",
            str(theirs.fileno()),
            "--framework",
            framework,
        ]
        self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()
        ours.settimeout(60)
        self.control = ours
        self.notifications = Notifications(folder / "notify.sock")
        self._file = ours.makefile("rwb")
        self.children: list[int] = []

    def ask(self, **message: Any) -> dict[str, Any]:
        self._file.write(json.dumps(message).encode() + b"\n")
        self._file.flush()
        answer: dict[str, Any] = json.loads(self._file.readline())
        return answer

    def fork(self, deployed: Deployed, **changes: Any) -> tuple[int, dict[str, Any]]:
        settings = replace(deployed.settings, notify=self.notifications.path, **changes)
        answer = self.ask(op="fork", settings=settings.to_document())
        assert "pid" in answer, answer
        self.children.append(answer["pid"])
        return answer["pid"], self.notifications.next()

    def hang_up(self) -> None:
        self._file.close()
        self.control.close()

    def close(self) -> None:
        self.hang_up()
        self.notifications.close()
        for pid in self.children:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        try:
            self.process.wait(10)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def zygote(tmp_path: Path) -> Iterator[Zygote]:
    zygote = Zygote("python", tmp_path)
    yield zygote
    zygote.close()


def test_a_fork_serves_in_a_session_of_its_own(zygote: Zygote, home: Home) -> None:
    deployed = home.version(TABLE, code=ECHO)

    pid, told = zygote.fork(deployed)
    with client(deployed) as http:
        answer = http.post(deployed.infer_path, json=ASK)

    assert ("ready", pid, deployed.settings.replica) == (told["state"], told["pid"], told["replica"])
    assert [1.0] == answer.json()["outputs"][0]["data"]
    assert pid == os.getsid(pid) == os.getpgid(pid)


def test_a_caller_that_hangs_up_while_it_is_answered_harms_nobody(zygote: Zygote, home: Home) -> None:
    """Writing to a closed connection is an error for the server, not the signal that would end the process."""
    pid, _ = zygote.fork(home.version(TABLE, code=ECHO))

    ignored = int(Path(f"/proc/{pid}/status").read_text().partition("SigIgn:")[2].split()[0], 16)

    assert ignored >> (signal.SIGPIPE - 1) & 1
    assert not ignored >> (signal.SIGCHLD - 1) & 1, "user code may wait for children of its own"
    assert not ignored >> (signal.SIGINT - 1) & 1


def test_children_are_reaped_by_the_kernel(zygote: Zygote, home: Home) -> None:
    pid, _ = zygote.fork(home.version(TABLE, code=ECHO))

    os.kill(pid, signal.SIGKILL)

    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="the end of the child")
    assert {} == zygote.ask(op="ping")


def test_a_terminated_child_drains_and_ends(zygote: Zygote, home: Home) -> None:
    pid, _ = zygote.fork(home.version(TABLE, code=ECHO))

    os.kill(pid, signal.SIGTERM)

    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="the end of the child")


def test_children_outlive_the_zygote_and_do_not_hold_its_socket(zygote: Zygote, home: Home) -> None:
    deployed = home.version(TABLE, code=ECHO)
    zygote.fork(deployed)

    zygote.hang_up()

    assert 0 == zygote.process.wait(10)
    with client(deployed) as http:
        assert 200 == http.post(deployed.infer_path, json=ASK).status_code


def test_a_spare_becomes_the_next_child(zygote: Zygote, home: Home) -> None:
    deployed = home.version(TABLE, code=ECHO)
    spare = zygote.ask(op="spare")["pid"]

    pid, told = zygote.fork(deployed)
    with client(deployed) as http:
        answer = http.post(deployed.infer_path, json=ASK)

    assert (spare, spare, "ready") == (pid, told["pid"], told["state"])
    assert 200 == answer.status_code
    assert pid == os.getsid(pid)
    assert pid != zygote.fork(home.version(TABLE, code=ECHO))[0], "a spare is used once"


def test_at_most_one_spare_waits(zygote: Zygote) -> None:
    assert zygote.ask(op="spare") == zygote.ask(op="spare")


def test_a_spare_ends_with_its_zygote(zygote: Zygote) -> None:
    spare = zygote.ask(op="spare")["pid"]

    zygote.process.kill()

    wait_until(lambda: not alive(spare), what="the end of the spare")


def test_a_spare_that_is_used_outlives_the_zygote(zygote: Zygote, home: Home) -> None:
    deployed = home.version(TABLE, code=ECHO)
    zygote.ask(op="spare")
    zygote.fork(deployed)

    zygote.hang_up()

    assert 0 == zygote.process.wait(10)
    with client(deployed) as http:
        assert 200 == http.post(deployed.infer_path, json=ASK).status_code


def test_a_spare_that_was_killed_is_missed_by_nobody(zygote: Zygote, home: Home) -> None:
    spares = [zygote.ask(op="spare")["pid"]]
    os.kill(spares[0], signal.SIGKILL)
    wait_until(lambda: not alive(spares[0]), what="the end of the spare")
    spares.append(zygote.ask(op="spare")["pid"])
    os.kill(spares[1], signal.SIGKILL)
    wait_until(lambda: not alive(spares[1]), what="the end of the second spare")

    pid, told = zygote.fork(home.version(TABLE, code=ECHO))

    assert "ready" == told["state"]
    assert 3 == len({pid, *spares})


def test_a_spare_from_before_an_import_is_not_used(zygote: Zygote, home: Home) -> None:
    """It would import again what the zygote has learnt since."""
    spare = zygote.ask(op="spare")["pid"]

    zygote.ask(op="import", modules=["joblib"])
    _, told = zygote.fork(home.version(TABLE, code="import joblib\n" + ECHO))

    assert "joblib" not in told["modules"]
    wait_until(lambda: not alive(spare), what="the end of the spare")


def test_siblings_do_not_share_random_numbers(zygote: Zygote, home: Home) -> None:
    """Neither of the standard library nor of numpy's global state, which forks would inherit."""
    two = {"inputs": [{"name": "a", "datatype": "FP64", "shape": [2], "data": [1, 1]}]}
    answers = []
    for spare in (False, True, True):
        deployed = home.version(TABLE, code=RANDOM)
        if spare:
            zygote.ask(op="spare")
        zygote.fork(deployed)
        with client(deployed) as http:
            answers.append(http.post(deployed.infer_path, json=two).json()["outputs"][0]["data"])

    assert [3, 3] == [len(set(numbers)) for numbers in zip(*answers, strict=True)]


def test_output_goes_to_the_log_of_the_replica(zygote: Zygote, home: Home) -> None:
    deployed = home.version(TABLE, code="print('said at load', flush=True)\n" + ECHO)

    zygote.fork(deployed)

    assert deployed.settings.log is not None
    assert "said at load" in deployed.settings.log.read_text()


def test_a_child_that_cannot_load_tells_why(zygote: Zygote, home: Home) -> None:
    pid, told = zygote.fork(home.version(TABLE, code="raise RuntimeError('no weights')"))

    assert "failed" == told["state"]
    assert "no weights" in told["reason"]
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="the end of the child")
    assert {} == zygote.ask(op="ping")


def test_what_a_child_imported_can_be_imported_for_the_next(zygote: Zygote, home: Home) -> None:
    """The first child reports the installed libraries it had to import; after ``import`` the second has them."""
    code = "import joblib\n" + ECHO
    _, first = zygote.fork(home.version(TABLE, code=code))
    imported = zygote.ask(op="import", modules=first["modules"])
    _, second = zygote.fork(home.version(TABLE, code=code))

    assert "joblib" in first["modules"]
    assert not any(m.startswith("headrace_user_function") for m in first["modules"])
    assert {"imported": len(first["modules"])} == imported
    assert "joblib" not in second["modules"]


def test_modules_that_fail_or_start_threads_are_not_imported(
    tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A zygote with threads could not fork any more: a trial in a child shows which modules to leave out."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "threads_at_import.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
    )
    (folder / "ends_at_import.py").write_text("import os\nos._exit(3)")
    (folder / "harmless.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    zygote = Zygote("python", tmp_path)
    try:
        answer = zygote.ask(op="import", modules=["threads_at_import", "ends_at_import", "no_such_module", "harmless"])
        _, told = zygote.fork(home.version(TABLE, code=ECHO))
    finally:
        zygote.close()

    assert {"imported": 1} == answer
    assert "ready" == told["state"]


def test_one_that_cannot_be_imported_does_not_have_the_others_tried_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library of a thousand modules has some that nobody finds by their names; each trial alone would import most of it anew."""
    folder, imports = tmp_path / "modules", tmp_path / "imports"
    folder.mkdir()
    (folder / "large.py").write_text(f"with open({str(imports)!r}, 'a') as file:\n    file.write('x')\n")
    for i in range(10):
        (folder / f"part{i}.py").write_text("import large")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    zygote = Zygote("python", tmp_path)
    try:
        answer = zygote.ask(op="import", modules=["no_such_module", *(f"part{i}" for i in range(10))])
    finally:
        zygote.close()

    assert {"imported": 10} == answer
    assert "xx" == imports.read_text(), "once in a trial, once in the zygote"


@pytest.mark.parametrize(
    "message",
    [{"op": "dance"}, {"op": "fork"}, {"op": "fork", "settings": {"listen": "x"}}, {}, {"op": "fork", "settings": 3}],
)
def test_messages_that_make_no_sense_are_answered_with_an_error(zygote: Zygote, message: dict[str, Any]) -> None:
    assert ["error"] == list(zygote.ask(**message))
    assert {} == zygote.ask(op="ping")
