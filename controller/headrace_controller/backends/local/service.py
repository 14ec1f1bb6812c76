"""The life of one local service: a state machine with one writer.

Everything here runs on one event loop and no transition awaits in its middle, so a check and the change it allows are one
step. Callers post (``warm``, ``release``, ``stop``) or wait (``acquire``); snapshots (``observed``) are for people.

    asleep ──acquire/warm──▶ starting ──ready──▶ ready ──idle──▶ asleep
                               │  ▲                │
                        failed ▼  │ back-off over  │ crashed: next acquire starts again,
                             failed ◀──────────────┘ three times in a minute: back-off

Idle means no open lease and ``idle_timeout`` seconds since the last one closed.
"""

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from headrace_controller.backends.base import Observed, ServiceSpec
from headrace_functions.errors import DeadlineExceeded, HeadraceError, NotReady
from headrace_functions.gateway.leases import Endpoint

log = logging.getLogger("headrace.local")

_CRASHES, _CRASH_WINDOW = 3, 60.0
_BACKOFF_FIRST, _BACKOFF_LAST = 1.0, 60.0
STOP_GRACE = 10.0
"""Seconds between TERM and KILL of a replica."""


class Running(Protocol):
    """One replica that serves."""

    endpoint: Endpoint
    exited: asyncio.Event

    async def stop(self, grace: float) -> None:
        """End it; returns when it is gone. The gone is already stopped."""

    def tail(self) -> str:
        """The last lines of its log."""


class Launcher(Protocol):
    """Brings replicas up."""

    async def launch(self, spec: ServiceSpec) -> Running:
        """Start one replica and return when it serves; ``NotReady`` says why it does not. A cancelled launch leaves nothing."""


@dataclass(eq=False, slots=True)
class Replica:
    running: Running
    leases: int = 0
    idle_since: float = 0.0
    since: float = field(default_factory=time.monotonic)
    outdated: bool = False
    """Whether it takes no more requests, and ends when its open ones are over."""


class LocalService:
    def __init__(self, spec: ServiceSpec, launcher: Launcher) -> None:
        self.spec = spec
        self._launcher = launcher
        self._loop = asyncio.get_running_loop()
        self._replicas: list[Replica] = []
        self._start: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = self._loop.create_future()
        self._idle_timer: asyncio.TimerHandle | None = None
        self._retry_timer: asyncio.TimerHandle | None = None
        self._crashes: deque[float] = deque(maxlen=_CRASHES)
        self._failures = 0
        self._retry_at = 0.0
        self._reason = ""
        self._removing = False
        self._generation = 0
        """Of the keys that replicas are started with; ``renew`` begins another."""
        self._since = time.time()

    # -- what callers do

    async def acquire(self, deadline: float) -> Replica:
        """The least busy replica, held until ``release``; starts one where none serves."""
        while True:
            replica = min(self._current, key=lambda r: r.leases, default=None)
            if replica is not None and not self._removing:
                replica.leases += 1
                if replica.leases > self.spec.version.scaling.concurrency:
                    self._start_one()
                return replica
            self._refuse_if_unavailable()
            self._start_one()
            await self._wait_for_change(deadline)

    def release(self, replica: Replica) -> None:
        replica.leases -= 1
        replica.idle_since = self._loop.time()
        if replica.leases == 0:
            if self._removing:
                self._notify()
            elif replica.outdated:
                self._retire(replica)
            else:
                self._plan_idle_check()

    def warm(self) -> None:
        """Start if asleep; a service that backs off stays off."""
        if not self._current and not self._removing and self._loop.time() >= self._retry_at:
            self._start_one()

    def keep_minimum(self) -> None:
        """Level-triggered: start what is missing to ``min_replicas``, one at a time."""
        missing = self.spec.version.scaling.min_replicas - len(self._current)
        if missing <= 0 or self._removing:
            return
        wait = self._retry_at - self._loop.time()
        if wait <= 0:
            self._start_one()
        elif self._retry_timer is None:
            self._retry_timer = self._loop.call_later(wait, self._retry)

    def adopt(self, running: Running) -> None:
        """Take over a replica that an earlier node started."""
        self._add(running)
        self._plan_idle_check()

    def sleep(self) -> None:
        """Stop every replica that is not in use now; the next request wakes one."""
        for replica in [r for r in self._replicas if r.leases == 0]:
            self._retire(replica)

    def renew(self) -> None:
        """Put new replicas in the place of all: those that run answer their open requests and take no more."""
        self._generation += 1
        for replica in list(self._replicas):
            replica.outdated = True
            if replica.leases == 0:
                self._retire(replica)
        self.keep_minimum()

    @property
    def _current(self) -> list[Replica]:
        return [r for r in self._replicas if not r.outdated]

    async def stop(self, grace: float = STOP_GRACE) -> None:
        """Take no more leases, wait for the open ones (at most ``grace`` seconds), then end every replica."""
        self._removing = True
        self._notify()
        for timer in (self._idle_timer, self._retry_timer):
            if timer is not None:
                timer.cancel()
        if self._start is not None:
            self._start.cancel()
            await asyncio.wait([self._start])
        limit = self._loop.time() + grace
        while any(r.leases for r in self._replicas) and self._loop.time() < limit:
            await asyncio.wait([self._changed], timeout=limit - self._loop.time())
        for replica in list(self._replicas):
            self._retire(replica, grace)
        if self._tasks:
            await asyncio.wait(self._tasks)

    def observed(self) -> Observed:
        leases = sum(r.leases for r in self._replicas)
        details = {"min": self.spec.version.scaling.min_replicas, "max": self.spec.version.scaling.max_replicas}
        if self._removing:
            return Observed("removing", "", len(self._replicas), leases, since=self._since, details=details)
        if self._replicas:
            return Observed(
                "ready",
                "",
                len(self._replicas),
                leases,
                self._replicas[0].running.endpoint.address,
                self._since,
                details,
            )
        if self._start is not None:
            return Observed("starting", "", 0, 0, since=self._since, details=details)
        if self._reason:
            return Observed("failed", self._reason, 0, 0, since=self._since, details=details)
        return Observed("asleep", "", 0, 0, since=self._since, details=details)

    # -- transitions

    def _start_one(self) -> None:
        if (
            self._start is None
            and len(self._current) < max(self.spec.version.scaling.max_replicas, 1)
            and not self._removing
        ):
            self._start = self._loop.create_task(self._launch(), name=f"start {self.spec.name}")
            self._since = time.time()

    async def _launch(self) -> None:
        generation = self._generation
        try:
            running = await self._launcher.launch(self.spec)
            if generation != self._generation:  # it was started with keys that are no longer in use
                await running.stop(STOP_GRACE)
                return
        except HeadraceError as error:
            self._back_off(error.message)
        except Exception as error:  # whatever it is, the next start waits: without it, one begins with each look
            log.exception("%s cannot be started", self.spec.name)
            self._back_off(f"{type(error).__name__}: {error}")
        else:
            self._reason = ""
            self._add(running)
            self._plan_idle_check()
        finally:
            self._start = None
            self._notify()
            self.keep_minimum()

    def _add(self, running: Running) -> None:
        replica = Replica(running, idle_since=self._loop.time())
        self._replicas.append(replica)
        self._since = time.time()
        self._spawn(self._watch(replica))

    async def _watch(self, replica: Replica) -> None:
        await replica.running.exited.wait()
        if replica not in self._replicas:
            return  # we stopped it ourselves
        self._replicas.remove(replica)
        self._spawn(replica.running.stop(STOP_GRACE))  # it is gone; this clears up after it
        self._crashes.append(self._loop.time())
        if len(self._crashes) == _CRASHES and self._crashes[-1] - self._crashes[0] < _CRASH_WINDOW:
            self._back_off(
                f"the process ended {_CRASHES} times within {_CRASH_WINDOW:.0f} s; its log ends:\n{replica.running.tail()}"
            )
        self._since = time.time()
        self._notify()
        self.keep_minimum()

    def _back_off(self, reason: str) -> None:
        delay = min(_BACKOFF_LAST, _BACKOFF_FIRST * 2**self._failures)
        self._failures += 1
        self._reason = reason
        self._retry_at = self._loop.time() + delay
        self._since = time.time()

    def _retry(self) -> None:
        self._retry_timer = None
        self.keep_minimum()

    def _retire(self, replica: Replica, grace: float = STOP_GRACE) -> None:
        self._replicas.remove(replica)
        self._failures = 0  # it lived long enough to be put to sleep
        self._since = time.time()
        self._spawn(replica.running.stop(grace))
        self._notify()

    def _plan_idle_check(self) -> None:
        if self._idle_timer is None and not self._removing:
            self._idle_timer = self._loop.call_later(self.spec.version.scaling.idle_timeout, self._put_idle_to_sleep)

    def _put_idle_to_sleep(self) -> None:
        self._idle_timer = None
        scaling = self.spec.version.scaling
        now = self._loop.time()
        idle = sorted((r for r in self._current if r.leases == 0), key=lambda r: r.idle_since)
        spare = len(self._current) - scaling.min_replicas
        for replica in idle[: max(spare, 0)]:
            if now - replica.idle_since >= scaling.idle_timeout - 1e-3:
                self._retire(replica)
        waiting = [r.idle_since for r in self._current if r.leases == 0]
        if waiting and len(self._current) > scaling.min_replicas:
            self._idle_timer = self._loop.call_later(
                max(min(waiting) + scaling.idle_timeout - now, 0.01), self._put_idle_to_sleep
            )

    # -- waiting

    def _refuse_if_unavailable(self) -> None:
        if self._removing:
            raise NotReady(f"{self.spec.version.id} is being removed")
        wait = self._retry_at - self._loop.time()
        if self._reason and wait > 0:
            hint = f"the next start is tried in {wait:.0f} s"
            raise NotReady(f"{self.spec.version.id} cannot start: {self._reason}", retry_after=wait, hint=hint)

    async def _wait_for_change(self, deadline: float) -> None:
        left = deadline - self._loop.time()
        if left <= 0:
            raise DeadlineExceeded(
                f"{self.spec.version.id} was not ready in time", hint="raise the time-out or min-replicas"
            )
        await asyncio.wait([self._changed], timeout=left)

    def _notify(self) -> None:
        if not self._changed.done():
            self._changed.set_result(None)
        self._changed = self._loop.create_future()

    def _spawn(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
