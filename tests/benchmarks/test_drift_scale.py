"""Drift of many rows and of many columns: time, memory, and Evidently on the same data in an environment of its own."""

import re
import subprocess
import sys
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fixtures_jobs import UNTIL, category, environment, given_log, given_version, number, objects
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import Array
from headrace_jobs.detectors.base import Rows
from headrace_jobs.detectors.mmd import mmd

ROOT = Path(__file__).parents[2]
WORDS = np.array(["a", "b", "c", "d"], object)

__all__ = ["objects"]
pytestmark = pytest.mark.timeout(1800)


def rows(count: int, seed: int, numbers: int = 25, categories: int = 5) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    found: dict[str, Array] = {f"n{i}": random.normal(size=count) for i in range(numbers)}
    found |= {f"c{i}": WORDS[random.integers(0, 4, count)] for i in range(categories)}
    return {**found, "score": random.random(count)}


def given(objects: ObjectStore, numbers: int = 25, categories: int = 5, training: int = 100_000) -> Version:
    fields = [*(number(f"n{i}") for i in range(numbers)), *(category(f"c{i}") for i in range(categories))]
    return given_version(objects, fields, rows(training, 0, numbers, categories))


def measured(objects: ObjectStore, *options: str) -> tuple[float, float]:
    """Seconds of analysis without starting, and the peak of the process's own memory in MB, without the files it maps."""
    command = [str(environment("jobs")), "-m", "headrace_jobs", "drift", "--model", "churn:1", "--window", "24h"]
    command += ["--until", "2026-11-22T12:00:00Z", "--storage", objects.url, *options]
    assert objects.directory is not None
    log = objects.directory.with_name("job.log")
    peak = 0.0
    with log.open("w") as sink, subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=sink) as job:
        while job.poll() is None:
            peak = max(peak, anonymous(job.pid))
            with suppress(subprocess.TimeoutExpired):
                job.wait(0.05)
    assert job.returncode == 0, log.read_text()
    found = re.search(r"analysed in ([\d.]+) s", log.read_text())
    assert found is not None, log.read_text()
    return float(found[1]), peak


def anonymous(pid: int) -> float:
    """Memory of a process in MB that is not that of a file; 0 once it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"RssAnon:\s+(\d+)", status)
    return int(found[1]) / 1024 if found else 0.0


def test_ten_million_rows_take_ten_times_as_long_as_one_in_the_same_memory(objects: ObjectStore) -> None:
    """Files of 500,000 rows; the same values over and over, which is no easier."""
    version = given(objects)
    same = rows(500_000, 1)
    print("\n| rows × 30 | s | rows/s | peak MB |\n|---|---|---|---|")
    for total in (1, 10):
        for part in range(0 if total == 1 else 2, 2 * total):
            given_log(objects, version, same, request="r", until=UNTIL - timedelta(hours=part))
        seconds, memory = measured(objects, "--address", "sync")
        print(
            f"| {total},000,000, one process | {seconds:.1f} | {total * 1e6 / seconds:,.0f} | {memory:.0f} |",
            flush=True,
        )
    seconds, _ = measured(objects, "--address", "local")
    print(f"| 10,000,000, Ray on this machine | {seconds:.1f} | {1e7 / seconds:,.0f} | |")


def test_a_thousand_columns(objects: ObjectStore) -> None:
    version = given(objects, 1000, 0)
    for part in range(6):
        given_log(objects, version, rows(50_000, 1 + part, 1000, 0), request=f"p{part}")
    print("\n| 300,000 rows × 1000 | s | peak MB |\n|---|---|---|")
    seconds, memory = measured(objects, "--address", "sync")
    print(f"| one process | {seconds:.1f} | {memory:.0f} |", flush=True)
    seconds, _ = measured(objects)
    print(f"| Ray on this machine | {seconds:.1f} | |")


def test_the_mmd_of_two_hundred_thousand_rows() -> None:
    sides = [Rows({k: v for k, v in rows(100_000, s, 30, 0).items() if k != "score"}) for s in (0, 1)]
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        mmd(*sides)
        taken.append(time.perf_counter() - started)
    print(f"\nMMD of 100,000 against 100,000 × 30: best {min(taken):.2f} s, median {sorted(taken)[1]:.2f} s")


def test_evidently_on_the_same_million_rows(objects: ObjectStore, tmp_path: Path) -> None:
    version = given(objects)
    parts = [rows(100_000, 1 + part) for part in range(10)]
    for part, values in enumerate(parts):
        given_log(objects, version, values, request=f"p{part}")
    files = [tmp_path / "reference.parquet", tmp_path / "window.parquet"]
    pq.write_table(pa.table(rows(100_000, 0)).drop_columns("score"), files[0])
    pq.write_table(
        pa.table({k: np.concatenate([p[k] for p in parts]) for k in parts[0]}).drop_columns("score"), files[1]
    )

    ours = measured(objects, "--address", "sync")
    script = Path(__file__).parent / "peers" / "evidently_drift.py"
    done = subprocess.run([evidently(), script, *files], capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr

    seconds, memory = map(float, done.stdout.split()[-2:])
    print("\n| 100 k against 1 M × 30 | s | peak MB |\n|---|---|---|")
    print(f"| Headrace, one process | {ours[0]:.1f} | {ours[1]:.0f} |")
    print(f"| Evidently | {seconds:.1f} | {memory:.0f} |")


def evidently() -> Path:
    """The Python of Evidently's environment, made on the first run."""
    folder = ROOT / ".cache" / "bench" / "evidently"
    python = folder / "bin" / "python"
    if not python.exists():
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", python, "evidently==0.7.23", "pandas<3"]
        subprocess.run(install, check=True)
    return python
