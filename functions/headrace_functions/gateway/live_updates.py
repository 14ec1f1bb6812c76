"""Live pages without load: this event loop holds their streams, and asks the controller once for all viewers of one page.

A page opens ``GET /events?page=<its path and query>&parts=<names>``. One task follows the controller's own event stream; when it says
that something changed, or while requests are answered here, each page that somebody views is asked for its parts, at most once in
``EVERY`` seconds, and those that differ from what was sent before go to its viewers as ``event: parts``. So two hundred viewers of one
page cost one request a second and two hundred writes, and none of the controller's threads.

States of a stream: open, until the viewer leaves, the controller goes away (the stream ends, and browsers come back by themselves) or
``STREAM_SECONDS`` are over. A viewer that does not read keeps only the newest ``WAITING`` messages; what is dropped it sees with the next
change. Limits: ``MAX_VIEWERS``, ``MAX_PAGES``, ``MAX_TARGET``.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, quote

import orjson

from headrace_functions.errors import Forbidden, HeadraceError, InvalidInput, Overloaded, Unauthenticated
from headrace_functions.gateway.passthrough import Receive, Scope, Send
from headrace_functions.gateway.upstream import Upstream
from headrace_functions.platform_secret import PlatformSecret

EVERY = 1.0
"""Seconds between two looks at a page."""
TRAFFIC_SECONDS = 6.0
"""For so long after a request its page may still change: the log comes some seconds later."""
BEAT = 10.0
"""Seconds between two signs of life."""
MAX_VIEWERS = 1000
MAX_PAGES = 200
MAX_TARGET = 2000
"""Characters of a page's path and query."""
WAITING = 4
STREAM_SECONDS = 3600.0
_ASK_SECONDS = 10.0
_AGAIN = 1.0
_OK = 200
_UNAUTHENTICATED = 401
_FORBIDDEN = 403
_CREDENTIALS = (b"authorization", b"x-api-key", b"cookie")
_TARGET = re.compile(r"/(?![/\\])[!-~]*")
_PARTS = re.compile(r"[a-z]{1,40}(,[a-z]{1,40}){0,19}")
_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A page's parts as one set of credentials sees them: those who show others may see others."""

    target: str
    shown: tuple[tuple[bytes, bytes], ...]


@dataclass(eq=False, slots=True)
class _Viewer:
    messages: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(WAITING))

    def give(self, message: bytes | None) -> None:
        """Hand over a message; None ends the stream. The oldest one makes room."""
        while True:
            try:
                self.messages.put_nowait(message)
            except asyncio.QueueFull:
                self.messages.get_nowait()
            else:
                return


@dataclass(slots=True)
class _Page:
    viewers: set[_Viewer] = field(default_factory=set)
    sent: dict[str, str] = field(default_factory=dict)


class LiveUpdates:
    """``traffic`` is how many requests were answered here; ``controller`` the address of the management API."""

    def __init__(
        self, upstream: Upstream, controller: str, traffic: Callable[[], int], secret: PlatformSecret | None = None
    ) -> None:
        """``secret`` proves to the controller that it is the gateway that hears of changes, where callers are asked who they are."""
        self._secret = secret
        self._upstream = upstream
        self._controller = controller
        self._traffic = traffic
        self._pages: dict[_Asked, _Page] = {}
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def viewers(self) -> int:
        return sum(len(page.viewers) for page in self._pages.values())

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hold one viewer's stream. ``InvalidInput`` for what is no page of ours, ``Overloaded`` past a limit."""
        target = _Asked(_target(scope["query_string"]), _shown(scope) if self._secret is not None else ())
        if self._secret is not None:
            await self._parts(target)  # who may not see the page gets no stream
        if self.viewers >= MAX_VIEWERS or (target not in self._pages and len(self._pages) >= MAX_PAGES):
            raise Overloaded(f"{self.viewers} pages are already being followed, which is the maximum", retry_after=10)
        viewer = _Viewer()
        page = self._pages.setdefault(target, _Page())
        page.viewers.add(viewer)
        page.sent.clear()  # the newcomer may have an older page than the others: the next look tells all of them everything
        self._start()
        self._changed.set()
        try:
            await send({"type": "http.response.start", "status": _OK, "headers": _HEADERS})
            await _write(viewer, receive, send)
        finally:
            page.viewers.discard(viewer)
            if not page.viewers:
                self._pages.pop(target, None)
            if not self._pages:
                self._stop()

    def close(self) -> None:
        """End every stream."""
        self._end_streams()
        self._stop()

    def _start(self) -> None:
        if not self._tasks:
            loop = asyncio.get_running_loop()
            self._tasks = [loop.create_task(self._follow()), loop.create_task(self._push())]

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    async def _follow(self) -> None:
        """Hear of changes from the controller; where it goes away, so do the streams."""
        proof = self._secret.proof_line() if self._secret is not None else b""
        head = b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n%b\r\n" % proof
        while True:
            with contextlib.suppress(HeadraceError, OSError):
                deadline = asyncio.get_running_loop().time() + STREAM_SECONDS
                async with self._upstream.stream(self._controller, head, _nothing(), deadline) as (reply, chunks):
                    if reply.status == _OK:
                        self._changed.set()
                        async for chunk in chunks:
                            if b"event: change" in chunk:
                                self._changed.set()
            await asyncio.sleep(_AGAIN)

    async def _push(self) -> None:
        """Look at each page that is viewed after a change, and while there is traffic."""
        loop = asyncio.get_running_loop()
        count, busy_until, beat = self._traffic(), 0.0, loop.time()
        while True:
            await asyncio.sleep(EVERY)
            if self._traffic() != count:
                count, busy_until = self._traffic(), loop.time() + TRAFFIC_SECONDS
            if self._changed.is_set() or loop.time() < busy_until:
                self._changed.clear()
                await self._look()
            if loop.time() - beat >= BEAT:
                beat = loop.time()
                self._tell_all(b"event: beat\ndata: {}\n\n")

    async def _look(self) -> None:
        for target, page in list(self._pages.items()):
            try:
                found = await self._parts(target)
            except (Unauthenticated, Forbidden):
                for viewer in page.viewers:  # they log in again where they load the page again
                    viewer.give(None)
                continue
            except (HeadraceError, OSError, orjson.JSONDecodeError) as error:
                log.info("%s could not be looked at: %s", target.target, error)
                self._end_streams()
                return
            fresh = {name: html for name, html in found.items() if page.sent.get(name) != html}
            page.sent.update(fresh)
            if fresh:
                message = b"event: parts\ndata: " + orjson.dumps(fresh) + b"\n\n"
                for viewer in page.viewers:
                    viewer.give(message)

    async def _parts(self, asked: "_Asked") -> dict[str, str]:
        """As whoever views the page may see them. ``Unauthenticated`` and ``Forbidden`` where they may not, or not any more."""
        head = f"GET {asked.target} HTTP/1.1\r\nhost: localhost\r\naccept: application/json\r\n".encode()
        head = b"".join((head, *(b"%b: %b\r\n" % h for h in asked.shown), b"\r\n"))
        deadline = asyncio.get_running_loop().time() + _ASK_SECONDS
        reply = await self._upstream.request(self._controller, head, b"", deadline)
        if reply.status == _UNAUTHENTICATED:
            raise Unauthenticated("the session has ended", hint="log in again")
        if reply.status == _FORBIDDEN:
            raise Forbidden("you may not see this page")
        if reply.status != _OK:
            return {}  # the page says what is wrong when it is loaded again
        found: dict[str, str] = orjson.loads(reply.body)
        return found

    def _tell_all(self, message: bytes | None) -> None:
        for page in self._pages.values():
            for viewer in page.viewers:
                viewer.give(message)

    def _end_streams(self) -> None:
        self._tell_all(None)


async def _write(viewer: _Viewer, receive: Receive, send: Send) -> None:
    """Send what comes until the viewer leaves or is told that it is over."""
    await send({"type": "http.response.body", "body": b"retry: 2000\n\n", "more_body": True})
    gone = asyncio.ensure_future(_left(receive))
    try:
        async with asyncio.timeout(STREAM_SECONDS):
            while True:
                coming = asyncio.ensure_future(viewer.messages.get())
                await asyncio.wait((gone, coming), return_when=asyncio.FIRST_COMPLETED)
                message = coming.result() if coming.done() else None
                coming.cancel()
                if message is None:
                    break
                await send({"type": "http.response.body", "body": message, "more_body": True})
    except TimeoutError:
        pass
    finally:
        gone.cancel()
    if not gone.done() or gone.cancelled():
        await send({"type": "http.response.body", "body": b""})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


async def _nothing() -> AsyncIterator[bytes]:
    """The body of a request that has none; it does not end, for its end would be taken for the caller's leaving."""
    await asyncio.Event().wait()
    yield b""


def _shown(scope: Scope) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name, value) for name, value in scope["headers"] if name in _CREDENTIALS)


def _target(query: bytes) -> str:
    """The path and query that a page's parts are asked for at."""
    members = parse_qs(query.decode("latin-1"))
    page, parts = members.get("page", [""])[0], members.get("parts", [""])[0]
    page = quote(page, safe="/?&=%:+,;@!$'()*~-._[]")
    if not _TARGET.fullmatch(page) or len(page) > MAX_TARGET or page.startswith("/api/"):
        raise InvalidInput("page: it is not a page of this platform", field="page", expected=f"a path of at most {MAX_TARGET} characters")  # fmt: skip
    if not _PARTS.fullmatch(parts):
        raise InvalidInput(
            "parts: they are not names of parts", field="parts", expected="names separated by commas, at most 20"
        )
    return f"{page}{'&' if '?' in page else '?'}parts={parts}"
