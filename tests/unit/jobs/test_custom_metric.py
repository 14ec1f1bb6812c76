"""A metric of the user's own: what it sees, what it gives, and what is said where it is wrong."""

import hashlib
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from controller_support import wait_until
from fixtures_jobs import CHURN, SCORE, InProcess, given_labels, given_log, given_version, number, objects
from headrace_functions.errors import FunctionFailed, InvalidInput
from headrace_functions.runtime import confinement
from headrace_functions.signature import Field, dtype
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_jobs.performance import custom, dle
from headrace_jobs.performance.job import PerformanceRun
from headrace_jobs.report.models import MetricPerformance, PerformanceReport
from headrace_jobs.report.page import page
from headrace_jobs.window import Window

__all__ = ["objects"]

COST = b"""
import numpy as np
BETTER = "lower"
def cost(actual, answer):
    return float(np.mean(np.where(actual == "yes", 5.0, 1.0) * (actual != answer)))
"""
SURE = b"def sure(actual, probabilities):\n    return probabilities.max(axis=1).mean()\n"
ROWS = custom.Judged(np.array(["no", "yes"], object), np.array(["no", "no"], object))
PROBABILITIES = Field("probabilities", dtype("float64"), (3,), "numerical", ("no", "perhaps", "yes"))


def sent(objects: ObjectStore, source: bytes, name: str) -> custom.Custom:
    digest = hashlib.sha256(source).hexdigest()
    objects.put(layout.metric_function(digest), source)
    return custom.read(objects, f"{digest}:{name}")


def run(objects: ObjectStore, own: custom.Custom) -> tuple[PerformanceReport, MetricPerformance]:
    window = Window.parse("1h", "2026-11-22T12:00:00Z")
    with own:
        report = PerformanceRun(CHURN, window, None, own).report(objects, InProcess(), lambda *_: None)
    assert own.metric.name in page(report)
    return report, next(m for m in report.metrics if m.name == own.metric.name)


def given_classes(objects: ObjectStore, labelled: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three classes; returns labels, answers and probabilities of the window's labelled rows."""
    random = np.random.default_rng(0)
    names = np.array(PROBABILITIES.columns, object)

    def rows(count: int) -> tuple[np.ndarray, np.ndarray]:
        p = random.dirichlet((1, 1, 1), count)
        return p, names[(random.random(count)[:, None] > p.cumsum(axis=1)).sum(axis=1).clip(0, 2)]

    p, label = rows(1000)
    x = random.normal(size=1000)
    training = {"x": x, "kind": label}
    answers = {"probabilities": p.tolist()}
    version = given_version(objects, [number("x")], training, (PROBABILITIES,), answers, target=["kind"])
    p, label = rows(500)
    given_log(objects, version, {"x": x[:500], "probabilities": p.tolist()})
    if labelled:
        ids = [f"req-{i}" for i in range(labelled)]
        given_labels(objects, version, 1, {"request_id": ids, "kind": label[:labelled]})
    return label[:labelled], names[p.argmax(axis=1)][:labelled], p[:labelled]


def test_it_sees_labels_and_answers_by_name_and_is_judged_like_the_others(objects: ObjectStore) -> None:
    label, answer, _ = given_classes(objects)
    _, found = run(objects, sent(objects, COST, "cost"))
    expected = np.mean(np.where(label == "yes", 5.0, 1.0) * (label != answer))
    assert found.realised == pytest.approx(expected)
    assert found.better == "lower"
    assert found.low < expected < found.high
    assert found.reference is not None
    assert found.band_low is not None
    assert found.band_low < found.reference < found.band_high  # type: ignore[operator]


def test_it_sees_probabilities_in_the_order_of_the_classes(objects: ObjectStore) -> None:
    _, _, p = given_classes(objects)
    _, found = run(objects, sent(objects, SURE, "sure"))
    assert found.realised == pytest.approx(p.max(axis=1).mean())


def test_without_labels_it_is_estimated_of_labels_that_are_drawn(objects: ObjectStore) -> None:
    given_classes(objects, labelled=0)
    report, found = run(objects, sent(objects, COST, "cost"))
    assert found.realised is None
    assert found.low < found.estimated < found.high
    assert found.severity == "none"
    assert report.judged == "estimated"


def test_of_numbers_it_sees_numbers(objects: ObjectStore) -> None:
    random = np.random.default_rng(1)
    x, y = random.normal(size=500), random.normal(100, 5, 500)
    training = {"x": x, "price": y}
    version = given_version(objects, [number("x")], training, (SCORE,), {"score": y + 1}, target=["price"])
    given_log(objects, version, {"x": x, "score": y + 2})
    given_labels(objects, version, 1, {"request_id": [f"req-{i}" for i in range(500)], "price": y})
    report, found = run(
        objects, sent(objects, b"def bias(answer, actual):\n    return (answer - actual).mean()\n", "bias")
    )
    assert (found.reference, found.realised) == (pytest.approx(1.0), pytest.approx(2.0))
    mape = next(m for m in report.metrics if m.name == "mape")
    assert mape.estimated == pytest.approx(0.01, rel=0.02)  # one too many of a hundred, as on the reference
    with pytest.raises(InvalidInput, match="no probabilities"):
        run(objects, sent(objects, SURE, "sure"))


def test_the_relative_error_is_estimated_only_away_from_nought() -> None:
    random = np.random.default_rng(2)
    features, errors = random.normal(size=(400, 2)), random.normal(size=400)
    assert "mape" in dle.estimate(features, errors, features, 400, 10 + random.random(400))
    assert "mape" not in dle.estimate(features, errors, features, 400, random.normal(size=400))


@pytest.mark.parametrize(
    ("source", "name", "says"),
    [
        (b"def cost(:", "cost", "cannot be imported: SyntaxError"),
        (b"import nowhere_to_be_found", "cost", "cannot be imported: ModuleNotFoundError"),
        (b"def other(actual): return 1", "cost", "no function 'cost'"),
        (b"def cost(rows): return 1", "cost", "cost\\(rows\\)"),
        (b"def cost(): return 1", "cost", "cost\\(\\)"),
        (b"def accuracy(actual): return 1", "accuracy", "is already a metric"),
        (b"BETTER = 'more'\ndef cost(actual): return 1", "cost", "BETTER is 'more'"),
    ],
)
def test_a_file_that_holds_no_metric_is_refused_in_plain_words(
    objects: ObjectStore, source: bytes, name: str, says: str
) -> None:
    with pytest.raises(InvalidInput, match=says) as caught:
        sent(objects, source, name)
    assert caught.value.field == "metric-file"


HOSTILE = """
import os, socket

def tried(what):
    try:
        what()
        return 1
    except Exception:
        return 0

def reach(actual):
    doors = [
        lambda: os.environ["AWS_SECRET_ACCESS_KEY"],
        lambda: open("/proc/%d/environ" % os.getppid(), "rb").read(),
        lambda: open({secret!r}).read(),
        lambda: open({secret!r}, "w"),
        lambda: os.listdir("/root"),
        lambda: os.kill(os.getppid(), 0),
        lambda: socket.create_connection(("127.0.0.1", {port}), 2),
        lambda: socket.socket().bind(("127.0.0.1", 0)),
    ]
    return sum(map(tried, doors)) + (0 if tried(lambda: open("mine", "w").write("x")) else 100)
"""


@pytest.mark.skipif(confinement.available() < 6, reason="needs a kernel with Landlock 6 (Linux 6.12)")
def test_it_reaches_nothing_that_the_job_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its keys, its memory, its files, nor the network; its own folder alone, which goes with it."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the bucket")
    secret = tmp_path / "secret"
    secret.write_text("of the platform")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        source = HOSTILE.format(secret=str(secret), port=listener.getsockname()[1])
        with custom.load(source.encode(), "reach") as own:
            assert 0 == own.value(ROWS)
            folder = Path(own.process._folder)
            assert (folder / "mine").is_file()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("import os; os._exit(3)", "its process ended by itself with 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "was ended by signal 11"),
        ("return len(bytearray(8 << 30))", "MemoryError"),
        ("print('x' * 100_000); return 'no number'", "could not convert"),
    ],
)
def test_what_it_does_to_its_process_is_told_and_the_job_goes_on(body: str, says: str) -> None:
    with (
        custom.load(f"def cost(actual):\n    {body}\n".encode(), "cost") as own,
        pytest.raises(FunctionFailed, match=says),
    ):
        own.value(ROWS)


@pytest.mark.parametrize("place", ["def cost(actual):\n    while True: pass", "while True: pass"])
def test_one_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setattr(custom, "PATIENCE", 3.0)
    with pytest.raises(FunctionFailed, match="took longer than 3 s"), custom.load(place.encode(), "cost") as own:
        own.value(ROWS)


def test_it_ends_with_a_job_that_is_killed(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    job = (
        "import os, signal\nfrom headrace_jobs.performance import custom\n"
        "own = custom.load(b'def cost(actual): return 1', 'cost')\n"
        f"open({str(told)!r}, 'w').write(str(own.process._process.pid))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", job], check=False, timeout=60)
    assert -9 == done.returncode
    wait_until(lambda: not Path(f"/proc/{told.read_text()}").exists())


def test_a_file_that_is_not_there_is_said(objects: ObjectStore) -> None:
    with pytest.raises(InvalidInput, match="no file"):
        custom.read(objects, f"{'0' * 64}:cost")


@pytest.mark.parametrize("body", ["raise ValueError('no way')", "return 'much'"])
def test_a_function_that_fails_fails_the_run_with_its_own_words(objects: ObjectStore, body: str) -> None:
    given_classes(objects)
    with pytest.raises(FunctionFailed, match="the metric cost failed: ValueError"):
        run(objects, sent(objects, f"def cost(actual):\n    {body}\n".encode(), "cost"))
