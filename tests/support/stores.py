"""Stores that fail as the test says."""

import contextlib
import socket
import threading
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
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._cut = False
        self.port: int = self._listener.getsockname()[1]
        self._threads: set[threading.Thread] = set()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @property
    def target(self) -> str:
        """URL of the server itself."""
        return f"http://{self._target[0]}:{self._target[1]}"

    def cut(self) -> None:
        self._cut = True
        self._end_all()

    def mend(self) -> None:
        self._cut = False
        self._end_all()

    def _end_all(self) -> None:
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.cut()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(5)
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(5)
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:  # it was closed
                return
            with self._lock:
                self._open.add(near)
                if not self._cut:
                    thread = threading.Thread(target=self._carry, args=(near,), daemon=True)
                    self._threads.add(thread)
                    thread.start()

    def _carry(self, near: socket.socket) -> None:
        """One connection, until both sides have ended it."""
        try:
            far = socket.create_connection(self._target, timeout=5)
        except OSError:  # the server does not take it: neither does the cable
            far = None
        if far is not None:
            far.settimeout(None)
            with self._lock:
                self._open.add(far)
            back = threading.Thread(target=_copy, args=(far, near), daemon=True)
            back.start()
            _copy(near, far)
            back.join()
        with self._lock:
            self._threads.discard(threading.current_thread())
            for one in (near, far):
                if one is not None:
                    self._open.discard(one)
                    one.close()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
