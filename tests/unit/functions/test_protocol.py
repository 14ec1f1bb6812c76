"""The wire form and the arrays say the same thing, in both directions and both protocols."""

import json
import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from function_support import scalars
from headrace_functions.errors import FunctionFailed, Malformed, SignatureMismatch
from headrace_functions.gateway import hydrosphere
from headrace_functions.protocol.codec import decode_request, decode_response, encode_request, encode_response
from headrace_functions.protocol.generate import decode_request as decode_generate
from headrace_functions.protocol.jsontext import parse, rewritten
from headrace_functions.protocol.messages import PLAIN, RequestInfo
from headrace_functions.protocol.ndjson import to_v1
from headrace_functions.protocol.rows import PackedRows
from headrace_functions.signature import DTYPES, DType, Field, Signature, Tensors, dtype

LABEL = Signature(scalars("a", "b"), (Field("label", dtype("int64")), Field("probabilities", dtype("float64"), (2,))))
TEXT = Signature((Field("word", dtype("string")),), (Field("word", dtype("string")),))


def one(name: str, kind: str, shape: tuple[int, ...] = ()) -> Signature:
    field = Field(name, dtype(kind), shape)
    return Signature((field,), (field,))


def v2(tensors: list[dict[str, Any]], **members: Any) -> bytes:
    return json.dumps({"inputs": tensors, **members}).encode()


def tensor(name: str, kind: str, shape: list[int], data: Any) -> dict[str, Any]:
    return {"name": name, "datatype": kind, "shape": shape, "data": data}


def decode(body: bytes, signature: Signature, **kwargs: Any) -> Tensors:
    return decode_request(body, "application/json", None, signature, **kwargs)[0]


def same(a: Tensors, b: Tensors) -> bool:
    def equal(x: Any, y: Any) -> bool:
        return (x.dtype == y.dtype and x.shape == y.shape and (x == y).all()) or np.array_equal(
            x, y, equal_nan=x.dtype.kind == "f"
        )

    return a.keys() == b.keys() and all(equal(a[name], b[name]) for name in a)


def values_of(kind: DType) -> st.SearchStrategy[Any]:
    if kind.name == "string":
        return st.text(max_size=8)
    return arrays.from_dtype(kind.numpy, allow_nan=True, allow_infinity=True)


@st.composite
def tables(draw: st.DrawFn) -> tuple[Signature, Tensors]:
    """A signature of a few fields of any type and rank, and a batch that fits it."""
    n = draw(st.integers(1, 4))
    fields, tensors = [], {}
    for index in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(DTYPES))
        shape = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
        field = Field(f"f{index}", kind, shape)
        fields.append(field)
        size = n * math.prod(shape)
        flat = np.empty(size, dtype=kind.numpy)
        flat[:] = draw(st.lists(values_of(kind), min_size=size, max_size=size))
        tensors[field.name] = flat.reshape(n, *shape)
    return Signature(tuple(fields), tuple(fields)), tensors


@given(tables())
def test_binary_requests_and_responses_lose_nothing(case: tuple[Signature, Tensors]) -> None:
    """What is encoded as binary data is decoded to the same arrays, every type, NaN and infinity included."""
    signature, tensors = case

    request = encode_request(tensors, signature, request_id="r1")
    received, info = decode_request(request.body, request.content_type, request.json_length, signature)
    answer = encode_response(tensors, signature, info, model="m", version=1)

    assert same(tensors, dict(received))
    assert info.id == "r1"
    assert same(tensors, decode_response(answer.body, answer.json_length, signature))


NUMBERS = [d for d in DTYPES if d.is_number]


@st.composite
def answers_of_numbers(draw: st.DrawFn) -> tuple[Signature, Tensors]:
    """Several scalar outputs of one type, and what a function answered: columns, whole or views of something."""
    kind, n, width = draw(st.sampled_from(NUMBERS)), draw(st.integers(1, 4)), draw(st.integers(2, 5))
    fields = tuple(Field(f"f{i}", kind) for i in range(width))
    matrix = draw(arrays.arrays(kind.numpy, (n, width)))
    return Signature(fields, fields), {f.name: matrix[:, i] for i, f in enumerate(fields)}


@given(answers_of_numbers())
def test_numbers_of_one_type_are_answered_in_one_matrix_to_who_allows_it(case: tuple[Signature, Tensors]) -> None:
    signature, tensors = case
    info = RequestInfo(binary=True, parameters={"packed_output": True})

    answer = encode_response(tensors, signature, info, model="m", version=1)

    document = json.loads(answer.body[: answer.json_length])
    n, width = len(tensors["f0"]), len(tensors)
    assert [(o["name"], o["shape"]) for o in document["outputs"]] == [("rows", [n, width])]
    received = decode_response(answer.body, answer.json_length, signature)
    assert isinstance(received, PackedRows)
    assert received.is_for(signature.inputs)
    assert same(tensors, dict(received))


@pytest.mark.parametrize(
    "info",
    [
        RequestInfo(binary=True),
        RequestInfo(binary=True, parameters={"packed_output": "yes"}),
        RequestInfo(parameters={"packed_output": True}),
        RequestInfo(binary=True, outputs={"b": True, "a": True}, parameters={"packed_output": True}),
    ],
)
def test_nobody_gets_a_matrix_unasked(info: RequestInfo) -> None:
    fields = (Field("a", dtype("float64")), Field("b", dtype("float64")))
    tensors = {"a": np.array([1.0]), "b": np.array([2.0])}
    answer = encode_response(tensors, Signature(fields, fields), info, model="m", version=1)
    received = decode_response(answer.body, answer.json_length, Signature(fields, fields))
    assert same(tensors, {name: received[name] for name in ("a", "b")})
    assert not isinstance(received, PackedRows)


@pytest.mark.parametrize(
    ("shape", "wire", "size"), [([1, 3], "FP64", 24), ([2], "FP64", 16), ([1, 2], "FP32", 8), ([0, 2], "FP64", 0)]
)
def test_a_matrix_that_is_not_the_outputs_is_refused(shape: list[int], wire: str, size: int) -> None:
    fields = (Field("a", dtype("float64")), Field("b", dtype("float64")))
    rows = {"name": "rows", "shape": shape, "datatype": wire, "parameters": {"binary_data_size": size}}
    head = json.dumps({"outputs": [rows], "parameters": {"packed_output": True}}).encode()
    with pytest.raises(SignatureMismatch, match="packed answer"):
        decode_response(head + bytes(size), len(head), Signature(fields, fields))


@given(tables())
def test_json_requests_lose_only_what_json_cannot_say(case: tuple[Signature, Tensors]) -> None:
    """In JSON, infinities come back as NaN and nothing else changes."""
    signature, tensors = case
    wanted = {
        n: np.where(np.isinf(a), np.nan, a).astype(a.dtype) if a.dtype.kind == "f" else a for n, a in tensors.items()
    }

    request = encode_request(tensors, signature, binary=False)
    answer = encode_response(tensors, signature, PLAIN, model="m", version=1)

    assert request.json_length is None
    assert same(wanted, dict(decode_request(request.body, request.content_type, None, signature)[0]))
    assert same(wanted, decode_response(answer.body, answer.json_length, signature))


@given(tables())
def test_v1_answers_are_read_back(case: tuple[Signature, Tensors]) -> None:
    signature, tensors = case
    wanted = {
        n: np.where(np.isinf(a), np.nan, a).astype(a.dtype) if a.dtype.kind == "f" else a for n, a in tensors.items()
    }

    answer = encode_response(tensors, signature, PLAIN, model="m", version=1, protocol="v1")

    assert same(wanted, decode_response(answer.body, None, signature, protocol="v1"))


@given(st.binary(max_size=200), st.sampled_from(["v1", "v2"]), st.none() | st.integers(0, 250))
def test_any_bytes_are_refused_clearly(body: bytes, protocol: Any, json_length: int | None) -> None:
    """Whatever is sent, the answer is a refusal that names a place, never another exception."""
    with pytest.raises((Malformed, SignatureMismatch)) as refused:
        decode_request(body, "", json_length, LABEL, protocol=protocol)

    assert refused.value.field


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda s: st.lists(s, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.sampled_from(["a", "b", "x"]) | JSON,
            "shape": st.lists(st.integers(-1, 3), max_size=3) | JSON,
            "datatype": st.sampled_from([d.wire for d in DTYPES]) | JSON,
            "data": JSON,
            "parameters": st.dictionaries(st.just("binary_data_size"), JSON) | JSON,
        },
    )
)
def test_any_tensor_is_taken_or_refused(entry: dict[str, Any]) -> None:
    """A tensor of any form is either decoded or refused; nothing of it raises anything else."""
    body = json.dumps({"inputs": [entry]}).encode()

    try:
        decoded = decode(body, LABEL)
    except (Malformed, SignatureMismatch):
        return
    assert {"a", "b"} == decoded.keys()


def test_packed_rows_are_named_columns_of_one_matrix() -> None:
    """One tensor ``[n, fields]`` of any name is the table in signature order, and stays one matrix."""
    for name in ("input-0", "a"):
        rows = decode(v2([tensor(name, "FP64", [2, 2], [[1, 2], [3, 4]])]), LABEL)

        assert isinstance(rows, PackedRows)
        assert [1.0, 3.0] == rows["a"].tolist()
        assert [2.0, 4.0] == rows["b"].tolist()


def test_packed_rows_of_mixed_types_are_read_by_value() -> None:
    mixed = Signature((*scalars("a"), *scalars("k", kind="int32"), *scalars("flag", kind="bool")), LABEL.outputs)

    rows = decode(v2([tensor("x", "FP64", [1, 3], [0.5, 7.0, 1.0])]), mixed)

    assert [("float64", 0.5), ("int32", 7), ("bool", True)] == [(a.dtype.name, a[0]) for a in rows.values()]
    with pytest.raises(SignatureMismatch, match="k") as refused:
        decode(v2([tensor("x", "FP64", [1, 3], [0.5, 7.5, 1.0])]), mixed)
    assert refused.value.field == "k"


@pytest.mark.parametrize("shape", [[2], [1, 3], [1, 1, 2], [0, 2]])
def test_packed_rows_of_another_shape_are_refused(shape: list[int]) -> None:
    with pytest.raises(SignatureMismatch, match="packed") as refused:
        decode(v2([tensor("x", "FP64", shape, [1.0] * math.prod(shape))]), LABEL)

    assert refused.value.expected is not None
    assert "2]" in refused.value.expected
    assert str(shape) == refused.value.got


def test_a_tensor_with_an_inputs_name_is_not_taken_for_packed_rows() -> None:
    with pytest.raises(SignatureMismatch, match="'b' is missing"):
        decode(v2([tensor("a", "FP64", [2], [1, 2])]), LABEL)


def test_named_scalars_may_have_a_second_dimension_of_one() -> None:
    body = v2([tensor("b", "FP64", [2, 1], [[1], [2]]), tensor("a", "FP32", [2], [3, 4])])

    rows = decode(body, LABEL)

    assert ["a", "b"] == list(rows)
    assert {"a": [3.0, 4.0], "b": [1.0, 2.0]} == {n: a.tolist() for n, a in rows.items()}
    assert rows["a"].dtype == np.float64


@pytest.mark.parametrize(
    ("kind", "wire", "data"),
    [
        ("uint8", "UINT8", 300),
        ("int8", "INT8", -129),
        ("int64", "INT64", 3.5),
        ("int64", "INT64", None),
        ("int64", "INT64", True),
        ("float64", "FP64", True),
        ("float64", "FP64", "x"),
        ("float32", "FP32", 1e39),
        ("bool", "BOOL", 1),
        ("string", "BYTES", 1),
        ("int64", "FP64", 1.0),
        ("int32", "INT64", 1),
        ("float32", "FP64", 1.0),
        ("bool", "INT8", 1),
        ("string", "INT8", 1),
        ("float32", "INT64", 1),
        ("int64", "BOOL", True),
        ("int64", "UINT64", 1),
        ("int64", "INT64", 2**63),
    ],
)
def test_values_that_would_change_are_refused(kind: str, wire: str, data: Any) -> None:
    """Overflow, lost digits and other kinds of values are refused with the field, what was expected, what came."""
    with pytest.raises(SignatureMismatch) as refused:
        decode(v2([tensor("v", wire, [1], [data])]), one("v", kind))

    assert refused.value.field == "v"
    assert refused.value.expected
    assert refused.value.got


@pytest.mark.parametrize(
    ("kind", "wire", "data", "value"),
    [
        ("int64", "INT32", 5, 5),
        ("float64", "INT32", 5, 5.0),
        ("float64", "INT64", 5, 5.0),
        ("float64", "FP32", 0.5, 0.5),
        ("float64", "FP64", 3, 3.0),
        ("int64", "INT64", 3.0, 3),
        ("uint64", "UINT64", 2**64 - 1, 2**64 - 1),
        ("float16", "FP32", 0.5, 0.5),
        ("string", "BYTES", None, None),
        ("string", "BYTES", "ä", "ä"),
    ],
)
def test_values_that_fit_are_widened(kind: str, wire: str, data: Any, value: Any) -> None:
    array = decode(v2([tensor("v", wire, [1], [data])]), one("v", kind))["v"]

    assert array.dtype == dtype(kind).numpy
    assert [value] == array.tolist()


@pytest.mark.parametrize("text", ["NaN", "null", '"NaN"', '"nan"'])
def test_every_way_to_write_nan_is_nan(text: str) -> None:
    body = f'{{"inputs": [{{"name": "v", "datatype": "FP64", "shape": [2], "data": [1, {text}]}}]}}'.encode()

    array = decode(body, one("v", "float64"))["v"]

    assert array[0] == 1
    assert math.isnan(array[1])


@pytest.mark.parametrize(
    ("text", "value"),
    [("Infinity", math.inf), ("-Infinity", -math.inf), ('"Infinity"', math.inf), ('"-inf"', -math.inf)],
)
def test_infinities_are_read(text: str, value: float) -> None:
    body = f'{{"inputs": [{{"name": "v", "datatype": "FP32", "shape": [1], "data": [{text}]}}]}}'.encode()

    assert [value] == decode(body, one("v", "float32"))["v"].tolist()


@pytest.mark.parametrize("text", [r'"\ud800"', r'{"\udfff": 1}', "[" * 2000 + "]" * 2000])
def test_what_is_no_json_is_none_with_a_bare_nan_beside_it_either(text: str) -> None:
    for with_nan in (text, f"[NaN, {text}]"):
        with pytest.raises(Malformed, match="not JSON"):
            parse(f'{{"x": {with_nan}}}'.encode())


def test_an_integer_of_more_than_64_bits_is_a_floating_point_number_with_a_bare_nan_beside_it_too() -> None:
    big = "1" * 30
    assert parse(f'{{"x": {big}}}'.encode())["x"] == parse(f'{{"x": {big}, "y": NaN}}'.encode())["x"]
    assert {"x": 2**64 - 1, "y": None} == orjson.loads(rewritten(parse(b'{"x": 18446744073709551615, "y": NaN}')))


@pytest.mark.parametrize("depth", [100, 300, 1000])
def test_a_value_however_deeply_nested_is_refused_and_shown_in_a_few_words(depth: int) -> None:
    """The collector reads what was refused again, so the error must not be one of writing the error."""
    for opens, ends in (("[", "]"), ('{"a": ', "}")):
        body = f'{{"inputs": [{{"name": "v", "datatype": "FP64", "shape": [1], "data": [{opens * depth}1{ends * depth}]}}]}}'
        with pytest.raises((Malformed, SignatureMismatch)) as caught:
            decode(body.encode(), one("v", "float64"))
        assert len(caught.value.message) < 200


def test_what_is_nested_too_deeply_to_be_passed_on_is_malformed() -> None:
    body = b'{"x": ' + b"[" * 300 + b"]" * 300 + b"}"
    signature = one("x", "float64")
    for rewrite in (
        to_v1,
        hydrosphere.question,
        lambda sent: decode_generate(sent, "application/json", None, signature, False),
    ):
        with pytest.raises(Malformed, match="cannot be passed on"):
            rewrite(body)


@pytest.mark.parametrize("shape", [[1] * 33, [1] * 100_000, [0, 2**62], [0, 2**30, 2**30]])
def test_a_shape_that_no_array_has_is_malformed(shape: list[int]) -> None:
    for data in ({"data": [1.0] * (0 not in shape)}, {"parameters": {"binary_data_size": 8 * (0 not in shape)}}):
        body = orjson.dumps({"inputs": [{"name": "v", "datatype": "FP64", "shape": shape, **data}]})
        tail = b"\0" * 8 * (0 not in shape) if "data" not in data else b""
        with pytest.raises(Malformed, match="no array"):
            decode_request(body + tail, "", len(body), one("v", "float64"), protocol="v2")


def test_nan_is_answered_as_null() -> None:
    answer = encode_response(
        {"v": np.array([math.nan, math.inf, 1.5])}, one("v", "float64"), PLAIN, model="m", version=1
    )

    assert [None, None, 1.5] == orjson.loads(answer.body)["outputs"][0]["data"]


@pytest.mark.parametrize("data", [[[1, 2], [3]], [[1, 2], 3], [1, 2, 3], [[[1, 2]], [[3, 4]]], "x", {}])
def test_data_that_does_not_fill_its_shape_is_malformed(data: Any) -> None:
    with pytest.raises(Malformed, match="x"):
        decode(v2([tensor("x", "FP64", [2, 2], data)]), one("x", "float64", (2,)))


def test_fp16_has_no_json_form() -> None:
    with pytest.raises(Malformed, match="FP16"):
        decode(v2([tensor("v", "FP16", [1], [0.5])]), one("v", "float16"))
    answer = encode_response({"v": np.array([0.5], dtype=np.float16)}, one("v", "float16"), PLAIN, model="m", version=1)
    assert {"name": "v", "datatype": "FP32", "shape": [1], "data": [0.5]} == orjson.loads(answer.body)["outputs"][0]


def test_answers_hold_the_id_and_the_outputs_that_were_asked_for() -> None:
    body = v2(
        [tensor("x", "FP64", [1, 2], [1, 2])],
        id="abc",
        outputs=[{"name": "probabilities", "parameters": {"binary_data": True}}],
    )
    _, info = decode_request(body, "", None, LABEL)
    outputs = {"label": np.array([1]), "probabilities": np.array([[0.25, 0.75]])}

    answer = encode_response(outputs, LABEL, info, model="churn", version=3)

    assert answer.json_length is not None
    document = orjson.loads(answer.body[: answer.json_length])
    assert ("churn", "3", "abc") == (document["model_name"], document["model_version"], document["id"])
    assert ["probabilities"] == [o["name"] for o in document["outputs"]]
    assert 16 == document["outputs"][0]["parameters"]["binary_data_size"]
    assert np.array([0.25, 0.75]).tobytes() == answer.body[answer.json_length :]


def test_one_output_may_be_json_in_a_binary_answer() -> None:
    info = RequestInfo(outputs={"label": False, "probabilities": True})
    outputs = {"label": np.array([1]), "probabilities": np.array([[0.25, 0.75]])}

    answer = encode_response(outputs, LABEL, info, model="m", version=1)

    document = orjson.loads(answer.body[: answer.json_length])
    assert [1] == document["outputs"][0]["data"]
    assert "data" not in document["outputs"][1]


def test_an_output_that_there_is_not_is_refused() -> None:
    with pytest.raises(SignatureMismatch, match="nope"):
        decode(v2([tensor("x", "FP64", [1, 2], [1, 2])], outputs=[{"name": "nope"}]), LABEL)


def test_bytes_that_are_no_text_need_binary_data() -> None:
    outputs = {"word": np.array([b"\xff"], dtype=object)}

    with pytest.raises(FunctionFailed, match="not UTF-8"):
        encode_response(outputs, TEXT, PLAIN, model="m", version=1)
    answer = encode_response(outputs, TEXT, RequestInfo(binary=True), model="m", version=1)
    assert [b"\xff"] == decode_response(answer.body, answer.json_length, TEXT)["word"].tolist()


def test_binary_text_has_a_length_in_front_of_each_element() -> None:
    body = encode_request({"word": np.array(["ä", ""], dtype=object)}, TEXT)

    assert b"\x02\x00\x00\x00\xc3\xa4\x00\x00\x00\x00" == body.body[body.json_length :]


@pytest.mark.parametrize("cut", [1, 3, 5, 9])
def test_torn_binary_data_is_malformed(cut: int) -> None:
    request = encode_request({"word": np.array(["abc", "de"], dtype=object)}, TEXT)

    with pytest.raises(Malformed):
        decode_request(request.body[:-cut], request.content_type, request.json_length, TEXT)


@pytest.mark.parametrize("shape", [[1], [3], [2, 2]])
def test_binary_text_with_another_number_of_elements_is_malformed(shape: list[int]) -> None:
    data = b"\x01\x00\x00\x00a\x01\x00\x00\x00b"
    entry = {"name": "word", "datatype": "BYTES", "shape": shape, "parameters": {"binary_data_size": len(data)}}
    text = json.dumps({"inputs": [entry]}).encode()

    with pytest.raises(Malformed, match="word"):
        decode_request(text + data, "", len(text), TEXT)


def test_without_batch_wire_shapes_are_the_signatures() -> None:
    """``batch: false``: no row dimension; a scalar may also be ``[1]``, packed rows one row."""
    picture = one("x", "float64", (2, 2))
    for shape, data in (([], [5]), ([1], [5])):
        body = v2([tensor("a", "FP64", shape, data), tensor("b", "FP64", shape, data)])
        assert () == decode(body, LABEL, batch=False)["a"].shape
    assert (2, 2) == decode(v2([tensor("x", "FP64", [2, 2], [1, 2, 3, 4])]), picture, batch=False)["x"].shape
    assert 2.0 == decode(v2([tensor("p", "FP64", [2], [1, 2])]), LABEL, batch=False)["b"].item()
    with pytest.raises(SignatureMismatch):
        decode(v2([tensor("x", "FP64", [1, 2, 2], [1, 2, 3, 4])]), picture, batch=False)


def test_missing_words_travel_as_json() -> None:
    tensors = {"word": np.array(["a", None], dtype=object)}

    request = encode_request(tensors, TEXT)

    assert request.json_length is None
    assert ["a", None] == decode(request.body, TEXT)["word"].tolist()


class TestV1:
    """Rows and columns of protocol v1."""

    @pytest.mark.parametrize(
        "document",
        [
            {"instances": [{"a": 1, "b": 2}, {"b": 4, "a": 3}]},
            {"instances": [[1, 2], [3, 4]]},
            {"inputs": {"a": [1, 3], "b": [2, 4]}},
            {"inputs": {"b": [[2], [4]], "a": [1.0, 3.0]}, "signature_name": "serving_default"},
        ],
    )
    def test_a_table_has_four_forms(self, document: dict[str, Any]) -> None:
        rows = decode(json.dumps(document).encode(), LABEL, protocol="v1")

        assert {"a": [1.0, 3.0], "b": [2.0, 4.0]} == {n: a.tolist() for n, a in rows.items()}

    @pytest.mark.parametrize(
        "document",
        [
            {"instances": [[[1, 2]], [[3, 4]]]},
            {"inputs": [[[1, 2]], [[3, 4]]]},
            {"instances": [{"x": [[1, 2]]}, {"x": [[3, 4]]}]},
        ],
    )
    def test_one_input_may_be_plain(self, document: dict[str, Any]) -> None:
        assert (2, 1, 2) == decode(json.dumps(document).encode(), one("x", "float64", (1, 2)), protocol="v1")["x"].shape

    @pytest.mark.parametrize("document", [{"instances": [5, 6]}, {"instances": [[5], [6]]}, {"inputs": [5, 6]}])
    def test_one_scalar_input_may_be_plain(self, document: dict[str, Any]) -> None:
        assert [5, 6] == decode(json.dumps(document).encode(), one("x", "int64"), protocol="v1")["x"].tolist()

    @pytest.mark.parametrize(
        ("document", "field"),
        [
            ({"instances": [{"a": 1}]}, "b"),
            ({"instances": [{"a": 1, "b": 2, "c": 3}]}, "c"),
            ({"instances": [{"a": 1, "b": "x"}]}, "b"),
            ({"instances": [[1, "x"]]}, "b"),
            ({"instances": [[1, 2, 3]]}, "instances"),
            ({"inputs": {"a": [1], "b": [1, 2]}}, "b"),
            ({"inputs": {"a": [1], "c": [1]}}, "c"),
            ({"inputs": {"a": [1], "b": [[1, 2]]}}, "b"),
        ],
    )
    def test_rows_that_do_not_fit_name_the_field(self, document: dict[str, Any], field: str) -> None:
        with pytest.raises(SignatureMismatch) as refused:
            decode(json.dumps(document).encode(), LABEL, protocol="v1")

        assert field == refused.value.field

    @pytest.mark.parametrize(
        "document",
        [
            {},
            {"instances": []},
            {"instances": 5},
            {"instances": [1, 2]},
            {"instances": [[1, 2], {"a": 1}]},
            {"inputs": 5},
            {"inputs": {"a": 1}},
        ],
    )
    def test_other_forms_are_malformed(self, document: dict[str, Any]) -> None:
        with pytest.raises(Malformed):
            decode(json.dumps(document).encode(), LABEL, protocol="v1")

    def test_predictions_are_values_or_objects(self) -> None:
        outputs = {"label": np.array([1, 0]), "probabilities": np.array([[0.25, 0.75], [1, 0]])}
        plain = encode_response({"x": np.array([1, 2])}, one("x", "int64"), PLAIN, model="m", version=1, protocol="v1")
        several = encode_response(outputs, LABEL, PLAIN, model="m", version=1, protocol="v1")

        assert {"predictions": [1, 2]} == orjson.loads(plain.body)
        assert {"label": 1, "probabilities": [0.25, 0.75]} == orjson.loads(several.body)["predictions"][0]

    def test_bytes_are_base64(self) -> None:
        rows = decode(b'{"instances": [{"b64": "/w=="}, {"b64": "AA=="}]}', TEXT, protocol="v1")
        answer = encode_response(
            {"word": np.array([b"\xff", b"ok"], dtype=object)}, TEXT, PLAIN, model="m", version=1, protocol="v1"
        )

        assert [b"\xff", b"\x00"] == rows["word"].tolist()
        assert {"predictions": [{"b64": "/w=="}, "ok"]} == orjson.loads(answer.body)

    def test_without_batch_there_is_one_row(self) -> None:
        assert 1.0 == decode(b'{"instances": [[1, 2]]}', LABEL, protocol="v1", batch=False)["a"].item()
        assert 1.0 == decode(b'{"inputs": {"a": 1, "b": 2}}', LABEL, protocol="v1", batch=False)["a"].item()
        with pytest.raises(SignatureMismatch, match="one row"):
            decode(b'{"instances": [[1, 2], [3, 4]]}', LABEL, protocol="v1", batch=False)
