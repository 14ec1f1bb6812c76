"""The seam between the gateway and whatever runs services."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from headrace_functions.version import Version


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One replica that serves now."""

    address: str
    """``unix:/path`` or ``tcp:host:port``."""
    replica: str
    host: str = "headrace"
    """The HTTP ``Host`` to send, where the address alone does not choose the service."""
    headers: bytes = b""
    """Header lines for what stands before the function, each with its line end."""


class Leases(Protocol):
    """Wakes services and keeps them awake while they are used."""

    def lease(self, version: Version, *, deadline: float) -> AbstractAsyncContextManager[Endpoint, None]:
        """Wake the version's service, wait until a replica serves, and hold that replica until the block ends.

        A leased replica is never put to sleep. ``deadline`` is event-loop time.
        Raises ``DeadlineExceeded`` when it passes first and ``NotReady`` when the service cannot start now
        (load failed, backing off, being removed); the message says why.
        """

    def warm(self, version: Version) -> None:
        """Start the version's service if it sleeps; returns at once and reports nothing."""
