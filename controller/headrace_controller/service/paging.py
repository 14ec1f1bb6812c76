"""Lists by pages: a page token is the key of the last item, so a page costs the same wherever it is in the list."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from headrace_functions.errors import InvalidInput

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    items: list[Item]
    next: str | None = None
    """Token of the next page, None on the last one."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    limit: int = DEFAULT_LIMIT
    token: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MAX_LIMIT:
            raise InvalidInput(f"limit: {self.limit} is not allowed", field="limit", expected=f"1 to {MAX_LIMIT}")


def page(items: Iterable[Item], request: PageRequest, key: Callable[[Item], str]) -> Page[Item]:
    """The items after the one that the token names, at most ``limit``.

    Raises ``InvalidInput`` where no item has the token's key: it was deleted, or the token is not from this list.
    """
    remaining = iter(items)
    if request.token is not None and not any(key(item) == request.token for item in remaining):
        raise InvalidInput(
            f"page-token: {request.token!r} is not in this list",
            field="page-token",
            hint="start again from the first page",
        )
    found: list[Item] = []
    for item in remaining:
        if len(found) == request.limit:
            return Page(found, key(found[-1]))
        found.append(item)
    return Page(found)
