"""Streams between topics of a real broker: what is answered, what is refused, and what a kill may not lose or double."""

import os
import re
import signal
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
import yaml

from fixtures_kafka import Broker
from fixtures_platform import RunningPlatform, headrace, until
from schema_registry import schema_registry

TWO = """
def predict(model, x):
    if (x < 0).any():
        raise ValueError("below zero")
    return {"y": x + 1, "half": x / 2}
"""
NUMBER = {"shape": "scalar", "type": "double"}


def stream(broker: Broker, topics: list[str], name: str = "", model: str = "adder", **more: Any) -> dict[str, Any]:
    return {
        "kind": "Stream",
        "name": name or f"s{uuid.uuid4().hex[:8]}",
        "model": model,
        "brokers": [broker.address],
        **dict(zip(("source", "destination", "errors"), topics, strict=True)),
        **more,
    }


def applied(platform: RunningPlatform, definition: dict[str, Any]) -> str:
    platform.apply("-", stdin=yaml.safe_dump(definition))
    name: str = definition["name"]
    return name


def shown(platform: RunningPlatform, name: str) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(headrace("stream", "show", name, "--url", platform.url, "--json").stdout)
    return found


def numbers(*x: float) -> list[tuple[bytes, bytes]]:
    return [(b"k%d" % i, orjson.dumps({"x": v})) for i, v in enumerate(x)]


def streams_processes(platform: RunningPlatform) -> list[int]:
    wanted = f"headrace_controller.embedded.streams {platform.settings.run}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                said = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
            except OSError:
                continue
            if wanted in said:
                found.append(int(entry.name))
    return found


@pytest.fixture
def topics(broker: Broker) -> list[str]:
    return broker.topics("in", "out", "bad")


def test_rows_are_answered_with_their_keys_and_headers_and_logged_by_offset(
    broker: Broker, platform: RunningPlatform, topics: list[str]
) -> None:
    broker.send(
        topics[0], [(b"a", b'{"x": 1}', [("team", b"red")]), (b"b", b'[{"x": 2}, {"x": 3}]'), (None, b'{"x": 4}')]
    )
    name = applied(platform, stream(broker, topics))
    found = {m.value: m for m in broker.read(topics[1], 3)}

    assert {b'{"y":2.0}', b'[{"y":3.0},{"y":4.0}]', b'{"y":5.0}'} == set(found)
    one = found[b'{"y":2.0}']
    assert (b"a", b"red", b"adder:1") == (one.key, one.headers["team"], one.headers["x-headrace-version"])
    assert re.fullmatch(rf"kafka:{name}:0:{topics[0]}:\d:\d{{20}}", one.headers["x-request-id"].decode())
    mine = f"kafka:{name}:"
    lines = until(
        lambda: (
            (ls := [r for r in platform.logged("adder:1") if r["request_id"].startswith(mine)]) and len(ls) == 4 and ls
        ),
        "four rows are in the log",
    )
    assert {("0", 1.0), ("0", 2.0), ("1", 3.0), ("0", 4.0)} == {(str(r["row"]), r["in.x"]) for r in lines}
    assert one.headers["x-request-id"].decode() in {r["request_id"] for r in lines}


def test_what_is_to_blame_goes_to_the_error_topic_and_the_rest_is_answered(
    broker: Broker, platform: RunningPlatform, topics: list[str]
) -> None:
    inputs, outputs = {"x": NUMBER}, {"y": NUMBER, "half": NUMBER}
    platform.apply_python("two", TWO, platform.home / "two", contract={"inputs": inputs, "outputs": outputs})
    poison = {
        b"json": b"{", b"none": None, b"list": b"[1, 2]", b"type": b'{"x": "one"}', b"name": b'{"z": 1}', b"fails": b'{"x": -1}',
        b"deep": b'{"x": ' + b"[" * 300 + b"]" * 300 + b"}",
    }  # fmt: skip
    good = [(b"g%d" % i, orjson.dumps({"x": i})) for i in range(40)]
    broker.send(topics[0], [*good[:20], *poison.items(), *good[20:]])
    name = applied(platform, stream(broker, topics, model="two:1"))
    answers = broker.read(topics[1], 40)
    problems = {m.key: m for m in broker.read(topics[2], len(poison))}

    assert {(b"g%d" % i, i + 1.0, i / 2) for i in range(40)} == {
        (m.key, *(orjson.loads(m.value or b"")[n] for n in ("y", "half"))) for m in answers
    }
    assert set(poison) == set(problems)
    codes = {k: orjson.loads(m.headers["headrace-problem"])["code"] for k, m in problems.items()}
    assert {
        b"json": "malformed", b"none": "malformed", b"list": "malformed", b"type": "signature-mismatch", b"name": "signature-mismatch",
        b"fails": "function-failed", b"deep": "malformed",
    } == codes  # fmt: skip
    assert poison == {k: m.value for k, m in problems.items()}
    origin = orjson.loads(problems[b"json"].headers["headrace-origin"])
    assert topics[0] == origin["topic"]
    told = until(lambda: (s := shown(platform, name))["lag"] == 0 and s["refused"] == 7 and s, "nothing is left")
    assert ("running", 40) == (told["state"], told["answered"])
    mine = f"kafka:{name}:"
    lines = until(
        lambda: (
            (ls := [r for r in platform.logged("two:1") if r["request_id"].startswith(mine)]) and len(ls) >= 43 and ls
        ),
        "all that the function was asked is in the log",
    )
    assert {"ok": 40, "refused": 2, "failed": 1} == Counter(r["outcome"] for r in lines)


def test_bodies_of_the_inference_protocol_and_sequences_are_asked_as_they_are(
    broker: Broker, platform: RunningPlatform, topics: list[str]
) -> None:
    platform.apply("-", stdin="kind: Sequence\nname: flow\npipeline:\n  - [{model: 'adder:1'}]\n")
    body = {"id": "mine", "inputs": [{"name": "x", "shape": [2], "datatype": "FP64", "data": [1, 2]}]}
    broker.send(topics[0], [(b"v2", orjson.dumps(body))])
    applied(platform, stream(broker, topics, model="flow"))
    (answer,) = broker.read(topics[1], 1)
    document = orjson.loads(answer.value or b"")

    assert ("mine", [2.0, 3.0]) == (document["id"], document["outputs"][0]["data"])


def test_a_paused_stream_reads_nothing_its_lag_is_told_and_it_goes_on_where_it_was(
    broker: Broker, platform: RunningPlatform, topics: list[str]
) -> None:
    broker.send(topics[0], numbers(1, 2))
    name = applied(platform, stream(broker, topics))
    broker.read(topics[1], 2)
    assert headrace("stream", "pause", name, "--url", platform.url).returncode == 0
    until(lambda: shown(platform, name)["state"] == "paused", "it is paused")
    broker.send(topics[0], numbers(3, 4, 5))
    until(lambda: shown(platform, name)["lag"] == 3, "three messages wait")
    gauge = httpx.get(f"{platform.url}/api/v1/reports/gauges").text
    listed = headrace("stream", "list", "--url", platform.url).stdout

    assert 3 == sum(int(n) for n in re.findall(rf'headrace_stream_lag{{stream="{name}".*}} (\d+)', gauge))
    assert re.search(rf"{name} +adder +\S+ +paused +3", listed)
    assert 2 == len(broker.read(topics[1], 2))
    assert headrace("stream", "resume", name, "--url", platform.url).returncode == 0
    values = sorted(orjson.loads(m.value or b"")["y"] for m in broker.read(topics[1], 5))
    assert [2.0, 3.0, 4.0, 5.0, 6.0] == values


def test_a_reset_reads_again_from_there_on(broker: Broker, platform: RunningPlatform, topics: list[str]) -> None:
    broker.send(topics[0], numbers(1, 2, 3))
    name = applied(platform, stream(broker, topics))
    broker.read(topics[1], 3)
    done = headrace("stream", "reset", name, "--to", "earliest", "--url", platform.url)
    again = broker.read(topics[1], 6)

    assert 0 == done.returncode, done.stderr
    assert Counter({2.0: 2, 3.0: 2, 4.0: 2}) == Counter(orjson.loads(m.value or b"")["y"] for m in again)
    assert f"headrace-{name}.1" == shown(platform, name)["group"]


def test_a_stream_says_why_it_cannot_run_and_runs_once_it_can(broker: Broker, platform: RunningPlatform) -> None:
    (source, destination) = broker.topics("in", "out")
    errors = f"bad-{uuid.uuid4().hex[:8]}"
    name = applied(platform, stream(broker, [source, destination, errors]))
    told = until(lambda: (s := shown(platform, name))["state"] == "failed" and s, "it says that it failed")
    assert f"topic {errors} does not exist at {broker.address}" == told["reason"]

    broker.create(errors)
    until(lambda: shown(platform, name)["state"] == "running", "it runs", 60)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"brokers": "127.0.0.1:1"}, "Kafka at 127.0.0.1:1: no connection; check the address and security.protocol"),
        (
            {"properties": {"no.such.option": "5"}},
            "the Kafka client refuses the settings: No such configuration property: 'no.such.option'",
        ),
        (
            {"properties": {"sasl.password": "${NO_SUCH_VARIABLE}"}},
            "sasl.password needs the environment variable NO_SUCH_VARIABLE, which the platform does not have",
        ),
    ],
)
def test_what_is_wrong_with_the_way_to_the_broker_is_said_in_words_that_tell_what_to_change(
    broker: Broker, platform: RunningPlatform, change: dict[str, Any], reason: str
) -> None:
    name = applied(platform, stream(broker, ["a", "b", "c"]) | change)
    told = until(lambda: (s := shown(platform, name))["state"] == "failed" and s, "it says why it failed", 60)
    assert reason == told["reason"]


@pytest.mark.parametrize("guarantee", ["exactly-once", "at-least-once"])
def test_kills_lose_nothing_and_with_transactions_double_nothing(
    broker: Broker, platform: RunningPlatform, topics: list[str], guarantee: str
) -> None:
    """The short form of ``make test-streams``: the process of streams, the gateway and the function are killed under way."""
    count = 4000
    name = applied(platform, stream(broker, topics, batch=100, guarantee=guarantee))
    broker.send(topics[0], [(b"%d" % i, b'{"x": %d}' % i) for i in range(count)])
    kills = (("streams", 200), ("gateway", 900), ("adder-v1", 1700), ("streams", 2600))
    for part, after in kills if guarantee == "exactly-once" else kills[:1]:
        until(lambda n=after: answered(broker, topics[1]) > n, f"more than {after} answers", 60)  # type: ignore[misc]
        if part == "streams":
            for pid in streams_processes(platform):
                os.kill(pid, signal.SIGKILL)
        else:
            platform.kill(part)
    found = broker.read(topics[1], count, 120)
    keys = Counter(m.key for m in found)
    mine = f"kafka:{name}:"
    lines = until(
        lambda: (
            (ls := [r for r in platform.logged("adder:1") if r["request_id"].startswith(mine)])
            and len(ls) >= count
            and ls
        ),
        "every message is in the log",
        60,
    )

    assert {b"%d" % i for i in range(count)} == set(keys)
    if guarantee == "exactly-once":
        assert {1} == set(keys.values())
    assert {1} == set(Counter(r["request_id"] for r in lines).values())
    assert np.arange(count).tolist() == sorted(int(r["in.x"]) for r in lines)


def answered(broker: Broker, topic: str) -> int:
    """Messages (and marks of transactions) that a topic holds."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "count", "log_level": 0})
    try:
        partitions = consumer.list_topics(topic, 10).topics[topic].partitions
        return sum(consumer.get_watermark_offsets(TopicPartition(topic, p), 10)[1] for p in partitions)
    finally:
        consumer.close()


def test_avro_by_a_registry_and_binary_tensors_are_answered_and_wrong_ones_refused(
    broker: Broker, platform: RunningPlatform, topics: list[str]
) -> None:
    record = {
        "type": "record",
        "name": "Order",
        "fields": [{"name": "x", "type": "double"}, {"name": "note", "type": "string"}],
    }
    plain = {"type": "record", "name": "Plain", "fields": [{"name": "x", "type": "double"}]}
    with schema_registry({1: plain, 2: record}) as registry:
        registry.status = 503
        name = applied(platform, stream(broker, topics, format="avro", registry=registry.url))
        broker.send(
            topics[0], [(b"a", registry.message(1, {"x": 1.0})), (b"b", registry.message(2, {"x": 2.0, "note": "?"}))]
        )
        broker.send(topics[0], [(b"c", b"\0\0\0\0\x09what"), (b"d", registry.message(1, {"x": 4.0}))])
        until(lambda: shown(platform, name)["state"] == "waiting", "it waits for the registry")
        assert "registry answered 503" in shown(platform, name)["reason"]
        registry.status = 200
        answers = {m.key: orjson.loads(m.value or b"") for m in broker.read(topics[1], 2)}
        refused = {m.key: orjson.loads(m.headers["headrace-problem"])["detail"] for m in broker.read(topics[2], 2)}
    assert {b"a": 2.0, b"d": 5.0} == {key: value["y"] for key, value in answers.items()}
    assert "note" in refused[b"b"]
    assert "the registry has no schema 9" == refused[b"c"]

    binary = broker.topics("in", "out", "bad")
    applied(platform, stream(broker, binary))
    head = orjson.dumps(
        {
            "parameters": {"binary_data_output": True},
            "inputs": [{"name": "x", "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": 16}}],
        }
    )
    value = head + np.array([1.0, 41.0]).tobytes()
    broker.send(binary[0], [(b"k", value, [("inference-header-content-length", b"%d" % len(head)), ("trace", b"7")])])
    (answer,) = broker.read(binary[1], 1)
    length = int(answer.headers["inference-header-content-length"])
    told = orjson.loads((answer.value or b"")[:length])
    assert b"7" == answer.headers["trace"]
    y = next(o for o in told["outputs"] if o["name"] == "y")
    assert [2] == y["shape"]
    assert [2.0, 42.0] == np.frombuffer((answer.value or b"")[length:], np.float64)[:2].tolist()
