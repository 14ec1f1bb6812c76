"""What the object store and its documents promise, on a directory and on S3."""

import itertools
import threading
from pathlib import Path

import pytest

from headrace_functions.errors import Conflict, InvalidInput, NotFound, StorageFailed
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore

_prefix = itertools.count()


@pytest.fixture(params=["directory", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "directory":
        return ObjectStore(str(tmp_path / "store"))
    return ObjectStore(f"{request.getfixturevalue('s3_url')}/storage-{next(_prefix)}")


def test_what_is_put_is_read_and_put_again_replaces_it(objects: ObjectStore) -> None:
    objects.put("a/b", b"one")
    objects.put("a/b", b"two")

    assert b"two" == objects.get("a/b")
    assert objects.exists("a/b")


def test_a_file_is_put_by_its_path(objects: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    objects.put("large", tmp_path / "file")

    assert b"x" * 100_000 == objects.get("large")


def test_reading_the_absent_is_not_found_and_deleting_it_succeeds(objects: ObjectStore) -> None:
    with pytest.raises(NotFound):
        objects.get("nothing")
    assert not objects.exists("nothing")
    objects.delete("nothing")


@pytest.mark.parametrize("key", ["jobs/\f/job.json", "a/../b", "a//b", "a/\x00", "a/\ud800"], ids=ascii)
def test_a_text_that_cannot_be_a_key_is_one_that_nothing_has(objects: ObjectStore, key: str) -> None:
    for read in (objects.get, objects.size):
        with pytest.raises(NotFound):
            read(key)
    for write in (objects.create, objects.put):
        with pytest.raises(InvalidInput, match="cannot be a key"):
            write(key, b"")
    assert (False, [], [], []) == (
        objects.exists(key),
        objects.names(key),
        objects.folders(key),
        list(objects.walk(key)),
    )
    objects.delete(key)


def test_what_is_created_cannot_be_created_again(objects: ObjectStore) -> None:
    objects.create("claim", b"first")

    with pytest.raises(Conflict):
        objects.create("claim", b"second")
    assert b"first" == objects.get("claim")


def test_listing_is_by_folder_and_in_the_order_of_keys(objects: ObjectStore) -> None:
    for key in ("m/b/2", "m/a/1", "m/c", "n/x"):
        objects.put(key, b"12")

    assert [("m/a/1", 2), ("m/b/2", 2), ("m/c", 2)] == [(o.key, o.size) for o in objects.walk("m/")]
    assert (["a", "b"], ["c"]) == (objects.folders("m/"), objects.names("m/"))
    assert ([], [], []) == (list(objects.walk("z/")), objects.folders("z/"), objects.names("z/"))


def test_folders_are_listed_from_a_name_on(objects: ObjectStore) -> None:
    for key in ("m/a/1", "m/b/1", "m/b/2", "m/c/d/1", "n/z/1"):
        objects.put(key, b"")

    assert objects.folders_from("m/", "") == ["a", "b", "c"]
    assert objects.folders_from("m/", "b") == ["b", "c"]
    assert objects.folders_from("m/", "ba") == ["c"]
    assert objects.folders_from("z/", "a") == []


def test_a_prefix_is_a_folder_and_not_the_start_of_a_name(objects: ObjectStore) -> None:
    objects.put("churn/1", b"")
    objects.put("churn-2/1", b"")

    assert ["churn/1"] == [o.key for o in objects.walk("churn/")]


def test_of_many_writers_at_once_one_creates_and_the_others_see_it(objects: ObjectStore) -> None:
    outcomes: list[str] = []
    start = threading.Barrier(8)

    def write(n: int) -> None:
        start.wait()
        try:
            objects.create("race", str(n).encode())
            outcomes.append(str(n))
        except Conflict:
            outcomes.append("lost")

    run_all([lambda n=n: write(n) for n in range(8)])

    winners = [o for o in outcomes if o != "lost"]
    assert (8, 1) == (len(outcomes), len(winners))
    assert winners[0].encode() == objects.get("race")


def test_states_appended_at_once_get_different_numbers_and_none_is_lost(objects: ObjectStore) -> None:
    documents = Documents(objects)
    numbers: list[int] = []

    run_all([lambda n=n: numbers.append(documents.append("series/", {"by": n})) for n in range(10)])

    assert list(range(1, 11)) == sorted(numbers) == documents.numbers("series/")
    assert set(range(10)) == {documents.get(f"series/{n}.json")["by"] for n in numbers}


def test_the_last_state_of_a_series_counts_beyond_nine(objects: ObjectStore) -> None:
    documents = Documents(objects)
    assert documents.last("series/") is None
    for n in range(12):
        documents.append("series/", {"n": n})

    assert {"n": 11} == documents.last("series/")
    assert 12 == documents.last_number("series/")


def test_a_url_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not a supported URL"):
        ObjectStore("ftp://somewhere/else")


def test_a_store_that_is_away_says_so_and_names_the_key(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    away = ObjectStore(f"{s3_url}/away")

    with pytest.raises(StorageFailed, match="cannot read some/key"):
        away.get("some/key")


def run_all(work: list) -> None:  # type: ignore[type-arg]
    threads = [threading.Thread(target=w) for w in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
