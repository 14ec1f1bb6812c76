"""Services that do what the test says: real HTTP on real Unix sockets, no model behind."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import h11

from headrace_functions.errors import HeadraceError
from headrace_functions.gateway.leases import Endpoint
from headrace_functions.names import VersionId
from headrace_functions.version import Version


@dataclass
class Asked:
    """One request as a service saw it."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    status: int = 200
    body: bytes = b"{}"
    headers: list[tuple[str, str]] = field(default_factory=lambda: [("content-type", "application/json")])


class HangUp(Exception):
    """Raised by a handler: the service ends the connection without an answer, as a killed process does."""


Handler = Callable[[Asked], Awaitable[Answer]]


class StubServices:
    """``Leases`` over handlers, one a version. ``refusals`` makes a lease fail, ``warmed`` and ``leased`` tell what was asked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._servers: list[asyncio.Server] = []
        self._talks: set[asyncio.Task[None] | None] = set()
        self.handlers: dict[VersionId, Handler] = {}
        self.refusals: dict[VersionId, HeadraceError] = {}
        self.asked: dict[VersionId, list[Asked]] = {}
        self.warmed: list[VersionId] = []
        self.open_leases = 0

    async def add(self, version: Version, handler: Handler) -> None:
        self.handlers[version.id] = handler
        self.asked[version.id] = []

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._talks.add(asyncio.current_task())
            try:
                with contextlib.suppress(ConnectionError, HangUp):
                    await self._talk(version.id, reader, writer)
            finally:
                writer.close()
                self._talks.discard(asyncio.current_task())

        self._servers.append(await asyncio.start_unix_server(connected, self._socket(version.id)))

    @contextlib.asynccontextmanager
    async def lease(self, version: Version, *, deadline: float) -> AsyncIterator[Endpoint]:
        if version.id in self.refusals:
            raise self.refusals[version.id]
        self.open_leases += 1
        try:
            yield Endpoint(f"unix:{self._socket(version.id)}", str(version.id))
        finally:
            self.open_leases -= 1

    def warm(self, version: Version) -> None:
        self.warmed.append(version.id)

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        talks = [t for t in self._talks if t is not None]
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the loop's next turn

    def _socket(self, version: VersionId) -> str:
        return str(self._folder / f"{version.service}.sock")

    async def _talk(self, version: VersionId, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        while True:
            asked = await _read(connection, reader)
            if asked is None:
                return
            self.asked[version].append(asked)
            answer = await self.handlers[version](asked)
            headers = [*answer.headers, ("content-length", str(len(answer.body)))]
            for event in (
                h11.Response(status_code=answer.status, headers=headers),
                h11.Data(data=answer.body),
                h11.EndOfMessage(),
            ):
                writer.write(connection.send(event) or b"")
            await writer.drain()
            connection.start_next_cycle()


async def _read(connection: h11.Connection, reader: asyncio.StreamReader) -> Asked | None:
    request: h11.Request | None = None
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            data = await reader.read(65536)
            if not data:
                return None
            connection.receive_data(data)
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert request is not None
            headers = {k.decode(): v.decode("latin-1") for k, v in request.headers}
            return Asked(request.target.decode(), headers, body)
        else:
            return None
