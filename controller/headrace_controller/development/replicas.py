"""One process that answers, forked from a warm zygote, and the next that takes its place once it serves."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

from headrace_controller.development.building import Built
from headrace_functions.errors import NotReady
from headrace_functions.forking.notifications import Words, first_word, listen
from headrace_functions.forking.process import Watched, identify, log_tail
from headrace_functions.forking.zygote import Zygote
from headrace_functions.runtime.settings import FunctionSettings

GRACE = 2.0
"""Seconds that the old process gets for what it is doing."""


class Replicas:
    """``socket`` is that of the process that answers now, None while there is none."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._words = Words()
        self._numbers = itertools.count(1)
        self._zygotes: dict[tuple[Path, str], Zygote] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._current: Watched | None = None
        self.socket: Path | None = None
        self.log = run / "function.log"

    async def replace(self, built: Built) -> None:
        """Start a process for what was built; if it serves, it answers from now on. ``NotReady`` says why it does not, and the old one stays."""
        if self._transport is None:
            self._transport = await listen(self._words, self._run / "words")
        replica = f"r{next(self._numbers)}"
        at = self._run / f"{replica}.sock"
        told = FunctionSettings(
            built.document,
            built.artifact,
            f"unix:{at}",
            replica=replica,
            notify=self._run / "words",
            log=self.log,
            drain_timeout=GRACE,
        )
        ready = self._words.expect(replica)
        watched: Watched | None = None
        zygote = self._zygote(built)
        try:
            identity = identify(await zygote.fork(told.to_document()))
            if identity is None:
                raise NotReady(f"the process ended immediately; the end of its log:\n{log_tail(self.log)}")
            watched = Watched(identity)
            word: dict[str, Any] = await first_word(ready, watched, self.log, built.version.limits.start_timeout)
        except BaseException:
            if watched is not None:
                await watched.stop(GRACE)
            raise
        finally:
            self._words.forget(replica)
        old, self._current, self.socket = self._current, watched, at
        if old is not None:
            await old.stop(GRACE)
        await zygote.learn(word.get("modules", ()))
        await zygote.prepare()

    def _zygote(self, built: Built) -> Zygote:
        key = (built.python, built.version.framework)
        if key not in self._zygotes:
            self._zygotes[key] = Zygote(built.python, built.version.framework, self._run / "zygote.log")
        return self._zygotes[key]

    async def close(self) -> None:
        if self._current is not None:
            await self._current.stop(GRACE)
        for zygote in self._zygotes.values():
            await zygote.close()
        if self._transport is not None:
            self._transport.close()
