"""What a CSV file of another dialect is told: encodings, separators, lines above the header, numbers; pure functions of bytes and names."""

import re
from collections.abc import Sequence

import pyarrow as pa

from headrace_functions.errors import InvalidInput
from headrace_functions.tabular.kinds import SAVE_AS

_SEPARATORS = {b";": "semicolons", b"\t": "tabs", b"|": "vertical bars"}
_IN_TEXT = {b"^": "carets", b":": "colons", b" ": "spaces"}
"""Separators that text has, too: told only of three columns and more, where each of the next lines has as many values, one of them a number."""
_SAMPLE = 64 * 1024
_SAMPLE_LINES = 5
_QUOTED = re.compile(rb'"(?:[^"]|"")*"')
_QUOTED_VALUE = b'""'
_SEP_LINE = re.compile(rb'(?:\xef\xbb\xbf)?"?sep=(.)"?\s*', re.IGNORECASE)
_NUMBER = re.compile(rb"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:(?P<mark>[ ,.'\u2019\u00a0\u202f])\d{3})(?:(?P=mark)\d{3})*(?:[.,]\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_UNIT = re.compile(r"(?P<before>[^\d\s+-]{1,3})?\s*[+-]?\d[\d.,]*\s*(?P<after>[^\d\s]{1,3})?")
_NAMES = {
    "int64": "a whole number",
    "uint64": "a whole number of 0 or more",
    "double": "a number",
    "bool": "true or false",
}
EXPECTED = "UTF-8 text with a header, values separated by commas, a point as the decimal mark"


def first_record(text: bytes) -> bytes:
    """Everything up to the end of the first line that is not blank, of several lines where quotes span them; all where none ends."""
    end = line_end(text)
    start = len(text) - len(text.lstrip())
    at = text.find(end, start) + 1
    quotes = text.count(b'"', start, at)
    while at and quotes % 2:
        following = text.find(end, at) + 1
        quotes += text.count(b'"', at, following)
        at = following
    return text[:at] if at else text


def line_end(text: bytes) -> bytes:
    return b"\n" if b"\n" in text else b"\r"


def legacy_encoding(data: bytes) -> str:
    """The name of what bytes that are not UTF-8 most likely are: of the one-byte encodings, Windows' has signs where ISO's has none."""
    wrong = (ord(c) - 0xDC00 for c in data.decode(errors="surrogateescape") if "\udc80" <= c <= "\udcff")
    return "WINDOWS-1252" if any(byte < 0xA0 for byte in wrong) else "ISO-8859-1"


def read_as(data: bytes, encoding: str) -> str:
    """What ``data`` says in a one-byte encoding, quoted, for an error."""
    return f"{data.decode(encoding, 'replace')!r} if it is {encoding}"


def check(head: bytes, where: str, field: str) -> None:
    """Raises ``InvalidInput`` for a file whose header is not UTF-8, not separated by commas, or not in its first line.

    ``head`` is how the file begins, at least its header; ``where`` is what the error calls it.
    """
    header = first_record(head)
    _check_encoding(header, where, field)
    excel = _SEP_LINE.fullmatch(header.strip())
    if excel is not None:
        raise InvalidInput(
            f"{where} begins with {header.strip().decode('utf-8-sig')!r}, a line that only Excel reads",
            field=field,
            expected=EXPECTED,
            hint="remove the first line" if excel[1] == b"," else f"remove the first line, and {SAVE_AS}",
        )
    plain = _QUOTED.sub(_QUOTED_VALUE, header)
    lines = _sample(head[len(header) : len(header) + _SAMPLE])
    mark, name = _separator(plain, lines)
    if mark:
        raise InvalidInput(
            f"{where}: the columns are separated by {name}, not by commas",
            field=field,
            expected=EXPECTED,
            got=header.decode("utf-8-sig").strip()[:80],
            hint=f"{SAVE_AS}, or convert it: pandas.read_csv(FILE, sep={mark.decode()!r}).to_csv(NEW, index=False)",
        )
    _check_title(plain, lines, where, field)


def _check_encoding(header: bytes, where: str, field: str) -> None:
    try:
        header.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        encoding = legacy_encoding(header)
        raise InvalidInput(
            f"{where}: the header is not UTF-8 at byte {error.start + 1}",
            field=field,
            expected=EXPECTED,
            got=read_as(header[max(0, error.start - 10) : error.end + 5], encoding),
            hint=_converted_from(encoding),
        ) from error


def _converted_from(encoding: str) -> str:
    return f"{SAVE_AS}, or convert it: iconv -f {encoding} -t UTF-8 FILE > NEW"


def _sample(rest: bytes) -> list[bytes]:
    """The first lines after the header that have a value, without what is in quotes."""
    lines = _QUOTED.sub(_QUOTED_VALUE, rest).splitlines()
    whole = lines[:-1] if len(rest) == _SAMPLE else lines
    return [line for line in whole if line.strip(b", \t\r")][:_SAMPLE_LINES]


def _separator(header: bytes, lines: Sequence[bytes]) -> tuple[bytes, str]:
    """What separates columns other than commas, and how it is called; empty for none."""
    mark = max(_SEPARATORS, key=header.count)
    if header.count(mark) > header.count(b","):
        return mark, _SEPARATORS[mark]
    for mark, name in _IN_TEXT.items():
        if lines and all(_is_separated(line, mark, len(_columns(header, mark))) for line in lines):
            return mark, name
    return b"", ""


def _is_separated(line: bytes, mark: bytes, columns: int) -> bool:
    values = _columns(line, mark)
    return columns == len(values) > 2 and b"," not in line and any(map(_NUMBER.fullmatch, values))


def _columns(line: bytes, mark: bytes) -> list[bytes]:
    return line.split() if mark == b" " else line.split(mark)


def _check_title(header: bytes, lines: Sequence[bytes], where: str, field: str) -> None:
    """Raises ``InvalidInput`` for a first line of one value above lines of several, none of them a number in the first."""
    title, *more = [value.strip() for value in header.removeprefix(b"\xef\xbb\xbf").split(b",")]
    below = [value for value in lines[0].split(b",") if value.strip()] if lines else []
    if title and not any(more) and len(below) > 1 and not any(map(_NUMBER.fullmatch, below)):
        raise InvalidInput(
            f"{where} has one value in its first line and {len(below)} in the next",
            field=field,
            expected=EXPECTED,
            got=title.decode(errors="replace")[:80],
            hint="remove the lines above the header, if the first one is a title, and put a value that contains a comma in double quotes",
        )


def check_named(names: Sequence[str], where: str, field: str) -> None:
    """Raises ``InvalidInput`` for the first column that has no name."""
    at = next((at for at, name in enumerate(names) if not name.strip()), None)
    if at is not None:
        index = "if it is the index of pandas, write the file with index=False"
        raise InvalidInput(
            f"{where}: column {at + 1} of {len(names)} has no name",
            field=field,
            expected="a name for each column in the header",
            got=",".join(names[:20]),
            hint=index if at == 0 else "name it in the header, or leave the column out",
        )


def wrong_value(where: str, column: str, row: int, value: bytes | None, kind: pa.DataType) -> InvalidInput:
    """The error for a value that the type of its column does not take."""
    data = value or b""
    place = f"{where}, row {row:,}, column {column!r}"
    try:
        text = data.decode()
    except UnicodeDecodeError:
        encoding = legacy_encoding(data)
        return InvalidInput(
            f"{place}: the value is not UTF-8",
            field=column,
            expected=EXPECTED,
            got=read_as(data[:60], encoding),
            hint=_converted_from(encoding),
        )
    wanted = _NAMES.get(str(kind), str(kind))
    return InvalidInput(
        f"{place}: {text[:60]!r} is not {wanted}",
        field=column,
        expected=wanted,
        got=repr(text[:60]),
        hint=number_hint(text) or "correct the value, or leave the cell empty if it is missing",
    )


def number_hint(text: str) -> str:
    """What to do with a number that is written as people write it; empty for what is none."""
    text = text.strip()
    if _DECIMAL_COMMA.fullmatch(text) and not _THOUSANDS.fullmatch(text):
        return "write decimals with a point, not a comma"
    if _THOUSANDS.fullmatch(text):
        return "write numbers without separators of thousands, and decimals with a point, not a comma"
    unit = _UNIT.fullmatch(text)
    sign = (unit["before"] or unit["after"]) if unit else None
    if sign == "%":
        return "write percentages as numbers, without the sign, in the unit that the model knows"
    return f"write the number without {sign!r}" if sign else ""
