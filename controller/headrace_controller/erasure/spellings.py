"""Where a text says something, however JSON spells it: as it is, and with its escapes read, also of JSON within JSON and of torn JSON.

JSON may write any character as ``\\uXXXX``, some as ``\\/`` or ``\\n``. What is looked for is therefore searched in the text and in the text
with its escapes read, up to ``LEVELS`` times: a body that is quoted in a document has each of its escapes escaped again. What is no escape,
such as one that the end of the text cuts, stays as it is. Linear in the length of the text, for each level.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator

LEVELS = 3
"""How often escapes are read: of JSON within JSON within JSON."""
_ESCAPE = re.compile(
    rb'\\(?:(["\\/bfnrt])|u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4}))'
)
_SHORT = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}

Span = tuple[int, int]
"""The first byte and the one after the last."""


def spans(pattern: re.Pattern[bytes], text: bytes) -> list[Span]:
    """Places of a text that the pattern matches at any level, in order and apart; an escape is in a place as a whole or not at all."""
    found: list[Span] = []
    readings: list[_Reading] = []
    for place, at_level in _levels(text):
        readings += [place] if place is not None else []
        for match in pattern.finditer(at_level):
            span = match.span()
            for reading in reversed(readings):
                span = reading.before(span)
            found.append(span)
    first = _Reading(text) if found and b"\\" in text else None
    return _joined(first.whole(span) if first is not None else span for span in found)


def says(pattern: re.Pattern[bytes], text: bytes) -> bool:
    """Whether the pattern matches at any level."""
    return any(pattern.search(at_level) is not None for _, at_level in _levels(text))


class _Reading:
    """A text with its escapes read, and where each of its bytes was before."""

    def __init__(self, text: bytes) -> None:
        self._before: list[Span] = []
        """Of each escape."""
        self._after: list[Span] = []
        pieces, end, length = [], 0, 0
        for match in _ESCAPE.finditer(text):
            read = _read(match)
            pieces += [text[end : match.start()], read]
            length += match.start() - end
            self._before.append(match.span())
            self._after.append((length, length + len(read)))
            length, end = length + len(read), match.end()
        self.text = b"".join([*pieces, text[end:]]) if pieces else text

    def before(self, span: Span) -> Span:
        """What of the text was read as these bytes, escapes as wholes."""
        return _moved(span, self._after, self._before)

    def whole(self, span: Span) -> Span:
        """Bytes of the text with the escapes that they cut."""
        return _moved(span, self._before, self._before)


def _moved(span: Span, of: list[Span], to: list[Span]) -> Span:
    """A place by escapes that are sorted at the places ``of``, where they are at ``to``."""
    start, end = span
    at = bisect_right(of, start, key=lambda s: s[0]) - 1
    if at >= 0:
        start = to[at][0] if start < of[at][1] else start - of[at][1] + to[at][1]
    at = bisect_right(of, end - 1, key=lambda s: s[0]) - 1
    if at >= 0:
        end = to[at][1] if end <= of[at][1] else end - of[at][1] + to[at][1]
    return start, end


def _levels(text: bytes) -> Iterator[tuple[_Reading | None, bytes]]:
    yield None, text
    for _ in range(LEVELS):
        if b"\\" not in text:
            return
        reading = _Reading(text)
        if reading.text is text:
            return
        text = reading.text
        yield reading, text


def _read(escape: re.Match[bytes]) -> bytes:
    short, high, low, one = escape.groups()
    if short is not None:
        return _SHORT.get(short, short)
    if high is not None:
        pair = 0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00
        return chr(pair).encode()
    return chr(int(one, 16)).encode("utf-8", "surrogatepass")


def _joined(found: Iterator[Span]) -> list[Span]:
    """The places in order, those that overlap as one."""
    apart: list[Span] = []
    for start, end in sorted(found):
        if apart and start < apart[-1][1]:
            apart[-1] = (apart[-1][0], max(end, apart[-1][1]))
        else:
            apart.append((start, end))
    return apart
