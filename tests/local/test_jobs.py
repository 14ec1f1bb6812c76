"""The jobs as the controller starts them: processes in environments of their own, over real Delta tables."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures_jobs import (
    SCORE,
    UNTIL,
    Answering,
    Table,
    alibi_python,
    category,
    given_labels,
    given_log,
    given_version,
    jobs_python,
    number,
    objects,
    run_job,
)
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version

__all__ = ["alibi_python", "jobs_python", "objects"]

pytestmark = pytest.mark.timeout(600)  # the first run builds an environment

FIELDS = (number("age"), number("income"), category("plan"), category("country"))
WINDOW = ("--model", "churn:1", "--window", "24h", "--until", "2026-11-22T12:00:00Z")


def rows(count: int, seed: int, *, shifted: bool) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    plans = np.array(["basic", "plus", "pro"], object)
    found: dict[str, Any] = {
        "age": random.normal(41 + 14 * shifted, 9, count),
        "income": random.lognormal(10, 0.5, count),
        "plan": plans[random.choice(3, count, p=[0.6, 0.3, 0.1])],
        "country": np.array(["NL", "DE"], object)[random.integers(0, 2, count)],
        "score": random.beta(2 + 2 * shifted, 5, count),
    }
    if shifted:
        found["income"][: count // 10] = np.nan
        found["plan"][: count // 5] = "trial"
    return found


def given_traffic(objects: ObjectStore, files: int = 3, *, shifted: bool = True) -> Version:
    training = rows(2000, 0, shifted=False)
    version = given_version(objects, FIELDS, training, (SCORE,), {"score": training["score"]})
    for i in range(files):
        until = UNTIL - timedelta(hours=6 * (files - 1 - i))
        given_log(
            objects, version, rows(500, i + 1, shifted=shifted and i == files - 1), until=until, span=timedelta(hours=5)
        )
    return version


def last_line(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.stdout, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def drift(python: Path, objects: ObjectStore, *options: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Answer, report and standard error of a drift run that succeeded."""
    done = run_job(python, "drift", *WINDOW, "--storage", objects.url, *options)
    assert done.returncode == 0, done.stderr
    answer = last_line(done)
    return answer, json.loads(objects.get(answer["report"])), done.stderr


def test_drift_runs_on_ray_and_writes_report_and_page(jobs_python: Path, objects: ObjectStore, tmp_path: Path) -> None:
    given_traffic(objects)

    answer, report, progress = drift(jobs_python, objects, "--engine", "native", "--out", str(tmp_path / "out.json"))

    assert (answer["verdict"], answer["severity"]) == ("drift", report["severity"])
    assert {f["name"] for f in report["fields"] if f["verdict"] == "drift"} == {"age", "income", "plan", "score"}
    assert (tmp_path / "out.json").read_bytes() == objects.get(answer["report"])
    assert b"<svg" in objects.get(answer["report"].replace(".json", ".html"))
    lines = [json.loads(line) for line in progress.splitlines() if line.startswith("{")]
    assert {"done": 3, "total": 3, "what": "files"} in lines


def test_ray_and_the_synchronous_scheduler_give_the_same_bytes(jobs_python: Path, objects: ObjectStore) -> None:
    given_traffic(objects, files=12)  # more than one merge takes

    on_ray, _, _ = drift(jobs_python, objects, "--address", "local")
    in_process, _, _ = drift(jobs_python, objects, "--address", "sync")

    assert on_ray["report"] == in_process["report"]


def test_ray_listens_on_the_loopback_device_alone_and_leaves_nothing_behind(
    jobs_python: Path, objects: ObjectStore
) -> None:
    given_traffic(objects, files=6)

    with started_drift(jobs_python, objects) as job:
        family = descendants(job.pid)
        addresses = listening(family)
        _, err = job.communicate(timeout=240)

    assert job.returncode == 0, err
    assert addresses, "nothing listened: the test looked at the wrong time"
    assert {a for a in addresses if a not in ("127.0.0.1", "::1", "::ffff:127.0.0.1")} == set()
    assert {pid for pid in family if pid != job.pid and b"ray" in command_of(pid)} == set()


def test_a_killed_worker_changes_nothing(jobs_python: Path, objects: ObjectStore) -> None:
    """Ray does the task of a dead worker again, and the report is the same to the byte."""
    given_traffic(objects, files=6)
    expected, _, _ = drift(jobs_python, objects, "--address", "sync")

    with started_drift(jobs_python, objects) as job:
        workers = [pid for pid in descendants(job.pid) if command_of(pid).startswith((b"ray::_call", b"ray::IDLE"))]
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        out, err = job.communicate(timeout=240)

    assert workers
    assert job.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["report"] == expected["report"]


@contextmanager
def started_drift(python: Path, objects: ObjectStore) -> Iterator[subprocess.Popen[str]]:
    """A drift run on Ray of which the first file is done."""
    kept = {k: v for k, v in os.environ.items() if k in {"PATH", "HOME", "TMPDIR"}}
    command = [str(python), "-m", "headrace_jobs", "drift", *WINDOW, "--storage", objects.url, "--address", "local"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=kept) as job:
        assert job.stderr is not None
        first = job.stderr.readline()
        assert "done" in first, first
        yield job


def descendants(root: int) -> set[int]:
    """The process and all that came of it."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue  # it ended while we looked
    family = {root}
    while grown := {child for child, parent in parents.items() if parent in family} - family:
        family |= grown
    return family


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def listening(pids: set[int]) -> set[str]:
    """Addresses on which some processes listen for TCP."""
    sockets = set()
    for pid in pids:
        for handle in Path(f"/proc/{pid}/fd").glob("*"):
            with suppress(OSError):  # closed while we looked
                sockets.add(str(handle.readlink()))
    found = set()
    for table, family in (("/proc/net/tcp", socket.AF_INET), ("/proc/net/tcp6", socket.AF_INET6)):
        for line in Path(table).read_text().splitlines()[1:]:
            parts = line.split()
            if parts[3] == "0A" and f"socket:[{parts[9]}]" in sockets:
                words = bytes.fromhex(parts[1].split(":")[0])
                packed = b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4))
                found.add(socket.inet_ntop(family, packed))
    return found


def test_a_log_in_s3_gives_the_report_of_the_same_log_in_a_directory(
    jobs_python: Path, objects: ObjectStore, s3_prefix: str
) -> None:
    given_traffic(objects)
    bucket = ObjectStore(s3_prefix)
    given_traffic(bucket)
    credentials = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}

    done = run_job(jobs_python, "drift", *WINDOW, "--storage", s3_prefix, "--address", "sync", **credentials)

    assert done.returncode == 0, done.stderr
    found = json.loads(bucket.get(last_line(done)["report"]))
    _, expected, _ = drift(jobs_python, objects, "--address", "sync")
    assert found["fields"] == expected["fields"]
    assert bucket.exists(last_line(done)["report"].replace(".json", ".html"))


HARD_CASES: dict[str, tuple[Table, Table]] = {
    "same": ({"x": np.random.default_rng(1).normal(size=800)}, {"x": np.random.default_rng(2).normal(size=600)}),
    "shift": ({"x": np.random.default_rng(1).normal(size=800)}, {"x": np.random.default_rng(2).normal(0.8, 1, 600)}),
    "half nan": (
        {"x": np.random.default_rng(1).normal(size=800)},
        {"x": np.where(np.arange(600) % 2, np.random.default_rng(2).normal(size=600), np.nan)},
    ),
    "one nan in a hundred, and a shift": (
        {"x": np.random.default_rng(1).normal(size=800)},
        {"x": np.where(np.arange(600) % 100, np.random.default_rng(2).normal(1.2, 1, 600), np.nan)},
    ),
    "all nan": ({"x": np.random.default_rng(1).normal(size=800)}, {"x": np.full(600, np.nan)}),
    "constant": ({"x": np.full(800, 2.0)}, {"x": np.full(600, 2.0)}),
    "unit": (
        {"x": np.random.default_rng(1).normal(5, 1, 800)},
        {"x": 1000 * np.random.default_rng(2).normal(5, 1, 600)},
    ),
    "unseen": ({"c": ["a", "b", "c", "d"] * 200}, {"c": ["a", "b", "zebra"] * 200}),
    "same categories": ({"c": ["a", "b"] * 400}, {"c": ["b", "a"] * 300}),
    "moved categories": ({"c": ["a", "b", "c", "c"] * 200}, {"c": ["a", "a", "b", "c"] * 150}),
    "one row": ({"x": np.random.default_rng(1).normal(size=800)}, {"x": [1.0]}),
}


@pytest.mark.parametrize("case", HARD_CASES)
def test_both_engines_give_the_same_verdict(
    jobs_python: Path, alibi_python: Path, objects: ObjectStore, case: str
) -> None:
    before, now = HARD_CASES[case]
    fields = [category(n) if n == "c" else number(n) for n in before]
    given_log(objects, given_version(objects, fields, before), now)

    _, native, _ = drift(jobs_python, objects, "--engine", "native", "--address", "sync")
    _, alibi, _ = drift(alibi_python, objects, "--engine", "alibi", "--address", "sync")

    def verdicts(report: dict[str, Any]) -> Any:
        tests = [
            (f["name"], f["verdict"], f["severity"], [(t["test"], t["severity"]) for t in f["tests"]])
            for f in report["fields"]
        ]
        return report["verdict"], report["severity"], tests

    assert verdicts(alibi) == verdicts(native)


def test_only_alibis_reports_bear_its_licence_and_the_log_says_so_once(
    jobs_python: Path, alibi_python: Path, objects: ObjectStore
) -> None:
    given_traffic(objects)

    _, native, quiet = drift(jobs_python, objects, "--address", "sync")
    answer, alibi, log = drift(alibi_python, objects, "--engine", "alibi")

    assert native["licence"] is None
    assert "Business Source License" not in quiet
    assert "Business Source License 1.1" in alibi["licence"]
    assert log.count("Business Source License") == 1
    assert b"Business Source License" in objects.get(answer["report"].replace(".json", ".html"))


def test_alibi_in_the_environment_without_it_is_refused_with_what_to_do(
    jobs_python: Path, objects: ObjectStore
) -> None:
    given_traffic(objects)

    done = run_job(jobs_python, "drift", *WINDOW, "--storage", objects.url, "--engine", "alibi")

    assert done.returncode == 1
    assert "jobs-alibi" in last_line(done)["error"]["hint"]


def test_the_default_environment_cannot_import_alibi(jobs_python: Path) -> None:
    done = subprocess.run([str(jobs_python), "-c", "import alibi_detect"], capture_output=True, text=True, check=False)

    assert "No module named 'alibi_detect'" in done.stderr


def test_a_logged_request_is_explained_through_the_endpoint(jobs_python: Path, objects: ObjectStore) -> None:
    version = given_traffic(objects)
    version_inputs = [f.name for f in version.signature.inputs]

    def predict(**inputs: np.ndarray) -> dict[str, np.ndarray]:
        assert sorted(inputs) == sorted(version_inputs)
        return {"score": inputs["age"] / 100 + (inputs["plan"] == "pro") * 0.1}

    with Answering(version, predict) as endpoint:
        arguments = (
            "--model",
            "churn:1",
            "--request-id",
            "req-400",
            "--endpoint",
            endpoint.url,
            "--storage",
            objects.url,
        )
        done = run_job(jobs_python, "explain", *arguments)

    assert done.returncode == 0, done.stderr
    report = json.loads(objects.get(last_line(done)["report"]))
    assert report["contributions"][0]["name"] == "age"
    assert abs(report["base"] + sum(c["shap"] for c in report["contributions"]) - report["prediction"]) < 1e-9


def test_an_explanation_does_not_wait_for_libraries_and_jobs_that_it_does_not_need(jobs_python: Path) -> None:
    libraries = ("ray", "dask", "scipy", "sklearn", "pandas", "headrace_jobs.drift", "headrace_jobs.outliers")
    code = f"import sys, headrace_jobs.commands, headrace_jobs.explain.command; print([m for m in {libraries} if m in sys.modules])"

    done = subprocess.run([str(jobs_python), "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_performance_is_estimated_on_ray_and_realised_by_labels(jobs_python: Path, objects: ObjectStore) -> None:
    """On Ray and in this process, before labels and after; the page and the report are the same to the byte."""
    random = np.random.default_rng(0)

    def sample(count: int) -> dict[str, Any]:
        age = random.normal(0, 1, count)
        p = 1 / (1 + np.exp(-2 * age))
        return {"age": age, "score": p, "churned": (random.random(count) < p).astype(np.int64)}

    training, window = sample(2000), sample(900)
    inputs = {"age": training["age"], "churned": training["churned"]}
    version = given_version(
        objects, [number("age")], inputs, (SCORE,), {"score": training["score"]}, target=["churned"]
    )
    given_log(objects, version, window)

    def run(*options: str) -> dict[str, Any]:
        done = run_job(jobs_python, "performance", *WINDOW, "--storage", objects.url, *options)
        assert done.returncode == 0, done.stderr
        return last_line(done)

    estimated = run("--address", "local")
    assert estimated == run("--address", "sync")
    given_labels(objects, version, 1, {"request_id": [f"req-{i}" for i in range(900)], "churned": window["churned"]})
    realised = run("--address", "sync")

    before, after = (json.loads(objects.get(answer["report"])) for answer in (estimated, realised))
    assert (before["judged"], before["verdict"], after["judged"], after["verdict"]) == (
        "estimated",
        "steady",
        "realised",
        "steady",
    )
    accuracy = next(m for m in after["metrics"] if m["name"] == "accuracy")
    assert accuracy["realised"] == pytest.approx(((window["score"] >= 0.5) == window["churned"]).mean())
    assert accuracy["low"] <= accuracy["realised"] <= accuracy["high"]
    assert b"<svg" in objects.get(estimated["report"].replace(".json", ".html"))


def test_a_profile_is_made_once(jobs_python: Path, objects: ObjectStore) -> None:
    given_traffic(objects)
    arguments = ("profile", "--model", "churn:1", "--storage", objects.url)

    first, second = (run_job(jobs_python, *arguments) for _ in range(2))

    assert last_line(first) == last_line(second) == {"report": "models/churn/versions/1/profile.json"}
    profile = json.loads(objects.get("models/churn/versions/1/profile.json"))
    assert set(profile["fields"]) == {f.name for f in FIELDS}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            ("drift", "--model", "nobody:1", "--storage", "STORE", "--address", "sync"),
            1,
            "no released version nobody:1",
        ),
        (("drift", "--model", "churn", "--storage", "STORE"), 2, "not a version"),
        (("drift", "--model", "churn:1", "--window", "soon", "--storage", "STORE"), 2, "not a length of time"),
        (("drift", "--model", "churn:1", "--storage", "ftp://x"), 2, "not a supported URL"),
        (("drift", "--storage", "STORE"), 2, "--model"),
        (
            (
                "drift",
                "--model",
                "churn:1",
                "--storage",
                "STORE",
                "--until",
                f"{UNTIL:%FT%TZ}",
                "--where",
                "in.size > 1",
            ),
            2,
            "where: there is no column 'in.size'",
        ),
        (("weather",), 2, "invalid choice"),
        (
            ("explain", "--model", "churn:1", "--request-id", "r", "--endpoint", "nowhere", "--storage", "STORE"),
            1,
            "no answered",
        ),
    ],
)
def test_a_run_that_cannot_be_says_why(
    jobs_python: Path, objects: ObjectStore, arguments: tuple[str, ...], code: int, said: str
) -> None:
    given_traffic(objects, files=1)

    done = run_job(jobs_python, *(objects.url if a == "STORE" else a for a in arguments))

    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
