"""A pod of a stream: ``python -m headrace_controller.incluster.stream_pod``.

Runs the stream that the variable ``HEADRACE_STREAM`` describes, as one of several consumers of its group, and says at ``GET /progress`` how it is
doing, to who shows the platform's secret. TERM ends it after the batch that is being answered. What was not committed another pod reads again.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer

import orjson
from pydantic import ValidationError

from headrace_controller.backends.kserve.streams import ORDER, POD_NAME, PORT, Order
from headrace_controller.incluster.settings import GATEWAY_SERVICE
from headrace_controller.logging_setup import set_up_logging
from headrace_controller.streams.running import GatewayCalls, StreamRun
from headrace_functions.errors import HeadraceError, InvalidInput
from headrace_functions.platform_secret import PROOF, PlatformSecret
from headrace_functions.startup import NAMESPACE, PLATFORM_SECRET, cannot_start, required

log = logging.getLogger("headrace.streams")

EXIT_STUCK = 75
_TICK = 0.5
_SETTER = "the controller sets it"


@dataclass(frozen=True, slots=True)
class Told:
    """What a pod is told."""

    order: Order
    identity: str
    gateway: str
    secret: str = field(repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Told":
        """``InvalidInput`` names the variable that is missing or wrong."""
        text, pod, namespace, secret = (
            required(environment, name, hint=_SETTER) for name in (ORDER, POD_NAME, NAMESPACE, PLATFORM_SECRET)
        )
        try:
            order = Order.from_text(text)
        except (ValidationError, ValueError, KeyError, TypeError) as error:
            raise InvalidInput(
                f"{ORDER} cannot be read: {error}",
                field=ORDER,
                hint="use an image and a controller of the same release",
            ) from error
        return cls(order, pod, f"http://{GATEWAY_SERVICE}.{namespace}.svc", secret)


def progress_server(run: StreamRun, secret: PlatformSecret, address: tuple[str, int]) -> HTTPServer:
    """The standard library's server, because frameworks are half of a start that somebody waits for. Port 0 is any."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/healthz":
                self._answer(200, b"alive\n")
            elif self.path != "/progress":
                self._answer(404, b"")
            elif not secret.is_proof(self.headers.get(PROOF.decode(), "").encode("latin-1", "replace")):
                self._answer(401, b"this is answered to the controller alone\n")
            else:
                self._answer(200, orjson.dumps(run.progress.to_document()))

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 -- the library's name
            """Nothing of the controller's many questions."""

    return ThreadingHTTPServer(address, Answers)


def main() -> int:
    set_up_logging()
    try:
        told = Told.from_environment(os.environ)
    except HeadraceError as error:
        sys.exit(cannot_start(error))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    asking, order = GatewayCalls(told.gateway, lambda: told.secret), told.order
    run = StreamRun(order.definition, order.resets, order.start, asking, identity=told.identity)
    run.start()
    server = progress_server(run, PlatformSecret(told.secret), ("0.0.0.0", PORT))  # noqa: S104 -- inside its pod
    threading.Thread(target=server.serve_forever, name="progress", daemon=True).start()
    while not stop.wait(_TICK):
        if run.is_stuck:
            log.error("the Kafka client does not come back from a write; the container begins anew")
            os._exit(EXIT_STUCK)
    run.stop()
    asking.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
