"""What replicas say of their start: one datagram each, on one Unix socket for all."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import orjson

from headrace_functions.errors import NotReady
from headrace_functions.forking.process import Watched, log_tail

Word = dict[str, Any]
"""``replica``, ``pid``, ``state`` (``ready`` or ``failed``), ``reason`` and ``modules``; ARCHITECTURE.md has them."""


class Words(asyncio.DatagramProtocol):
    """Gives each datagram to whoever expects it."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[Word]] = {}

    def expect(self, replica: str) -> asyncio.Future[Word]:
        self._waiting[replica] = asyncio.get_running_loop().create_future()
        return self._waiting[replica]

    def forget(self, replica: str) -> None:
        self._waiting.pop(replica, None)

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ARG002 -- the protocol's signature
        message = orjson.loads(data)
        future = self._waiting.get(message["replica"])
        if future is not None and not future.done():
            future.set_result(message)


async def listen(words: Words, path: Path) -> asyncio.DatagramTransport:
    """Hear what is sent to the Unix socket at ``path``; a file that a dead process left there is replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    listener.bind(str(path))
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: words, sock=listener)
    return transport


async def first_word(ready: asyncio.Future[Word], watched: Watched, log: Path, seconds: float) -> Word:
    """What a new replica says when it serves; ``NotReady`` with the reason if it cannot, ends, or takes longer than ``seconds``."""
    exited: asyncio.Future[Any] = asyncio.ensure_future(watched.exited.wait())
    try:
        await asyncio.wait([ready, exited], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        exited.cancel()
    if ready.done():
        word = ready.result()
        if word["state"] != "ready":
            raise NotReady(str(word["reason"]))
        return word
    tail = log_tail(log)
    if watched.exited.is_set():
        raise NotReady(f"the process ended while it was loading; the end of its log:\n{tail}")
    raise NotReady(f"not ready {seconds:.0f} s after its start; the end of its log:\n{tail}")
