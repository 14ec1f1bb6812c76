"""The life of a function server's process: load, listen, tell that it is ready, serve, drain, end within a bound."""

import asyncio
import contextlib
import gc
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvloop
from uvicorn.lifespan import off as _off

from headrace_functions.errors import HeadraceError
from headrace_functions.platform_secret import PlatformSecret
from headrace_functions.recording.spool import Spool
from headrace_functions.runtime import confinement
from headrace_functions.runtime.batching import Batcher
from headrace_functions.runtime.explanations import Explainer
from headrace_functions.runtime.loading import LoadedFunction, load_function
from headrace_functions.runtime.metrics import Metrics
from headrace_functions.runtime.server import FunctionServer
from headrace_functions.runtime.settings import FunctionSettings
from headrace_functions.runtime.streams import Runs
from headrace_functions.serving import WaitingServer

WARM = (_off,)
"""Modules that uvicorn looks up by name when it starts: imported here, so that a fork has them."""

STOPPING = (signal.SIGTERM, signal.SIGINT)
_BACKLOG = 2048
_MODULES_TOLD = 2000
_COLLECT_AFTER = 10_000  # new objects between the quick collections; a request makes a few hundred that free themselves
_EXIT_GRACE = 1.0  # seconds beyond the drain in which the process must be gone

log = logging.getLogger(__name__)


def serve(settings: FunctionSettings) -> int:
    """Run until SIGTERM or SIGINT; the process's exit code. Tells ``settings.notify`` how the start went."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    before = set(sys.modules)
    try:
        version = settings.read_version()
        listener = listen(settings)
        _confine(settings)
        function = load_function(
            version.framework, settings.artifact, version.options, version.signature, batch=version.batch
        )
    except (HeadraceError, OSError, KeyError, ValueError) as error:
        reason = error.message if isinstance(error, HeadraceError) else f"{type(error).__name__}: {error}"
        log.error("cannot start: %s", reason, exc_info=error)
        notify(settings, "failed", reason=reason)
        return 1
    modules = sorted(new_libraries(before))
    settle_memory()
    uvloop.run(_serve(settings, function, listener, modules))
    return 0


def _confine(settings: FunctionSettings) -> None:
    """Before any code of the user's is read: from here on there is no way back."""
    if not settings.confined or settings.temporary is None:
        return
    writable = [settings.spool] if settings.spool is not None else []
    for folder in writable:
        folder.mkdir(parents=True, exist_ok=True)
    readable = [settings.artifact, settings.version, *map(Path, settings.readable)]
    lacks = confinement.confine(
        readable, writable, settings.temporary, network=settings.network, memory=settings.memory
    )
    if lacks:
        log.warning("not confined: %s", lacks)


def settle_memory() -> None:
    """Leave what is loaded by now out of garbage collections: it stays, and walking over it would stop requests for long."""
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 50)


async def _serve(
    settings: FunctionSettings, function: LoadedFunction, listener: socket.socket, modules: list[str]
) -> None:
    version = settings.read_version()
    metrics = Metrics(version.id.model, version.id.number)
    batcher = Batcher(
        function,
        batch=version.batch,
        concurrency=version.scaling.concurrency,
        queue=version.limits.queue,
        batch_rows=settings.batch_rows,
        fast=settings.fast,
        on_batch=metrics.batch,
    )
    spool = open_spool(settings)
    app = FunctionServer(
        version,
        batcher,
        spool,
        metrics,
        replica=settings.replica,
        platform=settings.platform,
        secret=PlatformSecret(settings.secret, bytes.fromhex(settings.hash_key)),
    )
    app.explainer = Explainer(version, settings.artifact, function.model)
    if function.streams:
        app.runs = Runs(function, batcher.threads, version.limits.queue)
    server = Server(app, settings, modules)
    try:
        await server.serve(sockets=[listener])
    finally:
        batcher.close()
        if spool is not None:
            spool.close()


def open_spool(settings: FunctionSettings) -> Spool | None:
    if settings.spool is None:
        return None
    return Spool(
        settings.spool,
        cap_bytes=settings.spool_cap,
        segment_bytes=settings.segment_bytes,
        segment_age=settings.segment_age,
    )


class Server(WaitingServer):
    """The function server's: SIGTERM and SIGINT begin the drain, readiness off first."""

    def __init__(self, app: FunctionServer, settings: FunctionSettings, modules: list[str]) -> None:
        super().__init__(app, drain=settings.drain_timeout, backlog=_BACKLOG)
        self._app = app
        self._settings = settings
        self._modules = modules

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in STOPPING:
            loop.add_signal_handler(number, self._drain)
        os.register_at_fork(before=_hold_signals, after_in_parent=_release_signals, after_in_child=_forget_signals)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        notify(self._settings, "ready", modules=self._modules)
        log.info("ready: %s on %s", self._app.version.id, self._settings.listen)

    def _drain(self) -> None:
        self._app.draining = True
        self.stop()
        # A request that never ends, or a thread of user code, must not keep the process.
        guard = threading.Timer(self._settings.drain_timeout + _EXIT_GRACE, os._exit, (0,))
        guard.daemon = True
        guard.start()


def _forget_signals() -> None:
    """In a process that user code forked, such as one of ``multiprocessing.Pool``: signals are its own.

    It shares the socket by which this process hears of its signals, so a child that is told to stop would stop the server.
    """
    signal.set_wakeup_fd(-1)
    for number in STOPPING:
        signal.signal(number, signal.SIG_DFL)
    _release_signals()


_held = threading.local()


def _hold_signals() -> None:
    """Until a child has its own: one that came to it before would be taken for this process's, and be lost to the child."""
    _held.mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)


def _release_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _held.mask)


def listen(settings: FunctionSettings) -> socket.socket:
    """A listening socket at the settings' address; a socket file that a dead process left is replaced."""
    address = settings.address()
    if isinstance(address, Path):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        address.unlink(missing_ok=True)
        sock.bind(str(address))
    else:
        sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    sock.listen(_BACKLOG)
    return sock


def notify(settings: FunctionSettings, state: str, *, reason: str = "", modules: list[str] | None = None) -> None:
    """Tell the listener at ``settings.notify``; if nobody listens any more, the log says so."""
    if settings.notify is None:
        return
    message: dict[str, Any] = {"replica": settings.replica, "pid": os.getpid(), "state": state, "reason": reason}
    message["modules"] = (modules or [])[:_MODULES_TOLD]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.sendto(json.dumps(message).encode(), str(settings.notify))
        except OSError as error:
            log.warning("nobody heard that this replica is %s: %s", state, error)


def new_libraries(before: set[str]) -> Iterator[str]:
    """Installed modules imported since ``before``: not the user's own files, which belong to one version."""
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None) or ""
        if name not in before and ("site-packages" in path or "dist-packages" in path):
            yield name
