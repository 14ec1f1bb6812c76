"""Models that take one row a request get text, truth values and missing ones as they get numbers, over either protocol."""

from pathlib import Path

import numpy as np
import orjson
import pytest

from headrace_functions.protocol.checks import check_inputs
from headrace_functions.protocol.codec import decode_request, decode_response, encode_response
from headrace_functions.protocol.messages import PLAIN
from headrace_functions.runtime.loading import load_function
from headrace_functions.signature import Field, Signature, dtype

KINDS = [("string", "a"), ("string", None), ("bool", True), ("bool", None), ("float64", 1.5), ("int64", 3)]


@pytest.mark.parametrize(("kind", "value"), KINDS)
def test_a_row_is_read_over_both_protocols_and_checked_bare(kind: str, value: object) -> None:
    signature = Signature((Field("x", dtype(kind)),), (Field("x", dtype(kind)),))
    wire = dtype(kind).wire
    v1 = orjson.dumps({"instances": [{"x": value}]})
    v2 = orjson.dumps({"inputs": [{"name": "x", "datatype": wire, "shape": [], "data": [value]}]})
    for body, protocol in ((v1, "v1"), (v2, "v2")):
        tensors, _ = decode_request(body, "application/json", None, signature, protocol=protocol, batch=False)  # type: ignore[arg-type]
        assert ((), value) == (tensors["x"].shape, tensors["x"].item())
    assert value == check_inputs({"x": value}, signature, batch=False)["x"].item()  # type: ignore[dict-item]


def test_an_answer_of_one_row_is_read_back_as_an_array() -> None:
    signature = Signature((Field("x", dtype("string")),), (Field("x", dtype("string")),))
    answer = encode_response(
        {"x": np.array("a", object)}, signature, PLAIN, model="m", version=1, protocol="v1", batch=False
    )
    found = decode_response(answer.body, None, signature, protocol="v1", batch=False)
    assert ["a"] == found["x"][np.newaxis].tolist()


@pytest.mark.parametrize("value", ["a", b"\x89PNG", None])
def test_a_function_of_one_row_gets_its_text_as_text_and_its_number_as_a_number(value: object, tmp_path: Path) -> None:
    (tmp_path / "function.py").write_text(
        "def predict(model, image, age):\n    return {'kind': type(image).__name__, 'older': age + 1}\n"
    )
    inputs = (Field("image", dtype("string")), Field("age", dtype("float64")))
    signature = Signature(inputs, (Field("kind", dtype("string")), Field("older", dtype("float64"))))
    function = load_function("python", tmp_path, {}, signature, batch=False)
    found = function({"image": np.array(value, object), "age": np.array(3.0)})
    assert (type(value).__name__, 4.0) == (found["kind"].item(), found["older"].item())
