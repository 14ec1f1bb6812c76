"""One stream at work: read a batch, ask about it, write answers and offsets, again and again, until it is told to stop.

What becomes of a message:

- answered: to the destination, with its key and headers;
- refused, or the function fails on it: to the error topic with the problem, as soon as it is known that it is to blame. A batch that
  is refused is asked again in halves until the messages to blame are alone;
- nobody can answer now (429, 502, 503, 504, the gateway is away): it waits, and with it all that comes after. Only what ran out of time or
  ended its process ``ATTEMPTS`` times is a problem of its own.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol
from urllib.parse import quote

import httpx
import orjson

from headrace_controller import clock
from headrace_controller.definitions.stream import StreamDefinition
from headrace_controller.streams.kafka import LagView, Lanes, Moved, Outgoing, TooBig, filled
from headrace_controller.streams.messages import (
    JSON_LENGTH,
    Decode,
    Message,
    Problem,
    Question,
    Reply,
    body_of,
    groups,
    outgoing_headers,
    question,
    replies,
    rows_of,
)
from headrace_functions.errors import HeadraceError, Malformed, NotFound, TooLarge, Unreachable
from headrace_functions.loop_health import LoopHealth
from headrace_functions.protocol.problems import problem
from headrace_functions.sources import Source

log = logging.getLogger("headrace.streams")

ATTEMPTS = 5
"""Times that a message is asked about whose requests run out of time (504) or end the function's process (502)."""
NOBODY_ANSWERS = (401, 403, 404, 429, 502, 503, 504)
"""Statuses that say nothing of the messages: they wait."""
_WAITS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
STUCK = 35.0
"""Seconds after which a write is given up with its process: after a broker was killed the client may wait for an answer for ever."""
_LOOK_EVERY = 2.0
"""Seconds between two looks at the lag."""
PROBLEM = "headrace-problem"
ORIGIN = "headrace-origin"
VERSION = "x-headrace-version"
REQUEST_ID = "x-request-id"


@dataclass(slots=True)
class Progress:
    """How a stream is doing; counts are since its process began."""

    state: str = "starting"
    """``starting``, ``running``, ``waiting`` (nobody answers now), ``paused``, ``failed`` (Kafka is away or refuses)."""
    reason: str = ""
    answered: int = 0
    refused: int = 0
    lag: dict[int, int] = field(default_factory=dict)
    at: str = ""

    def to_document(self) -> dict[str, Any]:
        return {**asdict(self), "lag": {str(p): n for p, n in self.lag.items()}, "at": clock.now()}


class Asking(Protocol):
    """How requests reach the data plane."""

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        """The answer, whatever its status. Raises ``httpx.TransportError``."""

    def outputs(self, model: str) -> list[str]:
        """Names of the outputs of what a name leads to; raises ``HeadraceError`` or ``httpx.TransportError``."""


class GatewayCalls:
    """Asks the gateway at ``base``; ``secret`` gives the platform's, as proof that the caller is one of its processes."""

    def __init__(self, base: str, secret: Callable[[], str]) -> None:
        self._client = httpx.Client(base_url=base, timeout=660.0, trust_env=False)
        self._secret = secret

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        more = {"content-type": "application/json", **headers, "x-headrace-proof": self._secret()}
        return self._client.post(path, content=body, headers=more)

    def outputs(self, model: str) -> list[str]:
        answer = self._client.get(f"/v2/models/{quote(model, safe='@:')}", headers={"x-headrace-proof": self._secret()})
        if answer.status_code != 200:
            raise NotFound(answer.json().get("detail", f"{model} cannot be asked"))
        return [output["name"] for output in answer.json()["outputs"]]

    def close(self) -> None:
        self._client.close()


class Stopped(Exception):
    """The stream was told to stop while it waited."""


class StreamRun:
    """One stream in a thread of its own, from ``start`` to ``stop``."""

    def __init__(
        self,
        stream: StreamDefinition,
        resets: int,
        start: str,
        asking: Asking,
        *,
        paused: bool = False,
        identity: str = "",
    ) -> None:
        """With an ``identity`` it is one of several consumers, and somebody else looks at the lag."""
        self.progress = Progress("paused" if paused else "starting")
        self._stream = stream
        self._resets = resets
        self._start = start
        self._asking = asking
        self._paused = paused
        self._identity = identity
        self._stop = threading.Event()
        self._writing_since: float | None = None
        self._decode: Decode | None = None
        self._outputs: list[str] = []
        self._outputs_of: str | None = None
        self._thread = threading.Thread(target=self._run, name=f"stream {stream.name}", daemon=True)
        self._looking = threading.Thread(target=self._look, name=f"lag of {stream.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()
        if not self._identity:
            self._looking.start()

    def stop(self) -> None:
        """Finish the batch that is being written and leave the group."""
        self._stop.set()
        for thread in (self._thread, self._looking):
            if thread.ident is not None:
                thread.join(30)

    @property
    def is_stuck(self) -> bool:
        """Whether the Kafka client has not come back from a write for longer than any of its own time limits."""
        since = self._writing_since
        return since is not None and time.monotonic() - since > STUCK

    def _look(self) -> None:
        health = LoopHealth(f"lag of stream {self._stream.name}", log)
        view: LagView | None = None
        while not self._stop.is_set():
            with health.guard():
                try:
                    view = view or LagView(self._stream, self._resets)
                    self.progress.lag = view.lag()
                except HeadraceError as error:
                    if self._paused:
                        self.progress.reason = error.message
            self._stop.wait(_LOOK_EVERY)
        if view is not None:
            view.close()

    def _run(self) -> None:
        health = LoopHealth(f"stream {self._stream.name}", log)
        while not self._stop.is_set() and not self._paused:
            with health.guard():
                try:
                    self._session()
                except Stopped:
                    return
                except Moved as moved:
                    log.warning("stream %s begins anew: %s", self._stream.name, moved)
                except HeadraceError as error:
                    if self.progress.reason != error.message:
                        log.warning("stream %s: %s", self._stream.name, error.message)
                    self.progress.state, self.progress.reason = "failed", error.message
                    self._stop.wait(_WAITS[-1])
            if health.failures:
                self.progress.state, self.progress.reason = "failed", health.problem
                self._stop.wait(health.pause)

    def _session(self) -> None:
        self._decode = decoder(self._stream)
        lanes = Lanes(self._stream, self._resets, self._start, identity=self._identity)
        try:
            lanes.open()
            self.progress.state, self.progress.reason = "running", ""
            while not self._stop.is_set():
                read = lanes.read(self._stream.batch, self._stream.linger)
                if read:
                    self._answer(lanes, read)
                lanes.settle()
        finally:
            lanes.close()

    def _answer(self, lanes: Lanes, read: Sequence[Message]) -> None:
        found: list[Reply | Problem] = []
        asked: list[Question] = []
        for message in sorted(read, key=lambda m: (m.partition, m.offset)):
            said = self._read(lanes, message)
            asked.append(said) if isinstance(said, Question) else found.append(said)
        for group in groups(asked, max(self._stream.batch, 1)):
            found += self._settled(lanes, group)
        found.sort(key=lambda one: (one.message.partition, one.message.offset))
        self._writing_since = time.monotonic()
        try:
            lanes.write(map(self._outgoing, found), read)
        except TooBig:
            self._write_small(lanes, found, read)
        finally:
            self._writing_since = None
        problems = sum(isinstance(one, Problem) for one in found)
        self.progress.answered += len(found) - problems
        self.progress.refused += problems

    def _read(self, lanes: Lanes, message: Message) -> Question | Problem:
        """What a message asks, once its schema can be had."""
        tries = 0
        while True:
            try:
                said = question(message, self._decode)
            except Unreachable as error:
                self._wait(lanes, error.message, tries)
                tries += 1
            else:
                if tries:
                    self.progress.state, self.progress.reason = "running", ""
                return said

    def _write_small(self, lanes: Lanes, found: Sequence[Reply | Problem], read: Sequence[Message]) -> None:
        """The batch again, with answers that the broker does not take as problems; these lose a value that is too large, too."""
        largest = (
            max(len(one.value) for one in found if isinstance(one, Reply))
            if any(isinstance(o, Reply) for o in found)
            else 0
        )
        while True:
            error = TooLarge(
                "the broker does not accept messages of this size",
                field="value",
                expected="a smaller response",
                got=f"{largest} bytes",
            )
            found = [
                Problem(one.message, problem(error).body)
                if isinstance(one, Reply) and len(one.value) >= largest
                else one
                for one in found
            ]
            outgoing = [self._outgoing(one) for one in found]
            outgoing = [
                Outgoing(o.topic, o.key, None, o.headers)
                if o.topic == self._stream.errors and len(o.value or b"") >= largest
                else o
                for o in outgoing
            ]
            try:
                lanes.write(outgoing, read)
            except TooBig:
                largest //= 2
            else:
                return

    def _settled(self, lanes: Lanes, group: list[Question]) -> list[Reply | Problem]:
        """An answer or problem for each message of a group."""
        source = self._source(group)
        if len(str(source)) > 8000 and len(group) > 1:
            return self._in_halves(lanes, group)
        try:
            body = body_of(group)
        except Malformed as error:
            return self._in_halves(lanes, group) if len(group) > 1 else [Problem(group[0].message, problem(error).body)]
        answer = self._patiently(lanes, group, body, source)
        if answer.status_code == 200:
            version = answer.headers.get(VERSION, "")
            found = replies(group, answer.content, self._names(lanes, group, version), version)
            length = answer.headers.get(JSON_LENGTH)
            return [*found] if length is None else [replace(one, json_length=length) for one in found]
        if len(group) == 1:
            return [Problem(group[0].message, answer.content)]
        return self._in_halves(lanes, group)

    def _in_halves(self, lanes: Lanes, group: list[Question]) -> list[Reply | Problem]:
        half = len(group) // 2
        return [*self._settled(lanes, group[:half]), *self._settled(lanes, group[half:])]

    def _patiently(self, lanes: Lanes, group: Sequence[Question], body: bytes, source: Source) -> httpx.Response:
        """The answer to a group, once there is one that says something of the group itself."""
        model = quote(self._stream.model, safe="@:")
        path = f"/v2/models/{model}/infer" if group[0].form == "v2" else f"/v1/models/{model}:predict"
        headers = {
            "x-headrace-source": str(source),
            "x-headrace-caller": f"machine:stream-{self._stream.name}",
            REQUEST_ID: self._request_id(group[0].message),
        }
        trace = dict(group[0].message.headers).get("traceparent")
        if group[0].json_length is not None:
            headers["content-type"] = "application/octet-stream"
            headers[JSON_LENGTH] = str(group[0].json_length)
        if trace is not None and len(group) == 1 and trace.isascii() and trace.decode().isprintable():
            headers["traceparent"] = trace.decode()
        tries = doubtful = 0
        while True:
            try:
                answer = self._asking.post(path, body, headers)
            except httpx.TransportError as error:
                self._wait(lanes, f"the gateway does not answer: {error}", tries)
            else:
                doubtful += answer.status_code in (502, 504)
                if answer.status_code not in NOBODY_ANSWERS or (
                    doubtful >= ATTEMPTS and answer.status_code in (502, 504)
                ):
                    self.progress.state, self.progress.reason = "running", ""
                    return answer
                self._wait(lanes, _detail(answer), tries)
            tries += 1

    def _names(self, lanes: Lanes, group: Sequence[Question], version: str) -> list[str]:
        """Names of the outputs, asked for again when another version has answered."""
        tries = 0
        while group[0].form != "v2" and self._outputs_of != version:
            try:
                self._outputs, self._outputs_of = self._asking.outputs(self._stream.model), version
            except (httpx.TransportError, HeadraceError) as error:
                self._wait(lanes, str(error), tries)
                tries += 1
        return self._outputs

    def _wait(self, lanes: Lanes, reason: str, tries: int) -> None:
        self.progress.state, self.progress.reason = "waiting", reason
        if self._stop.wait(_WAITS[min(tries, len(_WAITS) - 1)]):
            raise Stopped
        lanes.stay()

    def _source(self, group: Sequence[Question]) -> Source:
        first = group[0].message
        prefix = f"kafka:{self._stream.name}:{self._resets}:{first.topic}:{first.partition}"
        return Source(prefix, tuple((one.message.offset, rows_of(one)) for one in group))

    def _request_id(self, message: Message) -> str:
        text = f"kafka:{self._stream.name}:{self._resets}:{message.topic}:{message.partition}:{message.offset:020d}"
        return text if len(text) <= 128 else text[-128:]

    def _outgoing(self, one: Reply | Problem) -> Outgoing:
        message = one.message
        if isinstance(one, Reply):
            more = {REQUEST_ID: self._request_id(message).encode(), VERSION: one.version.encode()}
            if one.json_length:
                more[JSON_LENGTH] = one.json_length.encode()
            return Outgoing(self._stream.destination, message.key, one.value, outgoing_headers(one, more))
        origin = {"topic": message.topic, "partition": message.partition, "offset": message.offset}
        more = {PROBLEM: one.document, ORIGIN: orjson.dumps(origin)}
        return Outgoing(self._stream.errors, message.key, message.value, outgoing_headers(one, more))


def decoder(stream: StreamDefinition, environment: Mapping[str, str] = os.environ) -> Decode | None:
    """What reads the values of a stream's source; None for JSON. ``InvalidInput`` names a variable that is not set."""
    if stream.format != "avro" or stream.registry is None:
        return None
    # Imported where it is needed: fastavro comes with the extra, and most streams are JSON.
    from headrace_controller.streams.schemas import SchemaRegistry  # noqa: PLC0415

    return SchemaRegistry(stream.registry, filled("registry-auth", stream.registry_auth or "", environment)).decode


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json().get("detail", ""))
    except ValueError:
        return f"status {answer.status_code}"
