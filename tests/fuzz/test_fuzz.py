"""Whatever bytes come, whoever reads them raises one of the documented errors or understands them; nothing else, and nothing hangs.

A few inputs of each reader always; ``make fuzz`` tries ``HEADRACE_FUZZ_EXAMPLES`` in all, shared by the readers.
"""

import contextlib
import io
import os
import random
import struct
import tarfile
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace_controller import archive
from headrace_controller.definitions import read_text
from headrace_controller.definitions.fields import parse_duration
from headrace_controller.definitions.reading import check_document
from headrace_controller.service.schedules import Schedule
from headrace_controller.training import tables
from headrace_controller.training.csvfile import CsvFile
from headrace_functions import log_conditions, record
from headrace_functions.access.roles import RoleOn
from headrace_functions.batch import files as batch_files
from headrace_functions.errors import HeadraceError
from headrace_functions.names import Reference, VersionId
from headrace_functions.protocol.codec import decode_request, decode_response
from headrace_functions.record import Record, RecordHeader, Unreadable, encode
from headrace_functions.signature import Field, Signature, dtype
from headrace_functions.sources import Source
from headrace_jobs.window import Window

ASKED = int(os.environ.get("HEADRACE_FUZZ_EXAMPLES") or 0)
FEW = 60
"""Inputs of each reader that Hypothesis makes."""
SLOW = 2.0
"""Seconds that one input may take at most."""
TYPES = ("float64", "int64", "uint8", "bool", "string", "float32")
SIGNATURE = Signature(
    (*(Field(f"f{n}", dtype(kind)) for n, kind in enumerate(TYPES)), Field("image", dtype("float32"), (2, -1))),
    (Field("y", dtype("float64")), Field("word", dtype("string"))),
)


# Inputs: what is valid with a few changes, what is nearly JSON, and any bytes


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """One of the valid inputs with up to eight changes: bytes replaced, inserted, repeated, cut."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 8))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.sampled_from("rrridc")):
            case "r" if data:
                data[at] = draw(st.integers(0, 255))
            case "i":
                data[at:at] = draw(st.sampled_from(_PIECES))
            case "d":
                data[at:at] = data[at : at + draw(st.integers(1, 64))]
            case "c":
                del data[at : at + draw(st.integers(1, 64))]
    return bytes(data)


_PIECES = [
    b"\x00", b"\xff\xfe", b"null", b"NaN", b"-1", b"1e999", b"99999999999999999999", b'"', b"{", b"[[[[", b"]", b"\\ud800", b",",
    b"\r\n", b"---\n", b"&a *a", b"!!python/object", b"\xf0\x9f\x92\xa9", b"'", b"--", b"/*", b"../", b"=",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(
        ["inputs", "outputs", "name", "shape", "datatype", "data", "parameters", "binary_data_size", "instances", "predictions", "f0", "f4", "image", "y"]
    ) | st.text(max_size=4), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


def as_json(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        return repr(value).encode("utf-8", "surrogatepass")


def request() -> dict[str, Any]:
    data = {"float64": [1.5], "int64": [3], "uint8": [7], "bool": [True], "string": ["word"], "float32": [0.5]}
    inputs = [
        {"name": f"f{n}", "shape": [1], "datatype": dtype(kind).wire, "data": data[kind]}
        for n, kind in enumerate(TYPES)
    ]
    return {"inputs": [*inputs, {"name": "image", "shape": [1, 2, 3], "datatype": "FP32", "data": list(range(6))}]}


def binary() -> tuple[bytes, int]:
    """A request with a binary tensor behind its JSON, and the length of the JSON."""
    document = request()
    document["inputs"][0] = {
        "name": "f0", "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": 8},
    }  # fmt: skip
    document["inputs"][4] = {
        "name": "f4", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 8},
    }  # fmt: skip
    head = orjson.dumps(document)
    return head + struct.pack("<d", 2.5) + struct.pack("<I", 4) + b"word", len(head)


_ROW = {"f0": 1.0, "f1": 2, "f2": 3, "f3": True, "f4": "word", "f5": 0.5, "image": [[1, 2], [3, 4]]}
_JSON_LENGTH = binary()[1]
_BINARY = b"binary_data_size"
BODIES = [
    orjson.dumps(request()),
    orjson.dumps({"instances": [_ROW]}),
    orjson.dumps({"inputs": {n: [v] for n, v in _ROW.items()}}),
]
ANSWERS = [
    orjson.dumps({"outputs": [{"name": "y", "shape": [1], "datatype": "FP64", "data": [1.0]}, {"name": "word", "shape": [1], "datatype": "BYTES", "data": ["a"]}]}),
    orjson.dumps({"predictions": [{"y": 1.0, "word": "a"}]}),
]  # fmt: skip
DEFINITIONS = [
    b"kind: Model\nname: churn\nframework: python\npayload: [function.py]\ncontract:\n  inputs: {x: {type: double, range: [0, 1]}}\n  outputs: {y: {type: double}}\nscaling: {idle-timeout: 60s}\n",
    b"kind: Sequence\nname: offers\npipeline:\n  - [{model: churn:1, weight: 80}, {model: churn:2, weight: 20}]\ntimeout: 2s\n",
    b"kind: Grant\nname: growth\nsubjects: [group:growth]\nrole: analyst\nnames: ['churn-*']\n",
]
SEGMENT = b"".join(
    encode(Record(RecordHeader(f"r{n}", "churn", 1, 10**18, 1.0, "ok", 200), BODIES[0][:40], ANSWERS[0][:20]))
    for n in range(3)
)
CSVS = [
    b"a,b,c\n1,2.5,word\n3,4.5,\"two, words\"\n", b"a;b\n1,5;x\n", b"\xef\xbb\xbfa,b\r\n1,2\r\n", b"a\n\n\n1\n",
]  # fmt: skip
LINES = [
    b'{"a": 1, "b": "x", "c": {"d": [1, 2.5]}}\n{"a": null, "b": "2026-01-31", "c": {"d": []}}\n',
    b'{"a": 1}\n\n{"a": "one"}\n{"b": true}\n', b'{"x": [[1, 2], [3]]}\n{"x": []}',
]  # fmt: skip


def parquets() -> list[bytes]:
    """Small files: numbers, text, gaps and lists, in one group of rows and in several, compressed and not."""
    table = pa.table({"a": [1, 2, None], "b": ["x", "", None], "c": [[1.0, 2.0], [], [0.5]], "d": [True, None, False]})
    written = []
    for options in ({"compression": "none"}, {"row_group_size": 1}, {"use_dictionary": False, "version": "1.0"}):
        sink = io.BytesIO()
        pq.write_table(table, sink, **options)
        written.append(sink.getvalue())
    return written


PARQUETS = parquets()
CONDITIONS = [
    b"latency_ms > 20 AND in.age < 30",
    b"outcome = 'ok' OR NOT (in.age IS NULL)",
    b"in.region IN ('north', 'south')",
]
WORDS = [
    b"churn:3",
    b"churn@prod",
    b"*/5 0-23 1,15 * 1-5",
    b"0 * * * *",
    b"24h",
    b"90d",
    b"caller:churn-*",
    b"topic/0/5-7,9",
    b"7rows",
]


def packed() -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("function.py", "data/table.json", "../outside", "/etc/passwd"):
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "../../x"
        tar.addfile(link)
    return sink.getvalue()


# Readers


def protocol(data: bytes, folder: Path) -> None:
    chosen = zlib.crc32(data)  # another way for another input, and the same again for the same
    length = (None, None, len(data) // 2)[chosen % 3] if _BINARY not in data else _JSON_LENGTH
    version: Any = "v1" if data[:13] in (b'{"instances":', b'{"inputs":{"f') else "v2"
    decode_request(data, "application/json", length, SIGNATURE, protocol=version, batch=chosen % 5 > 0)


def answers(data: bytes, folder: Path) -> None:
    version: Any = "v1" if data.startswith(b'{"pred') else "v2"
    decode_response(
        data, len(data) // 2 if zlib.crc32(data) % 5 == 0 else None, SIGNATURE, protocol=version, batch=True
    )


def definitions(data: bytes, folder: Path) -> None:
    read_text(data.decode("utf-8", "replace"))


def records(data: bytes, folder: Path) -> None:
    """Reading never raises, loses no byte of what it cannot understand, and what it read is written the same."""
    found = list(record.read(data))
    assert all(isinstance(f, Record | Unreadable) for f in found)
    for one in found:
        if isinstance(one, Record):
            assert [one] == list(record.read(encode(one)))


def csv(data: bytes, folder: Path) -> None:
    file = folder / "rows.csv"
    file.write_bytes(data)
    rows = CsvFile(file, "file", {})
    for table in rows.tables(rows.types()):
        assert table.num_rows >= 0


def parquet(data: bytes, folder: Path) -> None:
    file = folder / "rows.parquet"
    file.write_bytes(data)
    assert all(len(column) for column in tables.read(file, field="file").values())


def json_lines(data: bytes, folder: Path) -> None:
    """As ``headrace batch`` reads them."""
    file = folder / "rows.jsonl"
    file.write_bytes(data)
    for part in batch_files.parts(file, 2):
        assert part.num_rows <= 2


def archives(data: bytes, folder: Path) -> None:
    """Nothing is ever written outside of the folder that is unpacked to."""
    file, target = folder / "payload.tar.zst", folder / "unpacked" / str(time.monotonic_ns())
    file.write_bytes(zstandard.compress(data) if len(data) % 2 else data)
    try:
        archive.unpack(file, target)
    finally:
        assert not (folder / "outside").exists()
        assert not (folder / "unpacked" / "outside").exists()


def words(data: bytes, folder: Path) -> None:
    text = data.decode("utf-8", "replace")
    readers: list[Callable[[str], object]] = [
        Reference.parse, VersionId.parse, parse_duration, Source.parse, Window.parse,
        lambda t: RoleOn.parse(t, field="roles"), lambda t: log_conditions.boolean_expression(t, ["latency_ms", "in.age"]),
    ]  # fmt: skip
    for read in readers:
        try:
            read(text)
        except HeadraceError:
            continue


def cron(data: bytes, folder: Path) -> None:
    text = data.decode("utf-8", "replace")
    schedule = Schedule.from_document(
        {"name": "s", "kind": "drift", "model": "churn:1", "cron": text, "window": "1h", "engine": "native", "missed": "skip", "arguments": {}}
    )  # fmt: skip
    now = datetime(2026, 11, 27, tzinfo=UTC)
    schedule.next_tick(now)
    schedule.ticks(datetime(2026, 11, 1, tzinfo=UTC), now, 5)


ANY = st.binary(max_size=200)
CRONS = [b"*/5 0-23 1,15 * 1-5", b"0 * * * *", b"@daily", b"0 0 31 2 *", b"*/7 */3 * jan-mar sun#2"]
READERS: dict[str, tuple[Callable[[bytes, Path], None], st.SearchStrategy[bytes], list[bytes]]] = {
    "requests": (protocol, mutated([*BODIES, binary()[0]]) | JSON.map(as_json) | ANY, [*BODIES, binary()[0]]),
    "answers": (answers, mutated(ANSWERS) | JSON.map(as_json) | ANY, ANSWERS),
    "definitions": (definitions, mutated(DEFINITIONS) | JSON.map(as_json) | ANY, DEFINITIONS),
    "records": (records, mutated([SEGMENT]) | ANY, [SEGMENT]),
    "csv": (csv, mutated(CSVS) | ANY, CSVS),
    "parquet": (parquet, mutated(PARQUETS) | ANY, PARQUETS),
    "json-lines": (json_lines, mutated(LINES) | JSON.map(as_json) | ANY, LINES),
    "archives": (archives, mutated([packed(), packed()[:1536]]) | ANY, [packed(), packed()[:1536]]),
    "words": (words, mutated([*CONDITIONS, *WORDS]) | ANY, [*CONDITIONS, *WORDS]),
    "cron": (cron, mutated(CRONS) | ANY, CRONS),
}
SHARES = {
    "requests": 6, "answers": 3, "definitions": 1, "records": 5, "csv": 1, "parquet": 1, "json-lines": 1, "archives": 1, "words": 4,
    "cron": 2,
}  # fmt: skip
"""Of all inputs; those that read files or YAML are slower."""


ANYTHING: list[Any] = [
    None, True, -1, 2**70, 0.5, float("nan"), "", "x", "\x00", "é" * 5000, [], [[]], [None], ["x", "x"], {}, {"": {}}, {"x": [1]}, {1: 2},
]  # fmt: skip


def with_anything(document: Any) -> list[Any]:
    """A document once for each of its places and each of ``ANYTHING``, which is in that place, beside it or left out."""
    found = list(ANYTHING)
    if isinstance(document, dict):
        for key, value in document.items():
            rest = {k: v for k, v in document.items() if k != key}
            found += [rest, *({**rest, key: one} for one in with_anything(value))]
        found += [{**document, "unknown": one} for one in ANYTHING[:3]]
    if isinstance(document, list):
        for place, value in enumerate(document):
            found += [[*document[:place], one, *document[place + 1 :]] for one in with_anything(value)]
    return found


@pytest.mark.parametrize("definition", DEFINITIONS, ids=["model", "sequence", "grant"])
def test_every_place_of_a_definition_may_hold_anything(definition: bytes) -> None:
    tried = with_anything(yaml.safe_load(definition))
    assert len(tried) > 100
    for document in tried:
        with contextlib.suppress(HeadraceError):
            check_document(document)


@pytest.mark.parametrize("name", READERS)
def test_nothing_but_documented_errors_comes_of_any_input(name: str, tmp_path: Path) -> None:
    """A few inputs of each reader, by Hypothesis, which makes the one that fails small."""
    read, inputs, _ = READERS[name]

    @settings(max_examples=FEW, deadline=None, suppress_health_check=list(HealthCheck))
    @given(inputs)
    def tried(data: bytes) -> None:
        with contextlib.suppress(HeadraceError):
            read(data, tmp_path)

    tried()


@pytest.mark.timeout(0)
@pytest.mark.skipif(ASKED == 0, reason="make fuzz runs it")
@pytest.mark.parametrize("name", READERS)
def test_nothing_but_documented_errors_comes_of_a_great_many(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hypothesis makes a hundred inputs a second, so these are changed by chance alone, from a seed that is said."""
    read, _, seeds = READERS[name]
    seed = int(os.environ.get("HEADRACE_FUZZ_SEED") or time.time_ns())
    count = max(1, ASKED * SHARES[name] // sum(SHARES.values()))
    chance, longest, refused, spent = random.Random(seed), 0.0, 0, 0.0
    for number in range(count):
        data = changed(chance, seeds)
        began = time.thread_time()  # of this thread alone: other work on the machine is not its fault
        try:
            read(data, tmp_path)
        except HeadraceError:
            refused += 1
        except BaseException as error:
            raise AssertionError(
                f"{name}, seed {seed}, input {number}: {data!r}: {type(error).__name__}: {error}"
            ) from error
        took = time.thread_time() - began
        spent, longest = spent + took, max(longest, took)
        assert took < SLOW, f"{name}, seed {seed}, input {number}: {took:.1f} s for {data!r}"
    with capsys.disabled():
        print(
            f"\n{name}: {count:,} inputs, {refused:,} refused, seed {seed}, "
            f"{count / spent:,.0f}/s, the slowest took {longest * 1000:.0f} ms"
        )


def changed(chance: random.Random, seeds: list[bytes]) -> bytes:
    """One of the valid inputs with up to eight changes, two of them joined, or any bytes."""
    if chance.random() < 0.05:
        return chance.randbytes(chance.randrange(200))
    data = bytearray(chance.choice(seeds))
    if chance.random() < 0.1:
        other = chance.choice(seeds)
        data[chance.randrange(len(data)) :] = other[chance.randrange(len(other)) :]
    for _ in range(chance.randrange(9)):
        at, how = chance.randrange(len(data) + 1), chance.random()
        if how < 0.5:
            data[at : at + 1] = bytes([chance.randrange(256)])
        elif how < 0.75:
            data[at:at] = chance.choice(_PIECES)
        elif how < 0.85:
            data[at:at] = data[at : at + chance.randrange(1, 64)]
        elif how < 0.95:
            del data[at : at + chance.randrange(1, 64)]
        else:  # something of another place in place of this
            start = chance.randrange(len(data) + 1)
            data[at : at + 8] = data[start : start + 8]
    return bytes(data)
