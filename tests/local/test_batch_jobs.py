"""``headrace batch --submit``: a job of the platform, which is listed, goes on after a kill, is cancelled, and runs on a schedule."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fixtures_jobs import jobs_python, run_job
from fixtures_platform import RunningPlatform, headrace, until

__all__ = ["jobs_python"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # the first run builds the environment of the analysis

CODE = """
import time

def predict(model, x):
    if (x < 0).any():
        raise ValueError("below zero")
    time.sleep(0.02)
    return {"y": x + 1}
"""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lake")


@pytest.fixture(scope="module")
def scoring(
    lake: Path, tmp_path_factory: pytest.TempPathFactory, shared_environments: Path
) -> Iterator[RunningPlatform]:
    """A platform whose batches may use ``lake``, with ``plus:1``."""
    home = tmp_path_factory.mktemp("home")
    (home / "environments").symlink_to(shared_environments)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HEADRACE_BATCH_PLACES", str(lake))
        running = RunningPlatform(home).start()
    contract = {
        "inputs": {"x": {"shape": "scalar", "type": "double"}},
        "outputs": {"y": {"shape": "scalar", "type": "double"}},
    }
    running.apply_python("plus", CODE, home / "plus", contract=contract)
    yield running
    running.stop()


def rows(lake: Path, name: str, count: int, *bad: int) -> Path:
    x = np.arange(count, dtype=np.float64)
    x[list(bad)] = -1
    pq.write_table(pa.table({"key": [f"k{i}" for i in range(count)], "x": x}), lake / name)
    return lake / name


def submit(scoring: RunningPlatform, source: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return headrace(
        "batch", "plus", "--in", str(source), "--out", str(out), "--url", scoring.url, "--submit", *more, seconds=600
    )


def job(scoring: RunningPlatform, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(headrace("analyze", "show", job_id, "--url", scoring.url, "--json").stdout)
    return found


def test_a_job_answers_each_row_in_its_order_and_is_listed(scoring: RunningPlatform, lake: Path) -> None:
    done = submit(scoring, rows(lake, "rows.parquet", 500, 17), lake / "out", "--rows", "100", "--json")
    assert 0 == done.returncode, done.stderr
    totals = json.loads(done.stdout)
    written = pq.read_table(lake / "out" / "rows.parquet").to_pylist()
    listed = json.loads(headrace("analyze", "list", "--url", scoring.url, "--json").stdout)

    assert (500, 1, ["plus:1"]) == (totals["rows"], totals["refused"], totals["versions"])
    assert [f"k{i}" for i in range(500) if i != 17] == [r["key"] for r in written]
    assert [i + 1.0 for i in range(500) if i != 17] == [r["out.y"] for r in written]
    assert ("batch", "plus:1", "done") == tuple(listed[0][k] for k in ("kind", "version", "state"))
    logged = until(lambda: [r for r in scoring.logged("plus:1") if r["outcome"] == "ok"], "requests are logged")
    assert {None} == {r["caller"] for r in logged}


def test_a_job_that_is_killed_goes_on_without_a_doubled_or_missing_row(scoring: RunningPlatform, lake: Path) -> None:
    source, out = rows(lake, "many.parquet", 3000), lake / "many"
    job_id = submit(scoring, source, out, "--rows", "20", "--parallel", "2", "--no-wait").stdout.strip()
    until(lambda: len(list(out.glob(".many.parquet.parts/*.arrow"))) > 10, "some parts are answered", 300)
    (pid,) = batch_processes(out)
    os.killpg(pid, signal.SIGKILL)
    until(lambda: job(scoring, job_id)["state"] == "failed", "the job has failed")
    done = submit(scoring, source, out, "--rows", "20", "--json")

    assert 200 <= json.loads(done.stdout)["already"] < 3000
    assert [f"k{i}" for i in range(3000)] == [r["key"] for r in pq.read_table(out / "many.parquet").to_pylist()]


def test_a_job_is_cancelled(scoring: RunningPlatform, lake: Path) -> None:
    out = lake / "cancelled"
    source = rows(lake, "long.parquet", 20_000)
    job_id = submit(scoring, source, out, "--rows", "10", "--parallel", "1", "--no-wait").stdout.strip()
    until(lambda: list(out.glob(".long.parquet.parts/*.arrow")), "a part is answered", 300)
    headrace("analyze", "cancel", job_id, "--url", scoring.url)

    assert ("failed", "cancelled") == tuple(job(scoring, job_id)[k] for k in ("state", "reason"))
    assert [] == batch_processes(out)


def test_a_schedule_runs_it(scoring: RunningPlatform, lake: Path) -> None:
    rows(lake, "nightly.parquet", 50)
    added = headrace(
        "schedule", "add", "nightly", "plus", "--kind", "batch", "--cron", "* * * * *", "--set", f"files={lake}/nightly.parquet",
        "--set", f"to={lake}/nightly", "--url", scoring.url,
    )  # fmt: skip
    assert 0 == added.returncode, added.stderr
    until((lake / "nightly" / "nightly.parquet").exists, "it has run", 200)
    headrace("schedule", "rm", "nightly", "--url", scoring.url)

    assert 50 == pq.read_table(lake / "nightly" / "nightly.parquet").num_rows


def test_workers_of_a_ray_take_a_file_each(scoring: RunningPlatform, lake: Path, jobs_python: Path) -> None:
    """As in a RayJob of a cluster; one of the files cannot be read, and the others have their answers."""
    (lake / "two").mkdir()
    for name in ("a.parquet", "b.parquet"):
        rows(lake, f"two/{name}", 200)
    command = (
        "batch", "--model", "plus:1", "--storage", scoring.settings.storage_url, "--endpoint", scoring.url, "--files", f"{lake}/two",
        "--to", f"{lake}/both", "--address", "local",
    )  # fmt: skip
    done = run_job(jobs_python, *command)
    (lake / "two" / "c.csv").write_text("other\n1\n")
    failed = run_job(jobs_python, *command)

    assert (0, 2, 400) == (done.returncode, *(json.loads(done.stdout)[k] for k in ("files", "rows"))), done.stderr
    assert [200, 200] == [pq.read_table(lake / "both" / n).num_rows for n in ("a.parquet", "b.parquet")]
    assert 1 == failed.returncode
    assert "c.csv has no column 'x'" in json.loads(failed.stdout)["error"]["message"]


def test_places_that_are_not_allowed_are_refused(scoring: RunningPlatform, lake: Path, tmp_path: Path) -> None:
    source = rows(lake, "one.parquet", 1)
    outside = submit(scoring, source, tmp_path / "out")
    scheduled = headrace(
        "schedule", "add", "bad", "plus", "--kind", "batch", "--cron", "* * * * *", "--set", "files=/etc/passwd", "--set", f"to={lake}",
        "--url", scoring.url,
    )  # fmt: skip

    for refused in (outside, scheduled):
        assert 1 == refused.returncode
        assert "is outside the places that batches of this platform may read and write" in refused.stderr
        assert "HEADRACE_BATCH_PLACES" in refused.stderr


def batch_processes(to: Path) -> list[int]:
    """Leaders of the process groups of batches that write to a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"headrace_jobs" in arguments and str(to).encode() in arguments:
                found.append(int(entry.name))
    return found
