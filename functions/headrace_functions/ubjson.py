"""Universal Binary JSON, draft 12 (https://ubjson.org), as far as XGBoost writes it: values, objects, and typed arrays of numbers."""

import struct
from typing import Any

import numpy as np

DEEPEST = 100
_NUMBERS = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
_CONSTANTS = {"T": True, "F": False, "Z": None}


def decode(data: bytes) -> Any:
    """The value; arrays of one type are numpy's. ``ValueError`` for what is none, or is cut short."""
    try:
        return _Reader(data).value(0)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"no UBJSON: {error}") from error


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def value(self, depth: int, marker: str = "") -> Any:
        if depth > DEEPEST:
            raise ValueError("no UBJSON: it nests too deeply")
        marker = marker or self._marker()
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        if marker in _NUMBERS:
            return self._numbers(marker, 1)[0].item()
        if marker == "S":
            return self._text()
        if marker == "C":
            return self._take(1).decode("ascii")
        if marker == "[":
            return self._array(depth)
        if marker == "{":
            return self._object(depth)
        raise ValueError(f"no UBJSON: unknown marker {marker!r}")

    def _array(self, depth: int) -> Any:
        kind, count = self._head()
        if kind in _NUMBERS and count is not None:
            return self._numbers(kind, count)
        if count is not None:
            return [self.value(depth + 1, kind) for _ in range(count)]
        found = []
        while (marker := self._marker()) != "]":
            found.append(self.value(depth + 1, marker))
        return found

    def _object(self, depth: int) -> dict[str, Any]:
        kind, count = self._head()
        found: dict[str, Any] = {}
        while (len(found) < count) if count is not None else (self._peek() != "}"):
            name = self._text()
            found[name] = self.value(depth + 1, kind)
        if count is None:
            self._marker()
        return found

    def _head(self) -> tuple[str, int | None]:
        """The type of all members and their number, where they are said."""
        kind = ""
        if self._peek() == "$":
            self._at += 1
            kind = self._marker()
        if self._peek() != "#":
            return kind, None
        self._at += 1
        return kind, self._length()

    def _length(self) -> int:
        marker = self._marker()
        found = int(self._numbers(marker, 1)[0]) if marker in "iUIlL" else -1
        if not 0 <= found <= len(self._data):
            raise ValueError("no UBJSON: a length is none")
        return found

    def _text(self) -> str:
        return self._take(self._length()).decode()

    def _numbers(self, kind: str, count: int) -> Any:
        width = np.dtype(_NUMBERS[kind]).itemsize
        return np.frombuffer(self._take(width * count), _NUMBERS[kind])

    def _marker(self) -> str:
        return chr(self._take(1)[0])

    def _peek(self) -> str:
        return chr(self._data[self._at])

    def _take(self, count: int) -> bytes:
        found = self._data[self._at : self._at + count]
        if len(found) < count:
            raise ValueError("no UBJSON: it is cut short")
        self._at += count
        return found
