"""A backend in memory: the contract's states without processes. Held to the same suite as the real ones."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping

from headrace_controller.backends.base import Observed, ServiceSpec
from headrace_functions.errors import DeadlineExceeded, NotReady
from headrace_functions.gateway.leases import Endpoint
from headrace_functions.names import VersionId
from headrace_functions.version import Version


class FakeBackend:
    """``failing`` versions cannot start; a start takes ``delay`` seconds."""

    def __init__(self, delay: float = 0.01) -> None:
        self.delay = delay
        self.failing: dict[VersionId, str] = {}
        self._specs: dict[str, ServiceSpec] = {}
        self._starts: dict[str, asyncio.Task[None]] = {}
        self._ready: set[str] = set()
        self._failed: dict[str, str] = {}
        self._leases: dict[str, int] = {}
        self.starts = 0

    def apply(self, spec: ServiceSpec) -> None:
        self._specs.setdefault(spec.name, spec)
        if spec.version.scaling.min_replicas:
            self.warm(spec.version)

    def remove(self, name: str) -> None:
        self._specs.pop(name, None)
        start = self._starts.pop(name, None)
        if start is not None:
            start.cancel()
        self._ready.discard(name)
        self._failed.pop(name, None)

    def observe(self) -> Mapping[str, Observed]:
        return {name: self._observed(name) for name in sorted(self._specs)}

    @contextlib.asynccontextmanager
    async def lease(self, version: Version, *, deadline: float) -> AsyncIterator[Endpoint]:
        name = version.id.service
        self.apply(ServiceSpec(version))
        if name not in self._ready:
            self.warm(version)
            left = deadline - asyncio.get_running_loop().time()
            try:
                await asyncio.wait_for(asyncio.shield(self._starts[name]), left)
            except TimeoutError as error:
                raise DeadlineExceeded(f"{version.id} was not ready in time") from error
            if name in self._failed:
                raise NotReady(f"{version.id} cannot start: {self._failed[name]}")
        self._leases[name] = self._leases.get(name, 0) + 1
        try:
            yield Endpoint(f"unix:/{name}", name)
        finally:
            self._leases[name] -= 1

    def warm(self, version: Version) -> None:
        name = version.id.service
        if name not in self._starts or (self._starts[name].done() and name not in self._ready):
            self._starts[name] = asyncio.ensure_future(self._start(version))

    async def close(self) -> None:
        for name in list(self._specs):
            self.remove(name)

    async def _start(self, version: Version) -> None:
        self.starts += 1
        await asyncio.sleep(self.delay)
        if version.id in self.failing:
            self._failed[version.id.service] = self.failing[version.id]
        else:
            self._ready.add(version.id.service)

    def _observed(self, name: str) -> Observed:
        leases = self._leases.get(name, 0)
        if name in self._ready:
            return Observed("ready", "", 1, leases, f"unix:/{name}", time.time())
        if name in self._failed:
            return Observed("failed", self._failed[name])
        if name in self._starts and not self._starts[name].done():
            return Observed("starting")
        return Observed("asleep")
