"""A server on loopback that answers as OpenAI's chat completions do, with ``stream`` and ``include_usage``: each answer repeats the question."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answers:
    """What is answered, piece by piece, and what was seen of the callers."""

    pieces: Sequence[str]
    status: int = 200
    said: str = "slow down"
    """What an error says."""
    pause: float = 0.0
    """Seconds between two pieces."""
    break_after: int | None = None
    """Pieces after which the connection is dropped."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    sent: int = 0
    hung_up: threading.Event = field(default_factory=threading.Event)


@contextmanager
def chat_server(answers: Answers) -> Iterator[str]:
    """The base URL of the API while the server runs."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nothing is written about requests."""

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            answers.asked.append(body)
            answers.keys.append(self.headers.get("authorization", ""))
            if self.path != "/v1/chat/completions" or answers.status != 200:
                self.send_response(answers.status if answers.status != 200 else 404)
                self.end_headers()
                self.wfile.write(answers.said.encode())
                return
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            try:
                self._answer(body)
            except OSError:
                answers.hung_up.set()

        def _answer(self, body: dict[str, Any]) -> None:
            asked = body["messages"][-1]["content"]
            for number, piece in enumerate([f"{asked}: ", *answers.pieces]):
                if number == answers.break_after:
                    self.connection.close()
                    return
                self._say({"model": body["model"], "choices": [{"delta": {"content": piece}}]})
                answers.sent += 1
                threading.Event().wait(answers.pause)
            self._say({"choices": [{"delta": {}, "finish_reason": "stop"}]})
            count = len(answers.pieces)
            self._say(
                {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": count, "total_tokens": count + 1}}
            )
            self.wfile.write(b"data: [DONE]\n\n")

        def _say(self, event: dict[str, Any]) -> None:
            self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
            self.wfile.flush()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
