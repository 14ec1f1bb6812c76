"""Requests made of what people have: CSV, JSON rows, a signature; and answers as rows."""

from pathlib import Path

import pytest

from headrace_controller.projects import csv_rows, example_requests
from headrace_functions.errors import InvalidInput, Malformed

TABLE = {
    "inputs": [
        {"name": "age", "datatype": "INT64", "shape": [-1]},
        {"name": "plan", "datatype": "BYTES", "shape": [-1]},
    ]
}
VECTOR = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]}
EXPECTED = {
    "inputs": [
        {"name": "age", "shape": [2], "datatype": "INT64", "data": [30, None]},
        {"name": "plan", "shape": [2], "datatype": "BYTES", "data": ["free", "paid"]},
    ]
}


def of_csv(folder: Path, text: str, metadata: dict[str, object]) -> list[example_requests.Json]:
    (folder / "q.csv").write_text(text)
    return [request for _, request in csv_rows.requests_of(folder / "q.csv", metadata)]


def of_json(text: str, metadata: dict[str, object]) -> example_requests.Json:
    ((_, request),) = example_requests.of_json(text, metadata)
    return request


def test_csv_rows_become_typed_tensors_and_other_columns_are_left_out(tmp_path: Path) -> None:
    assert [EXPECTED] == of_csv(tmp_path, "plan,age,label\nfree,30,1\npaid,,0\n", TABLE)


def test_rows_beyond_one_request_are_sent_in_pieces_and_answered_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_rows, "ROWS", 2)
    sent = of_csv(tmp_path, "age,plan\n1,a\n2,b\n3,c\n", TABLE)
    assert [[1, 2], [3]] == [r["inputs"][0]["data"] for r in sent]
    answers = [{"outputs": [{"name": "v", "shape": [len(d), 2], "data": [d, d]}]} for d in ([1, 2], [3])]
    assert {"outputs": [{"name": "v", "shape": [3, 2], "data": [1, 2, 1, 2, 3, 3]}]} == example_requests.joined(answers)


def test_a_model_that_takes_no_batch_gets_one_row_a_request(tmp_path: Path) -> None:
    single = {"inputs": [{**t, "shape": []} for t in TABLE["inputs"]]}
    sent = of_csv(tmp_path, "age,plan\n1,a\n2,b\n", single)
    assert [([1], []), ([2], [])] == [(r["inputs"][0]["data"], r["inputs"][0]["shape"]) for r in sent]


def test_text_that_looks_like_numbers_is_sent_as_it_is(tmp_path: Path) -> None:
    (request,) = of_csv(tmp_path, "age,plan\n1,01067\n", TABLE)
    assert ["01067"] == request["inputs"][1]["data"]


@pytest.mark.parametrize(
    "text",
    [
        '[{"age": 30, "plan": "free"}, {"age": null, "plan": "paid", "label": 1}]',
        '{"instances": [{"age": 30, "plan": "free"}, {"age": null, "plan": "paid"}]}',
    ],
)
def test_json_rows_become_the_same_tensors(text: str) -> None:
    assert of_json(text, TABLE) == EXPECTED


def test_one_object_is_one_row_and_a_request_is_sent_as_it_is() -> None:
    assert of_json('{"age": 1, "plan": "a"}', TABLE)["inputs"][0]["shape"] == [1]
    assert of_json('{"inputs": [1], "id": "x"}', TABLE) == {"inputs": [1], "id": "x"}


def test_a_model_of_one_vector_takes_all_columns_or_plain_lists(tmp_path: Path) -> None:
    expected = {"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [[1.0, 2.0], [3.0, 4.0]]}]}
    assert [expected] == of_csv(tmp_path, "a,b\n1,2\n3,4\n", VECTOR)
    assert of_json("[[1.0, 2.0], [3.0, 4.0]]", VECTOR) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("age\n1\n", "has no column for the input 'plan'"),
        ("age,plan\n1,y\nold,x\n", "row 2, column 'age': 'old' is not a whole number"),
        ("age,plan\n1,a, b\n", "row 1: Expected 2 columns, got 3"),
        ("age;plan\n1;a\n", "separated by semicolons"),
        ("age,plan\n", "no rows"),
    ],
)
def test_a_csv_that_cannot_be_a_request_is_refused_naming_the_place(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        of_csv(tmp_path, text, TABLE)


@pytest.mark.parametrize("text", ["", "\n"])
def test_an_empty_input_is_said_to_be_empty(text: str) -> None:
    with pytest.raises(Malformed, match="the input is empty"):
        next(iter(of_json(text, TABLE)))


def test_what_is_not_json_is_malformed() -> None:
    with pytest.raises(Malformed):
        of_json("{", TABLE)
    with pytest.raises(InvalidInput):
        of_json("[]", TABLE)


def test_an_example_fits_categories_ranges_and_shapes() -> None:
    fields = [
        {"name": "plan", "type": "string", "shape": [], "categories": ["free"]},
        {"name": "age", "type": "int64", "shape": [], "range": [20, 61]},
        {"name": "image", "type": "float32", "shape": [2, -1]},
    ]
    tensors = example_requests.of_signature({"inputs": fields})["inputs"]
    assert [(t["datatype"], t["shape"], t["data"]) for t in tensors] == [
        ("BYTES", [1], ["free"]),
        ("INT64", [1], [40]),
        ("FP32", [1, 2, 1], [0.0, 0.0]),
    ]


def test_an_answer_is_shown_row_by_row() -> None:
    answer = {
        "outputs": [
            {"name": "label", "shape": [2], "datatype": "INT64", "data": [0, 1]},
            {"name": "probabilities", "shape": [2, 2], "datatype": "FP64", "data": [0.9, 0.1, 0.2, 0.8]},
        ]
    }
    assert example_requests.table_of(answer) == [
        {"label": 0, "probabilities": [0.9, 0.1]},
        {"label": 1, "probabilities": [0.2, 0.8]},
    ]


@pytest.mark.parametrize(
    ("shift", "expected"), [("a=x3", [3.0, 9.0]), ("a=+1", [2.0, 4.0]), ("a=-2sd", [-1.0, 1.0]), ("n=x1.5", [2, 3])]
)
def test_a_shift_moves_one_number_of_every_row(shift: str, expected: list[float]) -> None:
    rows = [{"a": 1.0, "n": 1, "c": "x"}, {"a": 3.0, "n": 2, "c": "y"}]
    moved = example_requests.shifted(rows, [shift])
    assert expected == [row[shift[0]] for row in moved]
    assert ["x", "y"] == [row["c"] for row in moved]
    assert [1.0, 3.0] == [row["a"] for row in rows], "the rows that were given stay as they are"


@pytest.mark.parametrize("shift", ["a", "a=", "a=5", "a=x", "a=+1sdd", "c=+1", "gone=x2"])
def test_a_shift_that_cannot_be_is_refused_and_says_how_it_is_written(shift: str) -> None:
    with pytest.raises(InvalidInput, match="shift"):
        example_requests.shifted([{"a": 1.0, "c": "x"}], [shift])
