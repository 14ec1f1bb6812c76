"""The catalogue: numbers, names and series by create-only writes, on a directory and on S3."""

import threading
from pathlib import Path
from typing import Any

import pytest

from controller_support import fail, release
from headrace_controller.catalog.catalog import Catalog
from headrace_controller.service.paging import PageRequest
from headrace_controller.service.versions import VersionFilter, Versions
from headrace_functions.errors import Conflict, InvalidInput, NotFound
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from support.versions import version

MANY = 10_000


class Silent:
    def observe(self) -> list[dict[str, Any]]:
        return []

    def changed(self, name: str) -> None: ...

    def wake(self, service: str) -> None: ...

    def sleep(self, service: str) -> None: ...


@pytest.fixture(params=["directory", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "data") if request.param == "directory" else request.getfixturevalue("s3_prefix")


def open_catalog(url: str) -> Catalog:
    return Catalog(Documents(ObjectStore(url)))


SEQUENCE = {
    "name": "s",
    "stages": [],
    "signature": version("adder", 1).signature.to_document(),
    "timeout": 1.0,
    "metadata": {},
}


def given(content: str = "") -> dict[str, Any]:
    return {
        "definition": {"kind": "Model", "name": "m"},
        "content": content,
        "artifact": "",
        "training": None,
        "created": "",
    }


def test_writers_that_do_not_know_of_each_other_get_different_numbers(url: str) -> None:
    catalogs = [open_catalog(url) for _ in range(4)]
    claimed: list[VersionId] = []
    threads = [
        threading.Thread(target=lambda c=c: claimed.extend(c.claim_version("m", given()) for _ in range(5)))
        for c in catalogs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(v.number for v in claimed) == list(range(1, 21))


def test_a_restart_finds_everything_as_it_was(url: str) -> None:
    catalog = open_catalog(url)
    version = release(catalog, "churn", metadata={"team": "growth"})
    failed = fail(catalog, "churn", "bad artifact")
    catalog.aliases("churn").append("prod", {"version": 1})
    catalog.schedules.append("nightly", {"name": "nightly", "model": "churn:1"})
    again = open_catalog(url)
    assert [(v.id, v.state) for v in again.versions("churn")] == [(failed, "failed"), (version, "released")]
    assert again.get(failed).status.reason == "bad artifact"
    assert again.get(version).version == catalog.get(version).version
    assert again.alias_positions("churn") == {"prod": 1}
    assert again.users_of(version) == ["alias churn@prod", "schedule nightly"]


def test_a_name_belongs_to_the_kind_that_claimed_it_first(url: str) -> None:
    catalog = open_catalog(url)
    catalog.claim_name("churn", "model")
    catalog.claim_name("churn", "model")
    with pytest.raises(Conflict, match="is the name of a model"):
        open_catalog(url).claim_name("churn", "sequence")


def test_a_deleted_version_is_gone_and_its_number_is_not_given_again(url: str) -> None:
    catalog = open_catalog(url)
    first = release(catalog, "churn")
    catalog.delete_version(first)
    for found in (catalog, open_catalog(url)):
        assert found.find(first) is None
        assert found.models() == []
        with pytest.raises(NotFound):
            found.get(first)
    assert release(catalog, "churn").number == 2


def test_a_series_keeps_its_history_and_its_deletion(url: str) -> None:
    series = open_catalog(url).sequences
    series.append("s", {**SEQUENCE, "metadata": {"value": "1"}})
    series.append("s", {**SEQUENCE, "metadata": {"value": "2"}})
    series.delete("s")
    assert series.names() == []
    with pytest.raises(NotFound):
        series.get("s")
    again = open_catalog(url).sequences
    assert [(s.number, s.deleted) for s in again.history("s")] == [(1, False), (2, False), (3, True)]
    assert again.append("s", {**SEQUENCE, "metadata": {"value": "4"}}).number == 4
    assert again.names() == ["s"]


def test_what_another_writer_did_is_seen_after_reload(url: str) -> None:
    mine, other = open_catalog(url), open_catalog(url)
    assert mine.models() == []
    assert mine.sequences.names() == []
    release(other, "churn")
    other.sequences.append("s", SEQUENCE)
    mine.reload()
    assert mine.models() == ["churn"]
    assert mine.sequences.names() == ["s"]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Versions:
    """10,000 versions: 50 models with 200 each."""
    catalog = open_catalog(str(tmp_path_factory.mktemp("large")))
    for model in range(50):
        for number in range(MANY // 50):
            release(catalog, f"model-{model:02}", metadata={"parity": str(number % 2)})
    return Versions(catalog, Silent())


def test_ten_thousand_versions_are_listed_once_each_by_pages(large: Versions) -> None:
    found, token = [], None
    while True:
        page = large.select(VersionFilter(), PageRequest(100, token))
        found += [v.id for v in page.items]
        token = page.next
        if token is None:
            break

    assert MANY == len(set(found))
    assert sorted(found, key=lambda v: (v.model, -v.number)) == found


def test_a_version_that_was_listed_is_not_read_from_the_store_again(
    large: Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = large.select(VersionFilter(), PageRequest(1000)).items

    def read(self: ObjectStore, key: str) -> bytes:
        raise AssertionError(f"{key} is read again")

    monkeypatch.setattr(ObjectStore, "get", read)

    assert expected == large.select(VersionFilter(), PageRequest(1000)).items


def test_every_filter_condition_must_hold(large: Versions) -> None:
    page = large.select(VersionFilter(model="model-07", labels={"parity": "0"}, text="-07:1"), PageRequest(1000))
    assert {v.id.model for v in page.items} == {"model-07"}
    assert all(v.metadata["parity"] == "0" and str(v.id.number).startswith("1") for v in page.items)
    # 1, 10 to 19 and 100 to 199; the first of a model has parity 0, so the odd numbers have it.
    assert len(page.items) == 1 + 5 + 50


@pytest.mark.parametrize("limit", [0, 1001, -5])
def test_a_page_limit_outside_the_bounds_is_refused(limit: int) -> None:
    with pytest.raises(InvalidInput, match="limit"):
        PageRequest(limit)


def test_a_page_token_of_another_list_is_refused(large: Versions) -> None:
    with pytest.raises(InvalidInput, match="page-token"):
        large.select(VersionFilter(), PageRequest(10, "elsewhere:1"))


def test_a_number_that_nobody_claimed_is_no_version(url: str) -> None:
    """What else lies in its folder (a build that was undone by hand, another program's files) stops nobody."""
    objects = ObjectStore(url)
    objects.put(layout.artifact(VersionId("m", 1)), b"left behind")
    catalog = Catalog(Documents(objects))
    assert [] == list(catalog.versions("m"))
    assert catalog.find(VersionId("m", 1)) is None
