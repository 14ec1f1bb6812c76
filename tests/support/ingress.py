"""The cluster's side of a gateway's network, played by a test."""

import asyncio
from collections.abc import Awaitable, Callable

FUNCTION = "x-request-id: r\r\n"


class Ingress:
    """Answers request lines as it is told and keeps what it was asked.

    An answer is a status, a body, and whether a function gave it; in the place of the last one, header lines to send.
    """

    def __init__(self, answer: Callable[[str], Awaitable[tuple[int, bytes, bool | str]]]) -> None:
        self._answer = answer
        self.asked: list[str] = []
        self.heads: list[str] = []

    async def __aenter__(self) -> "Ingress":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.host = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := (await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""):
            self.heads.append(head.decode().lower())
            _, _, length = self.heads[-1].partition("content-length: ")
            await reader.readexactly(int(length.partition("\r\n")[0] or 0))
            line = head.decode().split(" HTTP/", 1)[0]
            self.asked.append(line)
            status, body, mark = await self._answer(line)
            lines = mark if isinstance(mark, str) else FUNCTION if mark else ""
            writer.write(f"HTTP/1.1 {status} X\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body)
        writer.close()
