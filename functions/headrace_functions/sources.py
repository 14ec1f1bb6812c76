"""Where the rows of a request come from, message by message, so that each is logged once however often it is asked.

A request that a stream sends holds the rows of one or more messages of one partition. Its source is a text ``PREFIX PART,PART…``: the
prefix names stream, topic and partition, a part is an offset ``17``, a range ``17-40`` of messages with one row each, or ``17x3``, a message of
three rows. In the log a row's request id is ``PREFIX:OFFSET`` with twenty digits, and its row number counts within the message.

A request that is answered later has the source ``deferred NANOSECONDS``, the time of its acceptance. In the log its rows keep their request id, and are
received at that time, so that with the id it tells the request from others, however often it is asked.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

DEFERRED = "deferred"
"""Prefix of the source of a request that is answered later."""
MAX_TEXT = 16 * 1024
"""Characters of a source; a request whose messages need more is sent as two."""

_PART = re.compile(r"(\d{1,19})(?:-(\d{1,19})|x(\d{1,9}))?")


@dataclass(frozen=True, slots=True)
class Source:
    prefix: str
    messages: tuple[tuple[int, int], ...]
    """Offset and number of rows of each message, in the order of the rows of the request."""

    def __str__(self) -> str:
        return f"{self.prefix} {','.join(_parts(self.messages))}"

    @property
    def rows(self) -> int:
        return sum(count for _, count in self.messages)

    def ids(self) -> Iterator[tuple[str, int]]:
        """Request id and row number in the log of each row of the request."""
        for offset, count in self.messages:
            for row in range(count):
                yield f"{self.prefix}:{offset:020d}", row

    def logs(self, outcome: str) -> bool:
        """Whether an exchange with this outcome is the last word on its messages, and so belongs into the log.

        A request of several messages that failed is sent again in parts, one that met a full queue as it was; one that is answered later is asked again
        until a function has answered it.
        """
        return outcome == "ok" or (len(self.messages) == 1 and outcome in ("refused", "failed"))

    @classmethod
    def parse(cls, text: str) -> "Source | None":
        """The source in a text; None for one that is none."""
        prefix, _, parts = text.partition(" ")
        if not prefix or not parts or len(text) > MAX_TEXT:
            return None
        messages: list[tuple[int, int]] = []
        for part in parts.split(","):
            found = _PART.fullmatch(part)
            if found is None:
                return None
            first, last, count = int(found[1]), found[2], found[3]
            if last is not None and not 0 <= int(last) - first < MAX_TEXT * 8:
                return None
            messages += [(n, int(count or 1)) for n in range(first, int(last or first) + 1)]
        return cls(prefix, tuple(messages))


def accepted_at(text: str) -> int | None:
    """Nanoseconds since the epoch at which a request that is answered later was accepted; None for other sources."""
    prefix, _, moment = text.partition(" ")
    return int(moment) if prefix == DEFERRED and moment.isascii() and moment.isdigit() and len(moment) < 20 else None


def _parts(messages: Iterable[tuple[int, int]]) -> Iterator[str]:
    start: int | None = None
    end = 0
    for offset, count in messages:
        if start is not None and count == 1 and offset == end + 1:
            end = offset
            continue
        if start is not None:
            yield str(start) if start == end else f"{start}-{end}"
            start = None
        if count == 1:
            start = end = offset
        else:
            yield f"{offset}x{count}"
    if start is not None:
        yield str(start) if start == end else f"{start}-{end}"
