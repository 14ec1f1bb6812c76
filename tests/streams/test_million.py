"""A million messages through a stream while its parts are killed: nothing lost, nothing doubled, in the topic and in the log.

``make test-streams``. ``HEADRACE_STREAM_MESSAGES`` and ``HEADRACE_STREAM_KILLS`` make it shorter.
"""

import itertools
import os
import random
import signal
import time
from collections import Counter

import pyarrow.compute as pc
import pytest
from confluent_kafka import KafkaException
from deltalake import DeltaTable

from fixtures_kafka import Broker
from fixtures_platform import RunningPlatform, until
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from local.test_streams import answered, applied, shown, stream, streams_processes

COUNT = int(os.environ.get("HEADRACE_STREAM_MESSAGES", "1000000"))
KILLS = int(os.environ.get("HEADRACE_STREAM_KILLS", "20"))
RESTARTS = 2
"""Of the broker, among the kills."""

pytestmark = pytest.mark.timeout(3600)


def test_a_million_messages_and_twenty_kills(broker: Broker, platform: RunningPlatform) -> None:
    source, destination, errors = broker.topics("in", "out", "bad", partitions=4)
    for first in range(0, COUNT, 100_000):
        broker.send(source, [(b"%d" % i, b'{"x": %d}' % i) for i in range(first, min(first + 100_000, COUNT))])
    name = applied(platform, stream(broker, [source, destination, errors], batch=2000))
    started = time.monotonic()
    dice = random.Random(1)
    restarts = 0
    parts = itertools.cycle(("streams", "gateway", "adder-v1"))
    for kill in range(KILLS):
        goal = COUNT * (kill + 1) // (KILLS + 2)
        until(lambda goal=goal: answers(broker, destination) > goal, f"more than {goal} answers", 600)  # type: ignore[misc]
        time.sleep(dice.random() * 0.3)  # somewhere within a batch, not always at its end
        part = next(parts)
        if part == "streams":
            for pid in streams_processes(platform):
                os.kill(pid, signal.SIGKILL)
        else:
            platform.kill(part)
        if kill % (KILLS // RESTARTS or 1) == 1:
            broker.restart()
            restarts += 1
    until(lambda: (time.sleep(1), shown(platform, name)["lag"] == 0)[1], "nothing waits", 2400)
    seconds = time.monotonic() - started

    found = broker.read(destination, COUNT, 600)
    keys = Counter(m.key for m in found)
    assert (COUNT, COUNT, {1}) == (len(found), len(keys), set(keys.values()))
    assert [] == broker.read(errors, 0, 5)
    logged: list[str] = []
    deadline = time.monotonic() + 1200
    while len(logged) < COUNT and time.monotonic() < deadline:
        time.sleep(5)  # each look reads the ids of the whole log
        logged = request_ids(platform, name)
    assert (COUNT, COUNT) == (len(logged), len(set(logged)))
    print(
        f"\n{COUNT} messages, {KILLS} kills, {restarts} restarts of the broker: {COUNT / seconds:.0f} messages/s, none lost, none doubled"
    )


def answers(broker: Broker, topic: str) -> int:
    """As ``answered``; 0 while a broker that was killed comes back."""
    try:
        return answered(broker, topic)
    except KafkaException:
        return 0


def request_ids(platform: RunningPlatform, name: str) -> list[str]:
    objects = ObjectStore(platform.settings.storage_url)
    table = DeltaTable(
        objects.table_url(layout.log_table(VersionId("adder", 1))), storage_options=objects.table_options()
    )
    ids = table.to_pyarrow_table(columns=["request_id"])["request_id"]
    found: list[str] = ids.filter(pc.starts_with(ids, f"kafka:{name}:")).to_pylist()
    return found
