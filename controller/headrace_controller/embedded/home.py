"""The home directory: made, claimed by one platform at a time, and found again by the command line."""

import fcntl
import os
import shutil
import signal
import socket
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from headrace_controller.settings import Settings
from headrace_functions.errors import Conflict, DeadlineExceeded, NotFound, StorageFailed
from headrace_functions.forking.process import Identity, identify, is_alive

_STOP_SECONDS = 60.0
SOCKETS = "sockets"
"""The link in ``run`` to the sockets of a home whose path is too long for them."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The platform that holds a home."""

    identity: Identity
    url: str
    storage: str
    grpc: str = ""
    """``host:port`` of the gRPC server, empty where there is none."""
    certificate: str = ""
    """PEM file with the certificate that it shows; empty where it speaks plain HTTP."""


class HomeLock:
    """Held while the platform is up; the kernel frees it however the platform ends."""

    def __init__(self, settings: Settings) -> None:
        """Make the home's folders and take the lock. ``Conflict`` says who holds it, ``StorageFailed`` what is wrong with the home."""
        self._path = settings.run / "up.lock"
        self._short = settings.sockets if settings.sockets != settings.run else None
        try:
            for folder in (settings.home, settings.run, settings.logs, settings.spool, settings.artifacts):
                folder.mkdir(parents=True, exist_ok=True)
            settings.run.chmod(0o700)
            _make_sockets(settings)
            self._file: IO[bytes] = self._path.open("a+b")
        except OSError as error:
            raise StorageFailed(
                f"the home {settings.home} cannot be used: {error.strerror}",
                field="home",
                hint="choose a writable one with --home",
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            holder = holder_of(settings)
            who = (
                f"process {holder.identity.pid} at {holder.url}"
                if holder
                else "a platform that is starting or stopping"
            )
            raise Conflict(
                f"the home {settings.home} is in use by {who}", field="home", hint="stop it with: headrace down"
            ) from error

    def announce(self, url: str, settings: Settings, grpc: str = "") -> None:
        """Tell the command line where the platform answers."""
        identity = identify(os.getpid())
        assert identity is not None
        self._file.truncate(0)
        told = {"url": url, "storage": settings.storage_url, "grpc": grpc, "certificate": settings.tls_certificate}
        self._file.write(orjson.dumps({**identity.to_document(), **told}))
        self._file.flush()

    def release(self) -> None:
        if self._short is not None:
            shutil.rmtree(self._short, ignore_errors=True)
            (self._path.parent / SOCKETS).unlink(missing_ok=True)
        self._file.truncate(0)
        self._file.close()


def _make_sockets(settings: Settings) -> None:
    """The short folder for sockets of a home with a long path, for its owner alone, and a link to it in the home."""
    folder = settings.sockets
    if folder == settings.run:
        return
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise StorageFailed(
            f"{folder} is needed for the sockets of this home, but belongs to another user",
            field="home",
            hint="remove it, or choose a home with a shorter path",
        )
    link = settings.run / SOCKETS
    link.unlink(missing_ok=True)
    link.symlink_to(folder, target_is_directory=True)


def holder_of(settings: Settings) -> Holder | None:
    """Who holds the home and answers; None where nobody does."""
    try:
        document: dict[str, Any] = orjson.loads((settings.run / "up.lock").read_bytes())
        identity = Identity(document["pid"], document["started"])
        holder = Holder(
            identity, document["url"], document["storage"], document.get("grpc", ""), document.get("certificate", "")
        )
    except (OSError, ValueError, KeyError):
        return None
    return holder if is_alive(holder.identity) else None


def storage_of(settings: Settings) -> str:
    """URL of the store that the platform of this home uses, or used when it was up last; else the one of the settings."""
    if settings.storage:
        return settings.storage
    try:
        known = orjson.loads((settings.run / "settings.json").read_bytes())["storage"]
    except (OSError, ValueError, KeyError):
        known = ""
    return str(known) or settings.storage_url


def stop_holder(settings: Settings) -> Holder:
    """Send TERM to the platform of this home and wait until it has drained. ``NotFound`` if none is up."""
    holder = holder_of(settings)
    if holder is None:
        raise NotFound(f"no platform is up on {settings.home}", hint="start one with: headrace up")
    os.kill(holder.identity.pid, signal.SIGTERM)
    deadline = time.monotonic() + settings.drain + _STOP_SECONDS
    while is_alive(holder.identity):
        if time.monotonic() > deadline:
            raise DeadlineExceeded(
                f"process {holder.identity.pid} did not stop in time", hint=f"its logs are in {settings.logs}"
            )
        time.sleep(0.05)
    return holder


def keep_port(settings: Settings) -> socket.socket:
    """The gRPC server's port, kept for as long as the platform is up, so that the server may end and come back to it.

    The socket does not listen; the server's own, which may share the port, does. ``Conflict`` if the port is taken.
    """
    kept = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        probe = socket.socket(kept.family, socket.SOCK_STREAM)
        with probe:  # a socket that shares no port sees whoever listens, one of ours that shares included
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.host, settings.grpc_port or 0))
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        kept.bind((settings.host, settings.grpc_port or 0))
    except OSError as error:
        kept.close()
        raise Conflict(
            f"cannot serve gRPC on {settings.host}:{settings.grpc_port}: {error.strerror}",
            field="grpc-port",
            hint="if another program uses the port, choose another with --grpc-port, or 0 for any free one",
        ) from error
    return kept


def listen_door(settings: Settings) -> socket.socket:
    """The front door's Unix socket, for its owner alone; who connects while the gateway comes back waits in its queue."""
    settings.door_socket.unlink(missing_ok=True)
    opened = socket.socket(socket.AF_UNIX)
    opened.bind(str(settings.door_socket))
    settings.door_socket.chmod(0o600)
    opened.listen(4096)
    return opened


def listen(settings: Settings) -> socket.socket:
    """The public socket. ``Conflict`` if the port is taken."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    public = socket.socket(family, socket.SOCK_STREAM)
    public.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        public.bind((settings.host, settings.port))
        public.listen(4096)
    except OSError as error:
        public.close()
        hint = "another program listens there; choose another with --port, or 0 for any free one"
        raise Conflict(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}", field="port", hint=hint
        ) from error
    return public


def listen_inside() -> socket.socket:
    """A socket of the loopback interface for the platform's own processes, which need no TLS."""
    inside = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    inside.bind(("127.0.0.1", 0))
    inside.listen(1024)
    return inside


def url_of(public: socket.socket, scheme: str = "http") -> str:
    host, port = public.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def replace_file(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old or the new one, for the owner's eyes only."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(data)
    temporary.chmod(0o600)
    temporary.replace(path)
