"""Sensitive fields: what is kept of their values, in records and in training data."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_functions.errors import InvalidInput
from headrace_functions.protection import is_sensitive, protect
from headrace_functions.protocol.codec import decode_request, decode_response, encode_request, encode_response
from headrace_functions.protocol.messages import RequestInfo
from headrace_functions.protocol.protected import protected_record
from headrace_functions.record import Record, RecordHeader
from headrace_functions.signature import Field, Signature
from headrace_functions.version import Version
from support.versions import version

KEY = bytes(range(32))


def field(name: str, kind: str, how: str) -> Field:
    return Field.from_document({"name": name, "type": kind, "sensitive": how})


def kept(kind: str, how: str, values: list[Any], key: bytes = KEY) -> list[Any]:
    it = field("f", kind, how)
    array = np.array(values, it.dtype.numpy if kind != "string" else object)
    found: list[Any] = protect((it,), {"f": array}, key)["f"].tolist()
    return found


@given(st.lists(st.text(), min_size=1, max_size=20))
def test_equal_texts_have_equal_hashes_and_others_have_others(values: list[str]) -> None:
    hashed = kept("string", "hash", values)
    assert len(set(values)) == len(set(hashed))
    assert [v == values[0] for v in values] == [h == hashed[0] for h in hashed]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20))
def test_equal_numbers_have_equal_hashes_of_the_same_type(values: list[int]) -> None:
    hashed = kept("int64", "hash", values)
    assert len(set(values)) == len(set(hashed))
    assert all(0 <= h < 2**62 for h in hashed)


def test_another_key_and_another_field_give_other_hashes() -> None:
    assert kept("string", "hash", ["ann"]) != kept("string", "hash", ["ann"], bytes(32))
    fields = (field("f", "string", "hash"), field("g", "string", "hash"))
    found = protect(fields, {n: np.array(["ann"], object) for n in "fg"}, KEY)
    assert found["f"][0] != found["g"][0]


def test_a_hash_without_a_key_is_a_drop() -> None:
    assert ["", ""] == kept("string", "hash", ["ann", "bob"], b"")
    assert [0, 0] == kept("int64", "hash", [3, 4], b"")


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [("string", ["ann", ""], ["", ""]), ("int32", [3, -1], [0, 0]), ("bool", [True, False], [False, False])],
)
def test_a_dropped_value_is_a_constant_of_its_type(kind: str, values: list[Any], expected: list[Any]) -> None:
    assert expected == kept(kind, "drop", values)
    assert np.isnan(kept("float32", "drop", [1.5, 2.5])).all()


def test_of_a_masked_text_the_first_letter_is_kept() -> None:
    assert ["a***", "", "Ö***", None] == kept("string", "mask", ["ann@example.org", "", "Özil", None])


@pytest.mark.parametrize(
    ("document", "field_named"),
    [
        ({"type": "float64", "sensitive": "hash"}, "sensitive"),
        ({"type": "int64", "sensitive": "mask"}, "sensitive"),
        ({"type": "string", "sensitive": "encrypt"}, "sensitive"),
        ({"type": "string", "sensitive": "hash", "categories": ["ann"]}, "sensitive"),
        ({"type": "int64", "sensitive": "drop", "range": [0, 9]}, "sensitive"),
    ],
)
def test_what_cannot_be_kept_so_is_refused(document: dict[str, Any], field_named: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Field.from_document({"name": "f", **document})
    assert field_named == refused.value.field


def it(batch: bool = True) -> Version:
    inputs = (field("email", "string", "hash"), field("name", "string", "mask"), field("income", "float64", "drop"))
    plain = Field.from_document({"name": "age", "type": "int64"})
    signature = Signature((*inputs, plain), (field("reason", "string", "drop"),))
    made = version("teller", 1)
    return Version(made.id, made.framework, signature, made.artifact, made.environment, made.content, batch=batch)


SECRETS = (b"ann@example.org", b"Ann Arbor", b"5432.125", b"because of Ann")


def exchange(at: Version, *, binary: bool) -> Record:
    one: dict[str, Any] = {"email": "ann@example.org", "name": "Ann Arbor", "income": 5432.125, "age": 41}
    shape = (2,) if at.batch else ()
    inputs = {
        f.name: np.full(shape, one[f.name], f.dtype.numpy if f.dtype.name != "string" else object)
        for f in at.signature.inputs
    }
    asked = encode_request(inputs, at.signature, binary=binary, batch=at.batch)
    outputs = {"reason": np.full(shape, "because of Ann", object)}
    told = encode_response(outputs, at.signature, RequestInfo(binary=binary), model="teller", version=1, batch=at.batch)
    header = RecordHeader(
        "r", "teller", 1, 1, 1.0, "ok", 200, "v2", asked.content_type, asked.json_length, told.json_length
    )
    return Record(header, asked.body, told.body)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("batch", [True, False])
def test_a_record_keeps_no_sensitive_value_and_can_be_read(binary: bool, batch: bool) -> None:
    at = it(batch)
    record = exchange(at, binary=binary)
    found = protected_record(at, record, KEY)
    assert not any(secret in found.request + found.response for secret in SECRETS)
    h = found.header
    tensors, _ = decode_request(found.request, h.request_type, h.request_json, at.signature, batch=batch)
    assert 41 == np.atleast_1d(tensors["age"])[0]
    assert "A***" == np.atleast_1d(tensors["name"])[0]
    assert np.isnan(np.atleast_1d(tensors["income"])[0])
    told = decode_response(found.response, h.response_json, at.signature, batch=batch)
    assert "" == np.atleast_1d(told["reason"])[0]


def test_a_body_that_cannot_be_read_is_not_kept_and_of_an_error_the_code_alone() -> None:
    header = RecordHeader("r", "teller", 1, 1, 1.0, "refused", 422, error="signature-mismatch: got 'ann@example.org'")
    found = protected_record(it(), Record(header, b'{"inputs": ["ann@example.org"', b"Ann Arbor"), KEY)
    assert (b"", b"", "signature-mismatch") == (found.request, found.response, found.header.error)


def test_a_version_says_whether_it_has_sensitive_fields() -> None:
    assert is_sensitive(it().signature)
    assert not is_sensitive(version("adder", 1).signature)
    assert it().signature == Signature.from_document(it().signature.to_document())
