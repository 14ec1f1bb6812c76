"""A data file that is not what its name says is told in one sentence what it is and what to do, by everything that reads tables."""

import gzip
import io
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from headrace_controller.cli.predict import _read as read_json
from headrace_controller.definitions import ModelDefinition
from headrace_controller.evaluation import labelled
from headrace_controller.projects import csv_rows
from headrace_controller.service import precheck
from headrace_controller.service.assembly import Given
from headrace_controller.training import tables
from headrace_controller.training.data import open_training
from headrace_functions.batch import files
from headrace_functions.errors import InvalidInput
from headrace_functions.storage.objects import ObjectStore
from support.versions import number, version

ROWS = b"a,b,y\n1,2,0\n3,4,1\n"
TABLE = pa.table({"a": [1, 3], "b": [2, 4], "y": [0, 1]})
INPUTS = [{"name": name, "datatype": "FP64", "shape": [-1]} for name in ("a", "b")]
IT = version("m", inputs=(number("a"), number("b")), target=("y",))


def submitted(file: Path) -> None:
    definition = ModelDefinition.model_validate({"name": "m", "payload": ["f"], "target": "y"})
    precheck.check(definition, Given(file.parent, file, "d", training=file))


DOORS: dict[str, Callable[[Path], Any]] = {
    "a submission": submitted,
    "training data, samples and reference data": lambda file: open_training(file, file.parent, field="training-data"),
    "labels": lambda file: tables.read(file, field="labels"),
    "the label column of a file to evaluate on": lambda file: labelled.check_column(file, "y"),
    "a file to evaluate on": lambda file: labelled.read(file, IT, "y", ObjectStore(str(file.parent / "store"))),
    "headrace predict -f": lambda file: list(csv_rows.requests_of(file, {"inputs": INPUTS})),
    "headrace batch": lambda file: list(files.parts(file, 10)),
}


def archive(*names: str) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as zipped:
        for name in names:
            zipped.writestr(name, "x" * 50)
    return sink.getvalue()


def stored(write: Callable[..., Any]) -> bytes:
    sink = io.BytesIO()
    write(TABLE, sink)
    return sink.getvalue()


PARQUET = stored(pq.write_table)
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
AS_CSV: dict[str, tuple[bytes, str, str]] = {
    "gzip": (gzip.compress(ROWS, mtime=0), "is compressed with gzip, not CSV", "gunzip -c"),
    "zip": (archive("rows.csv"), "is a zip archive, not CSV", "unpack"),
    "xlsx": (archive("[Content_Types].xml", "xl/workbook.xml"), "is an Excel workbook (xlsx), not CSV", "CSV UTF-8"),
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "is a workbook of an old Excel (xls)", "CSV UTF-8"),
    "ods": (b"PK\x03\x04" + b"\0" * 26 + b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet", "is an OpenDoc", "CSV UTF-8"),
    "Parquet": (PARQUET, "is Parquet, not CSV", "parquet"),
    "Feather": (stored(feather.write_feather), "is an Arrow file (Feather), not CSV", "read_feather"),
    "pickle": (b"\x80\x04\x95\x00\x00", "is a pickle, not CSV", "to_parquet"),
    "a pointer": (POINTER, "is a Git LFS pointer, not CSV", "git lfs pull"),
    "JSON": (b'[{"a": 1, "b": 2}]', "is JSON, not CSV", "json"),
    "JSON lines": (b'{"a": 1, "b": 2}\n{"a": 3, "b": 4}\n', "is JSON lines, not CSV", "json"),
    "HTML": (b"\n<!DOCTYPE html>\n<html><body>Log in</body></html>", "is an HTML page, not CSV", "download"),
    "XML": (b'\xef\xbb\xbf<?xml version="1.0"?><Workbook/>', "is XML, not CSV", "CSV UTF-8"),
    "nothing": (b"", "is empty", "write the file again"),
    "blanks": (b"\n \n", "is empty", "write the file again"),
    "UTF-16": (ROWS.decode().encode("utf-16"), "is encoded as UTF-16, not UTF-8", "iconv -f UTF-16 -t UTF-8"),
    "UTF-16 without a mark": (ROWS.decode().encode("utf-16-be"), "is encoded as UTF-16BE, not UTF-8", "iconv -f UTF-16BE"),
    "UTF-32": (ROWS.decode().encode("utf-32"), "is encoded as UTF-32, not UTF-8", "iconv -f UTF-32"),
    "bytes": (bytes(range(256)) * 4, "is binary data, not CSV", "export"),
    "a line for Excel": (b"sep=;\na;b;y\n1;2;0\n", "begins with 'sep=;', a line that only Excel reads", "remove the first line"),
    "a title": (b"Report of 2024\na,b,y\n1,2,0\n", "has one value in its first line and 3 in the next", "remove the lines above"),
    "a title of a sheet": (b"Report of 2024,,\n,,\na,b,y\n1,2,0\n", "has one value in its first line and 3", "remove the lines above"),
    "semicolons": (b"a;b;y\n1;2;0\n", "the columns are separated by semicolons, not by commas", "sep=';'"),
    "tabs": (b"a\tb\ty\n1\t2\t0\n", "the columns are separated by tabs", "sep='\\t'"),
    "bars": (b"a|b|y\n1|2|0\n", "the columns are separated by vertical bars", "sep='|'"),
    "spaces": (b"a b y\n1 2 0\n", "the columns are separated by spaces", "sep=' '"),
    "carets": (b"a^b^y\n1^2^0\n", "the columns are separated by carets", "sep='^'"),
    "colons": (b"a:b:y\n1:2:0\n", "the columns are separated by colons", "sep=':'"),
    "Windows' encoding": ("a,b\u20ac,y\n1,2,0\n".encode("cp1252"), "is not UTF-8", "iconv -f WINDOWS-1252"),
    "ISO's encoding": ("a,b\xe4,y\n1,2,0\n".encode("latin-1"), "is not UTF-8", "iconv -f ISO-8859-1"),
}  # fmt: skip
AS_PARQUET: dict[str, tuple[bytes, str, str]] = {
    "CSV": (ROWS, "is text, not Parquet", "name it *.csv"),
    "gzip": (gzip.compress(PARQUET, mtime=0), "is compressed with gzip, not Parquet", "gunzip -c"),
    "Feather": (stored(feather.write_feather), "is an Arrow file (Feather), not Parquet", "read_feather"),
    "a pointer": (POINTER, "is a Git LFS pointer, not Parquet", "git lfs pull"),
    "JSON": (b'[{"a": 1, "b": 2}]', "is JSON, not Parquet", "read_json"),
    "a part": (PARQUET[:-9], "is cut off", "download it again"),
    "nothing": (b"", "is empty", "write the file again"),
}


def told(door: str, file: Path, content: bytes) -> InvalidInput:
    file.write_bytes(content)
    with pytest.raises(InvalidInput) as refused:
        DOORS[door](file)
    assert file.name in refused.value.message
    return refused.value


@pytest.mark.parametrize("kind", AS_CSV)
@pytest.mark.parametrize("door", DOORS)
def test_everything_that_reads_csv_says_what_another_file_is_and_what_to_do(
    tmp_path: Path, door: str, kind: str
) -> None:
    content, said, hint = AS_CSV[kind]
    error = told(door, tmp_path / "rows.csv", content)
    assert said in error.message
    assert hint in (error.hint or "")


@pytest.mark.parametrize("kind", AS_PARQUET)
@pytest.mark.parametrize("door", [door for door in DOORS if door != "headrace predict -f"])
def test_everything_that_reads_parquet_says_what_another_file_is_and_what_to_do(
    tmp_path: Path, door: str, kind: str
) -> None:
    content, said, hint = AS_PARQUET[kind]
    error = told(door, tmp_path / "rows.parquet", content)
    assert said in error.message
    assert hint in (error.hint or "")


@pytest.mark.parametrize("door", DOORS)
def test_everything_that_reads_csv_reads_a_file_of_the_right_kind(tmp_path: Path, door: str) -> None:
    (tmp_path / "rows.csv").write_bytes(b"\xef\xbb\xbf" + ROWS)
    DOORS[door](tmp_path / "rows.csv")


@pytest.mark.parametrize(
    ("name", "content", "said", "hint"),
    [
        ("rows.parquet", PARQUET, "is Parquet, not JSON", "to_csv"),
        ("rows.xlsx", archive("xl/workbook.xml"), "is an Excel workbook (xlsx), not JSON", "CSV UTF-8"),
    ],
)
def test_rows_that_are_neither_csv_nor_json_are_told_what_they_are(
    tmp_path: Path, name: str, content: bytes, said: str, hint: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput) as refused:
        read_json(tmp_path / name)
    assert said in refused.value.message
    assert hint in (refused.value.hint or "")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("rows.csv.gz", gzip.compress(ROWS, mtime=0), "is compressed with gzip, neither CSV nor Parquet"),
        ("rows.xlsx", archive("xl/workbook.xml"), "is an Excel workbook (xlsx), neither CSV nor Parquet"),
        ("rows.txt", ROWS, "is neither CSV nor Parquet by its name"),
        ("rows.CSV", ROWS, "is neither CSV nor Parquet by its name"),
    ],
)
def test_a_file_of_another_name_is_told_what_it_is(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    for door in ("a submission", "labels", "a file to evaluate on"):
        assert said in told(door, tmp_path / name, content).message


@pytest.mark.parametrize("door", ["training data, samples and reference data", "labels"])
def test_a_column_without_a_name_is_told_by_its_place(tmp_path: Path, door: str) -> None:
    (tmp_path / "rows.csv").write_bytes(b",a,b,y\n0,1,2,0\n")
    with pytest.raises(InvalidInput, match="column 1 of 4 has no name") as refused:
        DOORS[door](tmp_path / "rows.csv")
    assert "index=False" in (refused.value.hint or "")


@pytest.mark.parametrize("door", ["a file to evaluate on", "headrace predict -f", "headrace batch"])
def test_a_column_without_a_name_is_in_nobody_s_way_where_columns_are_taken_by_name(tmp_path: Path, door: str) -> None:
    (tmp_path / "rows.csv").write_bytes(b",a,b,y\n0,1,2,0\n")
    DOORS[door](tmp_path / "rows.csv")


def test_a_column_without_a_name_is_no_element_of_a_vector(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b",a,b\n0,1,2\n")
    vector = {"inputs": [{"name": "v", "datatype": "FP64", "shape": [-1, 3]}]}
    with pytest.raises(InvalidInput, match="column 1 of 3 has no name"):
        list(csv_rows.requests_of(tmp_path / "rows.csv", vector))
    it = version("m", inputs=(number("v", shape=(2,)),), target=("b",))
    with pytest.raises(InvalidInput, match="column 1 of 3 has no name"):
        labelled.read(tmp_path / "rows.csv", it, "b", ObjectStore(str(tmp_path / "store")))


@pytest.mark.parametrize("door", ["training data, samples and reference data", "labels", "a file to evaluate on"])
def test_the_index_of_a_shuffled_frame_is_no_column(tmp_path: Path, door: str) -> None:
    frame = TABLE.append_column("__index_level_0__", pa.array([7, 3]))
    pq.write_table(frame, tmp_path / "rows.parquet")
    found = DOORS[door](tmp_path / "rows.parquet")
    columns = found.rows.column_names if door == "a file to evaluate on" else getattr(found, "columns", found)
    assert {"a", "b"} == {*columns} - {"y"}


@pytest.mark.parametrize(
    "content",
    [
        b"review text\nvery good\nnot so good\n",
        b"comment\nfine\nbad: 5 days late\n",
        b'"a;b;c",y\n1,0\n',
        b"opening:hours\n9:30\n",
        b"total amount\n1 000\n",
        b"y\n1\n",
        b'"sep=;"\nx\n'.replace(b"sep=;", b"separator"),
        b"[a],{b}\n1,2\n",
    ],
)
def test_text_that_only_looks_like_another_kind_is_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rows.csv").write_bytes(content)
    open_training(tmp_path / "rows.csv", tmp_path, field="training-data")


DAMAGED = """
import sys
from pathlib import Path

from headrace_controller.requestlog.exchange_files import PARQUET, read_exchanges
from headrace_controller.training import tables
from headrace_controller.training.data import open_training
from headrace_functions.errors import HeadraceError

file = Path(sys.argv[1])
whole, told = file.read_bytes(), 0
footer = int.from_bytes(whole[-8:-4], "little")
doors = (
    lambda: tables.read(file, field="labels"),
    lambda: open_training(file, file.parent, field="training-data"),
    lambda: read_exchanges(file.read_bytes(), PARQUET),
)
for at in range(len(whole) - 8 - footer, len(whole) - 8):
    file.write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
    for door in doors:
        try:
            door()
        except HeadraceError:
            told += 1
print(told)
"""


def test_a_damaged_parquet_file_is_refused_and_never_ends_the_process(tmp_path: Path) -> None:
    """One bit of each byte of the metadata is wrong in turn; pyarrow aborts where it is asked of metadata that contradict themselves."""
    pq.write_table(pa.table({"a": [1.5, 3], "l": [[1, 2], [3, 4]], "y": ["no", "ja"]}), tmp_path / "rows.parquet")
    done = subprocess.run(
        [sys.executable, "-c", DAMAGED, str(tmp_path / "rows.parquet")], capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr
    assert int(done.stdout) > 0


@pytest.mark.parametrize("door", ["labels", "a file to evaluate on", "headrace batch"])
def test_text_of_a_parquet_file_that_is_not_utf_8_is_refused(tmp_path: Path, door: str) -> None:
    text = pa.array([b"K\xf6ln"]).view(pa.string())
    pq.write_table(pa.table({"a": [1], "b": text, "y": ["no"]}), tmp_path / "rows.parquet")
    with pytest.raises(InvalidInput, match="cannot be read"):
        DOORS[door](tmp_path / "rows.parquet")
