"""``headrace up``: holds the home and the port, keeps the gateway and the collector running, serves the management API.

The gateway is started again when it ends; the collector runs only while records wait (it ends by itself when none have
come for a while), so an idle platform is this process, the gateway and the zygotes.
"""

import contextlib
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from headrace_controller.embedded import certificate
from headrace_controller.embedded.child import Child
from headrace_controller.embedded.home import HomeLock, listen, listen_door, listen_inside, replace_file, url_of
from headrace_controller.embedded.process import write_settings
from headrace_controller.embedded.remote import RemoteGateway
from headrace_controller.embedded.transports import Transports
from headrace_controller.settings import Settings
from headrace_functions.errors import NotReady, Unreachable

log = logging.getLogger("headrace.supervisor")

_TICK = 0.5
_START_SECONDS = 30.0
_COLLECT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Addresses:
    """URLs of a platform: for its callers, and for its own processes on this machine, which need no TLS."""

    public: str
    inside: str


class ManagementApi(Protocol):
    """The controller's use cases behind HTTP, and what runs on a clock."""

    def start(self) -> None:
        """Serve on the controller's socket; returns at once."""

    def on_metric(self, attached: Callable[[], None]) -> None:
        """Call ``attached`` when a metric is attached to a version."""

    def gateway_is_up(self) -> None:
        """Called whenever the gateway has (re)started: versions with ``min-replicas`` are woken."""

    def close(self) -> None:
        """Stop schedules, jobs and builds in order, then stop serving."""


class Supervisor:
    def __init__(
        self, settings: Settings, api: Callable[[Settings, RemoteGateway, str, Addresses], ManagementApi]
    ) -> None:
        self._settings = settings
        self._make_api = api
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._to_score = threading.Event()

    def run(self, on_ready: Callable[[str], None]) -> None:
        """Serve until TERM or INT; ``on_ready`` gets the URL. Raises ``Conflict`` for a home or a port that is taken."""
        settings = self._settings
        certificate.check(settings)
        lock = HomeLock(settings)
        try:
            with listen(settings) as public, contextlib.ExitStack() as more:
                inside = more.enter_context(listen_inside()) if settings.tls_certificate else public
                door = more.enter_context(listen_door(settings)) if settings.grpc_port is not None else None
                self._serve(public, inside, door, lock, on_ready)
        finally:
            lock.release()

    def _serve(
        self,
        public: socket.socket,
        inside: socket.socket,
        door: socket.socket | None,
        lock: HomeLock,
        on_ready: Callable[[str], None],
    ) -> None:
        """``inside`` is where the platform's own processes ask the gateway: the public socket where that speaks plain HTTP; ``door`` where the gRPC server does."""
        settings = self._settings
        self._catch_signals()
        # The same one as long as the home is: functions that outlive a platform which was killed know the gateway by it.
        token = settings.purpose.read_text() if settings.purpose.is_file() else secrets.token_hex(16)
        write_settings(settings, settings.run / "settings.json")
        replace_file(settings.purpose, token.encode())
        if not settings.hash_key.is_file():
            replace_file(settings.hash_key, secrets.token_hex(32).encode())
        sockets = [s.fileno() for s in (public, inside, door) if s is not None]
        gateway = Child(
            "gateway",
            self._command("embedded.gateway", str(sockets[0]), str(os.getpid()), *map(str, sockets[1:])),
            settings.logs / "gateway.log",
            sorted(set(sockets)),
        )
        collector = Child("collector", self._command("embedded.collector"), settings.logs / "collector.log")
        transports = Transports(settings, inside, self._command)
        remote = RemoteGateway(settings.gateway_socket, token)
        url = url_of(public, settings.scheme)
        api = self._make_api(settings, remote, token, Addresses(url, url_of(inside)))
        api.on_metric(self._metric_attached)
        try:
            api.start()
            gateway.start()
            self._wait_for(gateway, remote)
            collector.start()
            transports.start(self._stop)
            api.gateway_is_up()
            lock.announce(url, settings, transports.grpc)
            on_ready(url)
            self._keep(gateway, collector, remote, api, transports)
        finally:
            log.info("stopping")
            transports.stop()
            gateway.stop(settings.drain + 30)
            api.close()
            # Last, so that it takes in what the functions sealed when they stopped.
            collector.stop(10)
            self._collect_the_rest()
            remote.close()

    def _keep(
        self, gateway: Child, collector: Child, remote: RemoteGateway, api: ManagementApi, transports: Transports
    ) -> None:
        while not self._stop.is_set():
            self._wake.wait(_TICK)
            self._wake.clear()
            if self._stop.is_set():
                return
            if gateway.restart_if_ended():
                try:
                    self._wait_for(gateway, remote)
                except NotReady as error:  # one that is killed while it starts is started again, like one that serves
                    log.error("%s; trying again", error.message)
                    continue
                api.gateway_is_up()
            transports.keep()
            if collector.pid is None and (self._to_score.is_set() or _records_wait(self._settings.spool)):
                self._to_score.clear()
                collector.start()

    def _metric_attached(self) -> None:
        """A collector scores the log. One that runs may be about to end, so another is started after it."""
        self._to_score.set()
        self._wake.set()

    def _collect_the_rest(self) -> None:
        """What is still there is taken in now, or at the next ``up`` if the store is away."""
        if _records_wait(self._settings.spool):
            subprocess.run(
                self._command("embedded.collector", "once"),
                timeout=_COLLECT_SECONDS,
                check=False,
                stderr=subprocess.DEVNULL,
            )

    def _wait_for(self, gateway: Child, remote: RemoteGateway) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and gateway.pid is not None and not self._stop.is_set():
            try:
                remote.summary()
            except Unreachable:
                time.sleep(0.01)
                continue
            return
        if not self._stop.is_set():
            raise NotReady("the gateway did not start", hint=f"see {self._settings.logs / 'gateway.log'}")

    def _command(self, module: str, *arguments: str) -> list[str]:
        return [
            sys.executable,
            "-m",
            f"headrace_controller.{module}",
            str(self._settings.run / "settings.json"),
            *arguments,
        ]

    def _catch_signals(self) -> None:
        def stop(*_: object) -> None:
            self._stop.set()
            self._wake.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        signal.signal(signal.SIGCHLD, lambda *_: self._wake.set())


def _records_wait(spool: Path) -> bool:
    """Whether a segment waits in the spool, or is being written."""
    return next(spool.glob("*/*/*.seg"), None) is not None or any(
        f.stat().st_size > 0 for f in spool.glob("*/*/*.open")
    )
