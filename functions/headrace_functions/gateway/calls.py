"""A call: one request on its way to one service."""

from dataclasses import dataclass, replace
from typing import Literal

from headrace_functions.names import VersionId

Protocol = Literal["v1", "v2"]
Verb = Literal["infer", "explain", "generate", "generate_stream"]
"""What v2 is asked for: all of an answer, also why it is so, or of one row all of it or piece by piece. v1 knows the first two."""

CONTENT_TYPE = b"content-type"
REQUEST_ID = b"x-request-id"
VERSION = b"x-headrace-version"
UNLOGGED = b"x-headrace-unlogged"
DEFINITIONS = b"x-headrace-definitions"
"""``last-known`` on an answer that was routed by a definition which could not be confirmed, because the store is away."""
SOURCE = b"x-headrace-source"


@dataclass(frozen=True, slots=True)
class Call:
    """What the gateway passes on. ``deadline`` is event-loop time; the body is passed on as it came."""

    request_id: str
    protocol: Protocol
    body: bytes
    deadline: float
    received: int
    """Nanoseconds since the epoch."""
    content_type: bytes = b"application/json"
    json_length: bytes | None = None
    traceparent: bytes | None = None
    caller_time: bytes | None = None
    unrecorded: bool = False
    """Asked by the platform itself (explanations): not traffic, so not logged."""
    caller: str = ""
    """Who asks, e.g. ``key:ci``; empty where nobody is asked who they are."""
    verb: Verb = "infer"
    accept: bytes | None = None
    timed: bool = False
    """Whether the caller wants to know what of the time went where."""
    source: bytes | None = None
    """Of a stream's call, which messages its rows come from; of one that is answered later, when it was accepted (``sources``)."""
    sequence: str = ""
    stage: int = -1
    variant: str = ""
    shadow: bool = False
    gap: float | None = None
    """Of a stream, seconds between two pieces of its answer at most."""

    def at_stage(self, sequence: str, stage: int, variant: VersionId, *, shadow: bool = False) -> "Call":
        return replace(self, sequence=sequence, stage=stage, variant=str(variant), shadow=shadow)

    @property
    def is_marked(self) -> bool:
        """Whether it says what a function believes of the gateway alone."""
        return self.unrecorded or bool(self.sequence) or self.shadow or bool(self.caller) or self.source is not None

    def head(self, version: VersionId, host: str, timeout_ms: int, more: bytes = b"") -> bytes:
        """The request line and headers for the service of ``version``, up to the blank line; ``more`` are header lines."""
        path = (
            f"/v2/models/{version.model}/{self.verb}"
            if self.protocol == "v2"
            else f"/v1/models/{version.model}:{'explain' if self.verb == 'explain' else 'predict'}"
        )
        lines = [
            f"POST {path} HTTP/1.1\r\nhost: {host}\r\nx-request-id: {self.request_id}\r\n"
            f"content-length: {len(self.body)}\r\nx-headrace-timeout: {timeout_ms}\r\ncontent-type: ".encode("latin-1"),
            self.content_type,
        ]
        for name, value in (
            (b"\r\ninference-header-content-length: ", self.json_length),
            (b"\r\ntraceparent: ", self.traceparent),
            (b"\r\nx-headrace-time: ", self.caller_time),
            (b"\r\nx-headrace-source: ", self.source),
            (b"\r\naccept: ", self.accept),
        ):
            if value is not None:
                lines += (name, value)
        if self.unrecorded:
            lines.append(b"\r\nx-headrace-unrecorded: 1")
        if self.sequence:
            lines.append(
                f"\r\nx-headrace-sequence: {self.sequence}\r\nx-headrace-stage: {self.stage}\r\nx-headrace-variant: {self.variant}".encode()
            )
        if self.caller:
            lines.append(b"\r\nx-headrace-caller: " + self.caller.encode("latin-1"))
        if self.shadow:
            lines.append(b"\r\nx-headrace-shadow: 1")
        lines += (b"\r\n", more, b"\r\n")
        return b"".join(lines)
