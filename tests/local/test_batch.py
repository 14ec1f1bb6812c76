"""``headrace batch`` over files of each format: order, columns, bad rows, and a run that is killed."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from fixtures_platform import RunningPlatform, environment, headrace, until
from headrace_functions.storage.objects import ObjectStore

NUMBER = {"shape": "scalar", "type": "double"}
TEXT = {"shape": "scalar", "type": "string"}
CODE = """
import time

def predict(model, x, word):
    if (x < 0).any():
        raise ValueError("below zero")
    time.sleep(0.02)
    return {"y": x + 1, "loud": [w.upper() for w in word]}
"""


@pytest.fixture(scope="module")
def worded(platform: RunningPlatform) -> RunningPlatform:
    contract = {"inputs": {"x": NUMBER, "word": TEXT}, "outputs": {"y": NUMBER, "loud": TEXT}}
    platform.apply_python("worded", CODE, platform.home / "worded", contract=contract)
    return platform


def table(rows: int, *bad: int) -> pa.Table:
    x = np.arange(rows, dtype=np.float64)
    x[list(bad)] = -1
    return pa.table({"key": [f"k{i}" for i in range(rows)], "x": x, "word": [f"w{i}" for i in range(rows)]})


def batch(platform: RunningPlatform, source: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return headrace("batch", "worded", "--in", str(source), "--out", str(out), "--url", platform.url, *more)


def written(file: Path) -> list[dict[str, Any]]:
    if file.suffix == ".parquet":
        return pq.read_table(file).to_pylist()  # type: ignore[no-any-return]
    if file.suffix == ".csv":
        return pacsv.read_csv(file).to_pylist()  # type: ignore[no-any-return]
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_rows_keep_their_order_and_columns_and_bad_ones_stand_beside(
    worded: RunningPlatform, tmp_path: Path, suffix: str
) -> None:
    source, out = tmp_path / f"rows{suffix}", tmp_path / "out"
    rows = table(257, 3, 100, 256)
    if suffix == ".parquet":
        pq.write_table(rows, source)
    elif suffix == ".csv":
        pacsv.write_csv(rows, source)
    else:
        source.write_text("".join(json.dumps(r) + "\n" for r in rows.to_pylist()))
    done = batch(worded, source, out, "--rows", "50", "--json")
    assert done.returncode == 0, done.stderr
    found = written(out / source.name)
    refused = [json.loads(line) for line in (out / f"{source.name}.refused.jsonl").read_text().splitlines()]

    assert {"files": 1, "rows": 257, "refused": 3, "already": 0, "versions": ["worded:1"]} == json.loads(done.stdout)
    wanted = [r for i, r in enumerate(rows.to_pylist()) if i not in (3, 100, 256)]
    assert [{**r, "out.y": r["x"] + 1, "out.loud": r["word"].upper()} for r in wanted] == found
    assert [(3, "k3"), (100, "k100"), (256, "k256")] == [(r["row"], r["values"]["key"]) for r in refused]
    assert {"function-failed"} == {r["problem"]["code"] for r in refused}
    assert {source.name, f"{source.name}.refused.jsonl"} == {p.name for p in out.iterdir()}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_value_of_another_type_refuses_its_row_alone(worded: RunningPlatform, tmp_path: Path, suffix: str) -> None:
    """Though it makes the whole column text to whoever reads the file; in parts of two rows the last part has none."""
    source, out = tmp_path / f"rows{suffix}", tmp_path / "out"
    x = [1.5, "many", 3, 4.25, 5]
    if suffix == ".csv":
        source.write_text("key,x,word\n" + "".join(f"k{i},{v},w\n" for i, v in enumerate(x)))
    else:
        source.write_text("".join(json.dumps({"key": f"k{i}", "x": v, "word": "w"}) + "\n" for i, v in enumerate(x)))
    done = batch(worded, source, out, "--rows", "2", "--json")
    assert done.returncode == 0, done.stderr
    refused = [json.loads(line) for line in (out / f"{source.name}.refused.jsonl").read_text().splitlines()]
    assert [(1, "k1")] == [(r["row"], r["values"]["key"]) for r in refused]
    assert [("k0", 2.5), ("k2", 4.0), ("k3", 5.25), ("k4", 6.0)] == [
        (r["key"], r["out.y"]) for r in written(out / source.name)
    ]


def test_a_run_that_is_killed_goes_on_without_a_doubled_or_missing_row(worded: RunningPlatform, tmp_path: Path) -> None:
    source, out = tmp_path / "rows.parquet", tmp_path / "out"
    pq.write_table(table(3000), source)
    command = [
        sys.executable, "-m", "headrace_controller.cli", "batch", "worded", "--in", str(source), "--out", str(out),
        "--rows", "20", "--parallel", "2", "--url", worded.url,
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
    until(lambda: len(list(out.glob(".rows.parquet.parts/*.arrow"))) > 10, "some parts are answered")
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    done = batch(worded, source, out, "--rows", "20", "--json")
    totals = json.loads(done.stdout)

    assert 200 < totals["already"] < 3000
    assert [f"k{i}" for i in range(3000)] == [r["key"] for r in written(out / "rows.parquet")]


def test_what_cannot_go_on_says_why(worded: RunningPlatform, tmp_path: Path) -> None:
    source, out = tmp_path / "rows.parquet", tmp_path / "out"
    pq.write_table(table(10), source)
    parts = out / ".rows.parquet.parts"
    parts.mkdir(parents=True)
    (parts / "run.json").write_text(json.dumps({"model": "another"}))
    (parts / "0.arrow").touch()
    other = batch(worded, source, out)
    pq.write_table(table(10).drop_columns(["word"]), tmp_path / "less.parquet")
    less = batch(worded, tmp_path / "less.parquet", out)
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and no more")
    torn = batch(worded, tmp_path / "torn.parquet", out)
    (tmp_path / "empty.csv").touch()
    empty = batch(worded, tmp_path / "empty.csv", out)
    missing = batch(worded, tmp_path / "none.csv", out)
    (tmp_path / "rows.xlsx").touch()
    strange = batch(worded, tmp_path / "rows.xlsx", out)
    same = batch(worded, source, tmp_path)
    file = batch(worded, source, tmp_path / "rows.xlsx")

    for done, said in (
        (other, "parts of a different run"), (less, "no column 'word'"), (torn, "is cut off"), (empty, "empty.csv is empty"),
        (missing, "no such file"), (strange, "by its name"), (same, "would be overwritten"),
        (file, "rows.xlsx cannot be used: File exists"),
    ):  # fmt: skip
        assert 1 == done.returncode, done.stdout
        assert said in done.stderr
    assert 0 == batch(worded, source, out, "--restart").returncode


def test_a_file_that_changes_while_it_is_read_is_told(worded: RunningPlatform, tmp_path: Path) -> None:
    source, out = tmp_path / "rows.csv", tmp_path / "out"
    pacsv.write_csv(table(2000), source)
    command = [
        sys.executable, "-m", "headrace_controller.cli", "batch", "worded", "--in", str(source), "--out", str(out),
        "--rows", "20", "--parallel", "1", "--url", worded.url,
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment(), text=True)
    until(lambda: len(list(out.glob(".rows.csv.parts/*.arrow"))) > 2, "some parts are answered")
    later = time.time_ns() + 10**9
    import os

    os.utime(source, ns=(later, later))
    _, said = process.communicate(timeout=60)

    assert 1 == process.returncode
    assert "changed while it was being read" in said


def test_objects_of_a_bucket_are_answered_into_a_bucket(
    worded: RunningPlatform, s3_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bucket = ObjectStore(s3_prefix)
    for name, rows in (("a.parquet", table(30, 7)), ("b.parquet", table(5)), ("deeper/c.parquet", table(5))):
        sink = pa.BufferOutputStream()
        pq.write_table(rows, sink)
        bucket.put(f"in/{name}", sink.getvalue().to_pybytes())
    bucket.put("in/readme.txt", b"no rows")

    arguments = ("batch", "worded", "--out", f"{s3_prefix}/out", "--rows", "10", "--url", worded.url, "--json")
    pattern = headrace(*arguments, "--in", f"{s3_prefix}/in/?.parquet")
    again = headrace(*arguments, "--in", f"{s3_prefix}/in")
    none = headrace(*arguments, "--in", f"{s3_prefix}/elsewhere/")

    assert {"files": 2, "rows": 35, "refused": 1, "already": 0, "versions": ["worded:1"]} == json.loads(pattern.stdout)
    assert json.loads(pattern.stdout) == json.loads(again.stdout), "a prefix has the files directly below it"
    assert {"a.parquet", "a.parquet.refused.jsonl", "b.parquet"} == {
        o.key.rsplit("/", 1)[-1] for o in bucket.walk("out/")
    }
    bucket.download("out/a.parquet", tmp_path / "a.parquet")
    assert [f"k{i}" for i in range(30) if i != 7] == [r["key"] for r in written(tmp_path / "a.parquet")]
    assert [7] == [json.loads(r)["row"] for r in bucket.get("out/a.parquet.refused.jsonl").splitlines()]
    assert (1, True) == (none.returncode, "there is no such object" in none.stderr)
    assert not list((tmp_path / "cache").rglob("*.parquet")), "nothing is left on this machine"


def test_a_batch_may_be_left_out_of_the_log(worded: RunningPlatform, tmp_path: Path) -> None:
    pq.write_table(table(40), tmp_path / "quiet.parquet")
    pq.write_table(table(3), tmp_path / "logged.parquet")

    quiet = batch(worded, tmp_path / "quiet.parquet", tmp_path / "out", "--no-log", "--json")
    logged = batch(worded, tmp_path / "logged.parquet", tmp_path / "out", "--json")
    ids = {f"batch-{part_key(tmp_path / 'out', name)}-0" for name in ("logged.parquet",)}
    until(lambda: ids <= {r["request_id"] for r in worded.logged("worded:1")}, "the other run is logged")

    assert [40, 3] == [json.loads(done.stdout)["rows"] for done in (quiet, logged)]
    assert not [r for r in worded.logged("worded:1") if part_key(tmp_path / "out", "quiet.parquet") in r["request_id"]]


def part_key(out: Path, name: str) -> str:
    return hashlib.sha256(str((out / f".{name}.parts").resolve()).encode()).hexdigest()[:12]
