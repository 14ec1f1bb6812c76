"""Live pages: one question to the controller for all viewers of a page, and only what differs is sent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest

from headrace_functions.errors import InvalidInput, Overloaded, Unreachable
from headrace_functions.gateway import live_updates
from headrace_functions.gateway.live_updates import LiveUpdates
from headrace_functions.gateway.upstream import Reply


class Controller:
    """The management API: its pages' parts, its event stream, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.parts = {"rows": "<b>1</b>", "calls": ""}
        self.away = False
        self._events: asyncio.Queue[bytes] = asyncio.Queue()

    def announce(self) -> None:
        self._events.put_nowait(b'event: change\ndata: {"number": 1}\n\n')

    async def request(self, _address: str, head: bytes, _body: bytes, _deadline: float) -> Reply:
        if self.away:
            raise Unreachable("nobody listens")
        self.asked.append(head.split(b" ")[1].decode())
        return Reply(200, [], orjson.dumps(self.parts))

    @asynccontextmanager
    async def stream(
        self, _address: str, _head: bytes, body: AsyncIterator[bytes], _deadline: float
    ) -> AsyncIterator[tuple[Reply, AsyncIterator[bytes]]]:
        yield Reply(200, [], b""), self._chunks(body)

    async def _chunks(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Events until the request's body ends, as the real upstream does: its end is the caller's leaving."""
        ended = asyncio.ensure_future(anext(body, None))
        while True:
            coming = asyncio.ensure_future(self._events.get())
            await asyncio.wait((ended, coming), return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                coming.cancel()
                return
            yield coming.result()


class Viewer:
    """A browser with a page open."""

    def __init__(self, updates: LiveUpdates, page: str, parts: str = "rows,calls") -> None:
        self.messages: asyncio.Queue[bytes] = asyncio.Queue()
        self._left = asyncio.Event()
        scope = {"query_string": urlencode({"page": page, "parts": parts}).encode()}
        self.task = asyncio.ensure_future(updates.serve(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.body":
            self.messages.put_nowait(message["body"])

    async def next_parts(self) -> dict[str, str]:
        while True:
            message = await asyncio.wait_for(self.messages.get(), 10)
            if message.startswith(b"event: parts"):
                found: dict[str, str] = orjson.loads(message.split(b"data: ")[1])
                return found

    async def leave(self) -> None:
        self._left.set()
        await asyncio.wait_for(self.task, 10)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_updates, "EVERY", 0.01)


def test_all_viewers_of_a_page_cost_one_question_and_see_what_differs() -> None:
    async def scenario() -> None:
        controller = Controller()
        updates = LiveUpdates(controller, "unix:/x", lambda: 0)  # type: ignore[arg-type]
        viewers = [Viewer(updates, "/models/a?range=1h") for _ in range(20)]
        assert [controller.parts] * 20 == [await v.next_parts() for v in viewers]
        asked = len(controller.asked)

        controller.parts = {**controller.parts, "rows": "<b>2</b>"}
        controller.announce()

        assert [{"rows": "<b>2</b>"}] * 20 == [await v.next_parts() for v in viewers]
        assert 1 == len(controller.asked) - asked
        assert {"/models/a?range=1h&parts=rows,calls"} == set(controller.asked)
        for viewer in viewers:
            await viewer.leave()
        assert 0 == updates.viewers

    asyncio.run(scenario())


def test_requests_that_are_answered_make_the_pages_looked_at() -> None:
    async def scenario() -> None:
        controller, answered = Controller(), [0]
        updates = LiveUpdates(controller, "unix:/x", lambda: answered[0])  # type: ignore[arg-type]
        viewer = Viewer(updates, "/")
        await viewer.next_parts()
        controller.parts = {"rows": "<b>7</b>"}
        answered[0] += 1
        assert {"rows": "<b>7</b>"} == await viewer.next_parts()
        await viewer.leave()

    asyncio.run(scenario())


def test_a_controller_that_goes_away_ends_the_streams_so_that_browsers_come_back() -> None:
    async def scenario() -> None:
        controller = Controller()
        updates = LiveUpdates(controller, "unix:/x", lambda: 0)  # type: ignore[arg-type]
        viewer = Viewer(updates, "/")
        await viewer.next_parts()
        controller.away = True
        controller.announce()
        await asyncio.wait_for(viewer.task, 10)

    asyncio.run(scenario())


def test_closing_ends_every_stream() -> None:
    async def scenario() -> None:
        updates = LiveUpdates(Controller(), "unix:/x", lambda: 0)  # type: ignore[arg-type]
        viewers = [Viewer(updates, "/"), Viewer(updates, "/runs")]
        for viewer in viewers:
            await viewer.next_parts()
        updates.close()
        await asyncio.wait_for(asyncio.gather(*(v.task for v in viewers)), 10)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("page", "parts", "named"),
    [
        ("//elsewhere.test/", "rows", "page"),
        ("http://elsewhere.test/", "rows", "page"),
        ("/api/v1/status", "rows", "page"),
        ("", "rows", "page"),
        ("/\r\nhost: x", "rows", "parts"),
        ("/" + "a" * 3000, "rows", "page"),
        ("/", "", "parts"),
        ("/", "rows;drop", "parts"),
        ("/", ",".join(["a"] * 21), "parts"),
    ],
)
def test_only_parts_of_our_own_pages_can_be_followed(page: str, parts: str, named: str) -> None:
    query = urlencode({"page": page, "parts": parts}).encode()
    if "\r" in page:
        assert "\r" not in live_updates._target(query)  # it is quoted, and so the controller's 404
        return
    with pytest.raises(InvalidInput) as caught:
        live_updates._target(query)
    assert named == caught.value.field


def test_past_the_limit_a_stream_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(live_updates, "MAX_VIEWERS", 1)
        updates = LiveUpdates(Controller(), "unix:/x", lambda: 0)  # type: ignore[arg-type]
        viewer = Viewer(updates, "/")
        await viewer.next_parts()
        with pytest.raises(Overloaded):
            await Viewer(updates, "/").task
        await viewer.leave()

    asyncio.run(scenario())
