"""Stores that fail as the test says."""

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

from headrace_functions.errors import StorageFailed
from headrace_functions.storage.objects import ObjectStore

_READS = {"create", "get", "stream", "folders", "names", "walk", "exists"}


class FaultyStore:
    """An object store that can be away: every read fails, or hangs until the store is back."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._mode = ""
        self._back = threading.Event()
        self.reads = 0

    def refuse(self) -> None:
        """Reads fail at once."""
        self._mode = "refuse"

    def hang(self) -> None:
        """Reads wait until ``recover``, and fail then."""
        self._mode = "hang"
        self._back.clear()

    def recover(self) -> None:
        self._mode = ""
        self._back.set()

    def __getattr__(self, name: str) -> Any:
        if name in _READS:
            self.reads += 1
            if self._mode == "hang":
                self._back.wait(30)
                raise StorageFailed("the store was away")
            if self._mode == "refuse":
                raise StorageFailed("the store is away")
        return getattr(self._store, name)


class Cable:
    """A TCP way to a server that can be cut: then connections end, and new ones are accepted and never answered."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._cut = False
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def cut(self) -> None:
        self._cut = True
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._cut = False
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.cut()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)
        for connection in self._open:
            connection.close()

    def _start(self, work: Callable[..., None], *arguments: socket.socket) -> None:
        self._threads.append(threading.Thread(target=work, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._open.append(near)
                if not self._cut:
                    far = socket.create_connection(self._target)
                    self._open.append(far)
                    for one, other in ((near, far), (far, near)):
                        self._start(_copy, one, other)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
