"""What consumers of a stream commit and read at a real broker, without a platform: ends of partitions, several consumers, fencing."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import orjson
import pytest

from fixtures_kafka import Broker
from fixtures_platform import until
from headrace_controller.definitions.stream import StreamDefinition
from headrace_controller.streams.kafka import LagView, Lanes, Outgoing
from headrace_controller.streams.messages import Message
from headrace_controller.streams.running import StreamRun


def definition(broker: Broker, topics: list[str], **more: object) -> StreamDefinition:
    places = dict(zip(("source", "destination", "errors"), topics, strict=True))
    named = {"name": topics[0], "model": "adder", "brokers": [broker.address]}
    return StreamDefinition.model_validate(named | places | more)


@contextmanager
def lanes(stream: StreamDefinition, identity: str = "") -> Iterator[Lanes]:
    opened = Lanes(stream, 0, stream.start, {}, identity)
    opened.open()
    try:
        yield opened
    finally:
        opened.close()


def copied(opened: Lanes, stream: StreamDefinition, count: int, seconds: float = 30.0) -> list[Message]:
    """Read, answer and settle as a stream does, until so many messages are answered and a second longer."""
    found: list[Message] = []
    deadline = time.monotonic() + seconds
    quiet = 0
    while time.monotonic() < deadline and (len(found) < count or quiet < 4):
        read = opened.read(100, 0.3)
        if read:
            opened.write([Outgoing(stream.destination, m.key, m.value, []) for m in read], read)
        opened.settle()
        found += read
        quiet = 0 if read else quiet + 1
    return found


def lag(stream: StreamDefinition) -> tuple[int, bool]:
    view = LagView(stream, 0, {})
    found = sum(view.lag().values())
    view.close()
    return found, view.begun


def test_a_topic_of_transactions_that_is_read_to_its_end_has_no_lag(broker: Broker) -> None:
    """The marker of a transaction takes a place behind its last message; a group that stopped before it would lag for ever."""
    first, second, third, bad = broker.topics("in", "between", "out", "bad")
    broker.send(first, [(b"%d" % i, b"{}") for i in range(20)])
    one, two = definition(broker, [first, second, bad]), definition(broker, [second, third, bad])
    with lanes(one) as opened:
        assert 20 == len(copied(opened, one, 20))
    assert (20, False) <= lag(two)  # markers included, as nobody has read them yet
    with lanes(two) as opened:
        assert 20 == len(copied(opened, two, 20))
    assert (0, True) == lag(two)


def test_a_stream_from_latest_on_answers_what_came_while_nobody_read(broker: Broker) -> None:
    topics = broker.topics("in", "out", "bad")
    broker.send(topics[0], [(b"old", b"{}")])
    stream = definition(broker, topics, start="latest")
    assert (0, False) == lag(stream)
    with lanes(stream) as opened:
        assert [] == copied(opened, stream, 0, seconds=8)
    assert (0, True) == lag(stream)
    broker.send(topics[0], [(b"new", b"{}")])
    assert (1, True) == lag(stream)
    with lanes(stream) as opened:
        assert [b"new"] == [m.key for m in copied(opened, stream, 1)]


class Echo:
    """A gateway that answers every row of ``x`` with ``y``, slowly enough for a group to be divided meanwhile."""

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        time.sleep(0.05)
        rows = [{"y": row["x"]} for row in orjson.loads(body)["instances"]]
        return httpx.Response(200, content=orjson.dumps({"predictions": rows}), headers={"x-headrace-version": "a:1"})

    def outputs(self, model: str) -> list[str]:
        return ["y"]


@pytest.mark.timeout(180)
def test_several_consumers_of_a_group_answer_each_message_once_while_it_is_divided_anew(broker: Broker) -> None:
    topics = broker.topics("in", "out", "bad", partitions=6)
    stream = definition(broker, topics, batch=50)

    def send() -> None:
        for n in range(0, 10_000, 500):
            broker.send(topics[0], [(b"%d" % i, b'{"x": %d}' % i) for i in range(n, n + 500)])
            time.sleep(0.2)

    sending = threading.Thread(target=send)
    runs = [StreamRun(stream, 0, stream.start, Echo(), identity=f"c{n}") for n in range(3)]
    sending.start()
    for run in runs:  # one after another, so that partitions move while messages come
        run.start()
        until(lambda run=run: run.progress.answered > 0, "it has answered", 30)  # type: ignore[misc]
    runs[1].stop()
    sending.join()
    try:
        found = broker.read(topics[1], 10_000, seconds=90)
    finally:
        for run in runs:
            run.stop()
    counted = Counter(m.key for m in found)
    assert (10_000, 1) == (len(counted), max(counted.values()))
    assert all(run.progress.answered > 0 for run in runs)
