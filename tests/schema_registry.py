"""A schema registry on loopback, as far as readers of messages ask one: ``GET /schemas/ids/ID``; and messages as its producers write them."""

import io
import json
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fastavro import parse_schema, schemaless_writer


@dataclass
class Registry:
    schemas: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    url: str = ""
    status: int = 200
    """What it answers; another than 200 is a registry in trouble."""
    asked: list[str] = field(default_factory=list)
    auth: list[str] = field(default_factory=list)

    def message(self, number: int, record: Mapping[str, Any]) -> bytes:
        """A record as a producer with this registry writes it."""
        written = io.BytesIO()
        schemaless_writer(written, parse_schema(dict(self.schemas[number])), record)
        return b"\0" + struct.pack(">I", number) + written.getvalue()


@contextmanager
def schema_registry(schemas: dict[int, Mapping[str, Any]]) -> Iterator[Registry]:
    registry = Registry(schemas)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nothing is written about requests."""

        def do_GET(self) -> None:
            registry.asked.append(self.path)
            registry.auth.append(self.headers.get("authorization", ""))
            number = int(self.path.rsplit("/", 1)[-1])
            known = registry.schemas.get(number)
            status = registry.status if registry.status != 200 else 200 if known is not None else 404
            body = {"schema": json.dumps(known)} if status == 200 else {"error_code": 40403, "message": "not found"}
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    registry.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
