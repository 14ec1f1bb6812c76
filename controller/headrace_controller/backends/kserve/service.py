"""One service on a cluster: kept as it was asked for, woken, and waited for. Everything here runs on one event loop."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol
from urllib.parse import urlsplit

from headrace_controller.backends.base import Observed
from headrace_controller.backends.kserve import status
from headrace_functions.errors import DeadlineExceeded, HeadraceError, NotReady, StorageFailed, Unreachable
from headrace_functions.gateway.leases import Endpoint
from headrace_functions.gateway.upstream import Upstream
from headrace_functions.version import Version

Json = dict[str, Any]

REPEAT_REFUSED = 30.0
"""Seconds after which what the cluster refused is tried again: a quota may have been raised."""
_FIRST_PAUSE, _LAST_PAUSE = 0.2, 30.0  # seconds between attempts at an API server that is away or still deletes
_GOING_PAUSE = 2.0  # seconds between attempts while an earlier one of the name is being removed
_ASK_FIRST, _ASK_LAST = 0.05, 1.0  # seconds between questions to an address that does not answer yet
_RETRY_AFTER = 5.0  # seconds a caller is told to wait while a pod cannot start; the kubelet backs off in its own time
_TRANSIENT = (Unreachable, NotReady, StorageFailed)

log = logging.getLogger(__name__)


class Writer(Protocol):
    """The part of ``service_writer.ServiceWriter`` that a service needs; blocking."""

    def apply(self, document: Json) -> Json: ...

    def delete(self, name: str) -> None: ...


class KServeService:
    """``want`` says what should be, ``heard`` what is; one task at a time closes the gap."""

    def __init__(self, name: str, cluster: Writer, upstream: Upstream, ingress: str) -> None:
        self.name = name
        self._cluster = cluster
        self._upstream = upstream
        self._ingress = ingress
        self._loop = asyncio.get_running_loop()
        self._wanted: Json | None = None
        self._removed = False
        self._dirty = False
        self._keeping: asyncio.Task[None] | None = None
        self._waking: asyncio.Task[None] | None = None
        self._refused = ""
        self._delayed = ""
        self._document: Json | None = None
        self._generation = 0
        self._pods: Mapping[str, Json] = {}
        self._serves = False
        self._open = 0
        self._changed: asyncio.Future[None] = self._loop.create_future()

    @property
    def forgotten(self) -> bool:
        """Nobody wants it and the cluster has nothing of it."""
        return self._wanted is None and self._document is None and not self._pods

    @property
    def shown(self) -> bool:
        """Whether people should see it: it was applied, or found on the cluster and not removed."""
        return self._wanted is not None or (self._document is not None and not self._removed)

    def want(self, document: Json | None) -> None:
        """Make it so, or with None remove it; returns at once. The same again repairs what others changed."""
        self._wanted = document
        self._removed = document is None
        self._keep()

    def heard(self, document: Json | None, pods: Mapping[str, Json]) -> None:
        """What the cluster has now."""
        if _same(document, self._document) and _versions(pods) == _versions(self._pods):
            return
        vanished = document is None and self._document is not None
        edited = document is not None and document["metadata"].get("generation", 0) > self._generation > 0
        self._document, self._pods = document, pods
        if not any(not p["metadata"].get("deletionTimestamp") for p in pods.values()):
            self._serves = False
        if self._wanted is not None and (vanished or edited):
            self._keep()
        self._notify()

    def observed(self) -> Observed:
        if self._refused and self._wanted is not None:
            return Observed("failed", self._refused, open_requests=self._open)
        seen = status.observed(self._document, self._pods.values(), self._open)
        if self._serves and seen.state == "starting":
            # It answered, which the pod's own conditions say up to a second later.
            return replace(seen, state="ready", reason="", replicas=max(seen.replicas, 1))
        return replace(seen, reason=seen.reason or self._delayed)

    async def acquire(self, version: Version, deadline: float) -> Endpoint:
        """Wait until it serves, waking it if it sleeps, and count one open lease; see ``Leases.lease``."""
        while True:
            if self._removed:
                raise NotReady(f"{version.id} is being removed")
            seen = self.observed()
            if seen.state == "ready" and self._endpoint() is not None:
                break
            self._refuse_if_failed(version, seen)
            self.wake(version)
            await self._wait_for_change(version, seen, deadline)
        endpoint = self._endpoint()
        assert endpoint is not None
        self._open += 1
        return endpoint

    def release(self) -> None:
        self._open -= 1

    def wake(self, version: Version) -> None:
        """Ask for it until it answers, which makes Knative start a pod; returns at once."""
        if self._waking is None and self.observed().state != "ready":
            self._waking = self._loop.create_task(self._ask(version), name=f"wake {self.name}")

    async def close(self) -> None:
        """Stop working on it. The cluster goes on as it is."""
        tasks = [t for t in (self._keeping, self._waking) if t is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- keeping it as it is wanted

    def _keep(self) -> None:
        self._dirty = True
        if self._keeping is None:
            self._keeping = self._loop.create_task(self._close_the_gap(), name=f"keep {self.name}")

    async def _close_the_gap(self) -> None:
        pause = _FIRST_PAUSE
        try:
            while self._dirty:
                self._dirty = False
                try:
                    await self._write()
                except _TRANSIENT as error:
                    log.warning("%s: %s; again in %.1f s", self.name, error.message, pause)
                    self._dirty, self._delayed = True, error.message
                    self._notify()
                    await asyncio.sleep(pause)
                    # What is being removed is gone in seconds; an API server may be away for long.
                    pause = min(pause * 2, _LAST_PAUSE if isinstance(error, Unreachable) else _GOING_PAUSE)
                except HeadraceError as error:
                    self._refuse(error)
        finally:
            self._keeping = None

    async def _write(self) -> None:
        wanted = self._wanted
        if wanted is None:
            await asyncio.to_thread(self._cluster.delete, self.name)
            return
        made = await asyncio.to_thread(self._cluster.apply, wanted)
        self._generation = made["metadata"].get("generation", 0)
        self._refused = self._delayed = ""
        self._notify()

    def _refuse(self, error: HeadraceError) -> None:
        self._refused = error.message + (f" ({error.hint})" if error.hint else "")
        log.error("%s: %s", self.name, self._refused)
        self._loop.call_later(REPEAT_REFUSED, self._repeat_refused)
        self._notify()

    def _repeat_refused(self) -> None:
        if self._refused and self._wanted is not None:
            self._keep()

    # -- waking it and waiting for it

    async def _ask(self, version: Version) -> None:
        """Until it answers that it is ready, or has had the time to: Knative holds the question while a pod starts."""
        end = self._loop.time() + version.limits.start_timeout
        pause = _ASK_FIRST
        try:
            while self._loop.time() < end and not self._removed:
                endpoint = self._endpoint()
                if endpoint is not None and await self._answers(endpoint, version, end):
                    self._serves = True
                    return
                await asyncio.sleep(pause)
                pause = min(pause * 2, _ASK_LAST)
        finally:
            self._waking = None
            self._notify()

    async def _answers(self, endpoint: Endpoint, version: Version, deadline: float) -> bool:
        head = f"GET /v2/models/{version.id.model}/ready HTTP/1.1\r\nhost: {endpoint.host}\r\n\r\n"
        try:
            reply = await self._upstream.request(endpoint.address, head.encode(), b"", deadline)
        except (Unreachable, DeadlineExceeded) as error:
            log.debug("%s does not answer yet: %s", self.name, error.message)
            return False
        return reply.status == 200

    def _endpoint(self) -> Endpoint | None:
        """Its address, None until the cluster has given it one."""
        if self._document is None:
            return None
        host = urlsplit(status.url(self._document)).hostname if self._ingress else status.local_host(self._document)
        if not host or not status.can_wake(self._document):
            return None
        return Endpoint(self._ingress or f"tcp:{host}:80", self.name, host)

    def _refuse_if_failed(self, version: Version, seen: Observed) -> None:
        """Refuse while pods cannot start, or where there is nothing to wake. What failed and has no pod may be tried again."""
        if seen.state != "failed":
            return
        waking = bool(self._pods) or self._refused or self._document is None or not status.can_wake(self._document)
        if waking:
            raise NotReady(f"{version.id} cannot start: {seen.reason}", retry_after=_RETRY_AFTER)

    async def _wait_for_change(self, version: Version, seen: Observed, deadline: float) -> None:
        left = deadline - self._loop.time()
        if left <= 0:
            why = f": {seen.reason}" if seen.reason else ""
            raise DeadlineExceeded(
                f"{version.id} was not ready in time{why}", hint="raise the time-out or min-replicas"
            )
        await asyncio.wait([self._changed], timeout=left)

    def _notify(self) -> None:
        if not self._changed.done():
            self._changed.set_result(None)
        self._changed = self._loop.create_future()


def _same(one: Json | None, other: Json | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(one["metadata"]["resourceVersion"] == other["metadata"]["resourceVersion"])


def _versions(pods: Mapping[str, Json]) -> set[tuple[str, str]]:
    return {(name, p["metadata"]["resourceVersion"]) for name, p in pods.items()}
