"""Training data in batches: whatever the blocks, it is what it would be if all of it were read at once, in memory that does not grow."""

import re
import shutil
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from headrace_controller.training import csvfile, data, inference, source, summary, tables
from headrace_controller.training.csvfile import CsvFile
from headrace_controller.training.data import TrainingData, open_training
from headrace_controller.training.source import open_source
from headrace_controller.training.summary import Summary
from headrace_functions.errors import InvalidInput, StorageFailed, TooLarge
from headrace_functions.profile import Profile, spread_rows
from headrace_functions.signature import Field, dtype

CELLS = [
    "",
    "1",
    "0",
    "-7",
    "2.5",
    "1e3",
    "nan",
    "NULL",
    "true",
    "False",
    "2026-01-02",
    "12:30:00",
    "2026-01-02 03:04:05",
]
CELLS += [
    "2026-01-02T03:04:05.25",
    "2026-01-02 03:04:05Z",
    "word",
    '"a, b"',
    '"two\nlines"',
    '"say ""x"""',
    '5" pipe',
    "0x1F",
]
DATED = re.compile(r"\d\d(\d\d-|:)")
COLUMN = st.lists(st.sampled_from(CELLS), min_size=1, max_size=3).flatmap(st.sampled_from)
SHARED = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=40
)


def opened(file: Path) -> TrainingData:
    return open_training(file, file.parent, field="training-data")


@contextmanager
def blocks_of(size: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csvfile, "BLOCK", size)
        yield


def cells(kinds: list[str]) -> st.SearchStrategy[list[list[str]]]:
    return st.lists(st.tuples(st.sampled_from(kinds), st.sampled_from(kinds)).map(list), min_size=1, max_size=12)


@given(st.sets(st.sampled_from(CELLS), min_size=1, max_size=4).map(sorted).flatmap(cells), st.integers(1, 80))
@example([["1", "0"], ["2", "true"]], 4)
@example([["1", "0"], ["0x1F", "1"], ["2.5", "2026-01-02"]], 5)
@SHARED
def test_a_csv_in_blocks_has_the_types_and_values_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], size: int
) -> None:
    assume(not {'5" pipe', '"two\nlines"'} <= {cell for row in rows for cell in row})  # csvfile says why
    file = tmp_path_factory.mktemp("c") / "d.csv"
    file.write_text("a,b\n" + "".join(f"{a},{b}\n" for a, b in rows))
    looks = re.compile(csvfile.LOOKS_LIKE_TEXT)
    texts = {
        name
        for at, name in enumerate("ab")
        if any(looks.search(row[at]) for row in rows) or any(DATED.match(row[at]) for row in rows)
    }
    options = pa.csv.ConvertOptions(strings_can_be_null=True, column_types=dict.fromkeys(texts, pa.string()))
    lines = pa.csv.ParseOptions(newlines_in_values=True)
    whole = pa.csv.read_csv(file, parse_options=lines, convert_options=options)
    mixed = [
        n
        for at, n in enumerate("ab")
        if whole.schema.field(n).type == pa.bool_() and {"0", "1"} & {r[at] for r in rows}
    ]
    options.column_types = dict.fromkeys([*texts, *mixed], pa.string())
    whole = pa.csv.read_csv(file, parse_options=lines, convert_options=options)

    with blocks_of(size):
        csv = CsvFile(file, "training-data")
        types = csv.types()
        found = pa.concat_tables(csv.tables(types)) if whole.num_rows else whole

    assert types == dict(zip(whole.column_names, whole.schema.types, strict=True))
    assert found.to_pylist() == whole.to_pylist() or "nan" in str(rows)
    assert str(found.to_pylist()) == str(whole.to_pylist())


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("size", [3, 7, 1000])
def test_line_ends_of_any_kind_blank_lines_and_a_byte_order_mark_are_read(tmp_path: Path, end: str, size: int) -> None:
    file = tmp_path / "d.csv"
    file.write_bytes(("\ufeff" + end.join(["a,b", "1,x", "", "2,y", "3,z"])).encode())
    with blocks_of(size):
        csv = CsvFile(file, "training-data")
        found = pa.concat_tables(csv.tables(csv.types())).to_pydict()
    assert found == {"a": [1, 2, 3], "b": ["x", "y", "z"]}


def test_a_row_that_does_not_fit_is_named_by_its_number(tmp_path: Path) -> None:
    file = tmp_path / "d.csv"
    file.write_text("a,b\n" + "1,2\n" * 500 + "3\n" + "1,2\n" * 500)
    with blocks_of(100), pytest.raises(InvalidInput, match="row 501: Expected 2 columns, got 1"):
        opened(file)


def test_a_quote_within_a_value_hides_no_line_end_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csvfile, "MAX_QUOTED", 300)
    file = tmp_path / "d.csv"
    file.write_text('a,b\n1,5" pipe\n' + "2,x\n" * 400)
    with blocks_of(100):
        parts = list(CsvFile(file, "training-data").tables({}))
    assert sum(t.num_rows for t in parts) == 401
    assert max(t.num_rows for t in parts) < 100
    assert parts[0]["b"][0].as_py() == '5" pipe'


def test_a_quote_that_is_never_closed_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csvfile, "MAX_LINE", 1000)
    file = tmp_path / "d.csv"
    file.write_text("a,b\n1," + "x" * 5000)
    with blocks_of(100), pytest.raises(TooLarge, match="a line of more than 1000 bytes"):
        opened(file)


def test_dates_and_times_of_a_csv_are_the_text_that_they_were(tmp_path: Path) -> None:
    rows = ["2026-01-02,12:30:00,2026-01-02 03:04:05", "2026-01-03,12:30:01,2026-01-02 03:04:06"]
    (tmp_path / "d.csv").write_text("day,hour,moment\n" + "\n".join(rows) + "\n")
    found = opened(tmp_path / "d.csv").sample
    assert [",".join(row) for row in zip(*found.values(), strict=True)] == rows


NUMBERS = st.lists(st.floats(allow_nan=True), min_size=1, max_size=30).map(lambda v: np.array(v, np.float64))
INTEGERS = st.lists(st.integers(-5, 5), min_size=1, max_size=30).map(lambda v: np.array(v, np.int64))
WORDS = st.lists(st.none() | st.text("abc", max_size=3), min_size=1, max_size=30)


@given(st.one_of(NUMBERS, INTEGERS, WORDS.map(lambda v: np.array([*v, None], object)[:-1])), st.data())
@SHARED
def test_summaries_of_parts_merge_to_that_of_the_whole(column: np.ndarray, drawn: st.DataObject) -> None:
    place = drawn.draw(st.integers(0, len(column)))
    parts = [column[:place], column[place:]]

    found = Summary.of(parts[0]).merge(Summary.of(parts[1]))

    whole = Summary.of(column)
    assert (found.rows, found.dtype, found.shape, found.gaps) == (whole.rows, whole.dtype, whole.shape, whole.gaps)
    assert (found.low, found.high, found.distinct) == (whole.low, whole.high, whole.distinct)
    assert found.listed == whole.listed
    np.testing.assert_array_equal(np.concatenate([found.whole(p) for p in parts]), whole.whole(column))


def test_different_texts_are_counted_beyond_those_that_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "EXACT", 500)
    words = np.array([f"w{i:05}" for i in range(4000)], object)
    few = Summary.of(words[:300]).merge(Summary.of(words[200:450]))
    many = few.merge(Summary.of(words))
    assert few.distinct == 450
    assert many.distinct == pytest.approx(4000, rel=0.07)
    assert (few.listed, many.listed) == ([], [])
    assert many.words is not None
    assert many.words.smallest == tuple(words[:1000])


def same(found: np.ndarray, expected: np.ndarray) -> bool:
    """Equal in type and values; rows may be arrays of different lengths."""
    plain = [[v.tolist() if isinstance(v, np.ndarray) else v for v in a.tolist()] for a in (found, expected)]
    return found.dtype == expected.dtype and str(plain[0]) == str(plain[1])


def rows_of(count: int, seed: int = 0) -> pa.Table:
    random = np.random.default_rng(seed)
    age = random.integers(18, 90, count)
    sizes = random.integers(1, 4, count)
    return pa.table(
        {
            "id": np.arange(count),
            "age": pa.array(age, pa.int64(), mask=np.arange(count) == count - 1),
            "ok": pa.array(age > 40, mask=np.arange(count) == count - 1),
            "plan": pa.array(np.array(["free", "plus", None], object)[random.integers(0, 3, count)]),
            "rate": random.normal(size=count),
            "pair": pa.array(list(random.normal(size=(count, 2)))),
            "free": pa.array([list(range(n)) for n in sizes]),
            "label": random.integers(0, 2, count),
        }
    )


@pytest.mark.parametrize("batch", [1, 7, 64, 10_000])
def test_what_a_build_keeps_is_the_same_for_any_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    table = rows_of(150)
    pq.write_table(table, tmp_path / "d.parquet", row_group_size=40)
    columns = tables.to_columns(table, "training-data")
    monkeypatch.setattr(source, "BATCH", batch)
    monkeypatch.setattr(source, "GROUP_BYTES", 5000)

    found = opened(tmp_path / "d.parquet")
    fields = inference.infer_fields(found.columns, ["label"])
    kept = found.keep(fields, ["label"], tmp_path / "kept.parquet", "m:1", limit=20)

    assert fields == inference.infer_fields({n: Summary.of(c) for n, c in columns.items()}, ["label"])
    typed = {f.name: inference.as_declared(f, columns[f.name]) for f in fields}
    written = tables.read_parquet((tmp_path / "kept.parquet").read_bytes())
    for name, column in {**typed, "label": columns["label"]}.items():
        assert same(written[name], column), name
    assert kept.profile.to_document() == Profile.of_columns(typed, fields).to_document()
    for places, rows in ((spread_rows(150, 100), found.typed_sample(fields)), (spread_rows(150, 20), kept.rows)):
        for name, column in typed.items():
            assert same(rows[name], column[places]), name


def test_a_value_that_the_contract_does_not_allow_is_named_by_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "BATCH", 100)
    (tmp_path / "d.csv").write_text("age\n" + "1\n" * 730 + "2.5\n" + "1\n" * 200)
    with pytest.raises(InvalidInput) as caught:
        opened(tmp_path / "d.csv").keep([Field("age", dtype("int64"))], [], tmp_path / "kept.parquet", "m:1")
    assert (caught.value.field, caught.value.got) == ("age", "2.5 in row 731")


def test_long_rows_are_read_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that grow later in the file are too, by their own size."""
    monkeypatch.setattr(source, "BATCH_BYTES", 20_000)
    notes = ["x" * 10] * 300 + ["y" * 2000] * 300
    pq.write_table(pa.table({"note": notes}), tmp_path / "d.parquet")
    found = list(open_source(tmp_path / "d.parquet", tmp_path, field="training-data").batches())
    assert max(t.nbytes for t in found) < 45_000
    assert sum(t.num_rows for t in found) == 600


def test_fewer_rows_are_answered_where_they_are_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "REFERENCE_VALUES", 1000)
    pq.write_table(pa.table({"image": [[0.5] * 50] * 200}), tmp_path / "d.parquet")
    found = opened(tmp_path / "d.parquet")
    kept = found.keep(inference.infer_fields(found.columns, []), [], tmp_path / "kept.parquet", "m:1")
    assert len(kept.rows["image"]) == 20


def test_a_name_that_begins_another_is_read_alone(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1, 2], "a.b": [3, 4]}), tmp_path / "d.parquet")
    found = open_source(tmp_path / "d.parquet", tmp_path, field="training-data")
    assert [t.column_names for t in found.batches(["a"])] == [["a"]]


def test_limits_of_a_file_are_told_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d.csv").write_text("a\n1\n2\n")
    pq.write_table(pa.table({"a": range(6)}), tmp_path / "d.parquet")
    monkeypatch.setattr(source, "MAX_VALUES", 5)
    with pytest.raises(TooLarge, match="6 rows have 6 values, more than 5") as caught:
        opened(tmp_path / "d.parquet")
    assert caught.value.hint == "use a random sample of at most 5 rows"
    monkeypatch.setattr(source, "MAX_BYTES", 5)
    with pytest.raises(TooLarge, match="at most 5 bytes"):
        opened(tmp_path / "d.csv")


def test_a_disk_without_room_is_told_before_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d.csv").write_text("a\n1\n2\n")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=11))
    with pytest.raises(StorageFailed, match="disk"):
        opened(tmp_path / "d.csv")


@contextmanager
def measured() -> Iterator[list[int]]:
    """Bytes that numpy, Python and Arrow have at most meanwhile."""
    taken: list[int] = []
    before = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(before)
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        yield taken
        taken.append(tracemalloc.get_traced_memory()[1] + (pool.max_memory() or 0))
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(before)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_file_of_ten_times_the_rows_takes_no_more_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """Blocks, samples and row groups are made small, so that a file of 1 MB is long already, and one of 10 MB takes less than itself."""
    monkeypatch.setattr(csvfile, "BLOCK", 60_000)
    monkeypatch.setattr(source, "BATCH", 1500)
    monkeypatch.setattr(source, "GROUP_BYTES", 150_000)
    monkeypatch.setattr("headrace_functions.statistics.table.SAMPLE", 500)
    block = rows_of(2000).drop_columns(["pair", "free"])
    taken = []
    for times in (10, 100):
        file = tmp_path / f"{times}.{suffix}"
        if suffix == "csv":
            options = pa.csv.WriteOptions(include_header=False)
            with file.open("wb") as sink:
                sink.write(",".join(block.column_names).encode() + b"\n")
                for _ in range(times):
                    pa.csv.write_csv(block, sink, options)
        else:
            pq.write_table(pa.concat_tables([block] * times), file, use_dictionary=False, compression="none")
        with measured() as found:
            read = opened(file)
            kept = read.keep(inference.infer_fields(read.columns, ["label"]), ["label"], tmp_path / "kept.parquet", "m")
        assert kept.profile.rows == times * 2000
        taken += found
    assert taken[1] < 1.3 * taken[0]
    assert taken[1] < file.stat().st_size
