"""Spool and shipper: every record that was kept arrives exactly once, whatever dies, and a full disk costs records only."""

import errno
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from function_support import wait_until
from headrace_functions.errors import StorageFailed
from headrace_functions.record import Record, RecordHeader, decode, encode
from headrace_functions.recording import shipper as shipping
from headrace_functions.recording import spool as spooling
from headrace_functions.recording.shipper import Shipper
from headrace_functions.recording.spool import Spool
from headrace_functions.storage.objects import ObjectStore


def record(name: str, size: int = 10) -> Record:
    return Record(RecordHeader(name, "m", 1, 1, 1.0, "ok", 200), b"q" * size, b"a" * size)


def arrived(objects: ObjectStore) -> list[str]:
    """Request ids in the inbox, in the order of keys."""
    return [r.header.request_id for o in objects.walk("inbox/") for r in decode(objects.get(o.key))]


@pytest.fixture(params=["directory", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "directory":
        return ObjectStore(str(tmp_path / "data"))
    return ObjectStore(request.getfixturevalue("s3_prefix"))


@pytest.fixture
def local(tmp_path: Path) -> ObjectStore:
    return ObjectStore(str(tmp_path / "data"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool" / "m-v1"


@pytest.fixture
def shipper(folder: Path, objects: ObjectStore) -> Shipper:
    return Shipper(folder.parent, objects)


class TestShippingToEveryStore:
    """The same on a directory and on S3."""

    def test_sealed_segments_arrive_and_open_ones_wait(
        self, folder: Path, shipper: Shipper, objects: ObjectStore
    ) -> None:
        spool = Spool(folder, segment_bytes=400)
        kept = [spool.append(record(str(i))) for i in range(5)]

        first = shipper.sweep()
        early = arrived(objects)
        spool.close()
        second = shipper.sweep()

        assert kept == [True] * 5
        assert (2, 1) == (first, second)
        assert ["0", "1", "2", "3"] == early
        assert ["0", "1", "2", "3", "4"] == arrived(objects)
        assert [] == list(folder.iterdir())

    def test_keys_name_service_spool_and_number(self, folder: Path, shipper: Shipper, objects: ObjectStore) -> None:
        spool = Spool(folder)
        spool.append(record("a"))
        spool.close()
        shipper.sweep()

        assert [f"inbox/m-v1/{spool.id}/000000000000.seg"] == [o.key for o in objects.walk("inbox/")]

    def test_the_folder_of_a_dead_process_is_cut_to_whole_records(
        self, folder: Path, shipper: Shipper, objects: ObjectStore
    ) -> None:
        dead = folder / "dead"
        dead.mkdir(parents=True)
        (dead / "lock").touch()
        (dead / "000000000003.seg").write_bytes(encode(record("a")))
        (dead / "000000000004.open").write_bytes(encode(record("b")) + encode(record("c"))[:-3])

        assert 2 == shipper.sweep()
        assert ["a", "b"] == arrived(objects)
        assert encode(record("b")) == objects.get("inbox/m-v1/dead/000000000004.seg")
        assert not dead.exists()

    def test_what_arrived_before_is_not_doubled(self, folder: Path, shipper: Shipper, objects: ObjectStore) -> None:
        """A shipper that died between arrival and removal offers the segment again."""
        spool = Spool(folder)
        spool.append(record("a"))
        spool.close()
        sealed = next(spool.path.glob("*.seg"))
        objects.create(f"inbox/m-v1/{spool.id}/{sealed.name}", sealed.read_bytes())

        shipper.sweep()

        assert ["a"] == arrived(objects)
        assert not sealed.exists()

    def test_two_shippers_at_once_ship_each_segment_once(self, folder: Path, objects: ObjectStore) -> None:
        spools = [Spool(folder, segment_bytes=100) for _ in range(4)]
        ids = [f"{s}-{i}" for s in range(4) for i in range(10)]
        for name in ids:
            assert spools[int(name[0])].append(record(name))
        counts: list[int] = []
        threads = [
            threading.Thread(target=lambda: counts.append(Shipper(folder.parent, objects).sweep())) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for spool in spools:
            spool.close()
        counts.append(Shipper(folder.parent, objects).sweep())

        assert 40 == sum(counts)
        assert Counter(ids) == Counter(arrived(objects))


def test_a_store_that_is_away_loses_nothing(folder: Path, tmp_path: Path) -> None:
    """``StorageFailed``, and the next sweep ships what waited."""
    objects = ObjectStore(str(tmp_path / "data"))
    spool = Spool(folder)
    spool.append(record("a"))
    spool.close()
    (tmp_path / "data" / "inbox").write_text("a file where a folder has to be")

    with pytest.raises(StorageFailed):
        Shipper(folder.parent, objects).sweep()
    (tmp_path / "data" / "inbox").unlink()

    assert 1 == Shipper(folder.parent, objects).sweep()
    assert ["a"] == arrived(objects)


def test_another_file_system_is_reached_by_copying(
    folder: Path, local: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "_renamed", lambda path, target: False)
    spool = Spool(folder)
    spool.append(record("a"))
    spool.close()

    assert 1 == Shipper(folder.parent, local).sweep()
    assert ["a"] == arrived(local)


def test_a_living_process_keeps_its_folder(folder: Path, local: ObjectStore) -> None:
    spool = Spool(folder)
    spool.append(record("a"))

    assert 0 == Shipper(folder.parent, local).sweep()
    assert spool.append(record("b"))
    spool.close()
    Shipper(folder.parent, local).sweep()
    assert ["a", "b"] == arrived(local)


def test_a_segment_is_never_shipped_before_an_older_one(
    folder: Path, local: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing of a folder in use may show a new name and miss an older one; the second look has both."""
    spool = Spool(folder, segment_bytes=1)
    for i in range(3):
        spool.append(record(str(i)))
    real = Path.glob
    looks: list[int] = []

    def torn_listing(self: Path, pattern: str) -> list[Path]:
        found = sorted(real(self, pattern))
        if pattern == "*.seg":
            looks.append(1)
            if len(looks) == 1:
                return [found[1]]
        return found

    monkeypatch.setattr(Path, "glob", torn_listing)
    Shipper(folder.parent, local).sweep()

    assert ["0", "1"] == arrived(local)


def test_an_old_segment_is_sealed_by_the_timer_and_an_empty_one_needs_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(spooling.time, "monotonic", lambda: now[0])
    spool = Spool(folder, segment_age=2.0)

    before = spool.seal_if_old()
    spool.append(record("a"))
    now[0] += 0.5
    young = spool.seal_if_old()
    now[0] += 1.6
    old = spool.seal_if_old()

    assert (None, 1.5, None) == (before, young, old)
    assert 1 == len(list(spool.path.glob("*.seg")))


def test_the_cap_counts_what_was_not_shipped_and_frees_with_shipping(
    folder: Path, local: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the cap records are dropped and counted; after a sweep there is room again."""
    size = len(encode(record("a")))
    now = [100.0]
    monkeypatch.setattr(spooling.time, "monotonic", lambda: now[0])
    spool = Spool(folder, cap_bytes=3 * size, segment_bytes=1)

    kept = [spool.append(record("a")) for _ in range(5)]
    Shipper(folder.parent, local).sweep()
    now[0] += 1

    assert [True, True, True, False, False] == kept
    assert 2 == spool.dropped
    assert spool.append(record("b"))


@pytest.mark.parametrize("written", [0, 1, 25])
def test_a_write_that_fails_half_way_spoils_nothing_after_it(
    folder: Path, local: ObjectStore, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """A full disk takes part of a frame: it is cut off again and later records are whole."""
    spool = Spool(folder)
    real = os.write
    spool.append(record("a"))

    def full(fd: int, data: bytes) -> int:
        if written == 0:
            raise OSError(errno.ENOSPC, "no space left")
        return real(fd, data[:written])

    monkeypatch.setattr(os, "write", full)
    dropped = spool.append(record("b"))
    monkeypatch.setattr(os, "write", real)
    kept = spool.append(record("c"))
    spool.close()
    Shipper(folder.parent, local).sweep()

    assert (False, True) == (dropped, kept)
    assert 1 == spool.dropped
    assert ["a", "c"] == arrived(local)


def test_a_frame_that_cannot_be_cut_off_is_cut_before_the_next(
    folder: Path, local: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(folder)
    real_write, real_cut = os.write, os.ftruncate
    spool.append(record("a"))

    def refuse(fd: int, size: int) -> None:
        raise OSError(errno.EIO, "i/o error")

    monkeypatch.setattr(os, "write", lambda fd, data: real_write(fd, data[:20]))
    monkeypatch.setattr(os, "ftruncate", refuse)
    assert not spool.append(record("b"))
    monkeypatch.setattr(os, "write", real_write)
    assert not spool.append(record("c"))
    monkeypatch.setattr(os, "ftruncate", real_cut)
    assert spool.append(record("d"))
    spool.close()
    Shipper(folder.parent, local).sweep()

    assert ["a", "d"] == arrived(local)


def test_a_folder_that_cannot_be_made_drops_and_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(spooling.time, "monotonic", lambda: now[0])
    blocked = tmp_path / "spool"
    blocked.write_text("a file where a folder has to be")
    spool = Spool(blocked / "m-v1")

    assert not spool.append(record("a"))
    blocked.unlink()
    now[0] += 2
    assert spool.append(record("b"))
    assert 1 == spool.dropped


def test_a_folder_that_was_removed_is_made_again(
    folder: Path, local: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(spooling.time, "monotonic", lambda: now[0])
    spool = Spool(folder, segment_bytes=1)
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()

    first = spool.append(record("a"))
    now[0] += 2

    assert not first
    assert spool.append(record("b"))
    Shipper(folder.parent, local).sweep()
    assert ["b"] == arrived(local)


def test_a_closed_spool_drops(folder: Path) -> None:
    spool = Spool(folder)
    spool.close()
    spool.close()

    assert not spool.append(record("a"))


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.sampled_from(["append", "sweep", "torn write", "seal", "die"]), max_size=30),
    size=st.integers(0, 300),
)
def test_any_order_of_events_ships_exactly_what_was_kept(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], size: int
) -> None:
    """Appends, sweeps, half writes, sealing and deaths in any order: kept and arrived are the same ids, in order for a process."""
    home = tmp_path_factory.mktemp("spool")
    folder, objects = home / "spool" / "m-v1", ObjectStore(str(home / "data"))
    shipper = Shipper(folder.parent, objects)
    spool = Spool(folder, segment_bytes=500, segment_age=0.0)
    kept: list[str] = []
    for number, step in enumerate(steps):
        if step == "append" and spool.append(record(str(number), size)):
            kept.append(str(number))
        elif step == "sweep":
            shipper.sweep()
        elif step == "seal":
            spool.seal_if_old()
        elif step == "torn write":
            _append_torn(spool, record(str(number), size))
        elif step == "die":
            _die(spool)
            spool = Spool(folder, segment_bytes=500, segment_age=0.0)
    _die(spool)
    shipper.sweep()

    assert sorted(kept) == sorted(arrived(objects))


def _append_torn(spool: Spool, lost: Record) -> None:
    real = os.write
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: real(fd, data[: len(data) // 2]))
        assert not spool.append(lost)


def _die(spool: Spool) -> None:
    """What the kernel does for a killed process: its files are closed as they are."""
    spool._let_go()
    spool._closed = True


KILLED = """
import os, sys
from pathlib import Path
from headrace_functions.record import Record, RecordHeader
from headrace_functions.recording.spool import Spool
spool = Spool(Path(sys.argv[1]), segment_bytes=20_000)
number = 0
while True:
    name = f"{os.getpid()}-{number}"
    if spool.append(Record(RecordHeader(name, "m", 1, 1, 1.0, "ok", 200), b"q" * 300, b"a" * 300)):
        os.write(1, name.encode() + b"\\n")
    number += 1
"""


def test_nothing_kept_is_lost_by_kill_9(folder: Path, local: ObjectStore) -> None:
    """Real processes are killed while they append and a shipper sweeps: each id they said was kept arrives once."""
    shipper = Shipper(folder.parent, local)
    said: list[str] = []
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        said.extend(process.stdout.readline().decode().split())
        until = time.monotonic() + random.uniform(0.02, 0.15)
        while time.monotonic() < until:
            said.extend(process.stdout.readline().decode().split())
            shipper.sweep()
        process.send_signal(signal.SIGKILL)
        said.extend(process.stdout.read().decode().split("\n")[:-1])
        process.wait()
        process.stdout.close()
    wait_until(lambda: shipper.sweep() == 0, what="the last segment")
    ids = Counter(arrived(local))

    assert len(said) > 100
    assert set() == set(said) - ids.keys()
    assert {1} == set(ids.values())
    assert len(ids) - len(said) <= 4, "at most the record in flight at each kill was kept without being said"
    assert [] == list(folder.iterdir())


def test_an_unfinished_folder_is_left_until_it_is_old(
    folder: Path, local: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    young = folder / ".new-x"
    young.mkdir(parents=True)
    Shipper(folder.parent, local).sweep()
    assert young.exists()
    real: Callable[[], float] = time.time
    monkeypatch.setattr(shipping.time, "time", lambda: real() + 120)

    Shipper(folder.parent, local).sweep()

    assert not young.exists()


def test_records_of_any_content_come_back(folder: Path, local: ObjectStore) -> None:
    @settings(max_examples=30, deadline=None)
    @given(st.binary(max_size=50), st.binary(max_size=50), st.text(max_size=20))
    def check(request: bytes, response: bytes, error: str) -> None:
        kept: Any = Record(RecordHeader("r", "m", 1, 2, 0.5, "failed", 500, error=error), request, response)
        assert [kept] == list(decode(encode(kept)))

    check()
