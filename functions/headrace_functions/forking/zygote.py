"""The near side of a zygote: a warm interpreter per environment that forks a replica in milliseconds."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

from headrace_functions.errors import NotReady

_MAX_REPLY = 1 << 20
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def child_environment(extra: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """The environment of functions: little of ours, and one BLAS thread a replica, for replicas share the cores. ``extra`` wins."""
    kept = {
        k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE")
    }
    return {**kept, **dict.fromkeys(_THREADS, "1"), "PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": "0", **extra}


class Zygote:
    """Started on first use; a zygote that died is replaced on the next. One request is on the wire at a time."""

    def __init__(
        self, python: Path, framework: str, log: Path, environment: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """``environment`` is what functions get beyond ``child_environment``."""
        self._python = python
        self._framework = framework
        self._log = log
        self._environment = environment
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    async def fork(self, settings: dict[str, Any]) -> int:
        """Fork a function server with these settings and return its pid; ``NotReady`` with the zygote's words if it cannot."""
        reply = await self._ask({"op": "fork", "settings": settings})
        pid: int = reply["pid"]
        return pid

    async def learn(self, modules: Sequence[str]) -> None:
        """Import what the last child had to import, so that the next one need not."""
        await self._ask({"op": "import", "modules": list(modules)})

    async def prepare(self) -> None:
        """Have the next child forked beforehand, where a zygote runs. It shares the zygote's memory until it is used."""
        if self.pid is not None:
            await self._ask({"op": "spare"})

    async def close(self) -> None:
        """End the zygote; what it forked lives on."""
        async with self._lock:
            await self._end()

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        async with self._lock:
            if self.pid is None:
                await self._end()
                await self._start()
            reply = await self._exchange(request)
        if "error" in reply:
            raise NotReady(f"the environment's zygote refused: {reply['error']}")
        return reply

    async def _exchange(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._reader is not None
        assert self._writer is not None
        self._writer.write(orjson.dumps(request) + b"\n")
        await self._writer.drain()
        line = await self._reader.readline()
        if not line:
            raise NotReady(f"the environment's zygote ended; its log is {self._log}")
        reply: dict[str, Any] = orjson.loads(line)
        return reply

    async def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs, self._log.open("ab") as log:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    str(self._python), "-m", "headrace_functions.runtime.zygote", "--fd", str(theirs.fileno()), "--framework", self._framework,
                    pass_fds=(theirs.fileno(),), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                    env=child_environment(self._environment), cwd="/", start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                ours.close()
                raise NotReady(f"the environment's Python cannot start: {error}") from error
        ours.setblocking(False)
        self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=_MAX_REPLY)

    async def _end(self) -> None:
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(ConnectionError):
                await self._writer.wait_closed()
        if self._process is not None:
            try:
                await asyncio.wait_for(self._process.wait(), 2)
            except TimeoutError:
                self._process.send_signal(signal.SIGKILL)
                await self._process.wait()
        self._process = self._reader = self._writer = None
