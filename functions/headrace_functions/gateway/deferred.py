"""Requests that are answered later: accepted into the store, worked on one after another, their answers kept until they expire.

States of a request, each of which is an object of the store below ``deferred/<id>/``::

    request                    accepted: the caller has its 202, and it will be answered whatever is killed
    request, result            answered (or refused, failed, cancelled, expired): the result never changes
    request, result, told      the callback was delivered, or given up

- A request that has no result when a gateway starts is asked again, so its function may see it twice; its result is written once, and its source
  (``sources.py``) tells the collector that what it logs is one request.
- While nobody can answer (429, 502, 503, 504) it is asked again, later and later, until ``WAITS`` is over.
- Ids begin with the time in nanoseconds, so they are worked on in the order of their acceptance.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from headrace_functions.errors import (
    Cancelled,
    Conflict,
    DeadlineExceeded,
    HeadraceError,
    NotFound,
    Overloaded,
    StorageFailed,
)
from headrace_functions.gateway.callbacks import Callback, Callbacks
from headrace_functions.gateway.calls import UNLOGGED, VERSION, Call
from headrace_functions.gateway.upstream import Reply
from headrace_functions.loop_health import LoopHealth
from headrace_functions.names import Reference
from headrace_functions.protocol.headers import JSON_LENGTH
from headrace_functions.protocol.problems import problem
from headrace_functions.sources import DEFERRED
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore

log = logging.getLogger("headrace.gateway")

MAX_REQUESTS = 10_000
"""Requests without a result at once; one more is refused with 429."""
MAX_BYTES = 1024**3
"""Bytes of their bodies."""
AT_ONCE = 8
"""Requests that are worked on at once."""
WAITS = 3600.0
"""Seconds after its acceptance until which a request is asked again while nobody can answer."""
KEPT = 24 * 3600.0
"""Seconds after its acceptance for which a request, its result included, is kept."""
SWEEP_EVERY = 60.0
_PAUSES = (0.2, 1.0, 5.0, 20.0, 60.0)
_NOBODY_ANSWERS = (429, 502, 503, 504)
_KEPT_HEADERS = (b"content-type", JSON_LENGTH, VERSION, UNLOGGED)

Ask = Callable[[Reference, Call], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request that will be answered."""

    id: str
    reference: Reference
    call: Call
    caller: str
    callback: Callback | None = None

    @property
    def at(self) -> float:
        """Seconds since the epoch of its acceptance."""
        return int(self.id[:20]) / 1e9

    @property
    def source(self) -> bytes:
        """What its exchanges say of where they come from."""
        return f"{DEFERRED} {int(self.id[:20])}".encode()

    def encode(self) -> bytes:
        call = self.call
        head = {
            "schema": 1,
            "name": str(self.reference),
            "caller": self.caller,
            "callback": self.callback.to_document() if self.callback is not None else None,
            "request_id": call.request_id,
            "protocol": call.protocol,
            "received": call.received,
            "verb": call.verb,
            "unrecorded": call.unrecorded,
            **{
                name: value.decode("latin-1") if value is not None else None
                for name, value in (
                    ("content_type", call.content_type),
                    ("json_length", call.json_length),
                    ("traceparent", call.traceparent),
                    ("caller_time", call.caller_time),
                )
            },
        }
        return orjson.dumps(head) + b"\n" + call.body

    @classmethod
    def decode(cls, request_id: str, data: bytes) -> "Accepted":
        """``ValueError`` or ``KeyError`` where the object is not one of ours."""
        text, _, body = data.partition(b"\n")
        head: dict[str, Any] = orjson.loads(text)

        def header(name: str) -> bytes | None:
            value = head[name]
            return None if value is None else str(value).encode("latin-1")

        call = Call(
            head["request_id"], head["protocol"], body, 0.0, head["received"], header("content_type") or b"application/json",
            header("json_length"), header("traceparent"), header("caller_time"), caller=head["caller"],
            verb=head.get("verb", "infer"), unrecorded=head.get("unrecorded", False),
        )  # fmt: skip
        callback = Callback.from_document(head["callback"]) if head["callback"] else None
        return cls(request_id, Reference.parse(head["name"]), call, head["caller"], callback)


class Deferred:
    """The queue of one platform. Made and used on one event loop; the store is asked in threads."""

    def __init__(
        self, objects: ObjectStore, ask: Ask, callbacks: Callbacks, now: Callable[[], float] = time.time
    ) -> None:
        """``ask`` answers a call whose ``deadline`` is event-loop time; it may raise."""
        self._objects = objects
        self._ask = ask
        self._callbacks = callbacks
        self._now = now
        self._waiting: dict[str, int] = {}
        self._over: set[str] = set()
        """Requests with a result that nobody is to be told of; sweeps do not look into them."""
        self._running: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._free = asyncio.Semaphore(AT_ONCE)
        self._closed = False

    async def open(self) -> None:
        """Take up what has no result, and tell what was not told. What cannot be read now is taken up by a later sweep."""
        self._begin(self._sweep_forever())

    async def accept(self, reference: Reference, call: Call, caller: str, callback: Callback | None) -> str:
        """Keep the request; its id. ``Overloaded`` where too many wait, ``StorageFailed`` where it cannot be kept."""
        if len(self._waiting) >= MAX_REQUESTS or sum(self._waiting.values()) + len(call.body) > MAX_BYTES:
            raise Overloaded(
                f"{len(self._waiting)} requests are already waiting to be answered later",
                retry_after=10.0,
                hint="try again later",
            )
        accepted = Accepted(f"{time.time_ns():020d}-{os.urandom(6).hex()}", reference, call, caller, callback)
        self._waiting[accepted.id] = len(call.body)
        try:
            await asyncio.to_thread(self._objects.create, layout.deferred_request(accepted.id), accepted.encode())
        except BaseException:
            self._waiting.pop(accepted.id, None)
            raise
        self._work_on(accepted)
        return accepted.id

    async def result(self, request_id: str, caller: str) -> Reply | None:
        """The answer to a request, None while there is none. ``NotFound`` for one that is not, or is somebody else's."""
        accepted = await self._accepted(request_id, caller)
        try:
            data = await asyncio.to_thread(self._objects.get, layout.deferred_result(accepted.id))
        except NotFound:
            return None
        return _decoded(data)

    async def cancel(self, request_id: str, caller: str) -> None:
        """See that it is not worked on any more; one that has a result keeps it."""
        accepted = await self._accepted(request_id, caller)
        task = self._running.get(accepted.id)
        await self._finish(accepted, _refusal(Cancelled("the request was cancelled"), accepted))
        if task is not None:
            task.cancel()

    def name_of(self, request_id: str) -> None:
        """Raise ``NotFound`` for what cannot be an id."""
        if not (
            len(request_id) == 33 and request_id[:20].isdigit() and request_id[20] == "-" and request_id[21:].isalnum()
        ):
            raise _unknown(request_id)

    async def close(self) -> None:
        """Stop working; what has no result is taken up by the next gateway."""
        self._closed = True
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _accepted(self, request_id: str, caller: str) -> Accepted:
        self.name_of(request_id)
        try:
            data = await asyncio.to_thread(self._objects.get, layout.deferred_request(request_id))
            accepted = Accepted.decode(request_id, data)
        except (NotFound, ValueError, KeyError) as error:
            raise _unknown(request_id) from error
        if accepted.caller != caller:
            raise _unknown(request_id)
        return accepted

    def _begin(self, work: Any) -> "asyncio.Task[Any]":
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _work_on(self, accepted: Accepted) -> None:
        if self._closed or accepted.id in self._running:
            return
        task = self._begin(self._work(accepted))
        self._running[accepted.id] = task
        task.add_done_callback(lambda _: self._running.pop(accepted.id, None))

    async def _work(self, accepted: Accepted) -> None:
        tries = 0
        while True:
            async with self._free:
                reply = await self._once(accepted)
            over = self._now() > accepted.at + WAITS
            if reply.status not in _NOBODY_ANSWERS or over:
                break
            await asyncio.sleep(_PAUSES[min(tries, len(_PAUSES) - 1)])
            tries += 1
        while not await self._kept(accepted, reply):  # noqa: ASYNC110 -- until the store is there again
            await asyncio.sleep(_PAUSES[-2])

    async def _once(self, accepted: Accepted) -> Reply:
        if self._now() > accepted.at + WAITS:
            return _refusal(DeadlineExceeded("nobody could answer the request in time"), accepted)
        try:
            return await self._ask(accepted.reference, replace(accepted.call, source=accepted.source))
        except HeadraceError as error:
            return _refusal(error, accepted)
        except Exception as error:
            log.exception("request %s failed", accepted.call.request_id)
            return _refusal(error, accepted)

    async def _kept(self, accepted: Accepted, reply: Reply) -> bool:
        try:
            await self._finish(accepted, reply)
        except StorageFailed as error:
            log.warning("the answer to %s cannot be kept yet: %s", accepted.id, error.message)
            return False
        return True

    async def _finish(self, accepted: Accepted, reply: Reply) -> None:
        """Write the result, unless there is one, and tell whoever wants to be told."""
        with contextlib.suppress(Conflict):  # it was cancelled, or answered before a kill: the first result counts
            await asyncio.to_thread(self._objects.create, layout.deferred_result(accepted.id), _encoded(reply))
        self._waiting.pop(accepted.id, None)
        if accepted.callback is not None:
            self._begin(self._tell(accepted))
        else:
            self._over.add(accepted.id)

    async def _tell(self, accepted: Accepted) -> None:
        """Deliver the callback, and keep what came of it; where the store is away, a later sweep does it again."""
        assert accepted.callback is not None
        try:
            reply = _decoded(await asyncio.to_thread(self._objects.get, layout.deferred_result(accepted.id)))
            outcome = await self._callbacks.deliver(accepted.callback, accepted.id, str(accepted.reference), reply)
            await asyncio.to_thread(self._objects.create, layout.deferred_told(accepted.id), orjson.dumps(outcome))
        except Conflict:
            pass  # it was told twice, which a callback may be
        except StorageFailed as error:
            log.warning("the callback of %s waits for the store: %s", accepted.id, error.message)

    async def _sweep_forever(self) -> None:
        health = LoopHealth("answering deferred requests", log)
        while True:
            with health.guard():
                for accepted, told in await asyncio.to_thread(self._left):
                    if told:
                        self._begin(self._tell(accepted)) if accepted.id not in self._running else None
                    else:
                        self._waiting.setdefault(accepted.id, len(accepted.call.body))
                        self._work_on(accepted)
            await asyncio.sleep(health.pause if health.failures else SWEEP_EVERY)

    def _left(self) -> list[tuple[Accepted, bool]]:
        """What has no result, and (True) what has one that was to be told and was not; what has expired is removed."""
        found: dict[str, set[str]] = {}
        for info in self._objects.walk(layout.DEFERRED):
            request_id, _, part = info.key.removeprefix(layout.DEFERRED).partition("/")
            found.setdefault(request_id, set()).add(part)
        left: list[tuple[Accepted, bool]] = []
        for request_id, parts in sorted(found.items()):
            if self._expired(request_id):
                self._over.discard(request_id)
                for part in sorted(parts):
                    self._objects.delete(f"{layout.DEFERRED}{request_id}/{part}")
            elif request_id not in self._waiting and request_id not in self._over and "told" not in parts:
                try:
                    accepted = Accepted.decode(request_id, self._objects.get(layout.deferred_request(request_id)))
                except (NotFound, ValueError, KeyError) as error:
                    log.warning("deferred request %s cannot be read: %s", request_id, error)
                    continue
                if "result" not in parts:
                    left.append((accepted, False))
                elif accepted.callback is None:
                    self._over.add(request_id)
                elif not self._callbacks.is_telling(request_id):
                    left.append((accepted, True))
        return left

    def _expired(self, request_id: str) -> bool:
        return not request_id[:20].isdigit() or self._now() > int(request_id[:20]) / 1e9 + KEPT


def _encoded(reply: Reply) -> bytes:
    headers = {k.decode(): v.decode("latin-1") for k, v in reply.headers if k in _KEPT_HEADERS}
    return orjson.dumps({"schema": 1, "status": reply.status, "headers": headers}) + b"\n" + reply.body


def _decoded(data: bytes) -> Reply:
    text, _, body = data.partition(b"\n")
    head: Mapping[str, Any] = orjson.loads(text)
    return Reply(head["status"], [(k.encode(), v.encode("latin-1")) for k, v in head["headers"].items()], body)


def _refusal(error: BaseException, accepted: Accepted) -> Reply:
    told = problem(error, accepted.call.request_id)
    return Reply(told.status, [(k.encode(), v.encode()) for k, v in told.headers], told.body)


def _unknown(request_id: str) -> NotFound:
    return NotFound(
        f"there is no request {request_id[:80]!r}",
        hint=f"results are kept for {KEPT / 3600:.0f} hours after acceptance",
    )
