"""Following a log: every row once and in order, whatever the commits, pages and compactions."""

import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable, write_deltalake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller_support import FakeServices, make_platform, release, serving
from headrace_controller.cli import log as command
from headrace_controller.cli.entrypoint import front
from headrace_controller.requestlog import tail
from headrace_controller.requestlog.reader import LogReader
from headrace_controller.requestlog.tail import LogTail, Position
from headrace_functions.errors import InvalidInput
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore

VERSION = VersionId("m", 1)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Log:
    """A log table on this machine; rows are numbered as they are appended, and received the later ones first."""

    def __init__(self, objects: ObjectStore, version: VersionId = VERSION) -> None:
        self._place = objects.table_url(layout.log_table(version))
        self.rows = 0
        self.tail = LogTail(objects, LogReader(objects))

    def append(self, count: int) -> None:
        numbers = range(self.rows, self.rows + count)
        times = [NOON - timedelta(hours=7 * (n % 5), seconds=n) for n in numbers]
        table = pa.table(
            {
                "request_id": [f"r{n}" for n in numbers],
                "row": pa.array([0] * count, pa.int32()),
                "received": pa.array(times, pa.timestamp("us", "UTC")),
                "date": pa.array([f"{t:%Y-%m-%d}" for t in times], pa.string()),
                "in.x": pa.array([float("nan") if n % 4 == 3 else float(n) for n in numbers], pa.float64()),
            }
        )
        write_deltalake(self._place, table, mode="append", partition_by=["date"])
        self.rows += count

    def compact(self) -> None:
        DeltaTable(self._place).optimize.compact()

    def vacuum(self) -> None:
        table = DeltaTable(self._place)
        table.create_checkpoint()
        table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)

    def everything(self, after: Position, where: str = "") -> tuple[list[str], Position]:
        found, behind = [], True
        while behind:
            page = self.tail.follow(VERSION, after, where)
            found += [row["request_id"] for row in page.rows]
            after, behind = page.next, page.behind
        return found, after


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(ObjectStore(str(tmp_path)))


STEPS = st.lists(st.integers(1, 9) | st.sampled_from(["look", "compact"]), min_size=1, max_size=8)


@given(STEPS, st.integers(1, 7))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
def test_every_row_is_met_once_whatever_is_committed_compacted_or_looked_at(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int | str], page: int
) -> None:
    log = Log(ObjectStore(str(tmp_path_factory.mktemp("log"))))
    found: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tail, "PAGE", page)
        position = log.tail.now(VERSION)
        for step in [*steps, "look"]:
            if isinstance(step, int):
                log.append(step)
            elif step == "compact" and log.rows:
                log.compact()
            else:
                more, position = log.everything(position)
                found += more
    assert sorted(found) == sorted(f"r{n}" for n in range(log.rows))


def test_rows_come_commit_by_commit_though_they_were_received_otherwise(log: Log) -> None:
    start = log.tail.now(VERSION)
    for _ in range(3):
        log.append(1)
    assert log.everything(start)[0] == ["r0", "r1", "r2"]


def test_now_is_after_what_was_logged(log: Log) -> None:
    log.append(5)
    position = log.tail.now(VERSION)
    log.append(1)
    assert log.everything(position)[0] == ["r5"]


def test_a_condition_chooses_rows_as_a_query_does(log: Log) -> None:
    """NaN is greater than every number there."""
    start = log.tail.now(VERSION)
    log.append(8)
    assert log.everything(start, "in.x >= 5 AND in.x < 7")[0] == ["r5", "r6"]
    page = log.tail.follow(VERSION, start, "request_id = 'r2'")
    assert page.rows[0]["date"] == f"{NOON - timedelta(hours=14):%Y-%m-%d}"
    assert page.rows[0]["received"].endswith("Z")
    for where in ("1; 2", "no_such_column = 1"):
        with pytest.raises(InvalidInput):
            log.tail.now(VERSION, where)


def test_a_page_bounds_what_an_answer_holds(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "PAGE", 10)
    start = log.tail.now(VERSION)
    log.append(25)
    sizes = []
    page = log.tail.follow(VERSION, start)
    while page.rows:
        sizes.append(len(page.rows))
        page = log.tail.follow(VERSION, page.next)
    assert sizes == [10, 10, 5]


def test_rows_that_are_no_longer_as_they_came_are_not_passed_over_in_silence(log: Log) -> None:
    start = log.tail.now(VERSION)
    log.append(3)
    log.append(3)
    log.compact()
    log.vacuum()
    with pytest.raises(InvalidInput, match="compacted") as caught:
        log.everything(start)
    assert "headrace log query" in str(caught.value.hint)


@pytest.mark.parametrize("text", ["1", "a.b", "-2.0", "1.-1", "1.0.0"])
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Position.parse(text)
    assert caught.value.field == "after"


def test_the_command_shows_more_rows_than_a_query_may_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = make_platform(tmp_path / "home", FakeServices())
    version = release(platform.catalog, "m")
    log = Log(platform.catalog.documents.objects, version)
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) > 3:
            raise KeyboardInterrupt
        log.append(4200)

    with serving(platform) as url:
        monkeypatch.setattr(command, "time", _Clock(pause))
        done = CliRunner().invoke(front, ["log", "tail", str(version), "--json", "--url", url])
    assert done.exit_code == 130, done.output  # as after Ctrl-C
    shown = re.findall(r'"request_id": ?"(r\d+)"', done.stdout)
    assert len(shown) == 12_600
    assert set(shown) == {f"r{n}" for n in range(12_600)}


class _Clock:
    """``time`` whose ``sleep`` is the test's."""

    monotonic = staticmethod(time.monotonic)

    def __init__(self, sleep: object) -> None:
        self.sleep = sleep
