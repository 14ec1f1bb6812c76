"""``kind: Stream``: what a definition may say."""

from typing import Any

import pytest

from headrace_controller.definitions import StreamDefinition, check_document
from headrace_controller.streams.kafka import client_settings
from headrace_controller.streams.messages import (
    JSON_LENGTH,
    Message,
    Problem,
    Question,
    Reply,
    body_of,
    groups,
    outgoing_headers,
    question,
    replies,
    rows_of,
)
from headrace_functions.errors import InvalidInput, Unreachable

GOOD = {
    "kind": "Stream",
    "name": "s",
    "model": "m@prod",
    "brokers": ["b:1"],
    "source": "a",
    "destination": "b",
    "errors": "c",
}


def stream(**more: Any) -> StreamDefinition:
    found = check_document({**GOOD, **more})
    assert isinstance(found, StreamDefinition)
    return found


def message(value: bytes | None, partition: int = 0, offset: int = 0) -> Message:
    return Message("a", partition, offset, None, value)


def asked(value: bytes, partition: int = 0) -> Question:
    found = question(message(value, partition))
    assert isinstance(found, Question)
    return found


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"source": "b"}, None), ({"errors": "b"}, None), ({"source": "no topic"}, "source"), ({"brokers": []}, "brokers"),
        ({"model": "M"}, "model"), ({"start": "yesterday"}, "start"), ({"batch": 0}, "batch"), ({"batch": 4097}, "batch"),
        ({"guarantee": "maybe"}, "guarantee"), ({"topic": "x"}, "topic"),
        ({"properties": {"group.id": "mine"}}, "properties"), ({"properties": {"sasl.password": "letmein"}}, "properties"),
        ({"properties": {"ssl.key.pem": "-----BEGIN PRIVATE KEY-----"}}, "properties"),
        ({"scaling": {"min-replicas": 3, "max-replicas": 2}}, "scaling"), ({"scaling": {"lag-per-replica": 0}}, "scaling.lag-per-replica"),
        ({"format": "avro"}, "registry"), ({"registry": "http://r:1"}, "registry"), ({"format": "xml"}, "format"),
        ({"format": "avro", "registry": "http://ann:pw@r:1"}, "registry"),
        ({"format": "avro", "registry": "http://r:1", "registry-auth": "ann:pw"}, "registry-auth"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_its_place(change: dict[str, Any], field: str | None) -> None:
    with pytest.raises(InvalidInput) as caught:
        stream(**change)

    assert field == caught.value.field


def test_a_reset_has_a_group_of_its_own() -> None:
    assert ["headrace-s", "headrace-s.2"] == [stream().consumer_group(n) for n in (0, 2)]
    assert "mine.1" == stream(group="mine").consumer_group(1)


def test_secrets_come_from_the_environment() -> None:
    it = stream(properties={"sasl.password": "${SECRET}", "enable.ssl.certificate.verification": True})

    assert "pw" == client_settings(it, {"SECRET": "pw"})["sasl.password"]
    assert "true" == client_settings(it, {"SECRET": "pw"})["enable.ssl.certificate.verification"]
    with pytest.raises(InvalidInput, match="environment variable SECRET"):
        client_settings(it, {})


def test_the_variables_of_a_stream_are_those_that_its_settings_name() -> None:
    it = stream(properties={"sasl.username": "${USER}-${REGION}", "sasl.password": "${SECRET}", "client.id": "plain"})
    assert ["REGION", "SECRET", "USER"] == it.variables
    assert ["AUTH"] == stream(format="avro", registry="http://r:1", **{"registry-auth": "${AUTH}"}).variables
    assert [] == stream().variables


def test_rows_of_one_partition_are_asked_together_and_bodies_of_the_protocol_alone() -> None:
    rows = [
        asked(b'{"x": 1}'),
        asked(b'[{"x": 2}, {"x": 3}]'),
        asked(b'{"x": 4}'),
        asked(b'{"inputs": []}'),
        asked(b'{"x": 5}', 1),
    ]
    found = list(groups(rows, 3))

    assert [rows[:2], [rows[2]], [rows[3]], [rows[4]]] == found
    assert b'{"instances":[{"x":1},{"x":2},{"x":3}]}' == body_of(found[0])


def test_answers_have_the_form_of_their_questions() -> None:
    group = [asked(b'{"x": 1}'), asked(b'[{"x": 2}, {"x": 3}]')]

    assert [b'{"y":1.0}', b'[{"y":2.0},{"y":3.0}]'] == [
        r.value for r in replies(group, b'{"predictions": [1.0, 2.0, 3.0]}', ["y"], "m:1")
    ]
    with pytest.raises(Unreachable):
        replies(group, b'{"predictions": [1.0]}', ["y"], "m:1")


@pytest.mark.parametrize("value", [None, b"", b"{", b"1", b'"x"', b"[]", b"[1]", b"\xff"])
def test_a_message_that_cannot_be_read_is_a_problem(value: bytes | None) -> None:
    assert isinstance(question(message(value)), Problem)


def test_json_of_a_producer_with_a_schema_registry_is_read_behind_its_schema_id() -> None:
    assert asked(b'{"x": 1}').rows == asked(b"\0\0\0\0\x07" + b'{"x": 1}').rows


def test_a_body_with_binary_tensors_is_asked_as_it_is_and_its_layout_is_not_told_of_the_answer() -> None:
    head = b'{"inputs": [{"name": "x", "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": 16}}]}'
    told = Message("a", 0, 0, None, head + bytes(16), [("trace", b"1"), (JSON_LENGTH, b"%d" % len(head))])
    found = question(told)
    assert isinstance(found, Question)
    assert ("v2", len(head), 2) == (found.form, found.json_length, rows_of(found))
    assert head + bytes(16) == body_of([found])
    assert ["trace"] == [name for name, _ in outgoing_headers(Reply(told, b"{}", "m:1"), {})]
    assert ["trace", JSON_LENGTH] == [name for name, _ in outgoing_headers(Problem(told, b"{}"), {})]
    for length in (b"x", b"5", b"999999"):
        assert isinstance(question(Message("a", 0, 0, None, head, [(JSON_LENGTH, length)])), Problem)
