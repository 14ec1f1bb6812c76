"""Who may do what: roles on patterns of names, API keys, and decisions that follow the store."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_functions.access import authentication, keys
from headrace_functions.access.authentication import Authentication, Credentials
from headrace_functions.access.keys import Key, new_key
from headrace_functions.access.policy import Policy
from headrace_functions.access.roles import (
    ANYBODY,
    PERMISSIONS,
    PLATFORM,
    ROLES,
    Caller,
    Grant,
    RoleOn,
    check_pattern,
    check_subject,
)
from headrace_functions.access.source import PolicySource
from headrace_functions.errors import Forbidden, InvalidInput, StorageFailed, Unauthenticated
from headrace_functions.platform_secret import PlatformSecret
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
SECRET = PlatformSecret("word")


def key_of(text: str, name: str = "ci", **more: object) -> Key:
    given = {"owner": "user:ann", "roles": (RoleOn("caller", "churn-*"),), "created": 0.0, **more}
    return Key(name, keys.id_of(text) or "", keys.digest(text), **given)  # type: ignore[arg-type]


class Store:
    """A store of access documents, and what asks it."""

    def __init__(self, folder: Path) -> None:
        self.now = 1000.0
        self.documents = Documents(ObjectStore(str(folder)))
        self.source = PolicySource(self.documents, lambda: self.now)
        self.used: list[str] = []
        self.authentication = Authentication(self.source, SECRET, used=self.used.append)

    def add(self, *documents: Key | Grant) -> None:
        for it in documents:
            folder = layout.access_key(it.name) if isinstance(it, Key) else layout.grant(it.name)
            self.documents.append(folder, it.to_document())
        self.source.refresh()

    def admit(self, text: str, name: str = "churn-eu") -> Caller:
        return self.authentication.admit(Credentials(b"Bearer " + text.encode()), name, "call")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@given(NAMES, NAMES)
def test_a_pattern_without_a_star_is_one_name(pattern: str, name: str) -> None:
    assert RoleOn("caller", pattern).allows("call", name) is (pattern == name)


@given(NAMES, NAMES)
def test_a_star_stands_for_any_characters(prefix: str, rest: str) -> None:
    assert RoleOn("caller", f"{prefix}*").allows("call", prefix + rest)
    assert RoleOn("caller", f"*{rest}").allows("call", prefix + rest)
    assert RoleOn("caller", "*").allows("call", rest)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_allows_what_its_row_says_and_nothing_else(role: str) -> None:
    on = RoleOn.parse(f"{role}:churn")
    assert ROLES[role] == {p for p in PERMISSIONS if on.allows(p, "churn")}  # type: ignore[index]
    assert not any(on.allows(p, "churn-eu") or on.allows(p, "*") for p in PERMISSIONS)


@pytest.mark.parametrize("bad", ["", "Churn", "a b", "churn-", "-a", "a/b", "a" * 41, "ch?rn", "[a]", None, 3])
def test_what_is_no_pattern_is_refused_by_name(bad: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_pattern(bad)
    assert refused.value.field == "names"


@pytest.mark.parametrize("bad", ["", "ann", "user:", "user:a b", "robot:x", "user:ä", "user:" + "a" * 201, "key:a\n"])
def test_what_is_no_subject_is_refused_by_name(bad: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_subject(bad)
    assert refused.value.field == "subject"


def test_grants_to_a_caller_and_to_their_groups_come_together() -> None:
    policy = Policy(
        grants={
            "a": Grant("a", ("user:ann",), "viewer", ("churn-*",)),
            "b": Grant("b", ("group:growth",), "caller", ("offers",)),
        }
    )
    ann = Caller("user:ann", ("growth",))
    assert policy.allows(ann, "view", "churn-eu")
    assert policy.allows(ann, "call", "offers")
    assert not policy.allows(ann, "call", "churn-eu")
    assert not policy.allows(Caller("user:bob", ("growth",)), "view", "churn-eu")
    assert policy.allows_somewhere(ann, "call")
    assert not policy.allows_somewhere(ann, "operate")


def test_a_key_admits_where_its_roles_allow_it(store: Store) -> None:
    text = new_key()
    store.add(key_of(text))

    assert "key:ci" == store.admit(text).subject
    with pytest.raises(Forbidden, match="'call' on offers"):
        store.admit(text, "offers")
    assert ["ci"] == store.used


def test_of_a_key_the_store_has_a_digest_and_a_prefix_alone(store: Store) -> None:
    text = new_key()
    store.add(key_of(text))
    kept = b"".join(store.documents.objects.get(i.key) for i in store.documents.objects.walk(layout.ACCESS))
    assert keys.id_of(text).encode() in kept  # type: ignore[union-attr]
    assert text.rsplit("_", 1)[1].encode() not in kept


def damaged(text: str) -> str:
    return text[:-1] + ("0" if text[-1] != "0" else "1")


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer ",
        b"Basic dXNlcjpwYXNz",
        b"Bearer hrk_",
        b"Bearer \xff\xfe",
        b"Bearer a.b.c",
        b"Bearer " + b"a" * 1_000_000,
    ],
)
def test_bad_credentials_are_told_from_missing_rights(store: Store, header: bytes | None) -> None:
    store.add(key_of(new_key()))
    with pytest.raises(Unauthenticated):
        store.authentication.admit(Credentials(header), "churn-eu", "call")


def test_a_key_with_one_wrong_character_is_refused(store: Store) -> None:
    text = new_key()
    store.add(key_of(text))
    with pytest.raises(Unauthenticated, match="unknown"):
        store.admit(damaged(text))


def test_a_key_ends_when_it_expires_though_it_was_verified_before(store: Store) -> None:
    text = new_key()
    store.add(key_of(text, expires=1003.0))
    store.admit(text)
    store.now = 1003.0
    with pytest.raises(Unauthenticated, match="expired"):
        store.admit(text)


def test_a_revoked_key_is_refused_at_the_next_look(store: Store) -> None:
    text = new_key()
    store.add(key_of(text))
    store.admit(text)
    store.add(key_of(text, revoked=1001.0))
    with pytest.raises(Unauthenticated, match="revoked"):
        store.admit(text)


@pytest.mark.parametrize("subject", ["user:ann", "key:ci"])
def test_keys_of_a_blocked_owner_are_refused_until_it_is_unblocked(store: Store, subject: str) -> None:
    text = new_key()
    store.add(key_of(text))
    store.documents.append(layout.access_block(subject), {"subject": subject})
    store.source.refresh()
    with pytest.raises(Unauthenticated, match="blocked"):
        store.admit(text)
    store.documents.append(layout.access_block(subject), {"subject": subject, "deleted": True})
    store.source.refresh()
    assert "key:ci" == store.admit(text).subject


def test_nobody_is_let_in_before_the_store_was_read(store: Store) -> None:
    with pytest.raises(StorageFailed):
        store.admit(new_key())


def test_a_damaged_document_takes_away_what_it_would_allow_and_nothing_else(store: Store) -> None:
    text = new_key()
    store.add(key_of(text))
    store.documents.objects.put(layout.grant("broken") + "1.json", b"{no json")
    store.documents.objects.put(
        layout.grant("odd") + "1.json", b'{"name": "odd", "subjects": ["key:ci"], "role": "king"}'
    )
    store.source.refresh()
    assert "key:ci" == store.admit(text).subject
    assert 2 == len(store.source.problems)


def test_the_platforms_own_processes_are_known_by_their_secret(store: Store) -> None:
    store.source.refresh()
    assert PLATFORM == store.authentication.identify(Credentials(purpose=b"explain word"))
    assert PLATFORM == store.authentication.identify(Credentials(proof=b"word"))
    vouched = store.authentication.identify(Credentials(proof=b"word", caller=b"user:ann"))
    assert "user:ann" == vouched.subject
    for forged in (Credentials(purpose=b"explain no"), Credentials(proof=b"no", caller=b"user:ann")):
        with pytest.raises(Unauthenticated):
            store.authentication.identify(forged)


def test_without_authentication_everybody_is_anybody() -> None:
    off = Authentication(None, SECRET)
    assert ANYBODY == off.admit(Credentials(), "churn", "administer")


def test_a_follower_sees_a_change_without_being_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace_functions.access.source.EVERY", 0.02)
    documents = Documents(ObjectStore(str(tmp_path)))
    follower = PolicySource(documents)
    follower.open()
    try:
        documents.append(layout.grant("g"), Grant("g", ("user:ann",), "viewer", ("*",)).to_document())
        deadline = time.monotonic() + 10
        while "g" not in follower.policy.grants and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "g" in follower.policy.grants
    finally:
        follower.close()


def test_a_verified_key_is_not_read_again_until_something_changes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = new_key()
    store.add(key_of(text))
    store.admit(text)
    monkeypatch.setattr(Policy, "key_of", lambda *_: pytest.fail("it was verified again"))
    store.admit(text)
    monkeypatch.undo()
    store.now += authentication.REMEMBER + 1
    store.admit(text)
    assert ["ci", "ci"] == store.used
