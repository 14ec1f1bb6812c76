"""Protocol buffers without a schema: a message as its fields by number. Source: the encoding page of the protobuf documentation."""

from collections.abc import Iterator

MAX = 1 << 31  # bytes of a message, as the format has it


class NotAMessageError(ValueError):
    """The bytes are no protocol buffer, or are cut short."""


def fields(data: memoryview | bytes) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field in order: an int for numbers, the bytes for texts, messages and packed lists."""
    view, at = memoryview(data), 0
    while at < len(view):
        key, at = _varint(view, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise NotAMessageError("a field has the number 0")
        if kind == 0:
            value, at = _varint(view, at)
            yield number, value
            continue
        if kind not in (1, 2, 5):
            raise NotAMessageError(f"a field is of the kind {kind}")
        if kind == 2:
            size, at = _varint(view, at)
        else:
            size = 8 if kind == 1 else 4
        if at + size > len(view):
            raise NotAMessageError("it is cut short")
        yield number, view[at : at + size]
        at += size


def all_of(data: memoryview | bytes, number: int) -> list[memoryview]:
    """The texts and messages of a repeated field."""
    return [value for at, value in fields(data) if at == number and isinstance(value, memoryview)]


def one_of(data: memoryview | bytes, number: int) -> memoryview:
    """The last text or message of a field; empty where there is none."""
    found = all_of(data, number)
    return found[-1] if found else memoryview(b"")


def number_of(data: memoryview | bytes, number: int, default: int = 0) -> int:
    found = [value for at, value in fields(data) if at == number and isinstance(value, int)]
    return found[-1] if found else default


def signed(value: int) -> int:
    """A varint as the signed number of 64 bits that it stands for."""
    return value - (1 << 64) if value >= 1 << 63 else value


def text(data: memoryview) -> str:
    return bytes(data).decode("utf-8", "replace")


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(view) or shift > 63:
            raise NotAMessageError("it is cut short" if at >= len(view) else "a number is too long")
        byte = view[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
