"""API keys, grants and blocks: made, listed, taken back. No change may leave a platform without an administrator."""

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from headrace_controller.access.uses import KeyUses
from headrace_controller.catalog import noting
from headrace_controller.catalog.series import Series
from headrace_functions.access.keys import Key, digest, id_of, new_key
from headrace_functions.access.policy import Policy
from headrace_functions.access.roles import Grant, RoleOn, check_subject
from headrace_functions.access.source import PolicySource
from headrace_functions.errors import Conflict, InvalidInput, NotFound
from headrace_functions.names import check_name
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents

MAX_KEYS = 5000
"""API keys of one platform, the revoked ones included."""
MAX_GRANTS = 2000
MAX_ROLES = 50
"""Roles of one key."""
DAY = 86_400.0
FIRST_KEY = "first-admin"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key and its text, which is known only now."""

    key: Key
    text: str


class AccessControl:
    """``people``: whether users and groups can log in, so that a grant to them may be what keeps an administrator."""

    def __init__(
        self,
        documents: Documents,
        source: PolicySource,
        people: Callable[[], bool] = lambda: False,
        now: Callable[[], float] = time.time,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """``changed`` is called after each change, to tell those who decide elsewhere at once."""
        self._changed = changed
        self._documents = documents
        self.source = source
        self._people = people
        self._now = now
        self._lock = threading.RLock()
        self._keys = Series(documents, "access key", layout.ACCESS_KEYS, layout.access_key, Key.from_document)
        self._grants = Series(documents, "access grant", layout.ACCESS_GRANTS, layout.grant, Grant.from_document)
        self.uses = KeyUses(documents.objects)

    # Keys

    def every_key(self) -> list[Key]:
        """Every key, the revoked ones too, by name."""
        return [Key.from_document(self._keys.get(name).document) for name in self._keys.names()]

    def create_key(self, name: str, owner: str, roles: tuple[RoleOn, ...], expires_in: float | None = None) -> NewKey:
        """Make a key; its text is shown now and never again. ``expires_in`` is in seconds.

        ``Conflict`` where the name is taken, be it by a revoked key: who the log's ``caller`` was must stay certain.
        """
        check_name(name)
        check_subject(owner, field="owner")
        if not roles or len(roles) > MAX_ROLES:
            raise InvalidInput(
                f"roles: a key takes 1 to {MAX_ROLES} roles", field="roles", expected="e.g. caller:churn-*"
            )
        if expires_in is not None and not 0 < expires_in <= 3660 * DAY:
            raise InvalidInput("expires: not within ten years", field="expires", expected="a duration such as 90d")
        with self._lock:
            self._keys.reload()
            if self._keys.find(name) is not None:
                raise Conflict(
                    f"there is a key {name!r} or was one before; names of keys are not reused",
                    field="name",
                    hint="choose another name",
                )
            if len(self._keys.names()) >= MAX_KEYS:
                raise Conflict(f"there are {MAX_KEYS} keys already", field="name")
            text, now = new_key(), self._now()
            key = Key(
                name,
                id_of(text) or "",
                digest(text),
                owner,
                roles,
                now,
                None if expires_in is None else now + expires_in,
            )
            self._keys.append(name, {"schema": 1, **key.to_document()})
            self._tell()
        return NewKey(key, text)

    def revoke_key(self, name: str) -> Key:
        """End a key for good. Revoking it again changes nothing. ``Conflict`` for the last administrator's."""
        with self._lock:
            key = self._key(name)
            if key.revoked is not None:
                return key
            ended = replace(key, revoked=self._now())
            policy = self.source.refresh()
            self._keep_an_administrator(
                replace_in(policy, keys={**policy.keys, name: ended}), f"revoking the key {name}"
            )
            self._keys.append(name, {"schema": 1, **ended.to_document()})
            self._tell()
        return ended

    def _key(self, name: str) -> Key:
        return Key.from_document(self._keys.get(name).document)

    # Grants

    def grants(self) -> list[Grant]:
        return [Grant.from_document(self._grants.get(name).document) for name in self._grants.names()]

    def grant(self, name: str) -> Grant:
        return Grant.from_document(self._grants.get(name).document)

    def put_grant(self, grant: Grant) -> bool:
        """Make or change a grant; whether that changed anything. ``Conflict`` where it would take the last administrator's role."""
        check_name(grant.name)
        with self._lock:
            self._grants.reload()
            state = self._grants.find(grant.name)
            if state is not None and not state.deleted and Grant.from_document(state.document) == grant:
                return False
            if state is None and len(self._grants.names()) >= MAX_GRANTS:
                raise Conflict(f"there are {MAX_GRANTS} grants already", field="name")
            policy = self.source.refresh()
            after = replace_in(policy, grants={**policy.grants, grant.name: grant})
            self._keep_an_administrator(after, f"changing the grant {grant.name}")
            self._grants.append(grant.name, {"schema": 1, **grant.to_document()})
            self._tell()
        return True

    def delete_grant(self, name: str) -> None:
        with self._lock:
            self._grants.get(name)
            policy = self.source.refresh()
            after = replace_in(policy, grants={n: g for n, g in policy.grants.items() if n != name})
            self._keep_an_administrator(after, f"deleting the grant {name}")
            self._grants.delete(name)
            self._tell()

    # Blocks

    def blocked(self) -> list[str]:
        return sorted(self.source.refresh().blocked)

    def block(self, subject: str) -> None:
        """Refuse a subject's credentials and the keys that it owns, until ``unblock``."""
        check_subject(subject)
        with self._lock:
            policy = self.source.refresh()
            if subject in policy.blocked:
                return
            after = replace_in(policy, blocked=policy.blocked | {subject})
            self._keep_an_administrator(after, f"blocking {subject}")
            self._documents.append(layout.access_block(subject), {"schema": 1, "subject": subject})
            noting.note("block", subject, None, {"subject": subject})
            self._tell()

    def unblock(self, subject: str) -> None:
        with self._lock:
            if subject not in self.source.refresh().blocked:
                raise NotFound(f"{subject} is not blocked", field="subject", hint="headrace access block --list")
            self._documents.append(layout.access_block(subject), {"schema": 1, "subject": subject, "deleted": True})
            noting.note("block", subject, {"subject": subject}, None)
            self._tell()

    # Administrators

    def administrators(self) -> list[str]:
        """Who may administer everything now."""
        return self.source.refresh().administrators(self._now(), people=self._people())

    def admin_key(self) -> NewKey:
        """A key that may do everything, for the person who has the store itself in hands."""
        taken = {key.name for key in self.every_key()}
        name = FIRST_KEY if FIRST_KEY not in taken else f"recovered-admin-{secrets.token_hex(4)}"
        return self.create_key(name, "user:owner-of-the-store", (RoleOn("admin"),))

    def _tell(self) -> None:
        self.source.refresh()
        self._changed()

    def _keep_an_administrator(self, after: Policy, what: str) -> None:
        now, people = self._now(), self._people()
        if self.source.policy.administrators(now, people=people) and not after.administrators(now, people=people):
            raise Conflict(
                f"{what} would leave nobody who can administer the platform",
                hint="first grant the role admin on * to another subject: headrace access key create NAME --role admin",
            )


def replace_in(policy: Policy, **changed: Mapping[str, Any] | frozenset[str]) -> Policy:
    """A policy with something else in the place of what it has."""
    parts: dict[str, Any] = {"keys": policy.keys, "grants": policy.grants, "blocked": policy.blocked, **changed}
    return Policy(**parts)
