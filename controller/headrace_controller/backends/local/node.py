"""``Backend`` over processes on this machine."""

import asyncio
from collections.abc import Mapping

from headrace_controller.backends.base import Observed, ServiceSpec
from headrace_controller.backends.local.launcher import LocalLauncher, LocalReplica
from headrace_controller.backends.local.service import LocalService
from headrace_functions.gateway.leases import Endpoint
from headrace_functions.version import Version


class _Lease:
    """One lease as a context manager; a class, because a generator would cost more than the rest of the way."""

    __slots__ = ("_deadline", "_replica", "_service")

    def __init__(self, service: LocalService, deadline: float) -> None:
        self._service = service
        self._deadline = deadline

    async def __aenter__(self) -> Endpoint:
        self._replica = await self._service.acquire(self._deadline)
        return self._replica.running.endpoint

    async def __aexit__(self, *_: object) -> None:
        self._service.release(self._replica)


class LocalNode:
    """Services of this machine. One node a home; all methods belong to the loop that opened it.

    Versions are immutable and asleep ones cost nothing, so a lease of a version that was not applied applies it.
    """

    def __init__(self, launcher: LocalLauncher) -> None:
        self._launcher = launcher
        self._services: dict[str, LocalService] = {}
        self._unclaimed: dict[str, list[LocalReplica]] = {}
        self._removals: dict[str, asyncio.Task[None]] = {}

    async def open(self) -> None:
        """Take over what an earlier node of this home left running."""
        await self._launcher.open()
        self._unclaimed = dict(await self._launcher.survivors())

    def apply(self, spec: ServiceSpec) -> None:
        self._service(spec.version).keep_minimum()

    def remove(self, name: str) -> None:
        service = self._services.pop(name, None)
        if service is not None:
            task = asyncio.get_running_loop().create_task(service.stop())
            self._removals[name] = task
            task.add_done_callback(lambda _: self._removals.pop(name, None))

    def observe(self) -> Mapping[str, Observed]:
        return {name: service.observed() for name, service in sorted(self._services.items())}

    def lease(self, version: Version, *, deadline: float) -> "_Lease":
        return _Lease(self._service(version), deadline)

    def warm(self, version: Version) -> None:
        self._service(version).warm()

    def sleep(self, name: str) -> None:
        """Stop the idle replicas of a service now instead of after its idle time-out."""
        if name in self._services:
            self._services[name].sleep()

    def renew(self) -> None:
        """Start every service anew, with the keys of the home as they are now; open requests are answered by what runs."""
        for service in self._services.values():
            service.renew()

    async def close(self) -> None:
        pending = [*self._removals.values(), *(asyncio.ensure_future(s.stop()) for s in self._services.values())]
        if pending:
            await asyncio.wait(pending)
        for replicas in self._unclaimed.values():
            for replica in replicas:
                await replica.stop(1.0)
        await self._launcher.close()

    def _service(self, version: Version) -> LocalService:
        name = version.id.service
        service = self._services.get(name)
        if service is None:
            service = self._services[name] = LocalService(ServiceSpec(version), self._launcher)
            for replica in self._unclaimed.pop(name, []):
                service.adopt(replica)
        return service
