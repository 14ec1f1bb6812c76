"""One bad item in the inbox is one bad item: it is set aside with its reason, everything else is logged, nothing is lost."""

import itertools
import zlib
from pathlib import Path
from typing import Any

import orjson
import pytest

from headrace_controller.catalog.catalog import Catalog
from headrace_controller.collector import collect
from headrace_controller.collector.collect import Collector
from headrace_controller.collector.tables import LogTables
from headrace_controller.service.intake import LATE, Intake
from headrace_functions.errors import StorageFailed
from headrace_functions.record import _FRAME, _MAGIC, Record, Unreadable, encode, read
from headrace_functions.recording.shipper import Shipper
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from support.collecting import ONE, TWO, logged, record, spooled, store

SEGMENT = layout.inbox_segment("gateway", "f" * 32, 0)


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return store(str(tmp_path / "store"))


@pytest.fixture
def collector(objects: ObjectStore, tmp_path: Path) -> Collector:
    return Collector(objects, Shipper(tmp_path / "spool", objects))


def frame(header: bytes) -> bytes:
    return _FRAME.pack(_MAGIC, len(header), 0, 0, zlib.crc32(header)) + header


def header(**other: Any) -> bytes:
    known = orjson.loads(orjson.dumps(record(ONE, "bad").header))
    return orjson.dumps({k: v for k, v in {**known, **other}.items() if v != "absent"})


def reasons(objects: ObjectStore) -> str:
    return "\n".join(f"{r.key}: {r.reason}" for r in Intake(objects).refused())


@pytest.mark.parametrize(
    "key",
    [
        "inbox/notes.txt",
        "inbox/gateway/spool/one.seg",
        "inbox/gateway/spool/1.open",
        "inbox/a/b/c/0.seg",
        "inbox/gateway/x/-1.seg",
    ],
)
def test_an_object_that_is_no_segment_is_set_aside_and_the_others_are_logged(
    objects: ObjectStore, collector: Collector, tmp_path: Path, key: str
) -> None:
    objects.put(key, b"hello")
    spooled(tmp_path / "spool", record(ONE, "a"))

    collector.round()

    assert ["a"] == logged(objects, ONE)
    assert [] == list(objects.walk(layout.INBOX))
    assert b"hello" == objects.get(layout.refused(key))
    assert "its key is not that of a segment" in reasons(objects)


AFTER = len(encode(record(ONE, "before")))
"""Bytes of the record that stands before a bad one."""


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"no frame at all", f"no whole record at byte {AFTER} of {AFTER + len(b'no frame at all')}"),
        (frame(b"{"), f"header at byte {AFTER}"),
        (frame(b"[]"), "not a JSON object"),
        (frame(header(model="absent")), "'model' is missing"),
        (frame(header(model="Not A Name")), "not a valid name"),
        (frame(header(model="../../etc")), "not a valid name"),
        (frame(header(version=0)), "version"),
        (frame(header(version="1")), "'version' is '1'"),
        (frame(header(received=-1)), "'received' is -1"),
        (frame(header(received=True)), "'received' is True"),
        (frame(header(shadow=1)), "'shadow' is 1"),
        (frame(header(request_id=None)), "'request_id' is None"),
        (frame(header(model="unknown")), "records of unknown:1: the version is not in the catalog"),
        (b"", "it is empty"),
    ],
)
def test_an_unreadable_record_is_set_aside_with_its_reason_and_the_others_are_logged(
    objects: ObjectStore, collector: Collector, tmp_path: Path, bad: bytes, reason: str
) -> None:
    objects.put(SEGMENT, encode(record(ONE, "before")) + bad if bad else b"")
    spooled(tmp_path / "spool", record(ONE, "a"), record(TWO, "b"))

    collector.round()

    assert (["a", "before"] if bad else ["a"], ["b"]) == (logged(objects, ONE), logged(objects, TWO))
    assert [] == list(objects.walk(layout.INBOX))
    assert reason in reasons(objects)
    assert 1 == Intake(objects).refused_count()


def test_a_header_with_a_member_of_a_newer_release_is_read(objects: ObjectStore, collector: Collector) -> None:
    objects.put(SEGMENT, frame(header(request_id="newer", caller="someone", tokens=3)))

    collector.round()

    assert (["newer"], "") == (logged(objects, ONE), reasons(objects))


def test_records_after_one_with_a_bad_header_are_read() -> None:
    found = list(read(encode(record(ONE, "a")) + frame(b"{}") + encode(record(ONE, "b"))))

    assert ["a", None, "b"] == [f.header.request_id if isinstance(f, Record) else None for f in found]
    assert isinstance(found[1], Unreadable)


def test_a_record_that_no_row_can_be_made_of_is_set_aside_alone(
    objects: ObjectStore, collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_table = collect.to_table

    def stumbling(version: Any, records: list[Record], profile: Any) -> Any:
        if any(r.header.request_id == "odd" for r in records):
            raise OverflowError("nobody foresaw it")
        return to_table(version, records, profile)

    monkeypatch.setattr(collect, "to_table", stumbling)
    spooled(tmp_path / "spool", record(ONE, "a"), record(ONE, "odd"), record(ONE, "b"))

    collector.round()

    assert ["a", "b"] == logged(objects, ONE)
    assert "records of adder:1: OverflowError: nobody foresaw it" in reasons(objects)


@pytest.mark.parametrize("document", [b"{}", b"no JSON", b"[]", b'{"model": "adder"}'])
def test_a_damaged_version_keeps_no_other_version_from_its_log(
    objects: ObjectStore, collector: Collector, tmp_path: Path, document: bytes
) -> None:
    objects.put(layout.version_document(ONE.id), document)
    spooled(tmp_path / "spool", record(ONE, "a"), record(TWO, "b"))

    collector.round()

    assert ["b"] == logged(objects, TWO)
    assert layout.version_document(ONE.id) in reasons(objects)


def test_what_was_set_aside_is_logged_once_when_it_is_retried_twice(
    objects: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = objects.get(layout.version_document(ONE.id))
    objects.put(layout.version_document(ONE.id), b"{}")
    spooled(tmp_path / "spool", record(ONE, "a"), record(ONE, "b"))
    shipper = Shipper(tmp_path / "spool", objects)
    Collector(objects, shipper).round()
    objects.put(layout.version_document(ONE.id), whole)
    with monkeypatch.context() as patched:
        patched.setattr(ObjectStore, "delete", lambda *_: (_ for _ in ()).throw(StorageFailed("cut short here")))
        with pytest.raises(StorageFailed):
            Intake(objects).retry()
    Collector(objects, shipper).round()

    assert 1 == Intake(objects).retry()
    Collector(objects, shipper).round()

    assert (["a", "b"], "") == (logged(objects, ONE), reasons(objects))


def test_a_log_that_cannot_be_written_keeps_its_segments_and_no_other_version_waits(
    objects: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "BATCH_BYTES", 1)
    append = LogTables.append
    calls = itertools.count()

    def failing_once(self: LogTables, version: Any, rows: Any, segments: Any) -> None:
        if version == ONE.id and next(calls) == 0:
            raise StorageFailed("this table is damaged")
        append(self, version, rows, segments)

    for n in range(3):
        spooled(tmp_path / "spool", record(ONE, f"a{n}"), record(TWO, f"b{n}"))
    collector = Collector(objects, Shipper(tmp_path / "spool", objects))
    with monkeypatch.context() as patched:
        patched.setattr(LogTables, "append", failing_once)
        with pytest.raises(StorageFailed, match="this table is damaged"):
            collector.round()
        assert ["b0", "b1", "b2"] == logged(objects, TWO)
    collector.round()

    assert (["a0", "a1", "a2"], ["b0", "b1", "b2"]) == (logged(objects, ONE), logged(objects, TWO))


def test_a_backlog_that_grows_old_and_what_was_set_aside_are_problems_of_the_platform(objects: ObjectStore) -> None:
    objects.put(SEGMENT, encode(record(ONE, "a")))
    modified = next(objects.walk(layout.INBOX)).modified

    assert [] == Intake(objects, lambda: modified + LATE).problems()
    assert "the log is 180 s behind: 1 segments" in Intake(objects, lambda: modified + 180).problems()[0]
    objects.put(layout.refused("inbox/x"), b"1")
    assert "1 objects could not be logged" in Intake(objects, lambda: modified).problems()[0]


@pytest.mark.parametrize("what", ["definition.json", "version.json", "status/1.json"])
@pytest.mark.parametrize("document", [b"{}", b"no JSON", b'["list"]'])
def test_one_damaged_version_is_one_damaged_version(objects: ObjectStore, what: str, document: bytes) -> None:
    documents = Documents(objects)
    for version in (ONE, TWO):
        given = {
            "schema": 1,
            "definition": {"name": version.id.model},
            "content": "c",
            "artifact": "a",
            "created": "2026",
        }
        documents.create(layout.definition(version.id), given)
        documents.append(layout.status(version.id), {"state": "released", "reason": "", "at": "2026"})
    objects.put(layout.version(ONE.id) + what, document)

    found = {str(v.id): v for v in Catalog(documents).versions()}

    assert (True, False) == (found["adder:1"].damaged, found["other:1"].damaged)
    assert (False, True) == (found["adder:1"].released, found["other:1"].released)
    assert "models/adder/versions/1/" in found["adder:1"].status.reason


@pytest.mark.parametrize("document", [b"{}", b"no JSON", b'{"stages": 3, "name": "s"}'])
def test_one_damaged_sequence_is_left_out_of_the_list_and_named(objects: ObjectStore, document: bytes) -> None:
    catalog = Catalog(Documents(objects))
    objects.put(layout.revisions("broken") + "1.json", document)

    assert [] == list(catalog.current_sequences())
    assert "sequences/broken/revisions/1.json" in catalog.sequences.damaged["broken"]


def test_what_a_function_says_of_others_is_set_aside_and_what_it_says_of_itself_is_logged(
    objects: ObjectStore, collector: Collector
) -> None:
    """A hostile function writes into its own folder of the inbox what it likes, also a record of another model."""
    segment = b"".join(encode(record(*it)) for it in ((TWO, "own"), (ONE, "forged"), (TWO, "own too")))
    objects.put(layout.inbox_segment(TWO.id.service, "f" * 32, 0), segment)

    collector.round()

    assert ["own", "own too"] == logged(objects, TWO)
    assert not objects.exists(layout.log_table(ONE.id) + "/_delta_log/00000000000000000000.json")
    assert "they came from other-v1, which may not speak for others" in reasons(objects)
    assert [] == list(objects.walk(layout.INBOX))
