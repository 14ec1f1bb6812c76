"""Whether a file of text is UTF-8, told with the place before any of its rows is asked."""

import codecs
from pathlib import Path

from headrace_functions.errors import InvalidInput
from headrace_functions.tabular.dialect import legacy_encoding, read_as

_CHUNK = 1024 * 1024
_NEAR = 10
"""Bytes before and after one that is wrong, which are shown."""


def check_utf8(file: Path, place: str) -> None:
    """``InvalidInput`` with line and byte of the first text that is not UTF-8, and how to convert it. Reads the whole file, a chunk in memory."""
    at = _first_wrong(file)
    if at is None:
        return
    with file.open("rb") as opened:
        line = 1 + sum(opened.read(min(_CHUNK, at - start)).count(b"\n") for start in range(0, at, _CHUNK))
        opened.seek(max(0, at - _NEAR))
        near = opened.read(2 * _NEAR)
        opened.seek(at)
        encoding = legacy_encoding(opened.read(_NEAR))
    raise InvalidInput(
        f"{place} is not UTF-8: line {line:,}, byte {at + 1:,} of the file",
        field="in",
        expected="UTF-8 text",
        got=read_as(near, encoding),
        hint=f"convert it, if it is {encoding}: iconv -f {encoding} -t UTF-8 FILE > NEW",
    )


def _first_wrong(file: Path) -> int | None:
    """The place of the first byte that no character of UTF-8 has there."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    read = held = 0  # bytes before the chunk, and those of them that begin a character which the chunk goes on with
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                return read - held + error.start
            read, held = read + len(chunk), len(decoder.getstate()[0])
    return read - held if held else None
