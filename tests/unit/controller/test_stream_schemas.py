"""Messages in Avro: read by the schema that they name, refused alone where they are wrong, waited for where the registry is away."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_controller.streams.messages import Message, Problem, Question, question
from headrace_controller.streams.schemas import SchemaRegistry
from headrace_functions.errors import Malformed, Unreachable
from schema_registry import Registry, schema_registry

ORDER = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "x", "type": "double"},
        {"name": "plan", "type": ["null", "string"], "default": None},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "raw", "type": "bytes"},
    ],
}
RECORD = {
    "x": 1.5,
    "plan": None,
    "at": datetime(2026, 11, 1, tzinfo=UTC),
    "day": date(2026, 11, 2),
    "price": Decimal("12.50"),
    "raw": b"\xff\x00",
}


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with schema_registry(
        {7: ORDER, 8: {"type": "record", "name": "P", "fields": [{"name": "x", "type": "int"}]}}
    ) as found:
        yield found


def test_a_record_is_read_as_json_has_its_values_and_its_schema_asked_once(registry: Registry) -> None:
    reader = SchemaRegistry(registry.url, "ann:pw")
    before = len(registry.asked)
    for _ in range(3):
        found = reader.decode(registry.message(7, RECORD))
    assert {
        "x": 1.5,
        "plan": None,
        "at": "2026-11-01T00:00:00+00:00",
        "day": "2026-11-02",
        "price": 12.5,
        "raw": {"b64": "/wA="},
    } == found
    assert (["/schemas/ids/7"], "Basic YW5uOnB3") == (registry.asked[before:], registry.auth[-1])
    reader.close()


@pytest.mark.parametrize(
    "tear",
    [lambda m: m[:-1], lambda m: m + b"x", lambda m: b"\1" + m[1:], lambda m: m[:3], lambda m: b"\0\0\0\0\x63" + m[5:]],
)
def test_what_is_no_record_of_its_schema_is_refused_alone(registry: Registry, tear: object) -> None:
    reader = SchemaRegistry(registry.url)
    bad = tear(registry.message(7, RECORD))  # type: ignore[operator]
    with pytest.raises(Malformed):
        reader.decode(bad)
    assert isinstance(question(Message("a", 0, 0, None, bad), reader.decode), Problem)
    assert isinstance(question(Message("a", 0, 0, None, registry.message(8, {"x": 3})), reader.decode), Question)
    reader.close()


@given(st.binary(max_size=60))
def test_no_bytes_end_in_anything_but_a_refusal(registry: Registry, rest: bytes) -> None:
    reader = SchemaRegistry(registry.url)
    assert isinstance(question(Message("a", 0, 0, None, b"\0\0\0\0\x07" + rest), reader.decode), Problem | Question)
    reader.close()


def test_a_registry_that_is_away_is_waited_for_and_no_message_is_blamed(registry: Registry) -> None:
    reader = SchemaRegistry(registry.url)
    registry.status = 503
    try:
        with pytest.raises(Unreachable, match="503"):
            question(Message("a", 0, 0, None, registry.message(8, {"x": 3})), reader.decode)
    finally:
        registry.status = 200
    assert {"x": 3} == reader.decode(registry.message(8, {"x": 3}))
    nobody = SchemaRegistry("http://127.0.0.1:9")
    with pytest.raises(Unreachable, match="does not answer"):
        nobody.decode(registry.message(8, {"x": 3}))
    nobody.close()
    reader.close()
