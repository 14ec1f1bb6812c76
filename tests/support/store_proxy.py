"""A store proxy as a server of its own, for pods and processes that a test starts; the platform's runs inside of its gateway."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvloop

from headrace_functions.gateway.store_proxy import StoreProxy
from headrace_functions.platform_secret import FUNCTION, PlatformSecret, store_token
from headrace_functions.serving import WaitingServer, listening
from headrace_functions.storage.proxied import PROXY, TOKEN
from headrace_functions.storage.releases import ReleaseKey

SECRET = "the platform's secret"


@dataclass
class Served:
    """A proxy that answers at ``url``."""

    url: str
    secret: PlatformSecret
    arrived: list[None]

    def token(self, name: str, kind: str = FUNCTION) -> str:
        return store_token(SECRET, kind, name)

    def variables(self, name: str, kind: str = FUNCTION) -> dict[str, str]:
        """What the environment of a pod says of it."""
        return {PROXY: self.url, TOKEN: self.token(name, kind)}


@contextmanager
def served(
    objects: Any, release_key: ReleaseKey | None = None, host: str = "127.0.0.1", secret: str = SECRET, port: int = 0
) -> Iterator[Served]:
    """A proxy in front of a store, in a thread of its own; port 0 takes a free one."""
    arrived: list[None] = []
    known = PlatformSecret(secret)
    proxy = StoreProxy(objects, known, lambda: arrived.append(None), release_key)
    opened = listening(host, port)
    with _running(proxy, opened):
        yield Served(f"http://{host}:{opened.getsockname()[1]}", known, arrived)


@contextmanager
def _running(app: Callable[..., Any], opened: socket.socket) -> Iterator[None]:
    loops: list[tuple[asyncio.AbstractEventLoop, WaitingServer]] = []
    ready = threading.Event()

    async def serve() -> None:
        server = WaitingServer(app, drain=1)
        loops.append((asyncio.get_running_loop(), server))
        ready.set()
        await server.serve(sockets=[opened])

    thread = threading.Thread(target=uvloop.run, args=(serve(),))
    thread.start()
    ready.wait(10)
    try:
        yield
    finally:
        loop, server = loops[0]
        loop.call_soon_threadsafe(server.stop)
        thread.join(10)
