"""Training data: what files become, and which fields columns are."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace_controller.training import inference, memory, tables
from headrace_controller.training.data import TrainingData, open_training
from headrace_functions.errors import HeadraceError, InvalidInput, TooLarge
from headrace_functions.signature import Field, dtype


def opened(file: Path) -> TrainingData:
    return open_training(file, file.parent, field="training-data")


def csv(folder: Path, text: str) -> TrainingData:
    file = folder / "data.csv"
    file.write_text(text)
    return opened(file)


def field(name: str, kind: str, shape: tuple[int, ...] = (), profile: str = "none") -> Field:
    return Field(name, dtype(kind), shape, profile)


def test_a_csv_gives_typed_columns_with_nan_and_none_where_cells_are_empty(tmp_path: Path) -> None:
    found = csv(tmp_path, "age,plan,ok,rate,gap\n1,a,true,0.5,\n,b,false,nan,\n3,,true,1.5,\n").sample
    assert [str(c.dtype) for c in found.values()] == ["float64", "object", "bool", "float64", "float64"]
    assert np.isnan(found["age"][1])
    assert found["plan"].tolist() == ["a", "b", None]


def test_inputs_are_all_columns_but_the_target_with_profile_categories_and_range(tmp_path: Path) -> None:
    rows = "\n".join(
        f"{i},{'xyz'[i % 3]},{i % 4},{i / 7},{i % 2},comment number {i} is long enough to be a text that nobody repeats"
        for i in range(200)
    )
    found = inference.infer_fields(csv(tmp_path, f"id,plan,grade,rate,label,comment\n{rows}\n").columns, ["label"])
    by_name = {f.name: f for f in found}
    assert list(by_name) == ["id", "plan", "grade", "rate", "comment"]
    assert {n: f.profile for n, f in by_name.items()} == {
        "id": "numerical",
        "plan": "categorical",
        "grade": "categorical",
        "rate": "numerical",
        "comment": "text",
    }
    assert by_name["plan"].categories == ("x", "y", "z")
    assert by_name["grade"].categories == (0, 1, 2, 3)
    assert by_name["id"].range == (0.0, 199.0)
    assert by_name["comment"].categories is None


def test_more_than_a_hundred_categories_are_not_listed(tmp_path: Path) -> None:
    rows = "\n".join(f"c{i % 150}" for i in range(3000))
    [found] = inference.infer_fields(csv(tmp_path, f"code\n{rows}\n").columns, [])
    assert (found.profile, found.categories) == ("categorical", None)


def test_lists_in_parquet_are_rows_of_tensors_and_of_free_size_where_they_differ(tmp_path: Path) -> None:
    pq.write_table(pa.table({"even": [[1.0, 2.0], [3.0, 4.0]], "free": [[1], [2, 3]]}), tmp_path / "d.parquet")
    even, free = inference.infer_fields(opened(tmp_path / "d.parquet").columns, [])
    assert (even.shape, even.dtype.name) == ((2,), "float64")
    assert (free.shape, free.dtype.name) == ((-1,), "int64")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("d.csv", "a,a\n1,2\n", "appears twice"),
        ("d.csv", "a,b\n", "has no rows"),
        ("d.csv", "a,b\n1\n", "cannot be read"),
        ("d.csv", "", "is empty"),
        ("d.parquet", "not parquet", "is text, not Parquet"),
        ("d.parquet", "PAR1 not PAR1", "cannot be read"),
        ("d.xlsx", "x", "neither CSV nor Parquet"),
        ("d.csv", 'a"`b\n1\n', "field name"),
    ],
)
def test_a_file_that_is_no_training_data_is_refused_with_the_reason(
    tmp_path: Path, name: str, content: str, says: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(HeadraceError, match=says):
        opened(tmp_path / name)
    with pytest.raises(HeadraceError, match=says):
        tables.read(tmp_path / name, field="labels")


def test_labels_of_too_many_values_are_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values in lists count by themselves: 6 rows of one number and a list of three have 24."""
    table = pa.table({"age": range(6), "pixels": [[1.0, 2.0, 3.0]] * 6})
    pq.write_table(table, tmp_path / "d.parquet", row_group_size=2)
    monkeypatch.setattr(tables, "MAX_VALUES", 24)
    assert len(tables.read(tmp_path / "d.parquet", field="labels")["age"]) == 6
    monkeypatch.setattr(tables, "MAX_VALUES", 20)
    monkeypatch.setattr(tables.pq, "read_table", None)
    with pytest.raises(TooLarge, match=r"labels: 6 rows have 24 values, more than 20") as caught:
        tables.read(tmp_path / "d.parquet", field="labels")
    assert caught.value.hint == "use a random sample of at most 5 rows"


@pytest.mark.parametrize("name", ["d.csv", "d.parquet"])
def test_labels_that_the_controller_has_no_memory_for_are_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if name == "d.csv":
        (tmp_path / name).write_text("a\n" + "1\n" * 99)  # 200 bytes, for which 500 are needed
    else:
        pq.write_table(pa.table({"a": range(14)}), tmp_path / name)  # 504 are needed
    monkeypatch.setattr(tables.memory, "left", lambda: 505)
    assert len(tables.read(tmp_path / name, field="labels")["a"]) > 1
    monkeypatch.setattr(tables.memory, "left", lambda: 250)
    with pytest.raises(TooLarge, match=r"labels: reading it takes about 0\.0 GB of memory") as caught:
        tables.read(tmp_path / name, field="labels")
    assert caught.value.hint == "use a random sample of at most 50% of the rows, or give the controller more memory"


def machine(root: Path, group: dict[str, str], available: int = 8_000_000) -> Path:
    for name, text in {
        **{f"sys/fs/cgroup/{k}": v for k, v in group.items()},
        "proc/meminfo": f"MemTotal: 1 kB\nMemAvailable: {available} kB\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("group", "left"),
    [
        ({"memory.max": "1000\n", "memory.current": "700\n", "memory.stat": "anon 5\ninactive_file 100\n"}, 400),
        ({"memory.max": "max\n", "memory.current": "700\n"}, 8_192_000_000),
        (
            {
                "memory/memory.limit_in_bytes": "1000",
                "memory/memory.usage_in_bytes": "700",
                "memory/memory.stat": "inactive_file 50\n",
            },
            350,
        ),
        ({"memory/memory.limit_in_bytes": "9223372036854771712", "memory/memory.usage_in_bytes": "7"}, 8_192_000_000),
        ({"memory.max": "100", "memory.current": "700"}, 0),
        ({}, 8_192_000_000),
    ],
    ids=["version 2", "no limit", "version 1", "version 1 without limit", "used up", "no group"],
)
def test_memory_that_is_left_is_the_containers_or_the_machines(
    tmp_path: Path, group: dict[str, str], left: int
) -> None:
    assert left == memory.left(machine(tmp_path, group))


def test_where_nobody_says_what_memory_is_left_nothing_is_refused(tmp_path: Path) -> None:
    assert memory.left(tmp_path) is None


def test_a_type_that_no_field_has_is_refused_naming_the_column(tmp_path: Path) -> None:
    pq.write_table(pa.table({"ok": [1], "map": [{"a": 1}]}), tmp_path / "d.parquet")
    with pytest.raises(InvalidInput) as caught:
        opened(tmp_path / "d.parquet")
    assert caught.value.field == "map"


COLUMNS = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=3, max_size=3).map(lambda v: np.array(v, np.int64)),
    st.lists(st.floats(), min_size=3, max_size=3).map(lambda v: np.array(v, np.float64)),
    st.lists(st.booleans(), min_size=3, max_size=3).map(np.array),
    st.lists(st.none() | st.text(st.characters(codec="utf-8")), min_size=3, max_size=3).map(
        lambda v: np.array(["x", *v], object)[1:]
    ),
    st.lists(st.floats(), min_size=6, max_size=6).map(lambda v: np.array(v).reshape(3, 2)),
)


@given(st.dictionaries(st.text("abcd", min_size=1), COLUMNS, min_size=1, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
def test_columns_written_as_parquet_are_read_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, columns: tables.Columns
) -> None:
    file = tmp_path_factory.mktemp("p") / "d.parquet"
    tables.write(columns, file)
    found = tables.read_parquet(file.read_bytes())
    for name, column in columns.items():
        if column.dtype == object and all(v is None for v in column):
            assert len(found[name]) == len(column)  # a column of nothing has no type to keep
        else:
            np.testing.assert_array_equal(found[name], column)


@pytest.mark.parametrize(
    ("declared", "column", "expected"),
    [
        (field("f", "float64"), np.array([1, 2]), np.array([1.0, 2.0])),
        (field("f", "int64"), np.array([1.0, 2.0]), np.array([1, 2])),
        (field("f", "string"), np.array([1, 2]), np.array(["1", "2"], object)),
        (field("f", "bool"), np.array([0, 1]), np.array([False, True])),
        (field("f", "float32", (2, 2)), np.arange(8).reshape(2, 4), np.arange(8, dtype=np.float32).reshape(2, 2, 2)),
        (field("f", "int64"), np.array([1.0, np.nan]), np.array([1.0, np.nan])),
    ],
)
def test_columns_take_the_type_and_shape_of_the_contract(
    declared: Field, column: np.ndarray, expected: np.ndarray
) -> None:
    found = inference.as_declared(declared, column)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype


@pytest.mark.parametrize(
    ("declared", "column"),
    [
        (field("f", "int64"), np.array([1.5])),
        (field("f", "uint8"), np.array([300])),
        (field("f", "int64"), np.array(["a"], object)),
        (field("f", "float64", (3,)), np.zeros((2, 4))),
    ],
)
def test_columns_that_do_not_fit_the_contract_are_refused_naming_the_field(declared: Field, column: np.ndarray) -> None:
    with pytest.raises(InvalidInput) as caught:
        inference.as_declared(declared, column)
    assert caught.value.field == "f"
