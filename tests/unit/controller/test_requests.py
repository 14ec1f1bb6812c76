"""Requests made of what people have: CSV, JSON rows, a signature; and answers as rows."""

import pytest

from headrace_controller.projects import example_requests
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


def test_csv_rows_become_typed_tensors_and_other_columns_are_left_out() -> None:
    assert example_requests.of_csv("plan,age,label\nfree,30,1\npaid,,0\n", TABLE) == EXPECTED


@pytest.mark.parametrize(
    "text",
    [
        '[{"age": 30, "plan": "free"}, {"age": null, "plan": "paid", "label": 1}]',
        '{"instances": [{"age": 30, "plan": "free"}, {"age": null, "plan": "paid"}]}',
    ],
)
def test_json_rows_become_the_same_tensors(text: str) -> None:
    assert example_requests.of_json(text, TABLE) == EXPECTED


def test_one_object_is_one_row_and_a_request_is_sent_as_it_is() -> None:
    assert example_requests.of_json('{"age": 1, "plan": "a"}', TABLE)["inputs"][0]["shape"] == [1]
    assert example_requests.of_json('{"inputs": [1], "id": "x"}', TABLE) == {"inputs": [1], "id": "x"}


def test_a_model_of_one_vector_takes_all_columns_or_plain_lists() -> None:
    expected = {"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [[1.0, 2.0], [3.0, 4.0]]}]}
    assert example_requests.of_csv("a,b\n1,2\n3,4\n", VECTOR) == expected
    assert example_requests.of_json("[[1.0, 2.0], [3.0, 4.0]]", VECTOR) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("age\n1\n", "row 1: the input 'plan' is missing"),
        ("age,plan\nold,x\n", "'old' is not of type INT64"),
        ("age,plan\n", "no rows"),
    ],
)
def test_a_csv_that_cannot_be_a_request_is_refused_naming_the_place(text: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        example_requests.of_csv(text, TABLE)


def test_what_is_not_json_is_malformed() -> None:
    with pytest.raises(Malformed):
        example_requests.of_json("{", TABLE)
    with pytest.raises(InvalidInput):
        example_requests.of_json("[]", TABLE)


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
