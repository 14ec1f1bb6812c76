"""What a CSV file of another dialect is told: encodings, separators, decimal commas; pure functions of bytes and names."""

import re

import pyarrow as pa

from headrace_functions.errors import InvalidInput

_MARKS = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_SEPARATORS = {b";": "semicolons", b"\t": "tabs", b"|": "vertical bars"}
_QUOTED = re.compile(rb'"(?:[^"]|"")*"')
_DECIMAL_COMMA = re.compile(rb"\s*[+-]?\d{1,3}(?:[. ]?\d{3})*,\d+\s*")
_NAMES = {
    "int64": "a whole number",
    "uint64": "a whole number of 0 or more",
    "double": "a number",
    "bool": "true or false",
}
EXPECTED = "UTF-8 text with a header, values separated by commas, a point as the decimal mark"
SAVE_AS = "in a spreadsheet, save it as 'CSV UTF-8 (comma delimited)'"


def check_encoding(head: bytes, name: str, field: str) -> None:
    """Raises ``InvalidInput`` for what begins as UTF-16 or UTF-32 does, and for bytes that are no text at all."""
    encoding = next((encoding for mark, encoding in _MARKS if head.startswith(mark)), None)
    if encoding is None and b"\0" in head[:1000]:
        encoding = "UTF-16 or binary data"
    if encoding is not None:
        raise InvalidInput(
            f"{field}: {name} is encoded as {encoding}, not UTF-8",
            field=field,
            expected=EXPECTED,
            hint=f"{SAVE_AS}, or convert it: iconv -f UTF-16 -t UTF-8" if "16" in encoding else SAVE_AS,
        )


def check(header: bytes, name: str, field: str) -> None:
    """Raises ``InvalidInput`` for a header that is not UTF-8, or whose columns are separated by something other than commas."""
    try:
        header.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{field}: the header of {name} is not UTF-8 at byte {error.start + 1}",
            field=field,
            expected=EXPECTED,
            got=repr(header[max(0, error.start - 10) : error.end + 5].decode("latin-1")) + " if it is Latin-1",
            hint=f"{SAVE_AS}, or convert it: iconv -f ISO-8859-1 -t UTF-8",
        ) from error
    plain = _QUOTED.sub(b"", header)
    counts = {mark: plain.count(mark) for mark in _SEPARATORS}
    mark = max(counts, key=lambda m: counts[m])
    if counts[mark] > plain.count(b","):
        raise InvalidInput(
            f"{field}: the columns of {name} are separated by {_SEPARATORS[mark]}, not by a comma",
            field=field,
            expected=EXPECTED,
            got=header.decode("utf-8-sig").strip()[:80],
            hint=SAVE_AS,
        )


def wrong_value(name: str, field: str, column: str, row: int, value: bytes | None, kind: pa.DataType) -> InvalidInput:
    """The error for a value that the type of its column does not take."""
    data = value or b""
    place = f"{field}: {name}, row {row:,}, column {column!r}"
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return InvalidInput(
            f"{place}: the value is not UTF-8",
            field=column,
            expected=EXPECTED,
            got=repr(data.decode("latin-1")[:60]) + " if it is Latin-1",
            hint=f"{SAVE_AS}, or convert it: iconv -f ISO-8859-1 -t UTF-8",
        )
    wanted = _NAMES.get(str(kind), str(kind))
    comma = _DECIMAL_COMMA.fullmatch(data) is not None
    return InvalidInput(
        f"{place}: {text[:60]!r} is not {wanted}",
        field=column,
        expected=wanted,
        got=repr(text[:60]),
        hint="write decimals with a point, not a comma"
        if comma
        else "correct the value, or leave the cell empty if it is missing",
    )
