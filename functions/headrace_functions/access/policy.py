"""What holds at a moment: the keys, the grants and who is blocked; and the decisions that follow from them. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from headrace_functions.access.keys import Key, id_of
from headrace_functions.access.roles import EVERYTHING, Caller, Grant, Permission, RoleOn
from headrace_functions.errors import Forbidden, Unauthenticated

_REMEMBERED = 50_000
"""Decisions that one policy remembers."""


@dataclass(slots=True)
class Policy:
    """Immutable but for the decisions that it remembers; another one is made where something changes."""

    keys: Mapping[str, Key] = field(default_factory=dict)
    """By name."""
    grants: Mapping[str, Grant] = field(default_factory=dict)
    blocked: frozenset[str] = frozenset()
    """Subjects whose credentials are refused, whatever they bear."""
    unreadable: tuple[str, ...] = ()
    """Documents that could not be read: what they would allow is not allowed."""
    _by_id: dict[str, Key] = field(init=False, default_factory=dict)
    _granted: dict[str, tuple[RoleOn, ...]] = field(init=False, default_factory=dict)
    _decided: dict[tuple[Caller, Permission, str], bool] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._by_id = {key.id: key for key in self.keys.values()}
        for grant in self.grants.values():
            for subject in grant.subjects:
                self._granted[subject] = (*self._granted.get(subject, ()), *grant.roles)

    def key_of(self, text: str, now: float) -> Key:
        """The usable key with this text; ``Unauthenticated`` says why there is none, to who shows a key that there was."""
        key = self._by_id.get(id_of(text) or "")
        if key is None or not key.matches(text):
            raise Unauthenticated(
                "the API key is unknown", hint="check HEADRACE_API_KEY, or log in again: headrace login"
            )
        self.check_key(key, now)
        return key

    def check_key(self, key: Key, now: float) -> None:
        """``Unauthenticated`` where a key has ended."""
        if key.revoked is not None:
            raise Unauthenticated(f"the API key {key.name} was revoked", hint="ask an administrator for another one")
        if not key.usable(now):
            raise Unauthenticated(f"the API key {key.name} has expired", hint="ask an administrator for another one")
        self.check_blocked(key.owner, f"key:{key.name}")

    def check_blocked(self, *subjects: str) -> None:
        for subject in subjects:
            if subject in self.blocked:
                raise Unauthenticated(f"{subject} is blocked", hint="ask an administrator")

    def roles_of(self, caller: Caller) -> tuple[RoleOn, ...]:
        """Every role of a caller: of the credential itself, and by grants."""
        return (*caller.own, *(role for s in caller.subjects for role in self._granted.get(s, ())))

    def allows(self, caller: Caller, permission: Permission, name: str) -> bool:
        """Whether a caller may do something on a model or sequence, or on all (``*``)."""
        asked = (caller, permission, name)
        found = self._decided.get(asked)
        if found is None:
            found = any(role.allows(permission, name) for role in self.roles_of(caller))
            if len(self._decided) >= _REMEMBERED:
                self._decided.clear()
            self._decided[asked] = found
        return found

    def allows_somewhere(self, caller: Caller, permission: Permission) -> bool:
        """Whether there are names on which a caller may do something, be it names of the future."""
        return any(RoleOn(role.role).allows(permission, EVERYTHING) for role in self.roles_of(caller))

    def require(self, caller: Caller, permission: Permission, name: str) -> None:
        """``Forbidden`` where it is not allowed; it does not say whether the name is there."""
        if not self.allows(caller, permission, name):
            raise refusal(caller, permission, name)

    def administrators(self, now: float, *, people: bool) -> list[str]:
        """Who may administer everything and can show a credential: subjects. ``people``: whether users and groups can log in."""
        usable = {f"key:{k.name}": k for k in self.keys.values() if k.usable(now)}
        usable = {s: k for s, k in usable.items() if s not in self.blocked and k.owner not in self.blocked}
        found = [s for s, k in usable.items() if self.allows(k.caller, "administer", EVERYTHING)]
        if people:
            found += [s for s in self._people() if self.allows(Caller(s), "administer", EVERYTHING)]
            found += [s for s in self._granted if s.startswith("group:") and self._administers(self._granted[s])]
        return sorted(set(found))

    def _people(self) -> Iterable[str]:
        return (s for s in self._granted if s.startswith(("user:", "machine:")) and s not in self.blocked)

    def _administers(self, roles: Iterable[RoleOn]) -> bool:
        return any(r.allows("administer", EVERYTHING) for r in roles)


def refusal(caller: Caller, permission: Permission, name: str) -> Forbidden:
    """The error for a name, for ``*``, or for no name at all (empty)."""
    who = caller.subject or "an anonymous caller"
    where = {EVERYTHING: "the platform as a whole", "": "any model or sequence"}.get(name, name)
    what = f"{who} lacks the permission {permission!r} on {where}"
    return Forbidden(what, hint="ask an administrator for a grant; headrace access whoami shows yours")
