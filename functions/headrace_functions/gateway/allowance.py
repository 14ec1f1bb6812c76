"""How much one caller may ask of a gateway: requests and bytes of bodies a second, with a burst of a few seconds.

A caller is who the credentials say, or, where nobody is asked who they are, the address that the request comes from. What is counted is
this gateway's alone: in a cluster each pod has its own count.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace_functions.errors import Overloaded
from headrace_functions.platform_secret import PROOF, PlatformSecret

BURST = 2.0
"""Seconds of the allowance that may be used at once."""
MAX_CALLERS = 10_000
"""Callers that are remembered; of more, those that asked longest ago begin anew."""


@dataclass(slots=True)
class _Left:
    requests: float
    bytes: float
    at: float


class Allowance:
    """``requests`` and ``bytes`` are what a caller may use a second; 0 is no limit."""

    def __init__(self, requests: float = 0, bytes: float = 0, now: Callable[[], float] = time.monotonic) -> None:  # noqa: A002
        self._requests = requests
        self._bytes = bytes
        self._now = now
        self._callers: OrderedDict[str, _Left] = OrderedDict()

    def take_for(self, scope: Mapping[str, Any], subject: str, secret: PlatformSecret) -> None:
        """``take`` for a request; the platform's own processes are no callers."""
        headers = dict(scope["headers"])
        if secret.is_proof(headers.get(PROOF)) or secret.is_purpose(headers.get(b"x-headrace-purpose")):
            return
        length = headers.get(b"content-length", b"")
        self.take(subject or (scope["client"] or ("",))[0], int(length) if length.isdigit() else 0)

    def take(self, caller: str, size: int) -> None:
        """Use one request with a body of ``size`` bytes. ``Overloaded`` says when there is enough again.

        A body that is larger than the whole allowance is let through once all of it is there, and leaves a debt.
        """
        if not self._requests and not self._bytes:
            return
        now = self._now()
        full = _Left(max(1.0, self._requests * BURST), self._bytes * BURST, now)
        left = self._callers.pop(caller, full)
        passed = now - left.at
        left.requests = min(full.requests, left.requests + passed * self._requests)
        left.bytes = min(full.bytes, left.bytes + passed * self._bytes)
        left.at = now
        self._callers[caller] = left
        if len(self._callers) > MAX_CALLERS:
            self._callers.popitem(last=False)
        if self._requests and left.requests < 1:
            raise _refused(f"{self._requests:g} requests a second", (1 - left.requests) / self._requests)
        if self._bytes and left.bytes < min(size, full.bytes):
            raise _refused(f"{self._bytes:g} bytes a second", (min(size, full.bytes) - left.bytes) / self._bytes)
        left.requests -= 1
        left.bytes -= size


def _refused(limit: str, wait: float) -> Overloaded:
    return Overloaded(
        f"this caller has used up its limit of {limit}",
        retry_after=wait,
        hint="send fewer requests, or more rows in each",
    )
