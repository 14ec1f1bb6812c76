"""Models that take one row a request get text, truth values and missing ones as they get numbers, over either protocol."""

import numpy as np
import orjson
import pytest

from headrace_functions.protocol.checks import check_inputs
from headrace_functions.protocol.codec import decode_request, decode_response, encode_response
from headrace_functions.protocol.messages import PLAIN
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
