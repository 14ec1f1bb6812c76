"""One exchange with one service: lease, send, answer; what never reached the function is recorded here."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Protocol

from headrace_functions.errors import (
    Cancelled,
    DeadlineExceeded,
    HeadraceError,
    NotReady,
    Overloaded,
)
from headrace_functions.gateway.calls import CONTENT_TYPE, UNLOGGED, VERSION, Call
from headrace_functions.gateway.leases import Endpoint, Leases
from headrace_functions.gateway.metrics import GatewayMetrics
from headrace_functions.gateway.tracing import Traced, Tracing, Untraced
from headrace_functions.gateway.upstream import NotSent, Reply, Upstream
from headrace_functions.platform_secret import PlatformSecret
from headrace_functions.protection import is_sensitive
from headrace_functions.protocol.generate import MAX_LOGGED, answered_so_far
from headrace_functions.protocol.generate import decode_request as decode_generate
from headrace_functions.protocol.headers import number
from headrace_functions.protocol.problems import problem
from headrace_functions.record import Outcome, Record, RecordHeader
from headrace_functions.version import Version

_OUTCOMES: tuple[tuple[type[HeadraceError], Outcome], ...] = (
    (DeadlineExceeded, "timeout"),
    (NotReady, "not-ready"),
    (Overloaded, "overloaded"),
    (Cancelled, "cancelled"),
)


RESEND_AFTER = (0.0, 0.01, 0.05, 0.2)
"""Seconds after which a call that nobody can have seen is sent again: a replica may be dead for a moment before that is known."""


class Recorder(Protocol):
    """Where records of refused and failed exchanges go; ``recording.spool.Spool`` is one."""

    def append(self, record: Record) -> bool:
        """Keep the record; False if it had to be dropped."""


class _Sending:
    """Whether a call may have reached a function."""

    __slots__ = ("_started", "_waited", "begun", "kind", "passed_on", "traced")

    def __init__(self, traced: Traced) -> None:
        self.begun = False
        self.traced = traced
        self.passed_on = bytearray()
        """The beginning of a stream's answer, as far as the log would keep it."""
        self.kind = ""
        """The media type of that answer."""
        self._started = time.perf_counter()
        self._waited = 0.0

    def begin(self) -> None:
        """A service was found, and the call goes out to it."""
        self.begun = True
        self._waited = time.perf_counter() - self._started
        self.traced.event("ready")

    async def noting(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The chunks, of which the first are kept: should the function go away, nobody else has them."""
        async for chunk in chunks:
            if len(self.passed_on) < MAX_LOGGED:
                self.passed_on += chunk
            yield chunk

    def timing(self, seconds: float) -> bytes:
        """What of the time went into waking and waiting for a service, and what into its answer, as ``Server-Timing`` has it."""
        return b"wake;dur=%.3f, function;dur=%.3f" % (self._waited * 1000, (seconds - self._waited) * 1000)


class Exchange:
    def __init__(
        self,
        leases: Leases,
        upstream: Upstream,
        recorder: Recorder,
        measures: GatewayMetrics,
        secret: PlatformSecret | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        """``secret`` proves to functions that a request comes from here."""
        self._tracing = tracing or Untraced()
        self._secret = secret or PlatformSecret()
        self._leases = leases
        self._upstream = upstream
        self._recorder = recorder
        self._measures = measures
        self._loop = asyncio.get_running_loop()

    async def ask(self, version: Version, call: Call) -> Reply:
        """The service's answer, whatever its status, with ``x-headrace-version`` added.

        Raises what kept the call from being answered: ``NotReady``, ``DeadlineExceeded``, ``Unreachable``. Such an exchange is
        recorded here, for the function could not. A call whose replica vanished before a byte was sent is sent again, ``RESEND_AFTER`` seconds later.
        """
        with self._tracing.service(version, call) as traced:
            reply = await self._ask(version, traced)
            traced.answered(reply)
            return reply

    async def _ask(self, version: Version, traced: Traced) -> Reply:
        started = time.perf_counter()
        sending, call = _Sending(traced), traced.call
        try:
            reply = await self._send_patiently(version, call, sending)
        except (HeadraceError, asyncio.CancelledError) as error:
            self._failed(version, sending, error, time.perf_counter() - started)
            raise
        self._measures.exchange(version.id, reply.status, time.perf_counter() - started)
        if reply.header(UNLOGGED):
            self._measures.unlogged(version.id)
        reply.headers.append((VERSION, str(version.id).encode()))
        if call.timed:
            reply.headers.append((b"server-timing", sending.timing(time.perf_counter() - started)))
        return reply

    @contextlib.asynccontextmanager
    async def ask_stream(self, version: Version, call: Call) -> AsyncIterator[tuple[Reply, AsyncIterator[bytes]]]:
        """As ``ask``, with the answer's body as it comes; the lease lasts as long as the block.

        A service that goes away in the middle raises ``Unreachable`` from the chunks, and the exchange is recorded here as ``aborted``.
        """
        with self._tracing.service(version, call) as traced:
            async with self._ask_stream(version, traced) as (reply, chunks):
                traced.answered(reply)
                yield reply, chunks

    @contextlib.asynccontextmanager
    async def _ask_stream(self, version: Version, traced: Traced) -> AsyncIterator[tuple[Reply, AsyncIterator[bytes]]]:
        started = time.perf_counter()
        sending, hold, call = _Sending(traced), asyncio.Event(), traced.call

        async def body() -> AsyncIterator[bytes]:
            yield call.body
            await hold.wait()  # its end would close the connection

        try:
            async with self._leases.lease(version, deadline=call.deadline) as endpoint:
                sending.begin()
                left = call.deadline - self._loop.time()
                head = self._head(version, call, endpoint, left if call.gap is None else min(left, call.gap))
                async with self._upstream.stream(endpoint.address, head, body(), call.deadline, whole=True) as (
                    reply,
                    pieces,
                ):
                    reply.headers.append((VERSION, str(version.id).encode()))
                    if call.verb == "generate_stream" and not is_sensitive(version.signature):
                        sending.kind = (reply.header(CONTENT_TYPE) or b"").decode("latin-1")
                        yield reply, sending.noting(pieces)
                    else:
                        yield reply, pieces
        except (HeadraceError, asyncio.CancelledError) as error:
            self._failed(version, sending, error, time.perf_counter() - started, streamed=True)
            raise
        self._measures.exchange(version.id, reply.status, time.perf_counter() - started)

    @property
    def may_shadow(self) -> bool:
        """Whether a copy can be told from traffic; else it must not be sent."""
        return bool(self._secret.value)

    def warm(self, version: Version) -> None:
        self._leases.warm(version)

    async def _send_patiently(self, version: Version, call: Call, sending: "_Sending") -> Reply:
        for pause in RESEND_AFTER:
            try:
                return await self._send(version, call, sending)
            except NotSent:
                sending.begun = False
                await asyncio.sleep(min(pause, max(0.0, call.deadline - self._loop.time())))
        return await self._send(version, call, sending)

    async def _send(self, version: Version, call: Call, sending: "_Sending") -> Reply:
        async with self._leases.lease(version, deadline=call.deadline) as endpoint:
            sending.begin()
            left = call.deadline - self._loop.time()
            head = self._head(version, call, endpoint, left)
            return await self._upstream.request(endpoint.address, head, call.body, call.deadline)

    def _head(self, version: Version, call: Call, endpoint: Endpoint, seconds: float) -> bytes:
        """The request's head, with what proves it to come from here where it is marked; the function has ``seconds``."""
        lines = endpoint.headers
        if call.is_marked:
            lines += self._secret.function_line(version.id.service)
        return call.head(version.id, endpoint.host, max(1, int(seconds * 1000)), lines)

    def _failed(
        self, version: Version, sending: _Sending, error: BaseException, seconds: float, *, streamed: bool = False
    ) -> None:
        call = sending.traced.call
        if isinstance(error, HeadraceError):
            sending.traced.failed(error)
            self._record_failure(version, call, error, seconds, aborted=sending if streamed and sending.begun else None)
        elif (
            not sending.begun
        ):  # a function that has the call hears of the hang-up by its connection, and records it itself
            gone = Cancelled("the caller disconnected before the service was ready")
            self._record_failure(version, call, gone, seconds)

    def _record_failure(
        self,
        version: Version,
        call: Call,
        error: HeadraceError,
        seconds: float,
        *,
        aborted: _Sending | None = None,
    ) -> None:
        answer = problem(error, call.request_id)
        self._measures.exchange(version.id, answer.status, seconds)
        if call.unrecorded or call.source is not None:
            return  # who sends it asks again until a function has answered
        outcome: Outcome = next((o for kind, o in _OUTCOMES if isinstance(error, kind)), "unreachable")
        told = answer.body
        if aborted is not None and outcome == "unreachable" and not isinstance(error, NotSent):
            outcome = "aborted"
            call, told = _as_logged(version, call, aborted, told)
        header = RecordHeader(
            request_id=call.request_id,
            model=version.id.model,
            version=version.id.number,
            received=call.received,
            latency_ms=seconds * 1000,
            outcome=outcome,
            status=answer.status,
            protocol=call.protocol,
            request_type=call.content_type.decode("latin-1"),
            request_json=number(call.json_length),
            sequence=call.sequence,
            stage=call.stage,
            variant=call.variant,
            shadow=call.shadow,
            caller_time=number(call.caller_time),
            error=f"{error.code}: {error.message}",
            traceparent=(call.traceparent or b"").decode("latin-1"),
            replica="gateway",
            caller=call.caller,
        )
        # Nobody has read the body here, so what of it is sensitive cannot be told from the rest.
        body, told = (b"", b"") if is_sensitive(version.signature) else (call.body, told)
        if not self._recorder.append(Record(header, body, told)):
            self._measures.unlogged(version.id)


def _as_logged(version: Version, call: Call, sending: _Sending, otherwise: bytes) -> tuple[Call, bytes]:
    """A stream that broke off as the function would have recorded it: the request as v1, and what was answered so far, or ``otherwise``."""
    content_type = call.content_type.decode("latin-1")
    try:
        _, as_v1 = decode_generate(call.body, content_type, number(call.json_length), version.signature, version.batch)
    except HeadraceError:  # it is logged as it came
        return call, otherwise
    told = answered_so_far(bytes(sending.passed_on), sending.kind, version.signature)
    return replace(
        call, protocol="v1", body=as_v1, content_type=b"application/json", json_length=None
    ), told or otherwise
