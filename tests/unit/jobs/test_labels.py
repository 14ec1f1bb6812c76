"""Labels as they may be stored: files of any types are read together, and a row of a request has one label."""

import itertools
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fixtures_jobs import CHURN, UNTIL, InProcess, given_labels, given_log, given_version, number, objects
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_jobs import inputs
from headrace_jobs.performance.labels import join, of_newest, read_labels
from headrace_jobs.performance.problem import codes
from headrace_jobs.window import Window

__all__ = ["objects"]

STORED = {
    "int64": pa.array([1, 0]),
    "int32": pa.array([1, 0], pa.int32()),
    "uint64": pa.array([1, 0], pa.uint64()),
    "double": pa.array([1.0, 0.0]),
    "bool": pa.array([True, False]),
    "text": pa.array(["1", "0"]),
    "text of truth values": pa.array(["True", "False"]),
    "large text": pa.array(["1", "0"], pa.large_string()),
    "text views": pa.array(["1", "0"], pa.string_view()),
    "dictionary": pa.array(["1", "0"]).dictionary_encode(),
    "decimal": pa.array([1, 0]).cast(pa.decimal128(20, 0)),
}


@pytest.fixture
def version(objects: ObjectStore) -> Version:
    return given_version(objects, [number("x")], {"x": [1.0]}, target=["churned"])


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(STORED, 2)))
def test_files_of_any_two_types_are_read_together(
    objects: ObjectStore, version: Version, first: str, second: str
) -> None:
    given_labels(objects, version, 1, {"request_id": ["a", "b"], "churned": STORED[first]})
    given_labels(objects, version, 2, {"request_id": ["c", "d"], "churned": STORED[second]})

    found = read_labels(objects, CHURN, "churned")

    assert found is not None
    assert codes(found.table["label"], ("0", "1")).tolist() == [1, 0, 1, 0]


def test_a_file_that_holds_no_labels_is_set_aside_and_counted(objects: ObjectStore, version: Version) -> None:
    given_labels(objects, version, 1, {"request_id": ["a", "b"], "churned": pa.array([[1], [0]])})
    given_labels(objects, version, 2, {"request_id": ["a"], "churned": ["1"]})

    found = read_labels(objects, CHURN, "churned")

    assert found is not None
    assert (found.table.num_rows, found.unreadable) == (1, 1)


def test_numbers_beyond_what_float64_holds_stay_apart(objects: ObjectStore, version: Version) -> None:
    given_labels(objects, version, 1, {"request_id": ["a"], "churned": pa.array([2**60 + 1])})
    given_labels(objects, version, 2, {"request_id": ["b"], "churned": pa.array([0.5])})

    found = read_labels(objects, CHURN, "churned")

    assert found is not None
    assert codes(found.table["label"], (str(2**60 + 1), "0.5")).tolist() == [0, 1]


def test_of_several_answers_of_a_row_the_newest_has_the_label(objects: ObjectStore, version: Version) -> None:
    """``req-0`` was answered three times, in files of their own and twice in one."""
    given_log(objects, version, {"x": [1.0, 2.0], "score": [1.0, 2.0]}, span=timedelta(minutes=5))
    given_log(objects, version, {"x": [3.0], "score": [3.0]}, until=UNTIL - timedelta(minutes=30))
    given_labels(objects, version, 1, {"request_id": ["req-0", "req-1"], "churned": [1, 0]})
    window = Window.parse("2h", "2026-11-22T12:00:00Z")
    files = inputs.log_files(objects, CHURN, window)
    labels = read_labels(objects, CHURN, "churned")
    assert labels is not None

    newest = of_newest(labels, files, window, InProcess())

    assert newest.repeated == 1
    assert sorted(_labelled(objects, files, window, newest.table)) == [(1.0, 1), (2.0, 0)]


def _labelled(
    objects: ObjectStore, files: tuple[inputs.LogFile, ...], window: Window, labels: pa.Table
) -> list[tuple[float, int]]:
    found: list[tuple[float, int]] = []
    for file in files:
        answered = inputs.answered(inputs.open_parquet(objects, file.key), window)
        places, given = join(answered.column("request_id"), answered.column("row"), labels, file.key)
        scores = np.asarray(answered.column("in.x").to_numpy())[places]
        found += zip(scores.tolist(), given.to_pylist(), strict=True)
    return found


def test_labels_without_their_row_column_are_of_row_0(objects: ObjectStore, version: Version) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"request_id": ["a"], "churned": [1]}), sink)
    objects.put(layout.label_file(CHURN, 1), sink.getvalue().to_pybytes())

    found = read_labels(objects, CHURN, "churned")

    assert found is not None
    assert found.table["row"].to_pylist() == [0]
