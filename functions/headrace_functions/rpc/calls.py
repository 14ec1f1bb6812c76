"""A server's calls: what a handler sees of one, which methods there are, and what all connections share."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from headrace_functions.protocol.budget import ByteBudget, HeldBytes
from headrace_functions.rpc.wire import CallFailed, Metadata


class Served(Protocol):
    """A connection as its server knows it."""

    @property
    def unsent(self) -> int: ...
    def sweep(self) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...


class Call:
    """One call as its handler sees it."""

    __slots__ = ("deadline", "metadata", "trailing")

    def __init__(self, metadata: dict[bytes, bytes], deadline: float | None) -> None:
        self.metadata = metadata
        """Header fields by their names in lower case; values of ``-bin`` as they came."""
        self.deadline = deadline
        """Time of the loop at which the caller gives up; None for never."""
        self.trailing: Metadata = []
        """Sent with the call's end."""


Unary = Callable[[bytes, Call], Awaitable[bytes]]
Streaming = Callable[[AsyncIterator[bytes], Call], AsyncIterator[bytes]]


@dataclass(frozen=True, slots=True)
class Method:
    """One of the two answers; handlers end a call with another status than OK by ``CallFailed``."""

    unary: Unary | None = None
    streaming: Streaming | None = None


@dataclass(slots=True)
class Calls:
    """What the connections of one server share."""

    methods: dict[bytes, Method]
    """By path, e.g. ``/inference.GRPCInferenceService/ModelInfer``."""
    max_message: int
    max_calls: int
    max_metadata: int
    longest: float
    """Seconds for a call to arrive that has no deadline."""
    budget: ByteBudget = field(default_factory=ByteBudget)
    max_connections: int = 10_000
    connections: set[Served] = field(default_factory=set)
    open: int = 0
    none: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while there is no connection."""

    def __post_init__(self) -> None:
        self.none.set()

    def opened(self, connection: Served) -> None:
        self.connections.add(connection)
        self.none.clear()

    def closed(self, connection: Served) -> None:
        self.connections.discard(connection)
        if not self.connections:
            self.none.set()

    def sweep(self) -> None:
        """End calls that do not arrive in time and connections that never begin."""
        for connection in list(self.connections):
            connection.sweep()


class Stream:
    """One call while it is open."""

    __slots__ = (
        "_left", "_left_since", "buffer", "call", "closed", "encoding", "ended", "held", "messages", "method", "since", "task", "unread",
    )  # fmt: skip

    def __init__(self, method: Method, call: Call, encoding: bytes, since: float) -> None:
        self.method = method
        self.call = call
        self.encoding = encoding
        self.since = since
        self.buffer = bytearray()
        self.ended = False
        self.unread = 0
        """Bytes of a stream's messages that the caller has not been told we have read."""
        self.task: asyncio.Task[None] | None = None
        self.messages: asyncio.Queue[bytes | CallFailed | None] | None = None
        self.held: HeldBytes | None = None
        self.closed = False
        self._left = 0
        self._left_since = since

    def unread_for(self, left: int, now: float) -> float:
        """Seconds for which the caller has taken nothing of an answer of which ``left`` bytes wait; 0 while none do."""
        if left == 0 or left != self._left:
            self._left, self._left_since = left, now
        return now - self._left_since
