"""The processes that serve other protocols than HTTP in front of the gateway: none unless the settings ask for them."""

import contextlib
import importlib.util
import os
import socket
import threading
import time
from collections.abc import Callable

from headrace_controller.embedded.child import Child
from headrace_controller.embedded.home import keep_port
from headrace_controller.settings import Settings
from headrace_functions.errors import InvalidInput, NotReady

_START_SECONDS = 30.0
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- an address to listen on, not one to connect to


class Transports:
    def __init__(self, settings: Settings, public: socket.socket, command: Callable[..., list[str]]) -> None:
        """``public`` is the gateway's socket. Raises ``InvalidInput`` where a library is missing and ``Conflict`` for a port that is taken."""
        self._settings = settings
        self._kept: socket.socket | None = None
        self._grpc: Child | None = None
        self.grpc = ""
        """``host:port`` of the gRPC server; empty where there is none."""
        door = _address(_ANY.get(settings.host, settings.host), public.getsockname()[1])
        self._streams = Child(
            "streams",
            command("embedded.streams", f"http://{door}", str(os.getpid())),
            settings.logs / "streams.log",
        )
        self._marks = settings.run / "streams"
        self._seen = -1
        if settings.grpc_port is None:
            return
        _needs("ngh2", "grpc", "--grpc-port")
        _needs("google.protobuf", "grpc", "--grpc-port")
        self._kept = keep_port(settings)
        port = self._kept.getsockname()[1]
        self.grpc = _address(settings.host, port)
        self._grpc = Child(
            "gRPC server",
            command("embedded.rpc", f"unix:{settings.door_socket}", str(port), str(os.getpid())),
            settings.logs / "grpc.log",
        )

    def start(self, stop: threading.Event) -> None:
        """Start what was asked for and wait until it listens. ``NotReady`` if it does not."""
        if self._grpc is None:
            return
        self._grpc.start()
        host, _, port = self.grpc.rpartition(":")
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._grpc.pid is not None and not stop.is_set():
            with (
                contextlib.suppress(OSError),
                socket.create_connection((_ANY.get(host, host).strip("[]"), int(port)), 1),
            ):
                return
            time.sleep(0.02)
        if not stop.is_set():
            raise NotReady("the gRPC server did not start", hint=f"see {self._settings.logs / 'grpc.log'}")

    def keep(self) -> None:
        """Start again what ended."""
        if self._grpc is not None:
            self._grpc.restart_if_ended()
        if self._streams.pid is None and self._streams_changed():
            self._streams.start()
        elif self._streams.failed:
            self._streams.restart_if_ended()

    def _streams_changed(self) -> bool:
        """Whether the streams' process has something to look at since it was last started here."""
        try:
            mark = (self._marks / "changed").stat().st_mtime_ns
        except OSError:
            return False
        changed, self._seen = mark != self._seen, mark
        return changed

    def stop(self) -> None:
        """Refuse new calls, finish open ones, and let go of the port."""
        self._streams.stop(self._settings.drain + 5)
        if self._grpc is not None:
            self._grpc.stop(self._settings.drain + 5)
        if self._kept is not None:
            self._kept.close()


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _needs(module: str, extra: str, option: str) -> None:
    try:
        found = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that the module would be in
        found = False
    if not found:
        raise InvalidInput(
            f"{option} needs libraries that are not installed",
            field=option.lstrip("-"),
            hint=f"pip install 'headrace[{extra}]'",
        )
