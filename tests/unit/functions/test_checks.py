"""Arrays are held against a signature; errors become one kind of answer."""

import math
from typing import Any

import numpy as np
import orjson
import pytest

from function_support import scalars
from headrace_functions import errors
from headrace_functions.errors import FunctionFailed, SignatureMismatch
from headrace_functions.protocol.checks import check_inputs, check_outputs
from headrace_functions.protocol.metadata import model_metadata
from headrace_functions.protocol.problems import problem, status_of
from headrace_functions.protocol.rows import PackedRows
from headrace_functions.signature import Field, Signature, dtype

PICTURE = Field("x", dtype("float32"), (2, -1))
SIGNATURE = Signature((*scalars("a"), PICTURE), scalars("y", kind="int64"))


def picture(n: int, *rest: int) -> np.ndarray[Any, Any]:
    return np.zeros((n, *rest), dtype=np.float32)


def test_inputs_come_back_in_order_and_type() -> None:
    checked = check_inputs({"x": picture(2, 2, 7), "a": np.array([1, 2], dtype=np.int32)}, SIGNATURE)

    assert ["a", "x"] == list(checked)
    assert checked["a"].dtype == np.float64


@pytest.mark.parametrize(
    ("tensors", "field"),
    [
        ({"a": np.ones(1)}, "x"),
        ({"a": np.ones(1), "x": picture(1, 2, 2), "z": np.ones(1)}, "z"),
        ({"a": np.ones(2), "x": picture(1, 2, 2)}, "x"),
        ({"a": np.ones(1), "x": picture(1, 3, 2)}, "x"),
        ({"a": np.ones(1), "x": picture(1, 2)}, "x"),
        ({"a": np.ones((1, 2)), "x": picture(1, 2, 2)}, "a"),
        ({"a": np.array(["1"], dtype=object), "x": picture(1, 2, 2)}, "a"),
        ({"a": np.ones(0), "x": picture(0, 2, 2)}, "a"),
    ],
)
def test_inputs_that_do_not_fit_name_the_field(tensors: dict[str, Any], field: str) -> None:
    with pytest.raises(SignatureMismatch) as refused:
        check_inputs(tensors, SIGNATURE)

    assert field == refused.value.field


def test_strict_fields_refuse_unknown_categories_and_values_out_of_range() -> None:
    strict = Signature(
        (
            Field("plan", dtype("string"), categories=("a", "b"), strict=True),
            Field("age", dtype("float64"), range=(0, 10), strict=True),
            Field("free", dtype("float64"), range=(0, 10)),
        ),
        scalars("y"),
    )

    def check(plan: str, age: float) -> None:
        check_inputs({"plan": np.array([plan], dtype=object), "age": np.array([age]), "free": np.array([99.0])}, strict)

    check("a", 10)
    for plan, age, field in (("c", 1, "plan"), ("a", 10.5, "age"), ("a", math.nan, "age")):
        with pytest.raises(SignatureMismatch) as refused:
            check(plan, age)
        assert field == refused.value.field


@pytest.mark.parametrize(
    "value",
    [
        np.array([1, 2]),
        [1, 2],
        (1, 2),
        np.array([[1], [2]]),
        [np.int64(1), np.int64(2)],
        np.array([1, 2], dtype=np.int8),
    ],
)
def test_outputs_may_be_what_numpy_understands(value: Any) -> None:
    assert [1, 2] == check_outputs({"y": value}, SIGNATURE, rows=2)["y"].tolist()


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        {},
        {"z": [1]},
        {"y": [1]},
        {"y": [1, 2, 3]},
        {"y": [1.5, 2]},
        {"y": ["a", "b"]},
        {"y": 5},
        {"y": [[1, 2], [3, 4]]},
        {"y": [1, 2], "z": [1, 2]},
    ],
)
def test_answers_that_break_the_signature_are_the_functions_failure(value: Any) -> None:
    with pytest.raises(FunctionFailed):
        check_outputs(value, SIGNATURE, rows=2)


PAIR = Signature(scalars("x"), scalars("a", "b"))


def test_a_matrix_of_all_outputs_passes_as_it_is() -> None:
    answer = PackedRows(["a", "b"], np.array([[1.0, 2.0], [3.0, 4.0]]))

    assert check_outputs(answer, PAIR, rows=2) is answer
    assert check_outputs(answer, PAIR) is answer


@pytest.mark.parametrize(
    ("names", "shape", "kind"),
    [
        (["a", "b"], (1, 2), "f8"),
        (["a", "b"], (0, 2), "f8"),
        (["a", "c"], (2, 2), "f8"),
        (["a"], (2, 1), "f8"),
        (["a", "b", "c"], (2, 3), "f8"),
        (["a", "b"], (3, 2, 2), "f8"),
        (["a", "b"], (2, 2), "c16"),
    ],
)
def test_a_matrix_that_breaks_the_signature_is_refused_as_its_columns_are(
    names: list[str], shape: tuple[int, ...], kind: str
) -> None:
    with pytest.raises(FunctionFailed):
        check_outputs(PackedRows(names, np.ones(shape, dtype=kind)), PAIR, rows=2)


def test_a_matrix_in_another_order_or_type_is_brought_into_the_signatures() -> None:
    turned = check_outputs(PackedRows(["b", "a"], np.array([[2.0, 1.0]])), PAIR, rows=1)
    widened = check_outputs(PackedRows(["a", "b"], np.array([[1, 2]], dtype=np.int32)), PAIR, rows=1)

    for answer in (turned, widened):
        assert [("a", [1.0]), ("b", [2.0])] == [(name, column.tolist()) for name, column in answer.items()]
        assert {np.dtype(np.float64)} == {column.dtype for column in answer.values()}


def test_every_domain_error_has_a_status() -> None:
    """The table of statuses, and that no error class is left out of it."""
    wanted = {
        "InvalidInput": 400, "Malformed": 400, "MethodNotAllowed": 405, "SignatureMismatch": 422, "TooLarge": 413, "NotFound": 404, "Conflict": 409,
        "Overloaded": 429, "NotReady": 503, "DeadlineExceeded": 504, "FunctionFailed": 500, "Unreachable": 502, "StorageFailed": 503,
        "UnsupportedEncoding": 415, "DamagedDocument": 500, "Cancelled": 499, "Unauthenticated": 401, "Forbidden": 403,
    }  # fmt: skip
    ours = [
        c
        for c in vars(errors).values()
        if isinstance(c, type) and issubclass(c, errors.HeadraceError) and c is not errors.HeadraceError
    ]

    assert wanted == {c.__name__: status_of(c("m")) for c in ours}


def test_a_problem_says_what_is_wrong_and_where() -> None:
    told = problem(
        SignatureMismatch("input 'a' is missing", field="a", expected="FP64 a", got="b", hint="send it"), "r1"
    )

    assert ("content-type", "application/problem+json") in told.headers
    assert {
        "type": "urn:headrace:problem:signature-mismatch", "title": "The tensors do not fit the signature", "status": 422,
        "detail": "input 'a' is missing", "code": "signature-mismatch", "request_id": "r1", "error": "input 'a' is missing",
        "field": "a", "expected": "FP64 a", "got": "b", "hint": "send it",
    } == orjson.loads(told.body)  # fmt: skip


def test_errors_that_pass_say_when_to_try_again() -> None:
    assert ("retry-after", "3") in problem(errors.NotReady("starting", retry_after=2.1)).headers
    assert ("retry-after", "1") in problem(errors.Overloaded("full", retry_after=0.1)).headers


def test_other_exceptions_tell_nothing_of_themselves() -> None:
    told = problem(RuntimeError("the password is 1234"), "r1")

    assert 500 == told.status
    assert b"1234" not in told.body
    assert b"r1" in told.body


def test_metadata_shows_the_rows_in_front() -> None:
    batched = model_metadata("m", ["1"], "headrace_python", SIGNATURE)
    single = model_metadata("m", ["1"], "headrace_python", SIGNATURE, batch=False)

    assert {"name": "x", "datatype": "FP32", "shape": [-1, 2, -1]} == batched["inputs"][1]
    assert [2, -1] == single["inputs"][1]["shape"]
