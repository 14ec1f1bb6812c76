"""From a spool to the log tables, on every kind of store: nothing lost, nothing twice, wherever it is cut short."""

import itertools
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace_controller.collector import collect, tables
from headrace_controller.collector.collect import Collector
from headrace_controller.collector.rows import to_table
from headrace_controller.collector.tables import LogTables
from headrace_functions.errors import StorageFailed
from headrace_functions.record import Record
from headrace_functions.recording.shipper import Shipper
from headrace_functions.recording.spool import Spool
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from support.collecting import ONE, TWO, logged, record, spooled, store

_prefix = itertools.count()


class CutShort(Exception):
    """The process ends here."""


@pytest.fixture(params=["directory", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "directory":
        return store(str(tmp_path / "store"))
    return store(f"{request.getfixturevalue('s3_url')}/collector-{next(_prefix)}")


def test_what_was_spooled_is_in_the_log_and_gone_from_spool_and_inbox(objects: ObjectStore, tmp_path: Path) -> None:
    spooled(tmp_path / "spool", record(ONE, "a"), record(TWO, "b"), record(ONE, "c"))

    taken = Collector(objects, Shipper(tmp_path / "spool", objects)).round()

    assert taken == 3
    assert (["a", "c"], ["b"]) == (logged(objects, ONE), logged(objects, TWO))
    assert [] == list(objects.walk(layout.INBOX))
    assert [] == list((tmp_path / "spool").glob("*/*/*.seg"))


@pytest.mark.parametrize(
    "step", ["before the first table", "between the tables", "before the deletion", "between deletions"]
)
def test_a_collector_that_is_cut_short_is_redone_without_loss_or_doubles(
    objects: ObjectStore, tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(3):
        spooled(tmp_path / "spool", record(ONE, f"a{n}"), record(TWO, f"b{n}"))
    calls = itertools.count()
    passes = {"before the first table": 0, "between the tables": 1, "before the deletion": 0, "between deletions": 1}[
        step
    ]
    target: Any = LogTables if "table" in step else ObjectStore
    name = "append" if "table" in step else "delete"
    original = getattr(target, name)

    def cut(self: Any, *arguments: Any) -> Any:
        if next(calls) == passes:
            raise CutShort
        return original(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(target, name, cut)
        with pytest.raises(CutShort):
            Collector(objects, Shipper(tmp_path / "spool", objects)).round()

    Collector(objects, Shipper(tmp_path / "spool", objects)).round()

    assert (["a0", "a1", "a2"], ["b0", "b1", "b2"]) == (logged(objects, ONE), logged(objects, TWO))
    assert [] == list(objects.walk(layout.INBOX))


def test_a_store_that_is_away_loses_nothing(
    objects: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spooled(tmp_path / "spool", record(ONE, "a"))
    collector = Collector(objects, Shipper(tmp_path / "spool", objects))

    def away(*_: Any) -> None:
        raise StorageFailed("the store is away")

    with monkeypatch.context() as patched:
        patched.setattr(LogTables, "append", away)
        with pytest.raises(StorageFailed):
            collector.round()
    collector.round()

    assert ["a"] == logged(objects, ONE)


def test_a_request_that_is_answered_later_is_logged_once_however_often_it_was_asked(
    objects: ObjectStore, tmp_path: Path
) -> None:
    """Of one id, two requests were accepted, one of them asked twice; and a sequence asks a version at two stages, and as a shadow."""

    def asked(at: int, **more: Any) -> Record:
        made = record(ONE, "mine")
        return replace(made, header=replace(made.header, source=f"deferred {at}", **more))

    first, second = 1_764_000_000_000_000_000, 1_764_000_000_000_002_000
    staged = [asked(first, stage=0, sequence="s"), asked(first, stage=1, sequence="s"), asked(first, stage=1, sequence="s", shadow=True)]  # fmt: skip
    spooled(tmp_path / "spool", asked(first), asked(second), asked(first), *staged)
    Collector(objects, Shipper(tmp_path / "spool", objects)).round()
    spooled(tmp_path / "spool", asked(second), *staged, record(ONE, "mine"), record(ONE, "mine"))
    Collector(objects, Shipper(tmp_path / "spool", objects)).round()

    url = objects.table_url(layout.log_table(ONE.id))
    rows = DeltaTable(url, storage_options=objects.table_options()).to_pyarrow_table().to_pylist()
    found = sorted(
        (round(r["received"].timestamp() * 1e6), -1 if r["stage"] is None else r["stage"], r["shadow"])
        for r in rows
        if r["received"].year == 2025
    )
    wanted = [(first, -1, False), (first, 0, False), (first, 1, False), (first, 1, True), (second, -1, False)]
    assert [(at // 1000, stage, shadow) for at, stage, shadow in wanted] == found
    assert ["mine"] * 7 == [r["request_id"] for r in rows]


def test_a_backlog_larger_than_one_round_takes_is_worked_off_in_parts(
    objects: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "BATCH_BYTES", 1000)
    for n in range(5):
        spooled(tmp_path / "spool", *(record(ONE, f"{n}-{i}") for i in range(4)))

    Collector(objects, Shipper(tmp_path / "spool", objects)).round()

    assert 20 == len(set(logged(objects, ONE)))


def test_a_listing_that_misses_an_early_segment_loses_nothing(
    objects: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path / "spool" / "gateway", segment_bytes=1)
    for n in range(3):
        assert spool.append(record(ONE, f"r{n}"))
    spool.close()
    shipper = Shipper(tmp_path / "spool", objects)
    shipper.sweep()
    walk = ObjectStore.walk
    listings = itertools.count()

    def late(self: ObjectStore, prefix: str) -> Any:
        found = list(walk(self, prefix))
        return found[1:] if prefix == layout.INBOX and next(listings) == 0 else found

    with monkeypatch.context() as patched:
        patched.setattr(ObjectStore, "walk", late)
        Collector(objects, shipper).round()
    Collector(objects, shipper).round()

    assert ["r0", "r1", "r2"] == logged(objects, ONE)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4), st.booleans()), min_size=1, max_size=8))
def test_however_spooling_and_rounds_interleave_each_record_is_logged_once(
    plan: list[tuple[int, int, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    tmp_path = tmp_path_factory.mktemp("plan")
    objects = store(str(tmp_path / "store"))
    spools = [Spool(tmp_path / "spool" / "gateway") for n in range(3)]
    collector = Collector(objects, Shipper(tmp_path / "spool", objects))
    expected = []
    for step, (which, count, round_now) in enumerate(plan):
        for i in range(count):
            expected.append(f"{step}-{i}")
            assert spools[which].append(record(ONE, expected[-1]))
        if round_now:
            collector.round()
    for spool in spools:
        spool.close()
    collector.round()

    assert sorted(expected) == logged(objects, ONE)


def test_a_log_forgets_the_transactions_of_spools_that_ended_long_ago_and_keeps_the_others(
    objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_COMPACT_EVERY", 2)
    rows = to_table(ONE, [record(ONE, "r")], None)
    days = iter([-40.0, -40.0, 0.0, 0.0])
    written = LogTables(objects, remember=30, now=lambda: time.time() + 86_400 * next(days))
    for spool in ("old", "older", "new", "newer"):
        written.append(ONE.id, rows, {spool: 7})
    read = LogTables(objects)
    assert [read.committed(ONE.id, spool) for spool in ("old", "older", "new", "newer")] == [-1, -1, 7, 7]
    assert logged(objects, ONE) == ["r"] * 4


def test_a_cursor_is_kept_for_ever(objects: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_COMPACT_EVERY", 2)
    rows = to_table(ONE, [record(ONE, "r")], None)
    written = LogTables(objects, now=lambda: time.time() - 86_400 * 1000)
    for cursor in range(4):
        written.append(ONE.id, rows, {"log.metric": cursor})
    assert LogTables(objects).committed(ONE.id, "log.metric") == 3
