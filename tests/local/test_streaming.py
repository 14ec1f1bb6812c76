"""Functions that yield: piece by piece through gateway and sequences, one row in the log whatever becomes of the stream."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from fixtures_platform import ADDER, RunningPlatform, until

TEXT = {"shape": "scalar", "type": "string"}
COUNT = {"shape": "scalar", "type": "int64"}
CODE = """
import os, pathlib, time
HOME = pathlib.Path(__file__).parent

def predict(model, prompt, count):
    mark = pathlib.Path(FOLDER) / str(prompt)
    (pathlib.Path(FOLDER) / "pid").write_text(str(os.getpid()))
    try:
        for i in range(max(1, int(count))):
            if prompt == "fails" and i == 2:
                raise ValueError("no third word")
            if prompt == "shape" and i == 1:
                yield {"text": ["a", "b"], "at": i}
            if prompt == "none":
                return
            if prompt == "dawdles" and i == 1:
                time.sleep(5)
            yield {"text": f"{prompt}{i} ", "at": i}
            while i >= 1 and not mark.with_suffix(".go").exists() and str(prompt).startswith("waits"):
                yield {"text": "", "at": i}
                time.sleep(0.01)
    finally:
        mark.with_suffix(".closed").touch()
"""
ASYNC = """
import asyncio

async def predict(model, prompt, count):
    for i in range(max(1, int(count))):
        await asyncio.sleep(0)
        yield {"text": f"{prompt}{i} ", "at": i}
"""
UPPER = "def predict(model, prompt, count):\n    return {'prompt': str(prompt).upper(), 'count': count}\n"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, shared_environments: Path) -> Iterator[RunningPlatform]:
    """One whose functions may leave marks in a folder of the home, with ``adder:1``."""
    home = tmp_path_factory.mktemp("home")
    (home / "environments").symlink_to(shared_environments)
    running = RunningPlatform(home, "--unconfined").start()
    try:
        running.apply_python("adder", ADDER, home / "adder")
        yield running
    finally:
        assert running.stop() == 0


@pytest.fixture(scope="module")
def marks(platform: RunningPlatform) -> Path:
    """Models ``words``, ``later`` (asynchronous), ``upper`` and a sequence of the last and the first; where ``words`` leaves its marks."""
    folder = platform.home / "marks"
    folder.mkdir()
    contract = {"inputs": {"prompt": TEXT, "count": COUNT}, "outputs": {"text": TEXT, "at": COUNT}}
    for name, code in (("words", CODE.replace("FOLDER", repr(str(folder)))), ("later", ASYNC)):
        platform.apply_python(name, code, platform.home / name, contract=contract, batch=False)
    same = {"prompt": TEXT, "count": COUNT}
    platform.apply_python(
        "upper", UPPER, platform.home / "upper", contract={"inputs": same, "outputs": same}, batch=False
    )
    platform.apply(
        "-", stdin="kind: Sequence\nname: loud\npipeline:\n  - [{model: 'upper:1'}]\n  - [{model: 'words:1'}]\n"
    )
    return folder


def body(prompt: str, count: int = 3) -> dict[str, Any]:
    return {"prompt": prompt, "count": count}


@contextmanager
def opened(
    platform: RunningPlatform, name: str, asked: dict[str, Any], request_id: str, accept: str = "application/x-ndjson"
) -> Iterator[httpx.Response]:
    headers = {"x-request-id": request_id, "accept": accept}
    url = f"{platform.url}/v2/models/{name}/generate_stream"
    with httpx.stream("POST", url, json=asked, headers=headers, timeout=30) as reply:
        yield reply


def row(platform: RunningPlatform, version: str, request_id: str) -> dict[str, Any]:
    """The one row of the log about a request."""
    found = until(
        lambda: [r for r in platform.logged(version) if r["request_id"] == request_id], f"{request_id} is in the log"
    )
    assert len(found) == 1
    one: dict[str, Any] = found[0]
    return one


@pytest.mark.parametrize("name", ["words", "words:1", "later"])
def test_each_piece_is_an_event_and_the_log_has_one_row(platform: RunningPlatform, marks: Path, name: str) -> None:
    with opened(platform, name, body("w"), f"events-{name}", "text/event-stream") as reply:
        lines = [line for line in reply.iter_lines() if line]

    assert ("text/event-stream", f"events-{name}") == (reply.headers["content-type"], reply.headers["x-request-id"])
    assert [("w0 ", 0), ("w1 ", 1), ("w2 ", 2)] == [
        (e["text"], e["at"]) for e in (orjson.loads(line.removeprefix("data: ")) for line in lines)
    ]
    model = name.partition(":")[0]
    logged = row(platform, f"{model}:1", f"events-{name}")
    assert ("ok", "w", "w0 w1 w2 ", 2) == (
        logged["outcome"], logged["in.prompt"], logged["out.text"], logged["out.at"],
    )  # fmt: skip


def test_one_answer_is_all_of_it_put_together(platform: RunningPlatform, marks: Path) -> None:
    whole = httpx.post(f"{platform.url}/v2/models/words/generate", json=body("w"), timeout=30).json()
    tensors = [
        {"name": "prompt", "shape": [], "datatype": "BYTES", "data": ["w"]},
        {"name": "count", "shape": [], "datatype": "INT64", "data": [3]},
    ]
    infer = httpx.post(f"{platform.url}/v2/models/words/infer", json={"inputs": tensors}, timeout=30).json()

    assert ("words", "1", "w0 w1 w2 ", 2) == (whole["model_name"], whole["model_version"], whole["text"], whole["at"])
    assert {"text": ["w0 w1 w2 "], "at": [2]} == {o["name"]: o["data"] for o in infer["outputs"]}


def test_pieces_are_sent_before_the_function_has_come_to_its_end(platform: RunningPlatform, marks: Path) -> None:
    with opened(platform, "words", body("waits", 3), "unbuffered") as reply:
        lines = reply.iter_lines()
        first = orjson.loads(next(lines))
        assert not (marks / "waits.closed").exists()
        (marks / "waits.go").touch()
        rest = [orjson.loads(line)["text"] for line in lines]

    assert "waits0 " == first["text"]
    assert "waits2 " == rest[-1]


def test_the_last_stage_of_a_sequence_streams(platform: RunningPlatform, marks: Path) -> None:
    with opened(platform, "loud", body("w", 2), "sequence") as reply:
        events = [orjson.loads(line)["text"] for line in reply.iter_lines()]

    assert ["W0 ", "W1 "] == events
    logged = row(platform, "words:1", "sequence")
    assert ("loud", 1, "ok") == (logged["sequence"], logged["stage"], logged["outcome"])
    assert "ok" == row(platform, "upper:1", "sequence")["outcome"]


@pytest.mark.parametrize(("prompt", "status", "events"), [("fails", 200, 2), ("shape", 200, 1), ("none", 500, 0)])
def test_a_generator_that_goes_wrong_ends_with_the_problem(
    platform: RunningPlatform, marks: Path, prompt: str, status: int, events: int
) -> None:
    with opened(platform, "words", body(prompt), f"wrong-{prompt}") as reply:
        lines = [orjson.loads(line) for line in reply.read().splitlines()]
    told = lines[-1]["error"] if events else lines[-1]

    assert (status, events) == (reply.status_code, len([e for e in lines if "text" in e]))
    assert "function-failed" == told["code"]
    assert "failed" == row(platform, "words:1", f"wrong-{prompt}")["outcome"]


def test_a_caller_may_allow_less_time_between_two_pieces(platform: RunningPlatform, marks: Path) -> None:
    headers = {"accept": "application/x-ndjson", "x-headrace-timeout": "1500", "x-request-id": "dawdles"}
    url = f"{platform.url}/v2/models/words/generate_stream"
    reply = httpx.post(url, json=body("dawdles"), headers=headers, timeout=30)
    lines = [orjson.loads(line) for line in reply.content.splitlines()]

    assert ("dawdles0 ", "deadline-exceeded") == (lines[0]["text"], lines[-1]["error"]["code"])
    assert 2 == len(lines)


def test_a_caller_that_hangs_up_ends_the_generator(platform: RunningPlatform, marks: Path) -> None:
    with opened(platform, "words", body("waits-alone", 3), "hangs-up") as reply:
        next(reply.iter_lines())
    until((marks / "waits-alone.closed").exists, "the generator is closed")
    logged = row(platform, "words:1", "hangs-up")

    assert ("cancelled", 499) == (logged["outcome"], logged["status"])
    assert logged["out.text"].startswith("waits-alone0 ")


def test_a_function_that_is_killed_ends_the_stream_with_a_problem_and_an_aborted_row(
    platform: RunningPlatform, marks: Path
) -> None:
    with opened(platform, "words", body("waits-killed", 3), "killed") as reply:
        lines = reply.iter_lines()
        next(lines)
        os.kill(int((marks / "pid").read_text()), signal.SIGKILL)
        last = orjson.loads(list(lines)[-1])

    assert "unreachable" == last["error"]["code"]
    logged = row(platform, "words:1", "killed")
    assert "aborted" == logged["outcome"]
    assert logged["out.text"].startswith("waits-killed0 "), "what the caller got is logged"


def test_a_function_that_returns_streams_its_one_answer(platform: RunningPlatform, marks: Path) -> None:
    with opened(platform, "adder", {"x": 1.0}, "returns", "text/event-stream") as reply:
        text = reply.read()

    assert b'data: {"model_name":"adder","model_version":"1","y":2.0}\n\n' == text


@pytest.mark.parametrize(
    ("asked", "status", "field"),
    [
        ({"prompt": "w"}, 422, "count"),
        ({"prompt": "w", "count": "x"}, 422, "count"),
        ({"prompt": "w", "count": 1, "z": 1}, 422, "z"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_sent(
    platform: RunningPlatform, marks: Path, asked: dict[str, Any], status: int, field: str
) -> None:
    reply = httpx.post(f"{platform.url}/v2/models/words/generate_stream", json=asked, timeout=30)

    assert (status, field) == (reply.status_code, reply.json()["field"])
    assert "application/problem+json" == reply.headers["content-type"]


def test_an_answer_of_another_type_is_refused(platform: RunningPlatform, marks: Path) -> None:
    with opened(platform, "words", body("w"), "image", "image/png") as reply:
        assert (400, "accept") == (reply.status_code, orjson.loads(reply.read())["field"])
