"""Services behind Knative, as a gateway in the cluster sees them: addressed by name, woken by asking.

A service's name gives its host, Knative's activator holds what comes while it starts, so no Kubernetes API is needed here and
the gateway's account may do nothing with it.

======== ============================================== ==========================================
state    ``lease``                                      becomes
======== ============================================== ==========================================
unknown  asks whether it is ready, which wakes it       awake when it answers, else stays
waking   waits with the others for the one question     awake; refused once the controller says why
awake    at once                                        unknown ``FRESH`` s after its last answer, or when it was not reached
======== ============================================== ==========================================

Where a standby covers the version, one that has not answered after ``GRACE`` is brought up there too, and whichever answers
first is leased. The question to the service itself stays open, so Knative starts its pod; when that answers it is leased from
then on, and what the standby has is finished there.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from headrace_functions.errors import DeadlineExceeded, HeadraceError, NotReady, Unreachable
from headrace_functions.gateway import standby
from headrace_functions.gateway.calls import REQUEST_ID
from headrace_functions.gateway.leases import Endpoint
from headrace_functions.gateway.upstream import NotSent, Reply, Upstream
from headrace_functions.names import VersionId
from headrace_functions.version import Version

GRACE = 0.015
"""Seconds that an awake service has to say that it is, before its standby is asked."""
FRESH = 5.0
"""Seconds for which a service that answered is taken to be awake; Knative keeps an idle one for six at least."""
ASK_WHY = 1.0
"""Seconds a start may take before the controller is asked, and from then on between two questions, whether it has failed."""
ASK_ANEW = 4.0
"""Seconds after which an open question is given up and put again: the first may lie with a pod that has gone since."""
TOLD = 2
"""Times in a row that the controller must say that a service has failed before those who wait for it are refused."""
RETRY_AFTER = 5.0
"""Seconds that callers of a service which cannot start are told to wait."""
_FIRST_PAUSE, _LAST_PAUSE = 0.05, 1.0  # seconds between questions to a name that leads nowhere yet
_NOT_FOUND, _SERVER_ERROR = 404, 500

# What Envoy and Knative's activator say of a request that no pod has seen.
_UNSENT = (b"no healthy upstream", b"connection failure", b"connection refused", b"delayed connect error", b"no route")

Why = Callable[[VersionId], Awaitable[str]]
"""Why a version's service cannot start, as the controller sees it; empty while nothing is known to be wrong."""

log = logging.getLogger(__name__)


async def nobody_knows(_: VersionId) -> str:
    """``Why`` where there is no controller to ask."""
    return ""


class KnativeUpstream(Upstream):
    """HTTP to services with the cluster's network between: what did not come from a function is told apart.

    A function's answer bears the request's id, an answer of Envoy, activator or queue-proxy does not.
    """

    async def request(self, address: str, head: bytes, body: bytes, deadline: float) -> Reply:
        """As ``Upstream.request``; ``NotSent`` also where the cluster says that no function has seen the request."""
        reply = await super().request(address, head, body, deadline)
        if reply.header(standby.HEADER) == standby.REFUSED:
            raise NotSent(f"the standby refused: {reply.body[:300].decode('utf-8', 'replace')}")
        if reply.header(REQUEST_ID) is None:
            raise _foreign(reply)
        return reply


class KnativeLeases:
    """``Leases`` over the services of one namespace."""

    def __init__(
        self,
        host: Callable[[str], str],
        upstream: Upstream,
        why: Why = nobody_knows,
        standbys: standby.Standbys | None = None,
        *,
        ingress: str = "",
        woke: Callable[[str, float], None] = lambda _stage, _seconds: None,
    ) -> None:
        """``host`` gives the host name of a service, e.g. ``churn-v3-predictor.models.svc``; all listen on port 80.

        ``ingress`` is a host name that leads to the cluster's own ingress, which knows services by the ``Host`` header. A name
        that was asked for before its service was made stays unknown to a cluster's DNS for half a minute; this one is known.
        Services that are not Knative's are found by their own names. ``woke`` hears ``total`` and the seconds of a caller that waited for one to start.
        """
        self._host = host
        self._woke = woke
        self._upstream = upstream
        self._why = why
        self._standbys = standbys
        self._ingress = ingress
        self._services: dict[str, _Service] = {}

    def lease(self, version: Version, *, deadline: float) -> "_Lease":
        return _Lease(self._service(version), deadline, self._woke)

    def warm(self, version: Version) -> None:
        service = self._service(version)
        if not service.awake:
            service.begin()

    async def close(self) -> None:
        """Stop asking; the cluster goes on as it is."""
        await asyncio.gather(*(service.close() for service in self._services.values()))

    def _service(self, version: Version) -> "_Service":
        found = self._services.get(version.id.service)
        if found is None:
            host = self._host(version.id.service)
            ways = [_endpoint(where, host, version.id.service) for where in (self._ingress, host) if where]
            found = self._services[version.id.service] = _Service(
                version, ways, self._upstream, self._why, self._standbys
            )
        return found


class _Lease:
    """One lease as a context manager; how its block ends tells whether the service is awake."""

    __slots__ = ("_deadline", "_endpoint", "_service", "_woke")

    def __init__(self, service: "_Service", deadline: float, woke: Callable[[str, float], None]) -> None:
        self._service = service
        self._woke = woke
        self._deadline = deadline
        self._endpoint = service.endpoint

    async def __aenter__(self) -> Endpoint:
        if not self._service.awake:
            began = time.perf_counter()
            self._endpoint = await self._service.wait(self._deadline)
            self._woke("total", time.perf_counter() - began)
        return self._endpoint

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._endpoint is not self._service.endpoint:
            if kind is not None and issubclass(kind, Unreachable):
                self._service.leave_standby()
        elif kind is None:
            self._service.answered()
        elif issubclass(kind, Unreachable):
            self._service.doubt()


class _Service:
    """What this gateway knows of one service."""

    def __init__(
        self, version: Version, ways: list[Endpoint], upstream: Upstream, why: Why, standbys: standby.Standbys | None
    ) -> None:
        self.endpoint = ways[0]
        self._ways = ways
        self._version = version
        self._upstream = upstream
        self._why = why
        self._loop = asyncio.get_running_loop()
        self._standbys = standbys
        self._fresh_until = 0.0
        self._waking: asyncio.Task[None] | None = None
        self._bridging: asyncio.Task[Endpoint | None] | None = None

    @property
    def awake(self) -> bool:
        return self._loop.time() < self._fresh_until

    def answered(self) -> None:
        self._fresh_until = self._loop.time() + FRESH

    def doubt(self) -> None:
        """It was not reached: ask before the next request is sent."""
        self._fresh_until = 0.0

    def leave_standby(self) -> None:
        """It was not reached: what comes now waits for the service's own pod, which is on its way."""
        if self._waking is not None:
            self._bridging = None

    def begin(self) -> "asyncio.Task[None]":
        """Ask until it answers; one question for all who wait."""
        if self._waking is None:
            self._waking = self._loop.create_task(self._wake(), name=f"wake {self._version.id}")
            self._waking.add_done_callback(self._ended)
            cover = self._standbys.endpoint(self._version) if self._standbys is not None else None
            if self._standbys is not None and cover is not None:
                self._bridging = self._loop.create_task(self._bridge(self._waking, self._standbys, cover))
        return self._waking

    async def wait(self, deadline: float) -> Endpoint:
        """Until it, or its standby, answers; which of the two it was.

        ``NotReady`` with the reason where it cannot start, ``DeadlineExceeded`` after ``deadline``.
        """
        waking = self.begin()
        try:
            async with asyncio.timeout_at(deadline):
                bridging = self._bridging
                if bridging is not None:
                    await asyncio.wait([waking, bridging], return_when=asyncio.FIRST_COMPLETED)
                    cover = bridging.result() if bridging.done() and not bridging.cancelled() else None
                    if cover is not None and not self.awake:
                        return cover
                await asyncio.shield(waking)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"{self._version.id} was not ready in time", hint="raise the time-out or min-replicas"
            ) from error
        return self.endpoint

    async def close(self) -> None:
        if self._waking is not None:
            self._waking.cancel()
            await asyncio.wait([self._waking])
        if self._bridging is not None:
            self._bridging.cancel()
            await asyncio.wait([self._bridging])

    def _ended(self, task: "asyncio.Task[None]") -> None:
        bridging, self._waking, self._bridging = self._bridging, None, None
        if bridging is not None:
            bridging.cancel()  # the standby goes on; nobody waits for it any more
        if not task.cancelled() and task.exception() is not None:
            log.info("%s", task.exception())  # whoever waits is told; after ``warm`` nobody does

    async def _bridge(
        self, waking: "asyncio.Task[None]", standbys: standby.Standbys, cover: Endpoint
    ) -> Endpoint | None:
        """The standby's endpoint once it answers for the version; None where the service was quicker or the standby refuses."""
        if (await asyncio.wait([waking], timeout=GRACE))[0]:
            return None
        try:
            await standbys.prepare(self._version, cover)
        except HeadraceError as error:
            log.info("%s waits for its own pod: %s", self._version.id, error.message)
            return None
        return cover

    async def _wake(self) -> None:
        asking = self._loop.create_task(self._ask())
        told = 0
        try:
            while not (await asyncio.wait([asking], timeout=ASK_WHY))[0]:
                reason = await self._why(self._version.id)
                told = told + 1 if reason else 0
                # Twice, for the first word may be of an earlier attempt: the pod of this one is made in these seconds.
                if told == TOLD:
                    raise NotReady(f"{self._version.id} cannot start: {reason}", retry_after=RETRY_AFTER)
            await asking
        finally:
            asking.cancel()
        self.answered()

    async def _ask(self) -> None:
        end = self._loop.time() + self._version.limits.start_timeout
        pause = _FIRST_PAUSE
        while True:
            said = ""
            for way in self._ways:
                try:
                    if await self._answers(way, min(end, self._loop.time() + ASK_ANEW)):
                        self.endpoint = way
                        return
                except (Unreachable, DeadlineExceeded) as error:
                    said = error.message
            if self._loop.time() + pause > end:
                raise NotReady(
                    f"{self._version.id} did not answer within its start-timeout{f': {said}' if said else ''}",
                    retry_after=RETRY_AFTER,
                )
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LAST_PAUSE)

    async def _answers(self, way: Endpoint, deadline: float) -> bool:
        head = (
            f"GET /v2/models/{self._version.id.model}/ready HTTP/1.1\r\nhost: {way.host}\r\nx-request-id: wake\r\n\r\n"
        )
        return (await self._upstream.request(way.address, head.encode(), b"", deadline)).status < _SERVER_ERROR


def _endpoint(where: str, host: str, replica: str) -> Endpoint:
    """A service's host, reached at ``where`` (``NAME`` or ``NAME:PORT``)."""
    name, _, port = where.partition(":")
    return Endpoint(f"tcp:{name}:{port or 80}", replica, host.partition(":")[0])


def _foreign(reply: Reply) -> HeadraceError:
    words = reply.body[:200].decode("utf-8", "replace").strip()
    unsent = reply.status == _NOT_FOUND or any(phrase in reply.body for phrase in _UNSENT)
    kind = NotSent if unsent else Unreachable
    return kind(f"the cluster answered {reply.status} in the function's place{f': {words}' if words else ''}")
