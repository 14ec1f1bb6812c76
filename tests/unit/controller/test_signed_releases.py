"""A release that the platform did not sign is one damaged version: shown, not answered for, deletable; everything else is as it was."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from headrace_controller.catalog.catalog import Catalog
from headrace_functions.errors import Conflict, DamagedDocument, HeadraceError, NotFound
from headrace_functions.gateway.resolve import Resolver
from headrace_functions.names import Reference, VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.storage.releases import ReleaseKey, read_release
from headrace_functions.version import Version
from support.versions import version

KEY = ReleaseKey("the platform's key")
GIVEN = {"definition": {}, "content": "c", "artifact": "a", "created": "2026-01-01T00:00:00Z"}


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore(str(tmp_path / "store"))


def released(catalog: Catalog, model: str = "churn") -> VersionId:
    """As a build does it."""
    it = catalog.claim_version(model, GIVEN)
    catalog.write_version(version(it.model, it.number))
    catalog.add_status(it, "released")
    return it


def resolve(objects: ObjectStore, reference: str, key: ReleaseKey | None = KEY) -> Version:
    async def ask() -> Version:
        resolver = Resolver(Documents(objects), release_key=key)
        try:
            found = await resolver.resolve(Reference.parse(reference))
            assert isinstance(found, Version)
            return found
        finally:
            await resolver.close()

    return asyncio.run(ask())


def changed(objects: ObjectStore, it: VersionId, newest: VersionId) -> None:
    """Its document is another one than was signed."""
    document = orjson.loads(objects.get(layout.version_document(newest))) | {"artifact": "f" * 64}
    objects.put(layout.version_document(newest), orjson.dumps(document))


def unsigned(objects: ObjectStore, it: VersionId, newest: VersionId) -> None:
    objects.delete(layout.release_signature(newest))


def of_another(objects: ObjectStore, it: VersionId, newest: VersionId) -> None:
    """The whole of a signed release under another number."""
    objects.put(layout.version_document(newest), objects.get(layout.version_document(it)))
    objects.put(layout.release_signature(newest), objects.get(layout.release_signature(it)))


def by_another(objects: ObjectStore, it: VersionId, newest: VersionId) -> None:
    content = objects.get(layout.version_document(newest))
    objects.put(layout.release_signature(newest), ReleaseKey("another key").sign(newest, content))


def no_signature(objects: ObjectStore, it: VersionId, newest: VersionId) -> None:
    objects.put(layout.release_signature(newest), b"no JSON")


def without_definition(objects: ObjectStore, it: VersionId, newest: VersionId) -> None:
    objects.delete(layout.definition(newest))
    objects.delete(layout.release_signature(newest))


FORGERIES = [changed, unsigned, of_another, by_another, no_signature, without_definition]


def test_what_the_platform_released_is_released(objects: ObjectStore) -> None:
    it = released(Catalog(Documents(objects), KEY))
    found = Catalog(Documents(objects), KEY).get(it)

    assert (True, False) == (found.released, found.damaged)
    assert it == resolve(objects, "churn").id


@pytest.mark.parametrize("forge", FORGERIES)
def test_what_it_did_not_sign_is_one_damaged_version(
    objects: ObjectStore, forge: Callable[[ObjectStore, VersionId, VersionId], None]
) -> None:
    catalog = Catalog(Documents(objects), KEY)
    it, newest = released(catalog), released(catalog)
    forge(objects, it, newest)
    fresh = Catalog(Documents(objects), KEY)

    found = fresh.get(newest)
    assert (False, True, "failed") == (found.released, found.damaged, found.state)
    assert str(layout.version(newest)) in found.status.reason
    known = fresh.newest_released("churn")
    assert known is not None
    assert it == known.id
    assert it == resolve(objects, "churn").id
    with pytest.raises(DamagedDocument):
        resolve(objects, str(newest))


@pytest.mark.parametrize("forge", FORGERIES)
def test_it_can_be_deleted(objects: ObjectStore, forge: Callable[[ObjectStore, VersionId, VersionId], None]) -> None:
    catalog = Catalog(Documents(objects), KEY)
    it, newest = released(catalog), released(catalog)
    forge(objects, it, newest)
    fresh = Catalog(Documents(objects), KEY)
    fresh.delete_version(newest)

    assert [it] == list(fresh.version_ids("churn"))
    with pytest.raises(NotFound):
        resolve(objects, str(newest))


def test_whoever_knows_a_release_signs_it(objects: ObjectStore) -> None:
    it = released(Catalog(Documents(objects)))
    catalog = Catalog(Documents(objects), KEY)
    assert catalog.get(it).damaged

    catalog.sign_release(it)

    assert catalog.get(it).released
    assert it == resolve(objects, "churn").id


def test_a_release_that_nobody_defined_is_not_signed(objects: ObjectStore) -> None:
    catalog = Catalog(Documents(objects), KEY)
    it = released(catalog)
    without_definition(objects, it, it)
    with pytest.raises(NotFound):
        Catalog(Documents(objects), KEY).sign_release(it)


def test_a_platform_without_a_key_signs_nothing_and_says_so(objects: ObjectStore) -> None:
    catalog = Catalog(Documents(objects))
    it = released(catalog)
    assert not objects.exists(layout.release_signature(it))
    with pytest.raises(Conflict, match="does not sign releases"):
        catalog.sign_release(it)
    assert it == resolve(objects, "churn", None).id


def test_a_store_that_is_older_than_signatures_is_signed_as_a_whole_and_once(objects: ObjectStore) -> None:
    """What has a signature that does not fit is not touched: it was forged, or changed since."""
    old = Catalog(Documents(objects))
    first, second, third = released(old), released(old), released(old, "other")
    by_another(objects, first, second)

    Catalog(Documents(objects), KEY).sign_unsigned()

    states = {v.id: v.released for v in Catalog(Documents(objects), KEY).versions()}
    assert {first: True, second: False, third: True} == states


def test_a_release_that_was_read_is_what_was_signed(objects: ObjectStore) -> None:
    it = released(Catalog(Documents(objects), KEY))

    assert version("churn", 1).to_document() == read_release(objects, it, KEY)
    assert read_release(objects, VersionId("churn", 2), KEY) is None
    changed(objects, it, it)
    with pytest.raises(HeadraceError, match="differs from what was signed"):
        read_release(objects, it, KEY)
    assert read_release(objects, it, None) is not None
