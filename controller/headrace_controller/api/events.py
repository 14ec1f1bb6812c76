"""Server-sent events: the word that something changed, so that readers look again."""

import threading
import time
from collections.abc import Iterator

import orjson
from werkzeug.wrappers import Response

from headrace_controller.api.permissions import somewhere
from headrace_controller.api.routing import Resource
from headrace_controller.service.platform import Platform
from headrace_functions.errors import Overloaded

MAX_STREAMS = 16
"""Open event streams: each holds a thread of the server. One more is answered with 429."""
STREAM_SECONDS = 300.0  # a stream ends after this; browsers come back by themselves
HEARTBEAT = 15.0  # seconds between two signs of life, by which a reader that left is noticed
LOOK_EVERY = 1.0  # seconds between two looks at the services, whose states change by themselves

resource = Resource("events")
_streams = threading.BoundedSemaphore(MAX_STREAMS)


@resource.route("GET", "/events", access=somewhere("view"), produces="text/event-stream")
def follow_events(platform: Platform) -> Response:
    """Follow changes as server-sent events: 'change' whenever a model, sequence, service or job changed."""
    if not _streams.acquire(blocking=False):
        raise Overloaded(f"{MAX_STREAMS} event streams are open, which is the maximum", retry_after=10)
    response = Response(_events(platform), content_type="text/event-stream", headers={"cache-control": "no-store"})
    response.call_on_close(_streams.release)
    return response


def _events(platform: Platform) -> Iterator[bytes]:
    end = time.monotonic() + STREAM_SECONDS
    seen, services = platform.changes.wait(-1, 0), _fingerprint(platform)
    spoken = time.monotonic()
    yield b"retry: 2000\n\n"
    while time.monotonic() < end:
        number, now = platform.changes.wait(seen, LOOK_EVERY), _fingerprint(platform)
        if (number, now) != (seen, services):
            seen, services, spoken = number, now, time.monotonic()
            yield b"event: change\ndata: " + orjson.dumps({"number": number}) + b"\n\n"
        elif time.monotonic() - spoken >= HEARTBEAT:
            spoken = time.monotonic()
            yield b": still here\n\n"


def _fingerprint(platform: Platform) -> bytes:
    states = [(s.get("name"), s.get("state"), s.get("replicas"), s.get("reason")) for s in platform.services.select()]
    return orjson.dumps(states, default=str)
