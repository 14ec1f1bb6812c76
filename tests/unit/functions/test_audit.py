"""The audit: a chain that several write to, that waits for the store, and that shows where something was altered or removed."""

import threading
from pathlib import Path

import orjson
import pytest

from headrace_functions.access import audit
from headrace_functions.access.audit import AuditChain, Entry, Head, Refusals
from headrace_functions.errors import StorageFailed
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore


def entry(what: str = "move_alias", **more: object) -> Entry:
    given = {
        "at": "2026-11-27T12:00:00.000Z",
        "who": "key:ann",
        "on": "/models/churn",
        "outcome": "done",
        "status": 200,
    }
    return Entry(what=what, **{**given, **more})  # type: ignore[arg-type]


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore(str(tmp_path))


@pytest.fixture
def chain(objects: ObjectStore) -> AuditChain:
    made = AuditChain(objects)
    for number in range(1, 6):
        made.write(entry(f"change-{number}"))
    return made


def test_entries_are_numbered_and_whole(chain: AuditChain) -> None:
    assert [(5, "change-5"), (4, "change-4")] == [(n, e.what) for n, e in list(chain.newest())[:2]]
    verdict = chain.verify()
    assert (5, "") == (verdict.head.number, verdict.fault)
    assert verdict.head == chain.head()


def test_an_empty_audit_is_whole(objects: ObjectStore) -> None:
    assert "" == AuditChain(objects).verify().fault


def test_two_processes_write_to_one_chain(objects: ObjectStore) -> None:
    chains = [AuditChain(objects) for _ in range(4)]
    threads = [threading.Thread(target=lambda c=c: [c.write(entry()) for _ in range(25)]) for c in chains]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (100, "") == (chains[0].verify().head.number, chains[0].verify().fault)


@pytest.mark.parametrize("number", [1, 3, 5])
def test_an_altered_entry_is_found(objects: ObjectStore, chain: AuditChain, number: int) -> None:
    known = chain.head()
    key = layout.audit_entry(number)
    objects.put(key, objects.get(key).replace(b"key:ann", b"key:bob"))
    assert "altered" in chain.verify(known).fault
    if number < 5:
        assert "altered" in chain.verify().fault


@pytest.mark.parametrize("number", [1, 3])
def test_a_removed_entry_is_found(objects: ObjectStore, chain: AuditChain, number: int) -> None:
    objects.delete(layout.audit_entry(number))
    assert f"entry {number} is missing" in chain.verify().fault


def test_an_end_that_was_cut_off_is_found_by_who_knows_the_head(objects: ObjectStore, chain: AuditChain) -> None:
    known = chain.head()
    objects.delete(layout.audit_entry(5))
    assert "" == chain.verify().fault
    assert "the end is missing" in chain.verify(known).fault


def test_an_entry_that_was_put_in_between_is_found(objects: ObjectStore, chain: AuditChain) -> None:
    forged = orjson.loads(objects.get(layout.audit_entry(3))) | {"who": "key:mallory"}
    objects.put(layout.audit_entry(3), orjson.dumps(forged))
    assert "entry 4 does not continue entry 3" in chain.verify().fault


def test_bytes_that_are_no_entry_are_found(objects: ObjectStore, chain: AuditChain) -> None:
    objects.put(layout.audit_entry(2), b"\x00")
    assert "entry 2 was altered" in chain.verify().fault
    assert [5, 4, 3, 1] == [n for n, _ in chain.newest()]


class Away(ObjectStore):
    away = True

    def create(self, key: str, data: bytes) -> None:
        if self.away:
            raise StorageFailed("the store is away")
        super().create(key, data)


def test_what_happens_while_the_store_is_away_is_written_later_in_order(tmp_path: Path) -> None:
    objects = Away(str(tmp_path))
    chain = AuditChain(objects)
    for number in range(3):
        chain.write(entry(f"change-{number}"))
    assert any("3 entries" in p for p in chain.problems)
    objects.away = False
    chain.write(entry("change-3"))
    assert ["change-3", "change-2", "change-1", "change-0"] == [e.what for _, e in chain.newest()]
    assert [] == chain.problems


def test_of_what_cannot_wait_any_more_the_number_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "WAITING", 2)
    objects = Away(str(tmp_path))
    chain = AuditChain(objects)
    for number in range(5):
        chain.write(entry(f"change-{number}"))
    objects.away = False
    chain.flush()
    assert ["change-4", "change-3", "audit"] == [e.what for _, e in chain.newest()]
    assert "3 entries were lost" in list(chain.newest())[-1][1].reason


def test_each_new_head_is_remembered(objects: ObjectStore) -> None:
    heads: list[Head] = []
    chain = AuditChain(objects, heads.append)
    chain.write(entry())
    chain.write(entry())
    assert [1, 2] == [h.number for h in heads]
    assert chain.head() == heads[-1]


def test_the_same_refusal_again_and_again_is_one_entry_with_its_count(objects: ObjectStore) -> None:
    chain = AuditChain(objects)
    refusals = Refusals(chain)
    for _ in range(1000):
        refusals.note(entry("call", outcome="refused", status=403))
    refusals.note(entry("call", outcome="refused", status=403, who="key:bob"))
    refusals.write()
    assert [("key:bob", 1), ("key:ann", 1000)] == [(e.who, e.times) for _, e in chain.newest()]


def test_a_flood_of_different_refusals_is_counted_beyond_a_limit(objects: ObjectStore) -> None:
    chain = AuditChain(objects)
    refusals = Refusals(chain)
    for number in range(audit.REFUSALS + 50):
        refusals.note(entry("call", on=f"m{number}", outcome="refused", status=401))
    refusals.write()
    newest = next(chain.newest())[1]
    assert 50 == newest.times
    assert audit.REFUSALS + 1 == chain.head().number


def test_a_large_document_is_kept_as_its_digest(objects: ObjectStore) -> None:
    chain = AuditChain(objects)
    chain.write(entry(changes=({"kind": "model", "name": "m", "before": None, "after": {"text": "x" * 100_000}},)))
    kept = next(chain.newest())[1].changes[0]
    assert {"bytes", "sha256"} == set(kept["after"])
    assert objects.size(layout.audit_entry(1)) < 2000
