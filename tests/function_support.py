"""Small real things for tests of the function server: versions on disk, and servers as processes on Unix sockets."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import joblib
import orjson

from headrace_functions.forking.process import identify
from headrace_functions.names import VersionId
from headrace_functions.runtime.settings import FunctionSettings
from headrace_functions.signature import Field, Signature, dtype
from headrace_functions.version import Limits, Scaling, Version

START = 30.0


def wait_until(condition: Callable[[], Any], *, seconds: float = 10.0, what: str = "it") -> Any:
    """The first true value of ``condition``; fails the test after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.005)


def scalars(*names: str, kind: str = "float64") -> tuple[Field, ...]:
    return tuple(Field(name, dtype(kind)) for name in names)


def signature(inputs: tuple[Field, ...], outputs: tuple[Field, ...]) -> Signature:
    return Signature(inputs, outputs)


@dataclass(frozen=True)
class Deployed:
    """A version's files in a folder, and the settings to serve it."""

    version: Version
    settings: FunctionSettings

    @property
    def infer_path(self) -> str:
        return f"/v2/models/{self.version.id.model}/infer"


@dataclass(frozen=True)
class Home:
    """A folder for versions, sockets and spools."""

    root: Path
    counter: list[int] = field(default_factory=lambda: [0])

    def version(
        self,
        sig: Signature,
        *,
        framework: str = "python",
        code: str | None = None,
        model: Any = None,
        batch: bool = True,
        limits: Limits | None = None,
        concurrency: int = 1,
        options: dict[str, Any] | None = None,
    ) -> Deployed:
        """Write an artifact (``code`` of function.py, or ``model`` dumped by joblib) and its version."""
        self.counter[0] += 1
        identity = VersionId("m", self.counter[0])
        folder = self.root / identity.service
        artifact = folder / "artifact"
        artifact.mkdir(parents=True)
        if code is not None:
            (artifact / "function.py").write_text(code)
        if model is not None:
            joblib.dump(model, artifact / "model.joblib")
        version = Version(
            id=identity,
            framework=framework,
            signature=sig,
            artifact="0" * 64,
            environment="e",
            content="c",
            batch=batch,
            scaling=Scaling(concurrency=concurrency),
            limits=limits or Limits(),
            options=options or {},
        )
        (folder / "version.json").write_bytes(orjson.dumps(version.to_document()))
        settings = FunctionSettings(
            version=folder / "version.json",
            artifact=artifact,
            listen=f"unix:{self.root}/{identity.service}.sock",
            replica=f"{identity.service}-r",
            spool=self.root / "spool" / identity.service,
            log=folder / "service.log",
            drain_timeout=3.0,
        )
        return Deployed(version, settings)


class Notifications:
    """A datagram socket that hears how starts went."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(START)

    def next(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._socket.recv(1 << 20))
        return message

    def close(self) -> None:
        self._socket.close()


def client(deployed: Deployed, **kwargs: Any) -> httpx.Client:
    address = deployed.settings.address()
    if isinstance(address, Path):
        kwargs["transport"] = httpx.HTTPTransport(uds=str(address))
    return httpx.Client(base_url="http://function", timeout=20, **kwargs)


@contextmanager
def serving(deployed: Deployed, **changes: Any) -> Iterator[subprocess.Popen[bytes]]:
    """The version's server as a process of its own, ready to answer; stopped and reaped at the end."""
    path = deployed.settings.version.parent / "notify.sock"
    path.unlink(missing_ok=True)
    notifications = Notifications(path)
    settings = replace(deployed.settings, notify=path, **changes)
    file = deployed.settings.version.parent / "settings.json"
    file.write_bytes(orjson.dumps(settings.to_document()))
    with deployed.settings.version.with_name("service.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "headrace_functions.runtime", str(file)], stderr=log, stdout=log
        )
    try:
        told = notifications.next()
        assert told["state"] == "ready", told
        yield process
    finally:
        notifications.close()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def alive(pid: int) -> bool:
    """Whether a process runs under this number; a zombie does not."""
    return identify(pid) is not None
