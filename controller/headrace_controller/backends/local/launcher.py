"""Brings one replica up: environment and artifact in place, a fork from the zygote, its word that it serves."""

import asyncio
import hashlib
import itertools
import logging
import os
import shutil
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace_controller.backends.base import ServiceSpec
from headrace_controller.backends.local.service import STOP_GRACE
from headrace_controller.settings import Settings
from headrace_functions.errors import NotReady
from headrace_functions.forking.notifications import Words, first_word, listen
from headrace_functions.forking.process import (
    Watched,
    identify,
    log_tail,
    read_pid_file,
    write_pid_file,
)
from headrace_functions.forking.zygote import Zygote
from headrace_functions.gateway.leases import Endpoint
from headrace_functions.platform_secret import function_proof
from headrace_functions.version import Version

ZYGOTE_IDLE = 900.0
"""Seconds after its last fork for which a zygote stays."""
_PREPARE_AFTER = 0.05  # seconds from the word of a replica: the request that woke it goes first
_LOG_CAP = 8 * 1024 * 1024  # a service log larger than this starts anew, the old one is kept once

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a replica needs on this machine."""

    python: Path
    artifact: Path
    document: Path
    """The version's ``version.json`` as a file."""


Prepare = Callable[[Version], Prepared]
"""Brings environment and artifact to this machine; may take long and runs in a thread. ``HeadraceError`` if it cannot."""
Woke = Callable[[str, float], None]
"""Hears the stage of a start that has ended well, and its seconds."""


class LocalReplica:
    """A function server on a Unix socket; ``Running`` of the state machine."""

    def __init__(
        self, endpoint: Endpoint, watched: Watched, note: Path, log: Path, temporary: Path | None = None
    ) -> None:
        """``temporary`` is the folder that it may write to, which goes with it."""
        self._temporary = temporary
        self.endpoint = endpoint
        self.exited = watched.exited
        self._watched = watched
        self._note = note
        self._log = log

    async def stop(self, grace: float) -> None:
        await self._watched.stop(grace)
        if self._temporary is not None:
            await asyncio.to_thread(shutil.rmtree, self._temporary, ignore_errors=True)
        self._note.unlink(missing_ok=True)
        Path(self.endpoint.address.removeprefix("unix:")).unlink(missing_ok=True)

    def tail(self) -> str:
        return log_tail(self._log)


class LocalLauncher:
    def __init__(self, settings: Settings, prepare: Prepare, woke: Woke = lambda _stage, _seconds: None) -> None:
        """``woke`` hears how long each stage of a start took: ``prepare`` (files in place), ``fork``, ``load`` (the model, until it serves) and ``total``."""
        self._settings = settings
        self._woke = woke
        self._prepare = prepare
        self._zygotes: dict[tuple[Path, str], Zygote] = {}
        self._words = Words()
        self._transport: asyncio.DatagramTransport | None = None
        self._numbers = itertools.count(int(time.time()) % 1_000_000)
        self._tasks: set[asyncio.Task[None]] = set()
        self._retirements: dict[tuple[Path, str], asyncio.TimerHandle] = {}

    @property
    def _notify_path(self) -> Path:
        return self._settings.sockets / "notify.sock"

    @property
    def _notes(self) -> Path:
        return self._settings.run / "replicas"

    async def open(self) -> None:
        """Listen for what replicas say."""
        self._notes.mkdir(parents=True, exist_ok=True)
        self._settings.sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._transport = await listen(self._words, self._notify_path)

    async def close(self) -> None:
        """End the zygotes. Replicas are stopped by their services."""
        for timer in self._retirements.values():
            timer.cancel()
        for zygote in self._zygotes.values():
            await zygote.close()
        if self._transport is not None:
            self._transport.close()

    async def launch(self, spec: ServiceSpec) -> LocalReplica:
        began = time.perf_counter()
        prepared = await asyncio.to_thread(self._prepare, spec.version)
        ready_to_fork = time.perf_counter()
        zygote = self._zygote(prepared.python, spec.version.framework)
        replica = f"{spec.name}-{next(self._numbers)}"
        ready = self._words.expect(replica)
        watched: Watched | None = None
        try:
            pid = await zygote.fork(self._function_settings(spec, prepared, replica))
            forked = time.perf_counter()
            self._retire_later((prepared.python, spec.version.framework))
            identity = identify(pid)
            if identity is None:
                raise NotReady(f"the process ended immediately; the end of its log:\n{log_tail(self._log(spec.name))}")
            note = {"service": spec.name, "replica": replica, "keys": self._keys_of(spec.name)}
            write_pid_file(self._notes / f"{replica}.json", identity, **note)
            watched = Watched(identity)
            word = await first_word(ready, watched, self._log(spec.name), spec.version.limits.start_timeout)
        except BaseException:
            # Also when the start is called off: nothing half started is left.
            if watched is not None:
                await watched.stop(STOP_GRACE)
            (self._notes / f"{replica}.json").unlink(missing_ok=True)
            self._socket(replica).unlink(missing_ok=True)
            await asyncio.to_thread(shutil.rmtree, self._temporary(replica), ignore_errors=True)
            raise
        finally:
            self._words.forget(replica)
        done = time.perf_counter()
        self._woke("prepare", ready_to_fork - began)
        self._woke("fork", forked - ready_to_fork)
        self._woke("load", done - forked)
        self._woke("total", done - began)
        self._spawn(_prepare_next(zygote, word.get("modules", ())))
        return self._replica(spec.name, replica, watched)

    async def survivors(self) -> dict[str, list[LocalReplica]]:
        """Replicas of an earlier node that still answer, by service; those that do not, or were started with other keys, are ended
        and forgotten."""
        found: dict[str, list[LocalReplica]] = {}
        for note in sorted(self._notes.glob("*.json")):
            read = read_pid_file(note)
            if read is None:
                note.unlink()
                continue
            identity, document = read
            candidate = self._replica(document["service"], document["replica"], Watched(identity))
            current = document.get("keys") == self._keys_of(document["service"])
            if current and await _answers(candidate.endpoint.address):
                found.setdefault(document["service"], []).append(candidate)
            else:
                await candidate.stop(STOP_GRACE)
        alive = {replica.endpoint.replica for replicas in found.values() for replica in replicas}
        await asyncio.to_thread(self._remove_temporaries, alive)
        return found

    def _remove_temporaries(self, alive: set[str]) -> None:
        """Folders of replicas that ended without us."""
        for folder in (self._settings.run / "functions").glob("*"):
            if folder.name not in alive:
                shutil.rmtree(folder, ignore_errors=True)

    def _replica(self, service: str, replica: str, watched: Watched) -> LocalReplica:
        endpoint = Endpoint(f"unix:{self._socket(replica)}", replica)
        return LocalReplica(
            endpoint, watched, self._notes / f"{replica}.json", self._log(service), self._temporary(replica)
        )

    def _temporary(self, replica: str) -> Path:
        """The folder that a replica may write to, as long as it is there."""
        return self._settings.run / "functions" / replica

    def _retire_later(self, key: tuple[Path, str]) -> None:
        """A zygote that has not forked for a while gives its memory back; the next start of its environment is slower once."""
        if key in self._retirements:
            self._retirements[key].cancel()
        self._retirements[key] = asyncio.get_running_loop().call_later(ZYGOTE_IDLE, self._retire, key)

    def _retire(self, key: tuple[Path, str]) -> None:
        del self._retirements[key]
        self._spawn(self._zygotes.pop(key).close())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _zygote(self, python: Path, framework: str) -> Zygote:
        key = (python, framework)
        if key not in self._zygotes:
            name = f"zygote-{framework}-{python.parent.parent.name[:12]}"
            self._zygotes[key] = Zygote(python, framework, self._settings.logs / f"{name}.log")
        return self._zygotes[key]

    def _socket(self, replica: str) -> Path:
        return self._settings.sockets / f"{replica}.sock"

    def _log(self, service: str) -> Path:
        return self._settings.logs / f"{service}.log"

    def _secret(self) -> str:
        """The platform's, empty where there is none: the function then believes nobody who says that a request is the gateway's."""
        try:
            return self._settings.purpose.read_text()
        except FileNotFoundError:
            return ""

    def _keys_of(self, service: str) -> str:
        """What tells the keys of the home that a function is started with from others, and tells nobody the keys."""
        keys = f"{function_proof(self._secret(), service)}:{self._settings.read_hash_key()}"
        return hashlib.sha256(keys.encode()).hexdigest()[:16]

    def _function_settings(self, spec: ServiceSpec, prepared: Prepared, replica: str) -> dict[str, Any]:
        log = self._log(spec.name)
        if log.exists() and log.stat().st_size > _LOG_CAP:
            os.replace(log, log.with_suffix(".log.1"))  # noqa: PTH105
        return {
            "version": str(prepared.document),
            "artifact": str(prepared.artifact),
            "listen": f"unix:{self._socket(replica)}",
            "spool": str(self._settings.spool / spec.name),
            "spool_cap": self._settings.spool_cap,
            "notify": str(self._notify_path),
            "replica": replica,
            "log": str(log),
            "secret": function_proof(self._secret(), spec.name),
            "confined": not self._settings.unconfined,
            "temporary": str(self._temporary(replica)),
            "readable": list(self._settings.function_paths),
            "network": self._settings.function_network,
            "memory": self._settings.function_memory,
            "hash_key": self._settings.read_hash_key(),
        }


async def _prepare_next(zygote: Zygote, modules: Sequence[str]) -> None:
    """What makes the next start of the environment quicker, once this one has answered: its imports, and its fork."""
    await asyncio.sleep(_PREPARE_AFTER)
    try:
        if modules:
            await zygote.learn(modules)
        await zygote.prepare()
    except NotReady as error:
        log.info("the next start will be a little slower: %s", error.message)


async def _answers(address: str) -> bool:
    """Whether something serves at a replica's socket."""
    try:
        reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix:"))
        writer.write(b"GET /v2/health/ready HTTP/1.1\r\nHost: headrace\r\nConnection: close\r\n\r\n")
        status = await asyncio.wait_for(reader.readline(), 2)
        writer.close()
    except (OSError, TimeoutError):
        return False
    return b" 200" in status
