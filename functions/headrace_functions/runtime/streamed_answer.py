"""What a caller of ``generate`` or ``generate_stream`` is sent, and what of it the log keeps."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from headrace_functions.errors import FunctionFailed
from headrace_functions.protocol.codec import encode_response
from headrace_functions.protocol.generate import MAX_LOGGED, encode_answer, framed, framed_problem
from headrace_functions.protocol.messages import PLAIN
from headrace_functions.runtime.frameworks.streaming import merged
from headrace_functions.signature import Tensors
from headrace_functions.version import Version


class StreamedAnswer:
    """Sends each chunk as an event where ``content_type`` is set, else keeps them for one answer."""

    def __init__(
        self, send: Callable[[MutableMapping[str, Any]], Awaitable[None]], version: Version, request_id: str
    ) -> None:
        self.content_type = ""
        self.begun = False
        """Whether the head of the answer is sent, so that what goes wrong now can only be told by an event."""
        self._send = send
        self._version = version
        self._request_id = request_id
        self._answer: Tensors = {}
        self._size = 0

    async def add(self, chunk: Tensors) -> None:
        event = self._encoded(chunk)
        self._size += len(event)
        if not self.content_type or self._size <= MAX_LOGGED:
            self._answer = merged(self._answer, chunk)
        if not self.content_type:
            return
        if not self.begun:
            self.begun = True
            headers = [
                (b"content-type", self.content_type.encode()),
                (b"cache-control", b"no-cache"),
                (b"x-request-id", self._request_id.encode()),
            ]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        body = framed(event, self.content_type)
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    def check_any(self) -> None:
        """``FunctionFailed`` where nothing was yielded."""
        if not self._answer:
            raise FunctionFailed("the function yielded nothing", expected="at least one dict of outputs")

    def event(self) -> bytes:
        """All of it as one answer."""
        return self._encoded(self._answer)

    def predictions(self) -> bytes:
        """What was answered so far as a v1 body, for the log; empty for nothing."""
        if not self._answer:
            return b""
        version = self._version
        encoded = encode_response(
            self._answer,
            version.signature,
            PLAIN,
            model=version.id.model,
            version=version.id.number,
            protocol="v1",
            batch=version.batch,
        )
        return encoded.body

    async def end(self, problem: bytes) -> None:
        """Close the stream; with ``problem`` it ends by telling it."""
        body = framed_problem(problem, self.content_type) if problem else b""
        await self._send({"type": "http.response.body", "body": body})

    def _encoded(self, tensors: Tensors) -> bytes:
        v = self._version
        return encode_answer(tensors, v.signature, v.id.model, v.id.number, v.batch)
