"""One reading of CSV: what a column is, and what a file of another dialect is told."""

import decimal
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace_controller.training import label_values, tables
from headrace_controller.training.csvfile import CsvFile
from headrace_controller.training.data import open_training
from headrace_functions.errors import InvalidInput
from headrace_functions.signature import Field, dtype

HEAD = "age,city,y\n"


def column(
    tmp_path: Path, cells: list[str], declared: str | None = None, missing: list[str] | None = None
) -> list[object]:
    file = tmp_path / "train.csv"
    file.write_text("a,b\n" + "".join(f"{cell},1\n" for cell in cells))
    fields = (Field("a", dtype(declared)),) if declared else ()
    data = open_training(file, tmp_path, field="training-data", declared=fields, missing=missing)
    return data.typed_sample(fields)["a"].tolist() if declared else data.sample["a"].tolist()


@pytest.mark.parametrize(
    "cells",
    [
        ["01067", "10115"],
        ["+4712345", "123"],
        ["4111111111111111", "4000000000000002"],
        ["12E4", "7e10"],
        ["-007", "1"],
        ["00.5", "1.5"],
        ["0x1F", "0XFF"],
        ["1", "true", "0"],
        ["2026-01-02", "2026-01-03"],
        ["12:30", "07:15"],
        ["2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z"],
    ],
)
def test_text_that_only_looks_like_numbers_or_times_stays_the_text_that_it_was(
    tmp_path: Path, cells: list[str]
) -> None:
    assert cells == column(tmp_path, cells)


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "20"], [1, 20]),
        (["-3", "0"], [-3, 0]),
        (["0.5", "9.90"], [0.5, 9.9]),
        (["1e-05", "1.5E+20"], [1e-05, 1.5e20]),
        (["0.30000000000000004", "2"], [0.30000000000000004, 2.0]),
        (["True", "false"], [True, False]),
    ],
)
def test_numbers_and_truth_values_are_what_their_text_says(
    tmp_path: Path, cells: list[str], values: list[object]
) -> None:
    assert values == column(tmp_path, cells)


def test_truth_values_with_gaps_stay_truth_values(tmp_path: Path) -> None:
    assert [True, None, False] == column(tmp_path, ["True", "", "False"])
    assert [True, None, False] == column(tmp_path, ["True", "", "False"], "bool")


def test_the_contract_decides_before_the_text_is_looked_at(tmp_path: Path) -> None:
    assert ["01067", "1"] == column(tmp_path, ["01067", "1"], "string")
    assert ["True", "1e3"] == column(tmp_path, ["True", "1e3"], "string")
    assert [1067, 1] == column(tmp_path, ["01067", "1"], "int64")
    assert [3, 4] == column(tmp_path, ["3.0", "4"], "int64")
    assert [18446744073709551615, 1] == column(tmp_path, ["18446744073709551615", "1"], "uint64")
    assert [9007199254740993, 1] == column(tmp_path, ["9007199254740993", "1"], "int64")


def test_the_words_of_missing_values_can_be_said(tmp_path: Path) -> None:
    assert [None, None, "DE"] == column(tmp_path, ["None", "<NA>", "DE"])  # as pandas reads them
    assert [None, "DE"] == column(tmp_path, ["NA", "DE"])
    assert ["NA", "DE", None] == column(tmp_path, ["NA", "DE", "-"], "string", missing=["-"])


def test_decimals_are_read_by_their_text() -> None:
    prices = [decimal.Decimal(p) for p in ("19.99", "57.10", "0.07", "123456.79")]
    table = pa.table({"price": pa.array(prices, pa.decimal128(10, 2))})
    assert [19.99, 57.1, 0.07, 123456.79] == tables.to_columns(table, "t")["price"].tolist()


def test_whole_numbers_with_gaps_that_floats_would_change_are_refused() -> None:
    table = pa.table({"id": pa.array([2**53 + 1, None], pa.int64())})
    with pytest.raises(InvalidInput, match="'id' has gaps"):
        tables.to_columns(table, "t")


@pytest.mark.parametrize(
    ("content", "said", "more"),
    [
        (HEAD.encode("utf-16"), "is encoded as UTF-16, not UTF-8", "iconv"),
        ("age,städt,y\n1,x,0\n".encode("latin-1"), "train.csv: the header is not UTF-8", "städt"),
        ((HEAD + "1,Bonn,0\n2,Köln,1\n").encode("latin-1"), "row 2, column 'city': the value is not UTF-8", "Köln"),
        (b"age;city;y\n1;Bonn;0\n", "separated by semicolons, not by commas", "CSV UTF-8"),
        (b"age\tcity\ty\n1\tBonn\t0\n", "separated by tabs", "CSV UTF-8"),
        (b"age,city,y\n1,Bonn,0\n2,Bonn, Mitte,1\n", "row 2: Expected 3 columns, got 4", "double quotes"),
    ],
)
def test_a_file_of_another_dialect_is_told_what_is_wrong_and_what_to_do(
    tmp_path: Path, content: bytes, said: str, more: str
) -> None:
    (tmp_path / "train.csv").write_bytes(content)
    with pytest.raises(InvalidInput, match=said) as caught:
        open_training(tmp_path / "train.csv", tmp_path, field="training-data")
    assert more in " ".join(caught.value.details().values())


@pytest.mark.parametrize(
    ("kind", "bad", "said"),
    [
        ("float64", "12,5", "row 3, column 'a': '12,5' is not a number"),
        ("float64", "old", "row 3, column 'a': 'old' is not a number"),
        ("float64", "1,234.5", "row 3, column 'a': '1,234.5' is not a number"),
        ("int64", "old", "row 3, column 'a': 'old' is not a whole number"),
        ("bool", "yes", "row 3, column 'a': 'yes' is not true or false"),
    ],
)
def test_one_wrong_value_is_named_with_its_row_and_column(tmp_path: Path, kind: str, bad: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        column(tmp_path, ["1", "0", f'"{bad}"', "1"], kind)
    assert "a" == caught.value.field
    assert ("point" in (caught.value.hint or "")) == ("," in bad)


@pytest.mark.parametrize(
    ("bad", "hint"),
    [
        ("12,5", "decimals with a point"),
        ("1,234", "separators of thousands"),
        ("1,234.5", "separators of thousands"),
        ("1.234.567,5", "separators of thousands"),
        ("1 234,5", "separators of thousands"),
        ("1'234.50", "separators of thousands"),
        ("12 %", "percentages as numbers"),
        ("12.5%", "percentages as numbers"),
        ("$5", "without '$'"),
        ("-5.20 €", "without '€'"),
        ("EUR 1,200.00", "without 'EUR'"),
        ("5 kg", "without 'kg'"),
        ("n. a.", "leave the cell empty"),
        ("12-05-24", "leave the cell empty"),
    ],
)
def test_a_number_that_people_read_and_programs_do_not_is_told_how_to_be_written(
    tmp_path: Path, bad: str, hint: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        column(tmp_path, ["1", f'"{bad}"'], "float64")
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("bad", "hint"),
    [("12,5", "decimals with a point"), ("1,234.5", "separators of thousands"), ("12 %", "percentages"), ("old", None)],
)
def test_a_label_that_is_a_number_for_people_is_told_how_to_be_written(bad: str, hint: str | None) -> None:
    with pytest.raises(InvalidInput, match=r"row 2: 'y' is .* which is not a number") as caught:
        label_values.spelled("y", np.array(["1", bad], object), label_values.NUMBER)
    assert (hint or "") in (caught.value.hint or "")
    assert (hint is None) == (caught.value.hint is None)


def test_the_header_below_many_blank_lines_is_found_at_once(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("\n" * 200_000 + "a,b\n1,2\n")
    began = time.process_time()
    assert ["a", "b"] == CsvFile(tmp_path / "train.csv", "f").names
    assert time.process_time() - began < 5, "seconds; counting the lines again for each took 20"


def test_truth_values_with_gaps_are_kept_as_such_whatever_the_batch(tmp_path: Path) -> None:
    file = tmp_path / "t.parquet"
    pq.write_table(pa.table({"s": pa.array([None, None, True, False])}), file, row_group_size=2)
    data = open_training(file, tmp_path, field="training-data")
    fields = (Field("s", dtype("bool")),)
    data.keep(fields, [], tmp_path / "kept.parquet", "seed")
    assert [None, None, True, False] == pq.read_table(tmp_path / "kept.parquet")["s"].to_pylist()
    assert np.bool_ == data.columns["s"].dtype
