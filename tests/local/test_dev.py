"""``headrace dev`` as a developer uses it: what is saved is served, what is wrong is said, and nothing is left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from fixtures_platform import environment

NUMBER = {"shape": "scalar", "type": "double", "profile": "numerical"}
CODE = "def predict(model, x):\n    return {'y': x + 1}\n"


class Developing:
    """The command on a folder, and what it has printed."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.output, self.mark = home / "dev.log", 0
        self.temporary = home / "tmp"
        self.temporary.mkdir()
        command = [
            sys.executable,
            "-m",
            "headrace_controller.cli",
            "dev",
            str(folder),
            "--port",
            "0",
            "--home",
            str(home),
        ]
        with self.output.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**environment(), "TMPDIR": str(self.temporary)}
            )

    def said(self) -> str:
        """What was printed since the last save."""
        return self.output.read_bytes()[self.mark :].decode()

    def wait_for(self, text: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.said() and self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert text in self.said(), self.output.read_text()

    def ask(self, *x: float) -> httpx.Response:
        url = next(line for line in self.output.read_text().splitlines() if line.startswith("http://"))
        inputs = [{"name": "x", "shape": [len(x)], "datatype": "FP64", "data": list(x)}]
        return httpx.post(url, json={"inputs": inputs}, timeout=30)

    def answer(self, *x: float) -> list[float]:
        reply = self.ask(*x)
        assert reply.status_code == 200, reply.text
        found: list[float] = reply.json()["outputs"][0]["data"]
        return found

    def save(self, name: str, text: str) -> None:
        self.mark = self.output.stat().st_size
        (self.folder / f"{name}.tmp").write_text(text)
        os.replace(self.folder / f"{name}.tmp", self.folder / name)  # noqa: PTH105 - as editors do


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory, shared_environments: Path) -> Iterator[Developing]:
    folder, home = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("home")
    (home / "environments").symlink_to(shared_environments)
    (folder / "function.py").write_text(CODE)
    (folder / "train.csv").write_text("x\n" + "\n".join(str(i) for i in range(50)) + "\n")
    definition = {
        "kind": "Model",
        "name": "adder",
        "payload": ["function.py"],
        "training-data": "train.csv",
        "contract": {"inputs": {"x": NUMBER}},
    }
    (folder / "headrace.yaml").write_text(yaml.safe_dump(definition))
    running = Developing(folder, home)
    try:
        running.wait_for("watching; Ctrl-C ends it")
        yield running
    finally:
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(30) == 0
        assert [] == list(running.temporary.iterdir()), "nothing is left"


def test_what_is_saved_is_served_and_each_request_is_told_with_its_failing_checks(developing: Developing) -> None:
    assert [2.0] == developing.answer(1.0)
    developing.save("function.py", CODE.replace("x + 1", "x + 100"))
    developing.wait_for("reloaded in")
    assert [101.0, 1099.0] == developing.answer(1.0, 999.0)
    assert "x=1 → y=101 and 1 more rows  checks: x:above-max (1)" in developing.said()


def test_what_cannot_be_loaded_is_said_and_the_function_from_before_answers(developing: Developing) -> None:
    developing.save("function.py", "def predict(model, x:\n")
    developing.wait_for("the function from before still answers")
    assert "SyntaxError" in developing.said()
    assert [2.0] == developing.answer(1.0)
    developing.save("function.py", CODE.replace("x + 1", "x + 2"))
    developing.wait_for("reloaded in")
    assert [3.0] == developing.answer(1.0)


def test_an_error_of_the_function_is_told_with_the_request(developing: Developing) -> None:
    developing.save(
        "function.py",
        "def predict(model, x):\n    if x[0] > 5:\n        raise ValueError('too big')\n    return {'y': x}\n",
    )
    developing.wait_for("reloaded in")
    assert 500 == developing.ask(9.0).status_code
    assert "500 /v2/models/adder/infer" in developing.said()
    assert "the function raised ValueError" in developing.said()
    assert "ValueError: too big" in developing.said(), "the traceback is shown"


def test_a_changed_signature_is_found_behind_the_reload(developing: Developing) -> None:
    developing.save("function.py", "def predict(model, x):\n    return {'y': x + 1, 'big': x > 5}\n")
    developing.wait_for("the signature changed")
    assert "outputs:  y float64, big bool" in developing.said()
    names = {o["name"] for o in developing.ask(1.0).json()["outputs"]}
    assert {"y", "big"} == names
    developing.save("function.py", CODE)
    developing.wait_for("the signature changed")
    assert [2.0] == developing.answer(1.0)


def test_a_changed_definition_is_built_anew_and_a_wrong_one_is_said(developing: Developing) -> None:
    text = (developing.folder / "headrace.yaml").read_text()
    developing.save("headrace.yaml", text + "nonsense: 1\n")
    developing.wait_for("unknown key 'nonsense'")
    assert [2.0] == developing.answer(1.0)
    developing.save("headrace.yaml", text.replace("name: adder", "name: plus"))
    developing.wait_for("serving plus, built in")
    developing.save("headrace.yaml", text)
    developing.wait_for("serving adder, built in")


@pytest.fixture
def developing(session: Developing) -> Developing:
    """The session, with the function of the beginning served."""
    if (session.folder / "function.py").read_text() != CODE:
        session.save("function.py", CODE)
        session.wait_for("reloaded in")
    return session
