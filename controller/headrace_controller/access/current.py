"""Who asks, in the request that this thread answers. The platform's own threads ask for nobody and may do everything."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from headrace_functions.access.policy import Policy, refusal
from headrace_functions.access.roles import EVERYTHING, PLATFORM, Caller, Permission, RoleOn


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks, and what held when the request came."""

    caller: Caller
    policy: Policy


_PLATFORM = Asking(PLATFORM, Policy())
_ASKING: ContextVar[Asking] = ContextVar("asking", default=_PLATFORM)


@contextmanager
def asking(caller: Caller, policy: Policy) -> Iterator[None]:
    """Let a block ask for a caller."""
    token = _ASKING.set(Asking(caller, policy))
    try:
        yield
    finally:
        _ASKING.reset(token)


def begin(caller: Caller, policy: Policy) -> None:
    """As ``asking`` for the rest of a request; ``end`` must follow, for its thread answers others after it."""
    _ASKING.set(Asking(caller, policy))


def end() -> None:
    _ASKING.set(_PLATFORM)


def caller() -> Caller:
    return _ASKING.get().caller


def may(permission: Permission, name: str = EVERYTHING) -> bool:
    """Whether who asks may do something on a model or sequence, or on all."""
    now = _ASKING.get()
    return now.policy.allows(now.caller, permission, name)


def may_all(permission: Permission, names: Iterable[str]) -> bool:
    """Whether on every one of these names; on none of them, where it is about the platform as a whole, on all."""
    found = set(names)
    return all(may(permission, name) for name in found) if found else may(permission)


def may_somewhere(permission: Permission) -> bool:
    now = _ASKING.get()
    return now.policy.allows_somewhere(now.caller, permission)


def require(permission: Permission, name: str = EVERYTHING) -> None:
    """``Forbidden`` where who asks may not."""
    if not may(permission, name):
        raise refusal(caller(), permission, name)


def roles() -> tuple[RoleOn, ...]:
    now = _ASKING.get()
    return now.policy.roles_of(now.caller)


def rights() -> tuple[str, tuple[str, ...]]:
    """What tells two askers apart who may see different things: for what is kept for many."""
    return caller().subject, tuple(str(role) for role in roles())
