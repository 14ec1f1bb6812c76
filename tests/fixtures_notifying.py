"""Who is told of incidents: a real HTTP server, a clock, and an incident in a store."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest

from headrace_controller.incidents.model import Movement, entry
from headrace_controller.service.incidents import Incidents
from headrace_controller.service.notifications import Notifications
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore

START = datetime(2026, 11, 26, 14, tzinfo=UTC)
ENDPOINT = "http://headrace.test"


class Receiver:
    """A real HTTP server that keeps what it gets and answers ``status``."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str, Any]] = []
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append((self.path, self.headers["content-type"], orjson.loads(body)))
                self.send_response(receiver.status)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Time:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.close()


class Story:
    """An incident in a store, and whoever tells of it."""

    def __init__(self, folder: Path, time: Callable[[], datetime]) -> None:
        self.documents = Documents(ObjectStore(str(folder)))
        self.time = time
        self.again()

    def again(self) -> Notifications:
        """Another process on the same store."""
        platform = _Catalog(self.documents)
        self.incidents = Incidents(platform, lambda: None, self.time)  # type: ignore[arg-type]
        self.told = Notifications(self.documents, self.incidents, ENDPOINT, self.time)
        return self.told

    def opens(self, field: str = "x", severity: Any = "severe", version: str = "churn:3") -> None:
        said = f"`{field}`: mean 64 → 6,400"
        movement = Movement(version, "moved", field, "input", self.time(), severity, 1.0, said, f"{field} × 100")
        self.incidents.store.all(self.time())
        assert self.incidents.store.open([movement], self.time())

    def resolves(self, number: int = 1) -> None:
        self.incidents.store.append(number, entry("resolved", self.time()))


class _Catalog:
    def __init__(self, documents: Documents) -> None:
        self.documents = documents
