"""Backups of directory stores: what is in the cut, what is refused, and what a run that was cut short leaves."""

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from headrace_controller.backups import taking
from headrace_controller.backups.cut import first_objects, left_out
from headrace_controller.backups.manifest import CONTENT, MANIFEST
from headrace_controller.backups.restoring import put_hash_keys, restore
from headrace_controller.backups.tables import state_of
from headrace_controller.backups.taking import Order, take
from headrace_controller.backups.verifying import verify
from headrace_controller.service.platform import create_platform
from headrace_controller.settings import Settings
from headrace_functions.access.audit import AuditChain, Entry
from headrace_functions.errors import Conflict, DamagedDocument, InvalidInput, NotFound, StorageFailed
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectInfo, ObjectStore

CHURN = VersionId("churn", 1)
LOG = layout.log_table(CHURN)


def rows(*values: int) -> pa.Table:
    return pa.table({"x": list(values), "date": ["2026-11-27"] * len(values)})


@pytest.fixture
def source(tmp_path: Path) -> ObjectStore:
    store = ObjectStore(str(tmp_path / "source"))
    store.put(layout.definition(CHURN), b"{}")
    store.put(layout.artifact(CHURN), b"a" * 5_000_000)
    store.put(layout.session("abc"), b"{}")
    store.put("inbox/churn-v1/s/000000000001.seg", b"record")
    for n in range(3):
        write_deltalake(store.table_url(LOG), rows(n), mode="append", partition_by=["date"])
    return store


@pytest.fixture
def place(tmp_path: Path) -> ObjectStore:
    return ObjectStore(str(tmp_path / "backup"))


def backed_up(source: ObjectStore, place: ObjectStore, order: Order = Order()) -> taking.Taken:  # noqa: B008 -- frozen
    return take(source, place, order, pause=lambda _seconds: None)


def test_a_restored_store_has_what_the_first_had_and_sessions_stay_behind(
    source: ObjectStore, place: ObjectStore, tmp_path: Path
) -> None:
    taken = backed_up(source, place)
    target = ObjectStore(str(tmp_path / "target"))
    restore(place, target)
    there, kept = ({i.key: s.get(i.key) for i in s.walk("")} for s in (source, target))
    new = set(kept) - set(there)
    assert {layout.session("abc")} == set(there) - set(kept)
    assert [True] == [key.startswith(layout.AUDIT) for key in new], "the entry about the restore"
    assert all(there[key] == body for key, body in kept.items() if key in there)
    assert "" == AuditChain(target).verify().fault
    assert [] == verify(place).faults
    assert taken.digest == verify(place).digest


def test_a_table_is_taken_in_one_state_whatever_is_written_after_it(source: ObjectStore) -> None:
    state = state_of(source, LOG)
    write_deltalake(source.table_url(LOG), rows(3), mode="append", partition_by=["date"])
    DeltaTable(source.table_url(LOG)).create_checkpoint()
    assert state is not None
    assert 2 == state.number
    assert 6 == len(state.keys)
    newer = state_of(source, LOG)
    assert newer is not None
    assert f"{LOG}/_delta_log/_last_checkpoint" == newer.keys[0]


def test_what_a_table_has_dropped_is_not_in_the_backup(source: ObjectStore, place: ObjectStore) -> None:
    DeltaTable(source.table_url(LOG)).optimize.compact()
    backed_up(source, place)
    data = [i.key for i in place.walk(f"{CONTENT}{LOG}/") if i.key.endswith(".parquet")]
    assert 1 == len(data)
    assert [0, 1, 2] == sorted(DeltaTable(place.table_url(CONTENT + LOG)).to_pyarrow_table()["x"].to_pylist())


def test_what_was_written_after_the_moment_of_the_cut_is_not_in_it() -> None:
    listed = [ObjectInfo(f"models/m/versions/{n}/definition.json", 1, float(n)) for n in (1, 2, 3)]
    assert listed[:2] == first_objects(listed, 2.0, ())


def test_what_waits_in_the_inbox_is_copied_first() -> None:
    listed = [ObjectInfo(key, 1, 0.0) for key in ("access/x", "inbox/s/p/1.seg", "models/m/x")]
    assert "inbox/s/p/1.seg" == first_objects(listed, 1.0, ())[0].key


def test_what_is_counted_from_a_part_goes_with_it() -> None:
    assert ("logs", "metrics", "health") == left_out(["logs"])
    assert ("metrics", "health") == left_out(["metrics"])
    assert ("health", "reports") == left_out(["reports", "health"])
    with pytest.raises(InvalidInput, match="no part 'log'"):
        left_out(["log"])


def test_without_logs_there_is_no_record_in_the_backup(source: ObjectStore, place: ObjectStore) -> None:
    taken = backed_up(source, place, Order(without=left_out(["logs"])))
    assert not [i.key for i in taken.manifest.items if i.key.startswith(("logs/", "inbox/"))]


@pytest.mark.parametrize("inner", ["source/backup", "source", "."])
def test_a_place_within_the_store_or_around_it_is_refused(source: ObjectStore, tmp_path: Path, inner: str) -> None:
    with pytest.raises(InvalidInput, match="one contains the other"):
        backed_up(source, ObjectStore(str(tmp_path / inner)))


def test_a_place_with_something_else_is_refused_by_its_name(source: ObjectStore, place: ObjectStore) -> None:
    place.put("holiday.jpg", b"")
    with pytest.raises(Conflict, match=r"holiday\.jpg"):
        backed_up(source, place)


def test_a_place_with_a_backup_is_refused(source: ObjectStore, place: ObjectStore) -> None:
    backed_up(source, place)
    with pytest.raises(Conflict, match="there is a backup"):
        backed_up(source, place)


def test_an_empty_store_is_no_platform(tmp_path: Path, place: ObjectStore) -> None:
    with pytest.raises(NotFound, match="nothing to back up"):
        backed_up(ObjectStore(str(tmp_path / "nothing")), place)


class _Failing(ObjectStore):
    """A place that fails after some objects, as one whose disk is full."""

    left = 3

    def put(self, key: str, data: bytes | Path) -> None:
        if key.startswith(CONTENT):
            type(self).left -= 1
            if self.left < 0:
                raise StorageFailed("no space left")
        super().put(key, data)


def test_a_run_that_was_cut_short_is_no_backup_and_the_next_one_finishes_it(
    source: ObjectStore, place: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "_NOTE_EVERY", 1)
    with pytest.raises(StorageFailed):
        backed_up(source, _Failing(str(tmp_path / "backup")))
    with pytest.raises(Conflict, match="does not contain a complete backup"):
        restore(place, ObjectStore(str(tmp_path / "target")))
    source.delete("inbox/churn-v1/s/000000000001.seg")  # the collector went on meanwhile
    taken = backed_up(source, place)
    assert 0 < taken.copied < len(taken.manifest.items)
    assert [] == verify(place).faults
    assert not list(place.walk(f"{CONTENT}inbox/"))
    assert not list(place.walk("unfinished/"))


def test_an_unfinished_backup_of_another_store_is_not_taken_up(
    source: ObjectStore, place: ObjectStore, tmp_path: Path
) -> None:
    place.put("unfinished/begun.json", b'{"source": "s3://other"}')
    with pytest.raises(Conflict, match="s3://other"):
        backed_up(source, place)


@pytest.mark.parametrize("body", [b"b" * 5_000_000, b"short", None])
def test_an_altered_or_missing_object_is_found_and_not_restored(
    source: ObjectStore, place: ObjectStore, tmp_path: Path, body: bytes | None
) -> None:
    backed_up(source, place)
    key = CONTENT + layout.artifact(CHURN)
    place.delete(key) if body is None else place.put(key, body)
    found = verify(place)
    assert 1 == len(found.faults)
    assert key in found.faults[0]
    target = ObjectStore(str(tmp_path / "target"))
    with pytest.raises((DamagedDocument, NotFound)):
        restore(place, target)
    assert target.exists(layout.RESTORING)
    assert not target.exists(layout.artifact(CHURN))


def test_a_broken_audit_is_found_though_every_object_is_as_it_was_copied(
    source: ObjectStore, place: ObjectStore
) -> None:
    for n in range(2):
        AuditChain(source).write(Entry(f"2026-11-27T10:0{n}:00Z", "ann", "move_alias", "churn", "done", 200))
    source.put(layout.audit_entry(1), source.get(layout.audit_entry(1)).replace(b"ann", b"bob"))
    backed_up(source, place)
    assert 1 == len(verify(place).faults)
    assert "the audit is not intact" in verify(place).faults[0]


def test_a_store_that_is_not_empty_is_refused_with_what_is_there(
    source: ObjectStore, place: ObjectStore, tmp_path: Path
) -> None:
    backed_up(source, place)
    target = ObjectStore(str(tmp_path / "target"))
    target.put("models/other/x", b"")
    with pytest.raises(Conflict, match=r"models \(1\)"):
        restore(place, target)
    assert ["models/other/x"] == [i.key for i in target.walk("")]


def test_no_platform_starts_on_a_store_that_is_half_restored(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "home")
    ObjectStore(settings.storage_url).put(layout.RESTORING, b"{}")
    with pytest.raises(Conflict, match="being restored"):
        create_platform(settings, None, "", lambda *_: {})  # type: ignore[arg-type]


def test_a_restore_that_was_cut_short_is_finished_by_the_same_one(
    source: ObjectStore, place: ObjectStore, tmp_path: Path
) -> None:
    backed_up(source, place)
    held = place.get(CONTENT + layout.definition(CHURN))
    place.put(CONTENT + layout.definition(CHURN), b"other")
    target = ObjectStore(str(tmp_path / "target"))
    with pytest.raises(DamagedDocument):
        restore(place, target)
    place.put(CONTENT + layout.definition(CHURN), held)
    done = restore(place, target)
    assert 0 < done.copied < len(done.manifest.items)
    assert not target.exists(layout.RESTORING)


def test_the_hash_key_is_in_a_backup_that_was_asked_to_have_it(
    source: ObjectStore, place: ObjectStore, tmp_path: Path
) -> None:
    (tmp_path / "hash-key").write_text("0f" * 32)
    backed_up(source, place, Order(home=tmp_path))
    assert [] == verify(place).faults
    into = tmp_path / "home" / "hash-key"
    assert put_hash_keys(place, verify(place).manifest, into.parent)
    assert ("0f" * 32, 0o600) == (into.read_text(), into.stat().st_mode & 0o777)
    into.write_text("11" * 32)
    with pytest.raises(Conflict, match="differs from the hash key"):
        put_hash_keys(place, verify(place).manifest, into.parent)


def test_a_backup_of_a_later_format_is_refused(place: ObjectStore) -> None:
    place.put(MANIFEST, b'{"schema": 2}')
    with pytest.raises(DamagedDocument, match="format 2"):
        verify(place)
