"""What KServe's logger posts (CloudEvents of a request and of its response) joined by id into exchanges of an external version.

The two halves of a request come in any order, seconds apart, and sometimes twice. A half waits for the other in memory for ``PATIENCE``;
one that waits in vain is counted and dropped, a request without an answer says nothing of a model. Exchanges are handed over
together, at most a second after they are whole, and the log takes an id once.
"""

import base64
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_functions.errors import HeadraceError, InvalidInput, Malformed, NotFound, Overloaded
from headrace_functions.loop_health import LoopHealth
from headrace_functions.names import VersionId
from headrace_functions.protocol import jsontext
from headrace_functions.protocol.codec import decode_request, decode_response
from headrace_functions.protocol.messages import Protocol
from headrace_functions.version import Version

log = logging.getLogger("headrace.exchanges")

REQUEST, RESPONSE = "org.kubeflow.serving.inference.request", "org.kubeflow.serving.inference.response"
PATIENCE = 600.0
"""Seconds that a half waits for the other."""
FLUSH = 1.0
MAX_WAITING = 100_000
"""Halves that wait."""
MAX_WAITING_BYTES = 256 * 1024 * 1024
MAX_EVENT = 16 * 1024 * 1024
"""Bytes of an event's body."""
MAX_ID = 100
"""Characters of an event's id; rows of a request of several are logged as ``ID.ROW``."""


@dataclass(frozen=True, slots=True)
class Half:
    """A request or a response as it came."""

    kind: str
    service: str
    """``NAMESPACE/NAME`` of the InferenceService."""
    id: str
    body: bytes
    at: float
    time: str
    """RFC 3339, empty where the event does not say."""


def half_of(headers: Mapping[str, str], body: bytes, now: float) -> Half:
    """A CloudEvent in binary mode (``ce-`` headers) or structured mode (one JSON document). ``InvalidInput`` names what it lacks."""
    if len(body) > MAX_EVENT:
        raise InvalidInput(f"body: {len(body)} bytes", field="body", expected=f"at most {MAX_EVENT}")
    named = {name.lower(): value for name, value in headers.items()}
    given = {name.removeprefix("ce-"): value for name, value in named.items() if name.startswith("ce-")}
    if named.get("content-type", "").startswith("application/cloudevents+json"):
        given, body = _structured(body)
    kind = given.get("type", "")
    if kind not in (REQUEST, RESPONSE):
        raise InvalidInput(f"ce-type: {kind!r} is not supported", field="ce-type", expected=f"{REQUEST} or {RESPONSE}")
    name = given.get("inferenceservicename", "")
    if not name:
        raise InvalidInput("ce-inferenceservicename: missing", field="ce-inferenceservicename")
    if not 0 < len(given.get("id", "")) <= MAX_ID:
        raise InvalidInput("ce-id: missing or too long", field="ce-id", expected=f"1 to {MAX_ID} characters")
    namespace = given.get("namespace") or "default"
    return Half(kind, f"{namespace}/{name}", given["id"], body, now, given.get("time", ""))


def _structured(body: bytes) -> tuple[dict[str, str], bytes]:
    """The attributes of an event in structured mode, which are single values, and its data."""
    document = jsontext.parse(body)
    given = {k: str(v) for k, v in document.items() if isinstance(v, str | int) and not k.startswith("data")}
    if "data_base64" not in document:
        return given, jsontext.rewritten(document.get("data"))
    try:
        return given, base64.b64decode(document["data_base64"], validate=True)
    except (ValueError, TypeError) as error:
        raise Malformed(f"data_base64: it is not Base64: {error}", field="data_base64") from error


class EventJoin:
    """``take`` from any thread; ``flush`` hands over what is whole."""

    def __init__(
        self,
        find: Callable[[str], Version | None],
        keep: Callable[[VersionId, Sequence[Any]], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``find`` gives the version that is registered for ``NAMESPACE/NAME``; ``keep`` sends exchanges to its log."""
        self._find = find
        self._keep = keep
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: OrderedDict[tuple[str, str, str], Half] = OrderedDict()
        self._bytes = 0
        self._whole: dict[VersionId, list[Any]] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.health = LoopHealth("joining KServe's events", log)
        self.joined = self.unanswered = self.refused = 0
        """Exchanges that were handed over, halves that waited in vain, and pairs that do not fit their version."""

    def open(self) -> None:
        """Hand over what is whole every second, by a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="kserve events", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and hand over what is whole; halves that wait are lost."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        with self.health.guard():
            self.flush()

    def _run(self) -> None:
        self.health.repeat(self.flush, FLUSH, self._stopping)

    def take(self, headers: Mapping[str, str], body: bytes) -> None:
        """Keep one event. ``NotFound`` for a service that no version is registered for, ``Overloaded`` where too much waits."""
        half = half_of(headers, body, self._clock())
        version = self._find(half.service)
        if version is None:
            raise NotFound(
                f"no model is registered for InferenceService {half.service}",
                field="ce-inferenceservicename",
                hint=f"external: {{inference-service: {half.service}}} in the definition of a model",
            )
        other = RESPONSE if half.kind == REQUEST else REQUEST
        with self._lock:
            self._expire()
            found = self._waiting.pop((half.service, half.id, other), None)
            if found is None:
                self._wait(half)
                return
            self._bytes -= len(found.body)
        request, response = (half, found) if half.kind == REQUEST else (found, half)
        try:
            exchanges = exchanges_of(version, request, response)
        except HeadraceError:
            self.refused += 1
            raise
        with self._lock:
            self._whole.setdefault(version.id, []).extend(exchanges)

    def flush(self) -> int:
        """Hand over what is whole and return how many; what cannot be kept now is kept by a later flush."""
        with self._lock:
            whole, self._whole = self._whole, {}
        kept = 0
        for version, exchanges in whole.items():
            try:
                self._keep(version, exchanges)
            except HeadraceError:
                with self._lock:
                    self._whole.setdefault(version, [])[:0] = exchanges
                raise
            kept += len(exchanges)
            self.joined += len(exchanges)
        return kept

    def _wait(self, half: Half) -> None:
        key = (half.service, half.id, half.kind)
        if key in self._waiting:
            return  # it came twice
        if len(self._waiting) >= MAX_WAITING or self._bytes + len(half.body) > MAX_WAITING_BYTES:
            raise Overloaded("too many events are waiting for the other half of their exchange")
        self._waiting[key] = half
        self._bytes += len(half.body)

    def _expire(self) -> None:
        oldest = self._clock() - PATIENCE
        while self._waiting:
            key, half = next(iter(self._waiting.items()))
            if half.at > oldest:
                return
            del self._waiting[key]
            self._bytes -= len(half.body)
            self.unanswered += 1


def exchanges_of(version: Version, request: Half, response: Half) -> list[dict[str, Any]]:
    """One exchange a row of a request and its response, in either protocol. ``InvalidInput`` names what does not fit the signature."""
    signature, batch = version.signature, version.batch
    protocol: Protocol = "v1" if b'"instances"' in request.body[:4096] else "v2"
    inputs = decode_request(request.body, "application/json", None, signature, protocol=protocol, batch=batch)[0]
    outputs = decode_response(response.body, None, signature, protocol=protocol, batch=batch)
    latency = (response.at - request.at) * 1000
    rows = len(next(iter(inputs.values()))) if batch and inputs else 1
    missing = [f.name for f in signature.outputs if f.name not in outputs]
    if missing:
        raise InvalidInput(f"outputs: {missing[0]!r} is missing", field=missing[0])
    return [
        {
            "request_id": request.id if rows == 1 else f"{request.id}.{row}",
            "inputs": {n: _value(a, row, batch=batch) for n, a in inputs.items()},
            "outputs": {n: _value(a, row, batch=batch) for n, a in outputs.items()},
            "latency_ms": latency if latency >= 0 else None,  # the request's half came after its answer's: nobody knows
            **({"received": request.time} if request.time else {}),
        }
        for row in range(rows)
    ]


def _value(array: np.ndarray[Any, Any], row: int, *, batch: bool) -> Any:
    found = array[row] if batch else array
    if isinstance(found, np.ndarray):
        return [_plain(v) for v in found.ravel().tolist()]
    return _plain(found.item() if isinstance(found, np.generic) else found)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and np.isnan(value) else value
