"""The keys of a platform in a cluster: made once, whatever is cut short, and what the store had is signed before anybody checks."""

from typing import Any

import pytest

from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_controller.incluster.platform_keys import PENDING, HashKeys, PlatformKeys, patiently, platform_keys
from headrace_functions.errors import InvalidInput, NotReady, Unreachable
from headrace_functions.storage.releases import ReleaseKey

CLUSTER = ClusterSettings("s3://bucket", namespace="models")
NAME = "headrace-platform"


class Kept:
    """Secrets of a namespace."""

    def __init__(self, **data: str) -> None:
        self.documents: dict[str, dict[str, str]] = {NAME: data} if data else {}

    def find(self, name: str) -> dict[str, str] | None:
        found = self.documents.get(name)
        return dict(found) if found is not None else None

    def create(self, document: Any) -> bool:
        return self.documents.setdefault(document["metadata"]["name"], dict(document["stringData"])) is not None

    def merge(self, name: str, data: dict[str, str | None]) -> None:
        merged = self.documents[name] | data
        self.documents[name] = {key: text for key, text in merged.items() if text is not None}


def nothing(_key: ReleaseKey) -> None:
    """A store without releases."""


def no_documents(_key: ReleaseKey, *, others: bool) -> None:
    """A store without documents."""


def test_they_are_made_once_and_found_from_then_on() -> None:
    kept = Kept()
    made = platform_keys(kept, CLUSTER, nothing, no_documents)

    assert made == platform_keys(kept, CLUSTER, lambda _key: pytest.fail("nothing is adopted twice"), no_documents)
    assert {"secret", "release-key", "hash-key", "documents"} == kept.documents[NAME].keys()
    assert 32 == len(bytes.fromhex(made.hash_key))
    assert len(made.secret) > 30
    assert made.secret != made.release_key.value
    assert made.secret not in repr(made)


def test_what_the_store_has_is_signed_before_the_key_is_shown() -> None:
    kept, adopted = Kept(), []

    def adopt(key: ReleaseKey) -> None:
        assert "release-key" not in kept.documents[NAME], "gateways wait for it"
        adopted.append(key)

    assert [platform_keys(kept, CLUSTER, adopt, no_documents).release_key] == adopted


def test_an_adoption_that_was_cut_short_is_done_again_with_the_same_key() -> None:
    kept, keys = Kept(), []

    def cut_short(key: ReleaseKey) -> None:
        keys.append(key)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        platform_keys(kept, CLUSTER, cut_short, no_documents)
    assert PENDING in kept.documents[NAME]
    made = platform_keys(kept, CLUSTER, keys.append, no_documents)

    assert [made.release_key] * 2 == keys


def test_a_secret_that_somebody_made_is_taken_and_nothing_is_adopted() -> None:
    kept = Kept(secret="s", **{"release-key": "r", "hash-key": "ab" * 16})

    found = platform_keys(kept, CLUSTER, lambda _key: pytest.fail("the store is not trusted"), no_documents)

    assert PlatformKeys("s", ReleaseKey("r"), "ab" * 16) == found


def test_a_secret_of_an_earlier_release_is_given_a_key_of_hashes_once() -> None:
    kept = Kept(secret="s", **{"release-key": "r"})
    made = platform_keys(kept, CLUSTER, nothing, no_documents)

    assert made == platform_keys(kept, CLUSTER, nothing, no_documents)
    whole = {"secret": "s", "release-key": "r", "hash-key": made.hash_key, "documents": "signed"}
    assert whole == kept.documents[NAME]
    assert made.hash_key not in repr(made)


@pytest.mark.parametrize("key", ["not hexadecimal", "ab" * 15])
@pytest.mark.parametrize("place", ["hash-key", "retired-hash-keys"])
def test_a_key_of_hashes_that_is_none_is_named(place: str, key: str) -> None:
    data = {"secret": "s", "release-key": "r", "hash-key": "ab" * 16} | {place: key}
    with pytest.raises(InvalidInput) as error:
        platform_keys(Kept(**data), CLUSTER, nothing, no_documents)
    assert "hash-key" == error.value.field
    assert key not in str(error.value.details())


@pytest.mark.parametrize(("says", "others"), [(None, [False]), ("", [False]), ("adopt", [True]), ("signed", [])])
def test_documents_are_signed_once_and_those_of_another_key_where_somebody_says_so(
    says: str | None, others: list[bool]
) -> None:
    kept, asked = Kept(secret="s", **{"release-key": "r"}, **({} if says is None else {"documents": says})), []

    def adopt(key: ReleaseKey, *, others: bool) -> None:
        assert "r" == key.value
        assert "signed" != kept.documents[NAME].get("documents"), "gateways wait for it"
        asked.append(others)

    for _ in range(2):
        platform_keys(kept, CLUSTER, nothing, adopt)
    assert others == asked
    assert "signed" == kept.documents[NAME]["documents"]


def test_a_word_about_documents_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput, match="says 'yes'"):
        platform_keys(Kept(secret="s", documents="yes", **{"release-key": "r"}), CLUSTER, nothing, no_documents)


def test_replaced_keys_of_hashes_outlast_the_controller_in_their_order() -> None:
    kept, looks = Kept(secret="s", **{"release-key": "r", "hash-key": "01" * 16}), []
    keys = HashKeys(kept, lambda: looks.append(1))
    keys.keep("02" * 16, ["01" * 16])
    keys.keep("03" * 16, ["01" * 16, "02" * 16])
    keys.renew()

    found = platform_keys(kept, CLUSTER, nothing, no_documents)
    assert ("03" * 16, ("01" * 16, "02" * 16)) == (found.hash_key, found.retired)
    assert [1] == looks


@pytest.mark.parametrize("data", [{"secret": "s"}, {"release-key": "r"}, {"secret": "", "release-key": "r"}])
def test_a_secret_that_lacks_a_key_is_said(data: dict[str, str]) -> None:
    with pytest.raises(NotReady, match="the Secret headrace-platform lacks"):
        platform_keys(Kept(**data), CLUSTER, nothing, no_documents)


def test_an_api_server_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace_controller.incluster.platform_keys.AGAIN", 0.0)
    tries = iter([Unreachable("away"), Unreachable("away"), PlatformKeys("s", ReleaseKey("r"), "ab" * 16)])

    def read() -> PlatformKeys:
        found = next(tries)
        if isinstance(found, Unreachable):
            raise found
        return found

    assert "s" == patiently(read).secret
