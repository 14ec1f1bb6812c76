"""Backups of a platform that serves: the disaster drill of the docs, a cut under load, and runs that are killed."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from fixtures_platform import ADDER, Load, RunningPlatform, environment, headrace, until

PAGE = Path(__file__).parents[2] / "docs" / "backup.md"
Start = Callable[..., RunningPlatform]


@pytest.mark.timeout(240)
def test_the_drill_of_the_docs_restores_a_destroyed_platform_on_another_store(tmp_path: Path, s3_prefix: str) -> None:
    drill = re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    given = {**environment(), "PATH": path, "STORE": s3_prefix}
    done = subprocess.run(
        ["bash", "-ec", drill], cwd=tmp_path, env=given, text=True, capture_output=True, timeout=200, check=False
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "none altered or removed" in done.stdout
    assert "file://" not in done.stdout.split("as of")[2], "the second store is the bucket"


@pytest.mark.timeout(240)
def test_a_backup_under_load_has_each_request_that_was_logged_before_it_once(
    new_platform: Start, tmp_path: Path
) -> None:
    first = new_platform()
    first.apply_python("adder", ADDER, first.home / "adder")
    load = Load(first, "adder")
    with load.running():
        load.wait_for(300)
        early = set(load.answered())
        until(lambda: early <= {r["request_id"] for r in first.logged("adder:1")}, "what was answered is logged")
        done = headrace("backup", "--home", str(first.home), "--to", str(tmp_path / "backup"), "--json")
        load.wait_for(50)
    assert 0 == done.returncode, done.stderr
    assert 0 == headrace("backup", "verify", "--from", str(tmp_path / "backup")).returncode

    home = tmp_path / "second"
    done = headrace("restore", "--home", str(home), "--from", str(tmp_path / "backup"))
    assert 0 == done.returncode, done.stderr
    second = RunningPlatform(home)
    (home / "environments").symlink_to(first.home / "environments")
    second.start()
    try:
        assert 3.0 == second.infer("adder", 2.0, request_id="after").json()["outputs"][0]["data"][0]
        rows = until(
            lambda: (found := second.logged("adder:1")) and any(r["request_id"] == "after" for r in found) and found,
            "the restored platform logs",
        )
    finally:
        assert 0 == second.stop()
    ids = [r["request_id"] for r in rows]
    assert len(ids) == len(set(ids)), "no request twice"
    assert early <= set(ids), "none of those before the cut is missing"
    assert set(ids) - {"after"} <= set(load.statuses)


def test_a_backup_that_is_killed_is_finished_by_the_same_command(platform: RunningPlatform, tmp_path: Path) -> None:
    for n in range(40):
        assert 200 == platform.infer("adder", float(n)).status_code
    until(lambda: len(platform.logged("adder:1")) >= 40, "the requests are logged")
    place = tmp_path / "backup"
    command = [sys.executable, "-m", "headrace_controller.cli", "backup"]
    command += ["--home", str(platform.home), "--to", str(place)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
    until(lambda: next((place / "store").rglob("*.json"), None) if place.is_dir() else None, "it has begun to copy")
    running.send_signal(signal.SIGKILL)
    running.wait()
    if not (place / "manifest.json").is_file():
        refused = headrace("restore", "--from", str(place), "--home", str(tmp_path / "home"))
        assert 1 == refused.returncode
        assert "does not contain a complete backup" in refused.stderr
        assert 0 == headrace(*command[3:]).returncode
    done = headrace("backup", "verify", "--from", str(place), "--json")
    assert [] == orjson.loads(done.stdout)["faults"]


def test_what_stands_in_the_way_of_a_restore_is_said(platform: RunningPlatform, tmp_path: Path) -> None:
    place = str(tmp_path / "backup")
    assert 0 == headrace("backup", "--home", str(platform.home), "--to", place).returncode
    up = headrace("restore", "--home", str(platform.home), "--from", place)
    assert (1, True) == (up.returncode, "a platform is running" in up.stderr)
    used = headrace("restore", "--home", str(tmp_path / "h"), "--storage", str(platform.home / "data"), "--from", place)
    assert (1, True) == (used.returncode, "is not empty; it has" in used.stderr)
    nothing = headrace("restore", "--home", str(tmp_path / "h"), "--from", str(tmp_path / "nothing"))
    assert (1, True) == (nothing.returncode, "there is no backup" in nothing.stderr)
    assert 1 == headrace("backup", "--home", str(platform.home)).returncode


def test_a_backup_is_in_the_audit(platform: RunningPlatform, tmp_path: Path) -> None:
    assert 0 == headrace("backup", "--home", str(platform.home), "--to", str(tmp_path / "backup")).returncode
    with platform.client() as client:
        entry = client.audit(what="backup")[0]
    assert ("owner of the store", "done", f"file://{tmp_path / 'backup'}") == (entry.who, entry.outcome, entry.on)
