"""Function servers of this pod, one a version, forked from the warm zygote: how many, how large, how long.

========== ============================================= ===========================================
state      ``acquire``                                   becomes
========== ============================================= ===========================================
absent     starts it, for all who ask meanwhile          ready; refused where there is no room
ready      at once, up to ``requests`` open ones         absent when idle, too large, ended or pushed out
refused    says why                                      absent after ``PAUSE`` s
========== ============================================= ===========================================
"""

import asyncio
import contextlib
import itertools
import logging
import sys
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace_functions.errors import Conflict, HeadraceError, NotReady, Overloaded
from headrace_functions.forking.notifications import Words, first_word, listen
from headrace_functions.forking.process import Watched, identify, log_tail
from headrace_functions.forking.zygote import Zygote
from headrace_functions.platform_secret import proof_from
from headrace_functions.runtime.settings import FunctionSettings
from headrace_functions.standby.artifact_cache import Stock, Stocked, Wanted
from headrace_functions.standby.kept_tokens import KeptTokens
from headrace_functions.standby.settings import StandbySettings
from headrace_functions.version import Version

PAUSE = 30.0
"""Seconds for which a version that failed to start here, or was too large, is refused at once."""
LOOK = 1.0
"""Seconds between two looks at a function server's memory and idleness."""
_DRAIN = 10.0  # seconds that open requests of a function server that has to go get
_GRACE = 2.0  # seconds beyond a function server's own drain until it is killed
_MAX_REFUSED = 1000

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Child:
    """One function server that answers."""

    wanted: Wanted
    address: str
    watched: Watched
    used: float
    open: int = 0

    def memory(self) -> int:
        """Bytes that it alone has; 0 when it is gone."""
        try:
            lines = Path(f"/proc/{self.watched.identity.pid}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has just ended
            return 0
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


class Children:
    """Owns the zygote and what it forked; all methods belong to one event loop."""

    def __init__(
        self, settings: StandbySettings, stock: Stock, environment: dict[str, str], tokens: KeptTokens
    ) -> None:
        """``environment`` is what functions get beyond the usual, ``tokens`` keeps by what their records are handed over."""
        self._tokens = tokens
        self._settings = settings
        self._stock = stock
        self._run = settings.work / "run"
        self._logs = settings.work / "log"
        self._zygote = Zygote(Path(sys.executable), settings.framework, self._logs / "zygote.log", environment)
        self._words = Words()
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._starting: dict[Wanted, asyncio.Task[Child]] = {}
        self._ready: dict[Wanted, Child] = {}
        self._refused: dict[Wanted, tuple[float, str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Warm up; ``NotReady`` where the image's Python does not start."""
        for folder in (self._run, self._logs):
            folder.mkdir(parents=True, exist_ok=True)
        self._transport = await listen(self._words, self._run / "words.sock")
        await self._zygote.learn([])

    async def close(self) -> None:
        """End all function servers, which finish what is open, then the zygote."""
        for task in self._starting.values():
            task.cancel()
        await asyncio.gather(*self._starting.values(), return_exceptions=True)
        for child in list(self._ready.values()):
            self._dismiss(child)
        await asyncio.gather(*self._tasks)
        await self._zygote.close()
        self._transport.close()

    def answering(self) -> list[str]:
        """The versions that are answered for now."""
        return sorted(str(wanted.version) for wanted in self._ready)

    @contextlib.asynccontextmanager
    async def acquire(self, wanted: Wanted) -> AsyncIterator[Child]:
        """A function server for the version, which stays until the block ends.

        ``Overloaded`` where there is no room or too much is open, ``NotReady`` and what the store says where it cannot start,
        ``Conflict`` for a version that this image may not answer for. None of these has touched the request.
        """
        child = self._ready.get(wanted)
        if child is None:
            child = await asyncio.shield(self._begin(wanted))
        if child.open >= self._settings.requests:
            raise Overloaded(f"{child.open} requests of {wanted.version} are open in its standby")
        child.open += 1
        try:
            yield child
        finally:
            child.open -= 1
            child.used = self._loop.time()

    def _begin(self, wanted: Wanted) -> asyncio.Task[Child]:
        starting = self._starting.get(wanted)
        if starting is None:
            self._refuse_again(wanted)
            starting = self._loop.create_task(self._start(wanted, self._make_room()))
            self._starting[wanted] = starting
            starting.add_done_callback(lambda task: self._started(wanted, task))
        return starting

    def _refuse_again(self, wanted: Wanted) -> None:
        until, reason = self._refused.pop(wanted, (0.0, ""))
        if self._loop.time() < until:
            self._refused[wanted] = (until, reason)
            raise NotReady(reason)

    def _make_room(self) -> Child | None:
        """The function server that has to go for one more, if any; ``Overloaded`` where all are busy."""
        if len(self._starting) + len(self._ready) < self._settings.versions:
            return None
        idle = [child for child in self._ready.values() if child.open == 0]
        if not idle:
            raise Overloaded(f"the standby already serves {self._settings.versions} versions")
        oldest = min(idle, key=lambda child: child.used)
        del self._ready[oldest.wanted]
        return oldest

    def _started(self, wanted: Wanted, task: asyncio.Task[Child]) -> None:
        del self._starting[wanted]
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._ready[wanted] = task.result()
            self._spawn(self._keep(task.result()))
        else:
            self._refuse(wanted, error.message if isinstance(error, HeadraceError) else repr(error))

    def _refuse(self, wanted: Wanted, reason: str) -> None:
        log.warning("%s waits for its own pod: %s", wanted.version, reason)
        self._refused[wanted] = (self._loop.time() + PAUSE, reason)
        if len(self._refused) > _MAX_REFUSED:
            del self._refused[next(iter(self._refused))]

    async def _start(self, wanted: Wanted, instead_of: Child | None) -> Child:
        began = self._loop.time()
        if instead_of is not None:
            await self._end(instead_of)
        stocked = await self._stock.fetch(wanted, {child.wanted.name for child in self._ready.values()})
        await asyncio.to_thread(self._tokens.keep, wanted.version.service, wanted.token)
        self._check(stocked.version)
        fetched = self._loop.time()
        child = await self._fork(wanted, stocked)
        now = self._loop.time()
        log.info(
            "%s: fetched in %.0f ms, ready %.0f ms later",
            wanted.version,
            (fetched - began) * 1e3,
            (now - fetched) * 1e3,
        )
        return child

    def _check(self, version: Version) -> None:
        runtime = version.runtime
        if runtime is None or runtime.lock != self._settings.lock or runtime.layer:
            raise Conflict(
                f"{version.id} was built for a different environment than that of this image",
                expected=f"the lock {self._settings.lock} and no layer",
            )

    async def _fork(self, wanted: Wanted, stocked: Stocked) -> Child:
        replica = f"{wanted.version.service}-{next(self._numbers)}"
        socket, file = self._run / f"{replica}.sock", self._logs / f"{replica}.log"
        known = f"{self._settings.replica}/{replica}"  # in records and words
        ready = self._words.expect(known)
        watched: Watched | None = None
        settings = FunctionSettings(
            version=stocked.document,
            artifact=stocked.artifact,
            listen=f"unix:{socket}",
            replica=known,
            spool=self._settings.work / "spool" / wanted.version.service,
            notify=self._run / "words.sock",
            log=file,
            drain_timeout=_DRAIN,
            secret=proof_from(wanted.token) if wanted.token else "",
        )
        try:
            identity = identify(await self._zygote.fork(settings.to_document()))
            if identity is None:
                raise NotReady(f"the process ended immediately; the end of its log:\n{log_tail(file)}")
            watched = Watched(identity)
            word = await first_word(ready, watched, file, stocked.version.limits.start_timeout)
        except BaseException:
            # Also when the start is called off: nothing half started is left.
            if watched is not None:
                await watched.stop(_GRACE)
            raise
        finally:
            self._words.forget(known)
        if word["modules"]:
            self._spawn(self._learn(word["modules"]))
        return Child(wanted, settings.listen, watched, self._loop.time())

    async def _learn(self, modules: list[str]) -> None:
        try:
            await self._zygote.learn(modules)
        except NotReady as error:
            log.warning("the next start will be no quicker: %s", error.message)

    async def _keep(self, child: Child) -> None:
        """Look after it until it ends, or has to."""
        while True:
            try:
                await asyncio.wait_for(child.watched.exited.wait(), LOOK)
            except TimeoutError:
                idle = child.open == 0 and self._loop.time() - child.used > self._settings.idle
                memory = child.memory()
                if memory > self._settings.child_bytes:
                    self._refuse(child.wanted, f"it takes {memory >> 20} MiB, which is too much for a standby")
                elif not idle:
                    continue
            break
        self._dismiss(child)

    def _dismiss(self, child: Child) -> None:
        if self._ready.get(child.wanted) is child:
            del self._ready[child.wanted]
            self._spawn(self._end(child))

    async def _end(self, child: Child) -> None:
        await child.watched.stop(_DRAIN + _GRACE)
        Path(child.address.removeprefix("unix:")).unlink(missing_ok=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
