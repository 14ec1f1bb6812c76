"""The function server's HTTP face: an ASGI application for one version, without a framework.

An exchange: read the body within its limit, decode and check, run, encode, spool the record, reply. What is refused or
fails is spooled too. User errors answer as problem documents with the request id; tracebacks go to the service log only.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import orjson

from headrace_functions.errors import (
    Cancelled,
    DeadlineExceeded,
    FunctionFailed,
    InvalidInput,
    MethodNotAllowed,
    NotFound,
)
from headrace_functions.platform_secret import PROOF, PlatformSecret
from headrace_functions.protection import is_sensitive
from headrace_functions.protocol import metadata
from headrace_functions.protocol.budget import ByteBudget, HeldBytes
from headrace_functions.protocol.codec import decode_request, encode_response
from headrace_functions.protocol.encodings import decoded
from headrace_functions.protocol.generate import decode_request as decode_generate
from headrace_functions.protocol.generate import wanted_type
from headrace_functions.protocol.headers import JSON_LENGTH, number
from headrace_functions.protocol.headers import json_length as json_length_of
from headrace_functions.protocol.messages import EXPLAIN, JSON_TYPE, EncodedBody, Protocol
from headrace_functions.protocol.problems import PROBLEM_TYPE, problem
from headrace_functions.protocol.protected import protected_record
from headrace_functions.record import Outcome, Record, RecordHeader
from headrace_functions.recording.spool import Spool
from headrace_functions.runtime.batching import Batcher, Pace
from headrace_functions.runtime.exchange import (
    Answer,
    Headers,
    RawHeaders,
    Receive,
    failure,
    forwarded,
    log_failure,
    read_body,
    request_id_of,
    success,
    text,
)
from headrace_functions.runtime.explanations import Explainer, Explanation
from headrace_functions.runtime.frameworks.streaming import merged
from headrace_functions.runtime.metrics import TEXT_TYPE, Metrics
from headrace_functions.runtime.streamed_answer import StreamedAnswer
from headrace_functions.runtime.streams import Runs
from headrace_functions.serving import CancelledWithCaller
from headrace_functions.signature import Tensors
from headrace_functions.sources import Source
from headrace_functions.version import Version

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Read = Callable[[], tuple[int, str, bytes]]
Wanted = TypeVar("Wanted")
Held = Callable[[Headers, Scope, Receive, Send, HeldBytes], Awaitable[None]]

_QUICK = 0.002
"""Seconds of a processor below which explanations move onto the event loop, as predictions do."""


class FunctionServer:
    """Answers for one version. ``draining`` turns readiness off while open requests are finished."""

    def __init__(
        self,
        version: Version,
        batcher: Batcher,
        spool: Spool | None,
        metrics: Metrics,
        *,
        replica: str = "",
        platform: str = "",
        secret: PlatformSecret | None = None,
    ) -> None:
        self.runs: Runs | None = None
        """Of a function that yields its answers."""
        self.explainer: Explainer | None = None
        self._explaining = Pace(_QUICK)
        """Says why a row has its answer; without one, requests that ask for it are refused."""
        self._generate = {
            f"{base}/{verb}"
            for base in (
                f"/v2/models/{version.id.model}",
                f"/v2/models/{version.id.model}/versions/{version.id.number}",
            )
            for verb in ("generate", "generate_stream")
        }
        self._sensitive = is_sensitive(version.signature)
        self.version = version
        self.draining = False
        self._bytes = ByteBudget()
        self._batcher = batcher
        self._spool = spool
        self._metrics = metrics
        self._replica = replica
        self._platform = platform
        self._secret = secret or PlatformSecret()
        self._sealing = False
        self._infer: dict[str, Protocol] = _paths(version, "infer", "predict")
        self._explain: dict[str, Protocol] = _paths(version, "explain", "explain")
        self._read = self._read_paths()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        headers: Headers = dict(scope["headers"])
        protocol = self._infer.get(path) or self._explain.get(path)
        if protocol is not None and scope["method"] == "POST":
            await self._held(partial(self._exchange, protocol), headers, scope, receive, send)
            return
        if path in self._generate and scope["method"] == "POST":
            await self._held(self._generation, headers, scope, receive, send)
            return
        request_id = request_id_of(headers)
        status, content_type, body = self._answer(path, scope["method"], request_id)
        await _reply(send, status, [(b"content-type", content_type.encode())], body, request_id)

    # The cold side: documents about the server and its model.

    def _read_paths(self) -> dict[str, Read]:
        name, number = self.version.id.model, self.version.id.number
        paths: dict[str, Read] = {
            "/v2": lambda: _document(metadata.server_metadata(self._platform)),
            "/v2/health/live": lambda: _document({"live": True}),
            "/v2/health/ready": lambda: _document({"ready": not self.draining}, 503 if self.draining else 200),
            "/v1/models": lambda: _document({"models": [name]}),
            f"/v1/models/{name}": lambda: _document(
                metadata.v1_model(name, not self.draining), 503 if self.draining else 200
            ),
            "/metrics": lambda: (200, TEXT_TYPE, self._metrics_text().encode()),
        }
        for base in (f"/v2/models/{name}", f"/v2/models/{name}/versions/{number}"):
            paths[base] = lambda: _document(self._metadata())
            paths[base + "/ready"] = lambda: _document(
                metadata.model_ready(name, not self.draining), 503 if self.draining else 200
            )
        return paths

    def _answer(self, path: str, method: str, request_id: str) -> tuple[int, str, bytes]:
        found = self._read.get(path)
        if found is not None and method in ("GET", "HEAD"):
            return found()
        if found is not None or path in self._infer or path in self._explain or path in self._generate:
            allowed = "GET" if found is not None else "POST"
            refusal = MethodNotAllowed(f"{path} accepts {allowed}, not {method}", allowed=allowed, got=method)
            told = problem(refusal, request_id)
            return told.status, PROBLEM_TYPE, told.body
        told = problem(
            NotFound(f"there is no route for {path}", hint=f"this server runs {self.version.id}"), request_id
        )
        return told.status, PROBLEM_TYPE, told.body

    def _metadata(self) -> dict[str, Any]:
        v = self.version
        return metadata.model_metadata(
            v.id.model, [str(v.id.number)], f"headrace_{v.framework}", v.signature, batch=v.batch
        )

    def _metrics_text(self) -> str:
        dropped = self._spool.dropped if self._spool is not None else 0
        return self._metrics.text(queue=self._batcher.waiting, running=self._batcher.running, dropped=dropped)

    # The hot side: an exchange.

    async def _held(self, exchange: Held, headers: Headers, scope: Scope, receive: Receive, send: Send) -> None:
        """An exchange with the bytes of its body counted."""
        held = self._bytes.hold()
        try:
            await exchange(headers, scope, receive, send, held)
        finally:
            held.release()

    async def _body(self, headers: Headers, receive: Receive, held: HeldBytes) -> bytes:
        limit = self.version.limits.max_body
        held.at_least(min(number(headers.get(b"content-length")) or 0, limit))
        body = decoded(await read_body(receive, headers, limit), headers.get(b"content-encoding"), limit)
        held.at_least(len(body))
        return body

    async def _exchange(
        self, protocol: Protocol, headers: Headers, scope: Scope, receive: Receive, send: Send, held: HeldBytes
    ) -> None:
        received, started = time.time_ns(), time.perf_counter()
        request_id = request_id_of(headers)
        body = b""
        try:
            body = await self._body(headers, receive, held)
            with CancelledWithCaller(scope):
                answer = success(await self._predict(protocol, headers, body, explain=scope["path"] in self._explain))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - every request is answered and recorded
            answer = failure(error, request_id, self.version)
            log_failure(error, request_id, sensitive=self._sensitive)
        exchanged = _Exchanged(request_id, received, time.perf_counter() - started, protocol, headers, body)
        self._record_exchange(exchanged, answer)
        await _reply(send, answer.status, answer.headers, answer.body, request_id)

    async def _generation(self, headers: Headers, scope: Scope, receive: Receive, send: Send, held: HeldBytes) -> None:
        """One row in, one answer or a stream of them out; one record of all that was answered, with how it ended."""
        received, started = time.time_ns(), time.perf_counter()
        request_id = request_id_of(headers)
        body, logged = b"", b""
        stream = StreamedAnswer(send, self.version, request_id)
        try:
            body = await self._body(headers, receive, held)
            if scope["path"].endswith("_stream"):
                stream.content_type = wanted_type(text(headers, b"accept"))
            tensors, logged = decode_generate(
                body,
                text(headers, b"content-type"),
                json_length_of(headers.get(JSON_LENGTH)),
                self.version.signature,
                self.version.batch,
            )
            with CancelledWithCaller(scope):
                await self._generated(stream, tensors, headers)
            answer = Answer(200, "ok", [(b"content-type", JSON_TYPE.encode())], stream.event())
        except (Exception, SystemExit) as error:  # noqa: BLE001 - every request is answered and recorded
            answer = failure(error, request_id, self.version)
            if isinstance(error, Cancelled) and stream.begun:
                answer.outcome = "cancelled"
            log_failure(error, request_id, sensitive=self._sensitive)
        read_as: Protocol = "v1" if logged else "v2"
        kept = logged or body
        plain = {k: v for k, v in headers.items() if not logged or k not in (b"content-type", JSON_LENGTH)}
        exchanged = _Exchanged(request_id, received, time.perf_counter() - started, read_as, plain, kept)
        recorded = replace(answer, body=stream.predictions() or answer.body)
        self._record_exchange(exchanged, recorded)
        answer.headers = recorded.headers
        if not stream.begun:
            await _reply(send, answer.status, answer.headers, answer.body, request_id)
        elif answer.outcome != "cancelled":
            await stream.end(b"" if answer.outcome == "ok" else answer.body)

    async def _generated(self, stream: StreamedAnswer, tensors: Tensors, headers: Headers) -> None:
        """Hand what the function answers to the stream, chunk by chunk where it yields."""
        limit = self._seconds(headers)
        if self.runs is None:
            await stream.add(await self._batcher.submit(tensors, limit))
            return
        async with self.runs.run(tensors, limit) as chunks:
            async for chunk in chunks:
                await stream.add(chunk)
        stream.check_any()

    def _seconds(self, headers: Headers) -> float:
        told = number(headers.get(b"x-headrace-timeout"))
        limit = self.version.limits.predict_timeout
        return limit if told is None else min(limit, told / 1000)

    def _record_exchange(self, exchanged: "_Exchanged", answer: Answer) -> None:
        headers = exchanged.headers
        self._metrics.exchange(answer.outcome, exchanged.seconds)
        by_gateway = PROOF in headers and self._secret.is_proof(headers[PROOF])
        # What the platform asks itself (explanations) is no traffic; the gateway lets nobody else say so.
        if self._spool is not None and not (by_gateway and _unrecorded(headers, answer.outcome)):
            header = RecordHeader(
                exchanged.request_id,
                self.version.id.model,
                self.version.id.number,
                exchanged.received,
                round(exchanged.seconds * 1000, 4),
                answer.outcome,
                answer.status,
                exchanged.protocol,
                text(headers, b"content-type") or JSON_TYPE,
                number(headers.get(JSON_LENGTH)),
                answer.json_length,
                error=answer.error,
                replica=self._replica,
                **forwarded(headers, by_gateway=by_gateway),
            )
            record = Record(header, exchanged.body, answer.body)
            if self._sensitive:
                record = protected_record(self.version, record, self._secret.hash_key)
            self._record(self._spool, record, answer)

    def _record(self, spool: Spool, record: Record, answer: Answer) -> None:
        """Spool before the reply: what was answered is logged, or the reply says that it is not."""
        if not spool.append(record):
            answer.headers.append((b"x-headrace-unlogged", b"1"))
        elif not self._sealing:
            self._seal_later(spool)

    async def _predict(self, protocol: Protocol, headers: Headers, body: bytes, *, explain: bool) -> EncodedBody:
        version = self.version
        limit, json_length = self._seconds(headers), json_length_of(headers.get(JSON_LENGTH))
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        tensors, info = decode_request(
            body, content_type, json_length, version.signature, protocol=protocol, batch=version.batch
        )
        if self.runs is None:
            outputs = await self._batcher.submit(tensors, limit)
        else:
            outputs = await self._gathered(self.runs, tensors, limit)
        if info.explain or explain:
            info = replace(info, explanations=await self._explained(tensors, outputs))
        return encode_response(
            outputs,
            version.signature,
            info,
            model=version.id.model,
            version=version.id.number,
            protocol=protocol,
            batch=version.batch,
        )

    async def _explained(self, tensors: Tensors, outputs: Tensors) -> list[Explanation]:
        if self.explainer is None:
            raise InvalidInput(f"{self.version.id} cannot be explained within a request", field=EXPLAIN)
        rows = len(next(iter(outputs.values()), ())) if self.version.batch else 1
        if (
            rows == 1 and self._explaining.fast
        ):  # as quick as a prediction on the loop, it is spared two changes of thread
            found, seconds = _timed(self.explainer.explain, tensors, outputs)
            self._explaining.note(seconds, on_loop=True)
            return found
        of_thread = self._batcher.loop.run_in_executor(
            self._batcher.threads, _timed, self.explainer.explain, tensors, outputs
        )
        found, seconds = await of_thread
        self._explaining.note(seconds / max(rows, 1), on_loop=False)
        return found

    async def _gathered(self, runs: Runs, tensors: Tensors, limit: float) -> Tensors:
        """All that a function yields, as one answer; ``limit`` is for all of it."""
        found: Tensors = {}
        try:
            async with asyncio.timeout(limit), runs.run(tensors, limit) as chunks:
                async for chunk in chunks:
                    found = merged(found, chunk)
        except TimeoutError as error:
            raise DeadlineExceeded(f"no answer within {limit:.3g} s") from error
        if not found:
            raise FunctionFailed("the function yielded nothing", expected="at least one dict of outputs")
        return found

    def _seal_later(self, spool: Spool) -> None:
        """Wake once when the open segment is due: an idle server has no timer."""
        left = spool.seal_if_old()
        self._sealing = left is not None
        if left is not None:
            self._batcher.loop.call_later(left, self._seal_later, spool)


@dataclass(frozen=True, slots=True)
class _Exchanged:
    """What the record of an exchange says besides the answer. ``protocol`` says how the body is read."""

    request_id: str
    received: int
    seconds: float
    protocol: Protocol
    headers: Headers
    body: bytes


def _timed(
    explain: Callable[[Tensors, Tensors], list[Explanation]], tensors: Tensors, outputs: Tensors
) -> tuple[list[Explanation], float]:
    """What was explained, and the processor's seconds that it took: the clock's tell of other processes."""
    started = time.thread_time()
    found = explain(tensors, outputs)
    return found, time.thread_time() - started


def _unrecorded(headers: Headers, outcome: Outcome) -> bool:
    """Of a request that the gateway vouches for, whether it is no traffic, or no stream's last word on its messages."""
    if b"x-headrace-unrecorded" in headers:
        return True
    source = Source.parse(text(headers, b"x-headrace-source")) if b"x-headrace-source" in headers else None
    return source is not None and not source.logs(outcome)


async def _reply(send: Send, status: int, extra: RawHeaders, body: bytes, request_id: str) -> None:
    headers = [*extra, (b"content-length", b"%d" % len(body)), (b"x-request-id", request_id.encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _paths(version: Version, v2: str, v1: str) -> dict[str, Protocol]:
    """Where a version takes requests of a verb, as each protocol calls it."""
    name, number = version.id.model, version.id.number
    return {
        f"/v2/models/{name}/{v2}": "v2",
        f"/v2/models/{name}/versions/{number}/{v2}": "v2",
        f"/v1/models/{name}:{v1}": "v1",
    }


def _document(document: dict[str, Any], status: int = 200) -> tuple[int, str, bytes]:
    return status, JSON_TYPE, orjson.dumps(document)
