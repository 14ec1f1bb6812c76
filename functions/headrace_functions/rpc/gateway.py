"""The gateway as this process asks it: HTTP over its socket, with what a caller's metadata says of the request."""

import asyncio
import re
from collections.abc import Mapping
from urllib.parse import quote

from headrace_functions.errors import DeadlineExceeded, Unreachable
from headrace_functions.gateway.upstream import NotSent, Reply, Upstream
from headrace_functions.names import new_request_id, usable_request_id

LONGEST = 600.0
"""Seconds for a call without a deadline; a version's own limits end it sooner."""
PASSED_ON = (
    b"traceparent",
    b"tracestate",
    b"authorization",
    b"x-api-key",
    b"x-headrace-log",
    b"x-headrace-time",
    b"x-headrace-purpose",
)
"""Metadata that is sent on as headers of the same name; ``x-request-id`` is, too."""
_VALUE = re.compile(rb"[\x20-\x7e]*")
_RETRIES = (0.0, 0.02, 0.1, 0.3)
"""Seconds between attempts while nobody listens at the gateway's socket, as when it is being started again."""


class GatewayClient:
    """Asks one gateway. ``address`` is ``unix:/path`` or ``tcp:host:port``. Made and used on one event loop."""

    def __init__(self, address: str) -> None:
        self._address = address
        # In a cluster the name is by what its ingress tells the gateway from other services.
        self._host = address.removeprefix("tcp:").rsplit(":", 1)[0] if address.startswith("tcp:") else "headrace"
        self._upstream = Upstream()
        self._loop = asyncio.get_running_loop()

    async def ask(
        self, method: str, path: str, headers: bytes, body: bytes = b"", seconds: float | None = None
    ) -> Reply:
        """The answer, whatever its status. Raises ``DeadlineExceeded`` after ``seconds`` and ``Unreachable``.

        Cancelling the call closes the connection, which is how the gateway knows.
        """
        if seconds is not None and seconds <= 0:
            raise DeadlineExceeded("the deadline had passed before the call began")
        deadline = self._loop.time() + (LONGEST if seconds is None else min(seconds, LONGEST))
        head = b"".join(
            (
                f"{method} {path} HTTP/1.1\r\nhost: {self._host}\r\ncontent-length: {len(body)}\r\n".encode("latin-1"),
                headers,
                b"" if seconds is None else b"x-headrace-timeout: %d\r\n" % max(1, int(seconds * 1000)),
                b"\r\n",
            )
        )
        for pause in _RETRIES:
            try:
                return await self._request(head, body, deadline)
            except NotSent:
                await asyncio.sleep(min(pause, max(0.0, deadline - self._loop.time())))
        try:
            return await self._request(head, body, deadline)
        except NotSent as error:
            raise Unreachable(f"the gateway cannot be reached: {error.message}") from error

    async def _request(self, head: bytes, body: bytes, deadline: float) -> Reply:
        """The gateway's own answer. ``NotSent`` where a cluster's ingress answered in its place.

        An ingress that did not know the gateway yet when a connection was made may not learn of it on that connection.
        """
        reply = await self._upstream.request(self._address, head, body, deadline)
        if self._address.startswith("tcp:") and reply.header(b"x-request-id") is None:
            self._upstream.forget(self._address)
            raise NotSent(f"the ingress answered {reply.status} and not the gateway")
        return reply

    def close(self) -> None:
        self._upstream.close()


def header_lines(metadata: Mapping[bytes, bytes]) -> tuple[str, bytes]:
    """The request id and the header lines for a call's metadata.

    Values with other than printable ASCII are left out, as an unusable request id is, so that metadata can forge no header.
    """
    given = metadata.get(b"x-request-id")
    request_id = usable_request_id(given.decode("latin-1")) if given else new_request_id()
    lines = [b"x-request-id: %b\r\n" % request_id.encode("latin-1")]
    for name in PASSED_ON:
        value = metadata.get(name)
        if value is not None and _VALUE.fullmatch(value):
            lines.append(b"%b: %b\r\n" % (name, value))
    return request_id, b"".join(lines)


def model_path(name: str, version: str) -> str:
    """The path of a model, alias, version or sequence; ``version`` is empty for what the name means."""
    path = f"/v2/models/{quote(name, safe='@:')}"
    return f"{path}/versions/{quote(version, safe='')}" if version else path
