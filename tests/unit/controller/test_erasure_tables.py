"""Rows out of a Delta table beside its writers: nothing is lost, doubled or deleted under a reader."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable, write_deltalake

from headrace_controller.erasure import tables
from headrace_controller.erasure.subject import Requests, Subject
from headrace_controller.erasure.tables import Changed, change_rows, remove_leftovers, scrub_log
from headrace_controller.requestlog import commits
from headrace_functions.errors import InvalidInput
from headrace_functions.signature import Field, Signature, dtype
from headrace_functions.storage.objects import ObjectStore
from support.versions import version

FOLDER = "logs/churn/v1"
COLUMNS = ["who"]
FOREVER = float("inf")


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore(str(tmp_path))


def append(objects: ObjectStore, *who: str) -> None:
    rows = pa.table({"who": list(who), "n": list(range(len(who))), "date": ["2026-11-27"] * len(who)})
    write_deltalake(objects.table_url(FOLDER), rows, mode="append", partition_by=["date"])


def kept(objects: ObjectStore) -> list[str]:
    return sorted(DeltaTable(objects.table_url(FOLDER)).to_pyarrow_table()["who"].to_pylist())


def without(who: str, meanwhile: Callable[[], None] = lambda: None) -> Callable[[pa.Table], Changed | None]:
    def change(table: pa.Table) -> Changed | None:
        gone = pc.equal(table["who"], who)
        count = int(pc.sum(gone).as_py() or 0)
        if count and len(table.column_names) > 1:
            meanwhile()
        return Changed(table.filter(pc.invert(gone)), count) if count else None

    return change


def test_what_is_appended_meanwhile_stays_and_does_not_hinder(objects: ObjectStore) -> None:
    append(objects, "ann", "bob")
    change = without("ann", lambda: append(objects, "cid"))
    assert 1 == change_rows(objects, FOLDER, COLUMNS, change, apply=True).removed
    assert ["bob", "cid"] == kept(objects)


def test_a_compaction_that_was_faster_makes_it_look_again(objects: ObjectStore) -> None:
    append(objects, "ann", "bob")
    append(objects, "cid")
    done: list[int] = []

    def compact() -> None:
        if not done:
            done.append(1)
            DeltaTable(objects.table_url(FOLDER)).optimize.compact()

    assert 1 == change_rows(objects, FOLDER, COLUMNS, without("ann", compact), apply=True).removed
    assert ["bob", "cid"] == kept(objects)


def test_a_compaction_that_read_the_old_files_cannot_bring_the_rows_back(objects: ObjectStore) -> None:
    append(objects, "ann", "bob")
    append(objects, "cid")
    older = DeltaTable(objects.table_url(FOLDER))
    change_rows(objects, FOLDER, COLUMNS, without("ann"), apply=True)
    with pytest.raises(Exception, match=r"conflict|delet"):
        older.optimize.compact()
    assert ["bob", "cid"] == kept(objects)


def test_who_follows_the_commits_meets_no_row_twice(objects: ObjectStore) -> None:
    append(objects, "ann", "bob")
    change_rows(objects, FOLDER, COLUMNS, without("ann"), apply=True)
    assert [] == commits.added(objects, FOLDER, 1)


def test_a_table_without_the_value_is_not_written(objects: ObjectStore) -> None:
    append(objects, "bob")
    assert 0 == change_rows(objects, FOLDER, COLUMNS, without("ann"), apply=True).files
    assert 0 == DeltaTable(objects.table_url(FOLDER)).version()
    assert 0 == change_rows(objects, "logs/nobody/v1", COLUMNS, without("ann"), apply=True).files


def test_a_file_all_of_whose_rows_go_has_none_in_its_place(objects: ObjectStore) -> None:
    append(objects, "ann")
    append(objects, "bob")
    change_rows(objects, FOLDER, COLUMNS, without("ann"), apply=True)
    assert 1 == len(DeltaTable(objects.table_url(FOLDER)).file_uris())


def test_replaced_files_wait_for_queries_and_for_analyses_that_began_before(
    objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(objects, "ann", "bob")
    change_rows(objects, FOLDER, COLUMNS, without("ann"), apply=True)
    now = time.time()

    def left(reader: float) -> tables.Leftovers:
        return remove_leftovers(objects, FOLDER, COLUMNS, without("ann"), reader, apply=True)

    assert tables.Leftovers(0, 1) == left(FOREVER)
    monkeypatch.setattr(tables, "GRACE", -1.0)
    assert tables.Leftovers(0, 1) == left(now - 60), "an analysis reads it"
    assert tables.Leftovers(1, 0) == left(now + 60), "one that began after it does not"
    assert ["bob"] == kept(objects)


def test_a_file_that_no_commit_knows_waits_until_its_writer_must_be_dead(
    objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(objects, "ann")
    file = next(i.key for i in objects.walk(f"{FOLDER}/date=2026-11-27/"))
    objects.put(f"{FOLDER}/date=2026-11-27/part-of-a-writer.parquet", objects.get(file))

    def left() -> tables.Leftovers:
        return remove_leftovers(objects, FOLDER, COLUMNS, without("ann"), FOREVER, apply=True)

    assert tables.Leftovers(0, 1) == left()
    monkeypatch.setattr(tables, "ABANDONED", -1.0)
    assert tables.Leftovers(1, 0) == left()
    assert ["ann"] == kept(objects)


def test_the_tables_own_log_does_not_say_the_value_and_can_be_read(objects: ObjectStore) -> None:
    append(objects, "cust-90210")
    append(objects, "bob")
    DeltaTable(objects.table_url(FOLDER)).create_checkpoint()
    change_rows(objects, FOLDER, COLUMNS, without("cust-90210"), apply=True)
    assert 0 < scrub_log(objects, FOLDER, COLUMNS, Subject("who", "cust-90210"), apply=True)
    assert 0 == scrub_log(objects, FOLDER, COLUMNS, Subject("who", "cust-90210"), apply=True)
    assert ["bob"] == kept(objects)
    assert b"cust-90210" not in b"".join(objects.get(i.key) for i in objects.walk(f"{FOLDER}/_delta_log/"))


def test_figures_of_other_columns_stay_and_do_not_keep_an_erasure_from_its_end(objects: ObjectStore) -> None:
    append(objects, "bob")
    assert 0 == scrub_log(objects, FOLDER, ["city"], Subject("city", "bob"), apply=True)
    assert 0 == scrub_log(objects, FOLDER, COLUMNS, Subject("who", "WRITE"), apply=True)


def test_figures_that_are_the_beginning_of_a_long_value_are_found() -> None:
    subject = Subject("who", "a" * 60)
    assert subject.begins_with("a" * 31 + "b")
    assert not subject.begins_with("aaa")


def test_rows_that_came_after_an_erasure_began_are_not_of_it() -> None:
    received = pa.array([1_000_000, 2_000_000], pa.timestamp("us", tz="UTC"))
    table = pa.table({"received": received, "in.who": ["maya", "maya"]})
    text = Field("who", dtype("string"))
    described = replace(version("churn", 1), signature=Signature((text,), (Field("y", dtype("double")),)))
    assert [True, False] == Subject("who", "maya", until=1_500_000).rows(described, table).to_pylist()
    assert [True, True] == Subject("who", "maya").rows(described, table).to_pylist()


def test_a_value_is_found_as_a_word_in_every_form_and_not_within_another() -> None:
    subject = Subject("who", "käthe-1")
    assert subject.said_in("x käthe-1, y".encode())
    assert subject.said_in(b'{"who": "k\\u00e4the-1"}')
    assert not subject.said_in("käthe-12 and akäthe-1".encode())
    assert not Subject("who", "7").said_in(b"7")


def test_rows_of_requests_are_told_by_request_and_row() -> None:
    table = pa.table({"request_id": ["a", "a", "b"], "row": pa.array([0, 1, 0], pa.int32())})
    assert [False, True, False] == Requests([("a", 1), ("c", 0)]).rows(table).to_pylist()


@pytest.mark.parametrize("value", ["", "x" * 1001])
def test_a_value_that_cannot_be_is_refused(value: str) -> None:
    with pytest.raises(InvalidInput, match="value"):
        Subject("who", value)
