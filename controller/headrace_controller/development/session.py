"""The life of ``headrace dev``: build, serve, watch, serve anew; ends with Ctrl-C and leaves nothing."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from headrace_controller import archive
from headrace_controller.child_processes import Log
from headrace_controller.development.building import Bench, Built, definition_of
from headrace_controller.development.front import Front
from headrace_controller.development.replicas import Replicas
from headrace_controller.development.watching import EVERY, Watch
from headrace_functions.errors import HeadraceError
from headrace_functions.serving import WaitingServer
from headrace_functions.signature import Signature

OnServed = Callable[[str, str], None]
"""Told once the first function serves: the URL and the model's name."""


class Session:
    """One model of ``path``. ``tell`` gets what a developer reads, ``log`` the lines of builds."""

    def __init__(self, path: Path, name: str | None, environments: Path, tell: Log, log: Log) -> None:
        self._path, self._name, self._tell, self._log = path, name, tell, log
        self._work = Path(tempfile.mkdtemp(prefix="headrace-dev-"))
        (self._work / "run").mkdir()
        self._bench = Bench(self._work, environments)
        self._replicas = Replicas(self._work / "run")
        self._built: Built | None = None
        self._served: Built | None = None
        self._confirming: asyncio.Task[None] | None = None
        self.stopped = asyncio.Event()

    async def run(self, listener: socket.socket, on_served: OnServed) -> None:
        """Until ``stopped`` is set."""
        front = Front(lambda: (self._served, self._replicas.socket), self._tell, self._replicas.log)
        server = _Server(front, drain=1.0)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        watch = Watch(self._folder())
        try:
            await self._anew(whole=True)
            host, port = listener.getsockname()[:2]
            if self._served is not None:
                on_served(f"http://{host}:{port}", self._served.version.id.model)
            while not self.stopped.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.stopped.wait(), EVERY)
                changed = await asyncio.to_thread(watch.changed)
                if changed:
                    await self._reload(changed)
        finally:
            if self._confirming is not None:
                self._confirming.cancel()
            server.stop()
            await serving
            await front.close()
            await self._replicas.close()
            shutil.rmtree(self._work, ignore_errors=True)

    def _folder(self) -> Path:
        return self._path if self._path.is_dir() else self._path.parent

    async def _reload(self, changed: set[Path]) -> None:
        names = ", ".join(sorted(str(p.relative_to(self._folder())) for p in changed)[:3])
        self._tell(f"saved {names}{' …' if len(changed) > 3 else ''}")
        await self._anew(whole=self._built is None or await asyncio.to_thread(self._is_more_than_payload, changed))

    def _is_more_than_payload(self, changed: set[Path]) -> bool:
        """Whether something else than payload was saved: the definition, requirements or data decide the signature and the environment."""
        try:
            definition, source = definition_of(self._path, self._name)
            payload = [p.resolve() for p in archive.expanded(definition.payload, source.folder)]
        except HeadraceError:
            return True
        named = [definition.training_data, definition.sample, definition.reference_data]
        named += definition.requirement_files()
        others = {(source.folder / n).resolve() for n in named if n} | {Path(source.file).resolve()}
        found = {p.resolve() for p in changed}
        outside = {p for p in found if not any(p == q or q in p.parents for q in payload)}
        return bool(found & others) or any(p.suffix in (".yaml", ".yml") for p in outside)

    async def _anew(self, *, whole: bool) -> None:
        started = time.perf_counter()
        try:
            if whole or self._built is None:
                self._built = await asyncio.to_thread(self._bench.build, self._path, self._name, self._log)
            else:
                self._built = await asyncio.to_thread(self._bench.repacked, self._built, self._path, self._name)
            await self._replicas.replace(self._built)
        except HeadraceError as error:
            self._tell(_explained(error, serving=self._served is not None))
            return
        before, self._served = self._served, self._built
        took = time.perf_counter() - started
        self._tell(f"serving {self._built.version.id.model}, {'built' if whole else 'reloaded'} in {took:.2f} s")
        if before is None or before.version.signature != self._built.version.signature:
            if before is not None:  # a build behind an earlier save may have read this one's file already
                self._tell("the signature changed")
            for line in _signature(self._built.version.signature):
                self._tell(line)
        if not whole:
            self._confirm()

    def _confirm(self) -> None:
        """Have what a payload was reloaded from built in full, behind it: whether apply would take it, and by which signature."""
        if self._confirming is not None:
            self._confirming.cancel()
        self._confirming = asyncio.create_task(self._build_behind())

    async def _build_behind(self) -> None:
        try:
            built = await asyncio.to_thread(self._bench.build, self._path, self._name, self._log)
        except HeadraceError as error:
            self._tell(f"apply would fail: {_explained(error, serving=False).removeprefix('error: ')}")
            return
        if self._built is None or built.version.signature == self._built.version.signature:
            return
        self._built = built
        await self._replicas.replace(built)
        self._served = built
        self._tell("the signature changed")
        for line in _signature(built.version.signature):
            self._tell(line)


class _Server(WaitingServer):
    """Signals are the session's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _explained(error: HeadraceError, *, serving: bool) -> str:
    details = "".join(
        f"\n  {label}: {value}"
        for label, value in (("expected", error.expected), ("got", error.got), ("hint", error.hint))
        if value
    )
    return f"error: {error.message}{details}" + ("\n  the function from before still answers" if serving else "")


def _signature(signature: Signature) -> Iterator[str]:
    for side, fields in (("inputs", signature.inputs), ("outputs", signature.outputs)):
        shown = ", ".join(f"{f.name} {f.dtype.name}{list(f.shape) if f.shape else ''}" for f in fields[:12])
        yield f"{side}:  {shown}{' …' if len(fields) > 12 else ''}"


def listener(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    sock.listen(128)
    return sock


async def develop(session: Session, sock: socket.socket, on_served: OnServed) -> None:
    """Run a session until Ctrl-C or TERM."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, session.stopped.set)
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    await session.run(sock, on_served)
