"""Files that ``headrace batch`` refuses before it asks, what it makes of files without rows, and which runs are in the way of others."""

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from headrace_controller.cli import connection
from headrace_controller.cli.entrypoint import front
from headrace_functions.batch import encodings, files, places
from headrace_functions.batch.places import StoredObject
from headrace_functions.batch.requests import Asker
from headrace_functions.batch.running import BatchRun, Totals
from headrace_functions.errors import Conflict, InvalidInput, NotFound
from headrace_functions.storage.objects import ObjectStore

METADATA = {
    "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1]}],
    "outputs": [
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
        {"name": "p", "datatype": "FP64", "shape": [-1, 2]},
    ],
}


class Model:
    """Answers requests of one ``x`` in this process, and counts them; ``refusing`` answers 422 to all, else to "many" alone."""

    def __init__(self, *, refusing: bool = False) -> None:
        self.asked = 0
        self.refusing = refusing

    def __call__(self, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        self.asked += 1
        document = orjson.loads(body[: int(headers["inference-header-content-length"])])
        if self.refusing or "many" in document["inputs"][0].get("data", []):
            return httpx.Response(422, json={"code": "invalid", "detail": "never"})
        (rows,) = document["inputs"][0]["shape"]
        outputs = [
            {"name": "label", "datatype": "BYTES", "shape": [rows], "data": ["yes"] * rows},
            {"name": "p", "datatype": "FP64", "shape": [rows, 2], "data": [0.25, 0.75] * rows},
        ]
        return httpx.Response(200, json={"outputs": outputs}, headers={"x-headrace-version": "m:1"})


def run(model: Model, source: Path, out: Path, name: str = "m") -> Totals:
    asker = Asker(model, METADATA, sleep=lambda _s: None)
    made = BatchRun(asker, name, places.destination(str(out), out), rows=2, parallel=1)
    return made.run(places.inputs(str(source), out))


def written(file: Path, text: str | bytes) -> Path:
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def refused(model: Model, source: Path, out: Path) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        run(model, source, out)
    assert 0 == model.asked, "nothing is asked"
    assert str(source) in caught.value.message, "the file is named"
    return caught.value


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("rows.csv.gz", b"\x1f\x8b\x08\x00", "is compressed with gzip, neither Parquet nor CSV nor JSON lines"),
        ("rows.json", b'[{"x": 1}]', "is JSON, neither Parquet nor CSV nor JSON lines"),
        ("rows.txt", b"x\n1\n", "is neither Parquet nor CSV nor JSON lines by its name"),
        ("rows.xlsx", b"", "is neither Parquet nor CSV nor JSON lines by its name"),
        ("rows.dat", b'{"x": 1}\n{"x": 2}\n', "is neither Parquet nor CSV nor JSON lines by its name"),
    ],
)
def test_a_file_of_another_name_is_told_what_it_is(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    assert said in refused(Model(), written(tmp_path / name, content), tmp_path / "out").message


def test_a_file_that_was_corrected_before_a_part_was_answered_is_read_again(tmp_path: Path) -> None:
    model, out = Model(), tmp_path / "out"
    source = written(tmp_path / "rows.csv", "z\n1\n")
    assert "x" == refused(model, source, out).field
    (out / ".rows.csv.parts").mkdir()
    (out / ".rows.csv.parts" / "run.json").write_text(json.dumps({"model": "another"}))
    written(source, "x\n1\n2\n3\n")
    assert (3, 0) == (run(model, source, out).rows, run(model, source, out).refused)


def test_parts_that_were_answered_are_in_the_way_of_another_run(tmp_path: Path) -> None:
    out = tmp_path / "out"
    source = written(tmp_path / "rows.csv", "x\n1\n2\n3\n")

    class Gone(Model):
        def __call__(self, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
            return super().__call__(body, headers) if not self.asked else httpx.Response(404, json={"detail": "gone"})

    with pytest.raises(InvalidInput, match="gone"):
        run(Gone(), source, out)
    assert [out / ".rows.csv.parts" / "0.arrow"] == list(out.glob("*/*.arrow"))
    with pytest.raises(Conflict, match="contains parts of a different run"):
        run(Model(), source, out, name="other")
    assert 2 == run(Model(), source, out).already


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        ("x,out.label\n1,yes\n", "out.label", "has a column 'out.label', which would"),
        ("x,x\n1,2\n", "x", "has two columns named 'x'"),
        ("x,k,k\n1,2,3\n", "k", "has two columns named 'k'"),
        ("y\n1\n", "x", "has no column 'x'"),
    ],
)
def test_a_header_that_does_not_fit_is_refused_before_anything_is_asked(
    tmp_path: Path, text: str, field: str, said: str
) -> None:
    error = refused(Model(), written(tmp_path / "rows.csv", text), tmp_path / "out")
    assert (field, True) == (error.field, said in error.message)


def test_an_output_that_nobody_announced_is_told_where_a_column_has_its_name(tmp_path: Path) -> None:
    source = written(tmp_path / "rows.csv", "x,out.label\n1,yes\n")
    asker = Asker(Model(), {"inputs": METADATA["inputs"]}, sleep=lambda _s: None)
    made = BatchRun(asker, "m", places.destination(str(tmp_path / "out"), tmp_path), rows=2, parallel=1)
    with pytest.raises(InvalidInput, match=r"has a column 'out\.label', which would"):
        made.run(places.inputs(str(source), tmp_path))


@pytest.mark.parametrize(
    ("name", "data", "where"),
    [
        ("header.csv", "x,größe\n1,2\n".encode("latin-1"), "line 1, byte 5 of the file"),
        ("body.csv", "x,k\n1,a\n2,Köln\n".encode("latin-1"), "line 3, byte 12 of the file"),
        ("cut.csv", b"x,k\n1,a\xc3", "line 2, byte 8 of the file"),
        ("rows.jsonl", '{"x": 1, "k": "Köln"}\n'.encode("latin-1"), "line 1, byte 17 of the file"),
    ],
)
def test_text_that_is_not_utf_8_is_refused_with_its_place(tmp_path: Path, name: str, data: bytes, where: str) -> None:
    error = refused(Model(), written(tmp_path / name, data), tmp_path / "out")
    assert error.message.endswith(f"is not UTF-8: {where}")
    assert "iconv" in (error.hint or "")


def test_the_place_of_what_is_not_utf_8_is_right_far_into_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With characters of two bytes across the chunks in which the file is read."""
    monkeypatch.setattr(encodings, "_CHUNK", 7)
    good = "x,k\n" + "1,ö\n" * 50
    encodings.check_utf8(written(tmp_path / "good.csv", good), "good.csv")
    bad = written(tmp_path / "bad.csv", good.encode() + b"1,\xc3\n")
    with pytest.raises(InvalidInput, match=f"line 52, byte {len(good.encode()) + 3:,} of the file"):
        encodings.check_utf8(bad, "bad.csv")


def test_a_csv_keeps_the_text_of_its_columns_and_inputs_get_what_it_says(tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []

    def answer(body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        document = orjson.loads(body[: int(headers["inference-header-content-length"])])
        asked.append({t["name"]: t.get("data") for t in document["inputs"]})
        outputs = [{"name": "label", "datatype": "BYTES", "shape": [2], "data": ['a "b"', "c, d"]}]
        return httpx.Response(200, json={"outputs": outputs})

    kinds = {"code": "BYTES", "ok": "BOOL", "n": "FP64"}
    metadata = {"inputs": [{"name": n, "datatype": k, "shape": [-1]} for n, k in kinds.items()]}
    lines = ["01067,true,1.50,2026-01-02 00:00:00,12E4", "0x1F,False,NA,,+4"]
    source = written(tmp_path / "rows.csv", "\n".join(["code,ok,n,day,id", *lines, ""]))
    made = BatchRun(Asker(answer, metadata), "m", places.destination(str(tmp_path / "o"), tmp_path), rows=2, parallel=1)
    made.run(places.inputs(str(source), tmp_path))

    assert [{"code": ["01067", "0x1F"], "ok": [True, False], "n": [1.5, None]}] == asked
    found = (tmp_path / "o" / "rows.csv").read_text().splitlines()
    assert [f'{lines[0]},"a ""b"""', f'{lines[1]},"c, d"'] == found[1:]


@pytest.mark.parametrize("text", ["x,k\n", "x,k"])
def test_a_csv_with_a_header_alone_gets_the_header_of_its_answers(tmp_path: Path, text: str) -> None:
    model, out = Model(), tmp_path / "out"
    totals = run(model, written(tmp_path / "rows.csv", text), out)
    assert (1, 0, 0, 0) == (totals.files, totals.rows, totals.refused, model.asked)
    assert "x,k,out.label,out.p\n" == (out / "rows.csv").read_text()
    assert ["rows.csv"] == [p.name for p in out.iterdir()]


def test_parquet_and_lines_of_json_without_rows_get_files_without_rows(tmp_path: Path) -> None:
    out = tmp_path / "out"
    pq.write_table(pa.table({"x": pa.array([], pa.float64())}), tmp_path / "rows.parquet")
    run(Model(), tmp_path / "rows.parquet", out)
    run(Model(), written(tmp_path / "rows.jsonl", ""), out)
    wanted = pa.schema([("x", pa.float64()), ("out.label", pa.string()), ("out.p", pa.list_(pa.float64()))])
    found = pq.read_schema(out / "rows.parquet")
    assert [(f.name, f.type) for f in wanted] == [(f.name, f.type) for f in found]
    assert "" == (out / "rows.jsonl").read_text()


def test_a_file_without_rows_is_one_part_with_its_columns(tmp_path: Path) -> None:
    (part,) = files.parts(written(tmp_path / "rows.csv", "x,k\n"), 10)
    assert (0, ["x", "k"]) == (part.num_rows, part.column_names)


class Platform:
    """What the command needs of a client."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def post_infer(self, _name: str, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        return self.model(body, headers)

    def endpoint_metadata(self, _name: str) -> Mapping[str, Any]:
        return METADATA

    def __enter__(self) -> "Platform":
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("refusing", "text", "code", "said"),
    [
        (False, "x\n1\n2\n", 0, "2 rows answered"),
        (False, "x\n1\nmany\n", 0, "1 rows answered, 1 refused"),
        (True, "x\n1\n2\n", 1, "error: every row was refused"),
        (False, "x\n", 0, "0 rows answered"),
        (False, "y\n1\n", 1, "has no column 'x'"),
    ],
)
def test_the_exit_code_is_0_unless_something_failed_or_every_row_was_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusing: bool, text: str, code: int, said: str
) -> None:
    model = Model(refusing=refusing)
    monkeypatch.setattr(connection, "open_client", lambda *_: Platform(model))
    source = written(tmp_path / "rows.csv", text)
    for more in ([], ["--json"]):
        done = CliRunner().invoke(front, ["batch", "m", "--in", str(source), "--out", str(tmp_path / "out"), *more])
        assert code == done.exit_code, done.output
        assert said in done.output or more
    if refusing:
        assert "x,out.label,out.p\n" == (tmp_path / "out" / "rows.csv").read_text()
        assert 2 == len((tmp_path / "out" / "rows.csv.refused.jsonl").read_text().splitlines())


def test_an_object_that_was_replaced_is_another_file_and_one_that_is_gone_is_named(tmp_path: Path) -> None:
    store = ObjectStore(str(tmp_path / "bucket"))
    store.put("in/a.csv", b"k\n1\n")
    (found,) = store.walk("in/")
    one = StoredObject(store, "bucket", found, tmp_path / "work")
    first = one.fingerprint()
    assert first == one.fingerprint()

    store.put("in/a.csv", b"k\n2\n")
    assert first != one.fingerprint()

    store.delete("in/a.csv")
    with pytest.raises(NotFound, match=r"s3://bucket/in/a\.csv no longer exists"):
        one.fingerprint()


def test_a_run_whose_machine_was_lost_goes_on_from_the_parts_in_the_bucket(tmp_path: Path) -> None:
    """Of a part, what says that it is whole is put last: one without it is asked again."""
    store = ObjectStore(str(tmp_path / "bucket"))
    source = written(tmp_path / "rows.csv", "x\n1\n2\n3\n4\n5\n")

    def on(machine: str, model: Model) -> Totals:
        target = places.Destination(tmp_path / machine, "s3://lake/out", store, "out/", durable=True)
        made = BatchRun(Asker(model, METADATA, sleep=lambda _s: None), "m", target, rows=2, parallel=1)
        return made.run(places.inputs(str(source), tmp_path))

    class Lost(Model):
        def __call__(self, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
            return super().__call__(body, headers) if self.asked < 2 else httpx.Response(404, json={"detail": "lost"})

    with pytest.raises(InvalidInput, match="lost"):
        on("first", Lost())
    assert {"out/.rows.csv.parts/0.arrow", "out/.rows.csv.parts/1.arrow"} <= {o.key for o in store.walk("out/")}
    store.delete("out/.rows.csv.parts/1.arrow")
    model = Model()
    totals = on("second", model)

    assert (5, 2, 2) == (totals.rows, totals.already, model.asked)
    assert ["out/rows.csv"] == [o.key for o in store.walk("out/")]
    assert ["1", "2", "3", "4", "5"] == [
        line.split(",")[0] for line in store.get("out/rows.csv").decode().splitlines()[1:]
    ]


def test_parts_of_other_types_are_written_when_all_are_there(tmp_path: Path) -> None:
    """The first part is of one version, with which writing began; a later one is of another, whose labels are numbers."""

    class Worded(Model):
        def __call__(self, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
            reply = super().__call__(body, headers)
            if self.asked < 2:
                return reply
            label, p = reply.json()["outputs"]
            outputs = [{**label, "datatype": "INT64", "data": [7] * len(label["data"])}, p]
            return httpx.Response(200, json={"outputs": outputs}, headers={"x-headrace-version": "m:2"})

    source = written(tmp_path / "rows.csv", "x\n1\n2\n3\n")
    totals = run(Worded(), source, tmp_path / "out")
    lines = (tmp_path / "out" / "rows.csv").read_text().splitlines()

    assert (3, {"m:1", "m:2"}) == (totals.rows, totals.versions)
    assert ["1,yes", "2,yes", "3,7"] == [line.rsplit(',"[', 1)[0] for line in lines[1:]]


class Typed:
    """Takes requests of one input ``v`` and remembers the values as JSON has them."""

    def __init__(self, datatype: str, shape: list[int]) -> None:
        self.metadata = {"inputs": [{"name": "v", "datatype": datatype, "shape": [-1, *shape]}], "outputs": []}
        self.got: list[Any] = []

    def __call__(self, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        length = int(headers["inference-header-content-length"])
        (tensor,) = orjson.loads(body[:length])["inputs"]
        kind = {"FP64": "<f8", "INT64": "<i8"}.get(tensor["datatype"], "")
        self.got += tensor["data"] if "data" in tensor else np.frombuffer(body[length:], kind).tolist()
        output = {"name": "p", "datatype": "FP64", "shape": tensor["shape"][:1], "data": [0.5] * tensor["shape"][0]}
        return httpx.Response(200, json={"outputs": [output]})

    def run(self, source: Path, out: Path) -> str:
        asker = Asker(self, self.metadata, sleep=lambda _s: None)
        BatchRun(asker, "m", places.destination(str(out), out), rows=100, parallel=1).run(
            places.inputs(str(source), out)
        )
        return (out / source.name).read_text()


CSV_ROWS = (
    "v,zip,long,flag,at,none,plain,quoted\n"
    '1,01067,12345678901234567890,True,2026-01-02T03:04:05Z,NA,1.50,"a, ""b"""\n'
    "2,00042,+5,false,2026-01-02,, 7,1e5\n"
)


def test_what_a_csv_file_has_besides_the_inputs_is_copied_as_it_is(tmp_path: Path) -> None:
    text = Typed("FP64", []).run(written(tmp_path / "rows.csv", CSV_ROWS), tmp_path / "out")
    assert [f"{line},0.5" for line in CSV_ROWS.splitlines()[1:]] == text.splitlines()[1:]


def test_what_lines_of_json_have_besides_the_inputs_is_copied_as_it_is(tmp_path: Path) -> None:
    rows = [
        {"v": 1.5, "at": "2026-01-02T03:04:05Z", "day": "2026-01-02", "in": {"at": ["2026-01-02 03:04:05"]}},
        {"v": 2.5, "at": "2026-01-02 03:04:05", "day": "2026-01-03", "in": {"at": []}},
    ]
    source = written(tmp_path / "rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    text = Typed("FP64", []).run(source, tmp_path / "out")
    assert [{**row, "out.p": 0.5} for row in rows] == [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(
    ("datatype", "shape", "cells", "values"),
    [
        ("BYTES", [], ["01067", "1e5", "True", "2026-01-02", "NA"], ["01067", "1e5", "True", "2026-01-02", "NA"]),
        ("FP64", [], ["1", "2.5", "1e5", " 3"], [1.0, 2.5, 1e5, 3.0]),
        ("FP64", [], ["1", "NA", "", "+2", "many", "1_0"], [1, None, None, 2, "many", "1_0"]),
        ("FP64", [], ["1", "None", "<NA>", "n/a"], [1, None, None, None]),
        ("FP64", [], ["inf", "x", "1" * 30], ["inf", "x", float("1" * 30)]),
        ("INT64", [], ["007", "9007199254740993"], [7, 9007199254740993]),
        ("INT64", [], ["3.0", "1.5"], [3.0, 1.5]),
        ("BOOL", [], ["True", "false", "1", "0"], [True, False, True, False]),
        ("BOOL", [], ["True", "NA", "<NA>", "maybe"], [True, None, None, "maybe"]),
        ("FP64", [2], ["[1.0, 2.0]", "[3, 4]"], [[1.0, 2.0], [3, 4]]),
        ("FP64", [2], ["[1.0, 2.0", ""], ["[1.0, 2.0", None]),
    ],
)
def test_the_type_of_an_input_decides_what_the_text_of_a_csv_file_is(
    tmp_path: Path, datatype: str, shape: list[int], cells: list[str], values: list[Any]
) -> None:
    text = "v,k\n" + "".join('"' + cell + '",k\n' for cell in cells)
    model = Typed(datatype, shape)
    model.run(written(tmp_path / "rows.csv", text), tmp_path / "out")
    assert values == model.got


def test_text_of_lines_of_json_that_looks_like_a_time_is_sent_as_it_is(tmp_path: Path) -> None:
    model = Typed("BYTES", [])
    model.run(
        written(tmp_path / "rows.jsonl", '{"v": "2026-01-02T03:04:05Z"}\n{"v": "2026-01-02"}\n'), tmp_path / "out"
    )
    assert ["2026-01-02T03:04:05Z", "2026-01-02"] == model.got


@pytest.mark.parametrize("later", ["4", '"u"'], ids=["of one type", "of several types"])
def test_a_member_that_a_line_does_not_have_is_null(tmp_path: Path, later: str) -> None:
    model, source = Typed("FP64", []), tmp_path / "rows.jsonl"
    lines = ['{"v": 1.5, "z": 1}', '{"z": 2}', '{"z": 3}', f'{{"z": {later}}}']
    written(source, "\n".join(lines) + "\n")
    parts = list(files.parts(source, 2))
    assert [1.5, None, None, None] == [value for part in parts for value in part["v"].to_pylist()]
    model.run(source, tmp_path / "out")
    assert [1.5, None, None, None] == model.got


def test_an_input_that_none_of_the_first_lines_has_is_missing_in_the_file(tmp_path: Path) -> None:
    lines = '{"z": 1}\n{"z": 2}\n{"x": 1, "z": 3}\n'
    error = refused(Model(), written(tmp_path / "rows.jsonl", lines), tmp_path / "out")
    assert ("x", "write it as null in the first lines, if it is missing there") == (error.field, error.hint)


def test_decimals_of_a_parquet_file_are_numbers(tmp_path: Path) -> None:
    table = pa.table({"v": pa.array([Decimal("1.50"), None], pa.decimal128(9, 2))})
    pq.write_table(table, tmp_path / "rows.parquet")
    model, out = Typed("FP64", []), tmp_path / "out"
    BatchRun(
        Asker(model, model.metadata, sleep=lambda _s: None), "m", places.destination(str(out), out), rows=9, parallel=1
    ).run(places.inputs(str(tmp_path / "rows.parquet"), out))
    assert [1.5, None] == model.got
    assert table == pq.read_table(out / "rows.parquet").drop_columns(["out.p"])


def test_a_column_whose_numbers_become_text_far_into_a_file_is_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_BLOCK", 1000)
    monkeypatch.setattr(files, "_SHORT", 10)
    text = "x,k\n" + "1,2\n" * 1000 + "1.5,n/a\n"
    assert 1001 == run(Model(), written(tmp_path / "rows.csv", text), tmp_path / "out").rows


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("null\n", "line 1 is no JSON object"),
        ('{"x": 1}\n\n[1, 2]\n', "line 3 is no JSON object"),
        ("5\n", "line 1 is no JSON object"),
        ('{"x": 1} null\n', "line 1 is no JSON object"),
        ('{"x": 1, "d": ' + "[" * 60 + "]" * 60 + "}\n", "line 1 is nested more than 50 levels deep"),
        ('{"x": 1, "d": ' + "[" * 100_000 + "]" * 100_000 + "}\n", "line 1 is nested more than 50"),
    ],
)
def test_lines_that_are_no_rows_are_refused_with_their_place(tmp_path: Path, text: str, said: str) -> None:
    assert said in refused(Model(), written(tmp_path / "rows.jsonl", text), tmp_path / "out").message


def test_numbers_that_json_does_not_have_are_written_as_null(tmp_path: Path) -> None:
    source = written(tmp_path / "rows.jsonl", '{"v": 1.0, "k": [NaN, 1.0], "s": "NaN"}\n')
    text = Typed("FP64", []).run(source, tmp_path / "out")
    assert {"v": 1.0, "k": [None, 1.0], "s": "NaN", "out.p": 0.5} == orjson.loads(text)


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").symlink_to(tmp_path / "gone.csv")
    assert "No such file" in refused(Model(), tmp_path / "rows.csv", tmp_path / "out").message
