"""What a file is, told by its first bytes, where it is not what its name says."""

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace_functions.errors import InvalidInput

HEAD = 4096
_TAIL = 64 * 1024
"""Bytes at the end in which a zip archive lists its files."""
CSV, PARQUET, LINES, JSON = "CSV", "Parquet", "JSON lines", "JSON"
FORMATS = {".csv": CSV, ".parquet": PARQUET, ".jsonl": LINES, ".ndjson": LINES}
TABLES = (".csv", ".parquet")
"""Suffixes that most readers take."""
ENCODED = "encoded as"
SAVE_AS = "in a spreadsheet, save it as 'CSV UTF-8 (comma delimited)'"
"""What to do with a table that a spreadsheet wrote."""


@dataclass(frozen=True, slots=True)
class Kind:
    """``what`` follows "FILE is", and ``hint`` says how to get a table out of it, where the reader does not take ``suffix``."""

    what: str
    hint: str
    suffix: str = ""


def _convert(read: str, to: str) -> str:
    return f"convert it: pandas.{read}.to_{to}(NEW, index=False)"


_PARQUET = Kind(PARQUET, _convert("read_parquet(FILE)", "csv"), ".parquet")
_JSON = Kind(JSON, _convert("read_json(FILE)", "csv"), ".json")
_LINES = Kind(LINES, _convert("read_json(FILE, lines=True)", "csv"), ".jsonl")
_TEXT = Kind("text", _convert("read_csv(FILE)", "parquet"), ".csv")
_EMPTY = Kind("empty", "write the file again, with the names of its columns")
_BINARY = Kind("binary data", "export the table as CSV or Parquet")
_WORKBOOK = Kind("an Excel workbook (xlsx)", SAVE_AS)
_SHEETS = Kind("an OpenDocument spreadsheet", SAVE_AS)
_ZIP = Kind("a zip archive", "unpack it, and name the file that was in it")
_POINTER = Kind("a Git LFS pointer", "fetch the file that it stands for: git lfs pull")
_HTML = Kind("an HTML page", "download the file itself: this may be a page to log in, or an error")
_XML = Kind("XML", SAVE_AS)
_MAGIC = (
    (rb"\x1f\x8b", Kind("compressed with gzip", "unpack it: gunzip -c FILE > NEW")),
    (rb"\x28\xb5\x2f\xfd", Kind("compressed with Zstandard", "unpack it: zstd -dc FILE > NEW")),
    (rb"\xfd7zXZ\x00", Kind("compressed with xz", "unpack it: xz -dc FILE > NEW")),
    (rb"BZh[1-9]1AY&SY", Kind("compressed with bzip2", "unpack it: bzip2 -dc FILE > NEW")),
    (rb"PAR1", _PARQUET),
    (rb"PARE", Kind("encrypted Parquet", "write it again without encryption")),
    (rb"ARROW1\x00", Kind("an Arrow file (Feather)", _convert("read_feather(FILE)", "parquet"))),
    (rb"\xd0\xcf\x11\xe0", Kind("a workbook of an old Excel (xls)", SAVE_AS)),
    (rb"Obj\x01", Kind("Avro", "export the table as CSV or Parquet")),
    (rb"\x89HDF", Kind("HDF5", _convert("read_hdf(FILE)", "parquet"))),
    (rb"SQLite format 3\x00", Kind("an SQLite database", "export the table: sqlite3 -csv -header FILE 'SELECT * FROM TABLE' > NEW")),
    (rb"\x93NUMPY", Kind("a NumPy array", _convert("DataFrame(numpy.load(FILE))", "csv"))),
    (rb"\x80[\x02-\x05]", Kind("a pickle", "write the table itself: DataFrame.to_parquet(NEW, index=False)")),
    (rb"%PDF-", Kind("a PDF", "export the table as CSV")),
)  # fmt: skip
_BEGINS_AS = (
    (re.compile(rb"version https://git-lfs\."), _POINTER),
    (re.compile(rb"<(!doctype html|html|head|body)[\s>]", re.IGNORECASE), _HTML),
    (re.compile(rb"<\?xml\s"), _XML),
    (re.compile(rb'\{\s*"(?:[^"\\\n]|\\.)*"\s*:.*\}\s*\n\s*\{'), _LINES),
    (re.compile(rb'\{\s*("(?:[^"\\\n]|\\.)*"\s*:|\})'), _JSON),
    (re.compile(rb'\[\s*([{\[]|\])'), _JSON),
)  # fmt: skip
_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_WITHOUT_MARK = ("UTF-16LE", "UTF-16BE")


def check(file: Path, wanted: str, where: str, field: str, taken: Sequence[str]) -> None:
    """Raises ``InvalidInput`` in one sentence for a file that is not ``wanted``, a name of ``FORMATS`` or JSON.

    ``where`` is what the error calls the file, ``taken`` are the suffixes that its reader takes. Whether text is UTF-8 throughout, and
    whether what begins as Parquet can be read, is for the reader to say. ``OSError`` where the file cannot be read.
    """
    with file.open("rb") as opened:
        head = opened.read(HEAD)
        opened.seek(max(0, file.stat().st_size - _TAIL))
        tail = opened.read()
    kind = _kind(head, tail)
    if kind is _PARQUET and wanted == PARQUET and not tail.endswith(b"PAR1"):
        raise InvalidInput(
            f"{where} is cut off: it begins as Parquet does and ends otherwise",
            field=field,
            expected="a whole Parquet file",
            hint="copy or download it again, or close the writer before the file is read",
        )
    if not _fits(kind, wanted):
        raise _refused(kind, wanted, where, field, taken)


def wrong_name(head: bytes, where: str, field: str, taken: Sequence[str]) -> InvalidInput:
    """The error for a file whose name ends otherwise than in one of ``taken``, and which begins with ``head``."""
    kind = _kind(head, head)
    formats = " nor ".join(dict.fromkeys(FORMATS[suffix] for suffix in taken))
    if kind is _EMPTY or kind.suffix in taken:
        return InvalidInput(
            f"{where} is neither {formats} by its name",
            field=field,
            expected=f"a name that ends in {' or '.join(taken)}",
            hint=f"if it is {FORMATS[kind.suffix]}, name it *{kind.suffix}" if kind.suffix else None,
        )
    return InvalidInput(
        f"{where} is {kind.what}, neither {formats}",
        field=field,
        expected=f"a file named *{' or *'.join(taken)}",
        hint=kind.hint,
    )


def _refused(kind: Kind, wanted: str, where: str, field: str, taken: Sequence[str]) -> InvalidInput:
    """The error for a file of one kind that its name calls another."""
    encoded = kind.what.startswith(ENCODED)
    instead = "" if kind is _EMPTY else f", not {'UTF-8' if encoded else wanted}"
    return InvalidInput(
        f"{where} is {kind.what}{instead}",
        field=field,
        expected="UTF-8 text" if encoded else f"a {wanted} file",
        hint=f"name it *{kind.suffix}" if kind.suffix in taken else kind.hint,
    )


def _fits(kind: Kind, wanted: str) -> bool:
    if wanted == PARQUET:
        return kind is _PARQUET
    if wanted == CSV:
        return kind is _TEXT
    return kind in (_TEXT, _JSON, _LINES, _EMPTY)  # where JSON is wrong is for its reader to say


def _kind(head: bytes, tail: bytes) -> Kind:
    if head.startswith(b"PK\x03\x04"):
        return _archive(head, tail)
    found = next((kind for magic, kind in _MAGIC if re.match(magic, head, re.DOTALL)), None)
    if found is not None:
        return found
    encoding = _wide(head)
    if encoding:
        return Kind(f"{ENCODED} {encoding}", f"{SAVE_AS}, or convert it: iconv -f {encoding} -t UTF-8 FILE > NEW")
    if b"\0" in head:
        return _BINARY
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if not text and len(head) < HEAD:
        return _EMPTY
    return next((kind for begins, kind in _BEGINS_AS if begins.match(text)), _TEXT)


def _archive(head: bytes, tail: bytes) -> Kind:
    if b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet" in head:
        return _SHEETS
    return _WORKBOOK if b"xl/" in head or b"xl/" in tail else _ZIP


def _wide(head: bytes) -> str:
    """The encoding of text in characters of two or four bytes, by its mark, or by what it would say without one; empty for other bytes."""
    marked = next((encoding for mark, encoding in _MARKS if head.startswith(mark)), "")
    if marked or b"\0" not in head:
        return marked
    return next((encoding for encoding in _WITHOUT_MARK if _says_text(head, encoding)), "")


def _says_text(head: bytes, encoding: str) -> bool:
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return False
    return any(c in ",\n" for c in text) and all(c.isprintable() or c in "\r\n\t" for c in text)
