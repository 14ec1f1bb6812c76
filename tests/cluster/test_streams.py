"""Streams between topics of a real broker, by pods that come and go with the lag: each message is answered once and logged once."""

import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from confluent_kafka import Consumer
from kubernetes import client

from fixtures_kafka import Broker
from headrace_controller.backends.kserve.streams import SECRET, STREAM

from .installed import Installed, until

HOST = os.environ.get("HEADRACE_TEST_S3_HOST", "127.0.0.1")
USER, PASSWORD = "scoring", "correct-horse"
# Slow enough that what is killed is in the middle of something.
FUNCTION = "import time\n\n\ndef predict(model, x):\n    time.sleep(0.005 * len(x))\n    return {'y': x + 1}\n"
NUMBER = {"shape": "scalar", "type": "double"}
JAAS = "org.apache.kafka.common.security.plain.PlainLoginModule required"


@pytest.fixture(scope="module")
def pods_port(broker: Broker) -> int:
    """A port of the broker that pods reach, which asks for a password; its own is on loopback."""
    file = broker.state / "server.properties"
    said, port = file.read_text(), broker.port + 2
    said = re.sub(r"(?m)^listeners=", f"listeners=PODS://{HOST}:{port},", said)
    said = re.sub(r"(?m)^advertised.listeners=", f"advertised.listeners=PODS://{HOST}:{port},", said)
    said += "listener.security.protocol.map=PODS:SASL_PLAINTEXT,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n"
    said += f'listener.name.pods.plain.sasl.jaas.config={JAAS} user_{USER}="{PASSWORD}";\n'
    said += "listener.name.pods.sasl.enabled.mechanisms=PLAIN\n"
    file.write_text(said)
    broker.restart()
    return port


def apply_adder(platform: Installed, folder: Path) -> None:
    contract = {"inputs": {"x": NUMBER}, "outputs": {"y": NUMBER}}
    platform.apply_python(folder, "adder", FUNCTION, contract, scaling={"idle-timeout": "60s"})


@pytest.fixture(scope="module")
def adder(platform: Installed, tmp_path_factory: pytest.TempPathFactory) -> str:
    apply_adder(platform, tmp_path_factory.mktemp("adder"))
    return "adder"


class Streamed:
    """A stream over topics of its own, and what can be seen of it."""

    def __init__(self, platform: Installed, broker: Broker, port: int, folder: Path, name: str, **more: Any) -> None:
        self.platform, self.broker, self.name, self._folder = platform, broker, name, folder
        self.source, self.destination, self.errors = self.topics = broker.topics("in", "out", "bad", partitions=4)
        self.definition: dict[str, Any] = {
            "kind": "Stream",
            "name": name,
            "model": "adder",
            "brokers": [f"{HOST}:{port}"],
            **dict(zip(("source", "destination", "errors"), self.topics, strict=True)),
            "properties": {
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanism": "PLAIN",
                "sasl.username": USER,
                "sasl.password": "${KAFKA_PASSWORD}",
            },
            **more,
        }

    def apply(self) -> None:
        file = self._folder / f"{self.name}.yaml"
        file.write_text(yaml.safe_dump(self.definition))
        self.platform.headrace("apply", "-f", str(file))

    def shown(self) -> dict[str, Any]:
        found: dict[str, Any] = self.platform.headrace("stream", "show", self.name, "--json")
        return found

    def until_state(self, state: str, seconds: float = 60.0) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def is_so() -> bool:
            found.update(self.shown())
            return bool(found["state"] == state)

        try:
            until(is_so, f"{self.name} is {state}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {found}") from error
        return found

    def pods(self) -> list[str]:
        return self.platform.pods(f"{STREAM}={self.name}")

    def send(self, first: int, last: int) -> None:
        self.broker.send(self.source, [(b"%d" % i, b'{"x": %d}' % i) for i in range(first, last)])

    def rows(self) -> list[dict[str, Any]]:
        """Rows of the log that come from this stream."""
        mine = f"request_id LIKE 'kafka:{self.name}:%'"
        columns = ("--columns", "request_id,in.x", "--limit", "10000", "--json")
        found: list[dict[str, Any]] = self.platform.headrace("log", "query", "adder:1", "--where", mine, *columns)
        return found

    def check_each_once(self, count: int, seconds: float = 120.0) -> None:
        """Each message is once in the destination and once in the log."""
        found = self.broker.read(self.destination, count, seconds)
        answers = Counter(int(m.key or b"") for m in found)
        assert (dict.fromkeys(range(count), 1), 0) == (dict(sorted(answers.items())), len(found) - count)
        assert all(orjson.loads(m.value or b"")["y"] == int(m.key or b"") + 1 for m in found)
        until(lambda: len(self.rows()) >= count, "every message is in the log", seconds)
        rows = self.rows()
        assert list(range(count)) == sorted(int(r["in.x"]) for r in rows)
        assert {1} == set(Counter(r["request_id"] for r in rows).values())


def create_secret(platform: Installed) -> None:
    body = client.V1Secret(metadata=client.V1ObjectMeta(name=SECRET), string_data={"KAFKA_PASSWORD": PASSWORD})
    client.CoreV1Api(platform.api).create_namespaced_secret(platform.namespace, body)


@pytest.fixture(scope="module")
def secret(platform: Installed) -> None:
    create_secret(platform)


@pytest.fixture
def made(
    platform: Installed, broker: Broker, pods_port: int, adder: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Any]:
    names: list[str] = []

    def make(**more: Any) -> Streamed:
        name = f"s{len(names)}-{abs(hash(request.node.name)) % 10_000}"
        names.append(name)
        return Streamed(platform, broker, pods_port, tmp_path, name, **more)

    yield make
    for name in names:
        if name in [s["name"] for s in platform.headrace("stream", "list", "--json")]:
            platform.headrace("stream", "rm", name)


def test_a_stream_says_which_key_its_secret_lacks_and_runs_once_it_is_there(made: Any, platform: Installed) -> None:
    stream = made()
    stream.apply()
    told = stream.until_state("failed")
    assert f"the Secret {SECRET} lacks KAFKA_PASSWORD" in told["reason"]
    assert [] == stream.pods()
    platform.kubectl("create", "secret", "generic", SECRET, f"--from-literal=KAFKA_PASSWORD={PASSWORD}")
    stream.until_state("asleep")
    stream.send(0, 10)
    stream.check_each_once(10)
    platform.kubectl("delete", "secret", SECRET)


@pytest.mark.usefixtures("secret")
def test_a_stream_wakes_by_its_lag_answers_each_message_once_and_sleeps_again(made: Any, platform: Installed) -> None:
    stream = made(scaling={"idle-timeout": "5s"})
    stream.apply()
    stream.until_state("asleep")
    assert [] == stream.pods()
    stream.send(0, 100)  # the model wakes, too; what is measured below is the stream alone
    stream.check_each_once(100)
    found = stream.until_state("asleep")
    until(lambda: not stream.pods(), "its pods are gone")
    assert (0, 100, 0) == (found["lag"], found["answered"], found["refused"])

    stream.send(100, 101)
    stream.broker.read(stream.destination, 101, 30)
    sent, answered = (_written(stream.broker, topic, b"100") for topic in (stream.source, stream.destination))
    print(f"0 to 1 on lag: answered {answered - sent:.1f} s after it was sent")
    assert answered - sent < 15  # at most 5 s where nothing else runs; see docs/performance.md
    stream.check_each_once(101)


@pytest.mark.usefixtures("secret")
def test_killed_pods_lose_and_double_nothing_while_several_share_the_stream(made: Any, platform: Installed) -> None:
    count = 9000
    stream = made(batch=50, scaling={"max-replicas": 3, "lag-per-replica": 500, "idle-timeout": "20s"})
    stream.apply()
    stream.send(0, count)
    until(lambda: len(stream.pods()) == 3, "three pods share it")
    core = client.CoreV1Api(platform.api)
    killed = []
    for below in (8000, 6000, 4000):
        until(lambda below=below: 0 < (stream.shown()["lag"] or 0) < below, f"less than {below} wait", 120)  # type: ignore[misc]
        pod = stream.pods()[0]
        core.delete_namespaced_pod(pod, platform.namespace, grace_period_seconds=0)
        killed.append(stream.shown()["lag"])
    print(f"killed three pods, after which so many waited: {killed}")
    assert killed[1] > 0
    stream.check_each_once(count, 240)


@pytest.mark.usefixtures("secret")
def test_a_paused_stream_has_no_pods_and_its_lag_is_told_everywhere(made: Any, platform: Installed) -> None:
    stream = made(scaling={"min-replicas": 1})
    stream.apply()
    stream.send(0, 5)
    stream.broker.read(stream.destination, 5)
    assert stream.until_state("running")["replicas"] == 1
    platform.headrace("stream", "pause", stream.name)
    stream.until_state("paused")
    until(lambda: not stream.pods(), "its pods are gone")
    stream.send(5, 8)
    until(lambda: stream.shown()["lag"] == 3, "three messages wait")
    listed = platform.headrace("stream", "list")
    assert re.search(rf"{stream.name} +adder +\S+ +paused +3", listed)
    figures = platform.kubectl(
        "get", "--raw", f"/api/v1/namespaces/{platform.namespace}/services/headrace-controller:http/proxy/metrics"
    )
    lag = re.findall(rf'headrace_stream_lag{{stream="{stream.name}".*}} (\d+)', figures)
    assert 3 == sum(map(int, lag))
    page = platform.kubectl(
        "get", "--raw", f"/api/v1/namespaces/{platform.namespace}/services/headrace-controller:http/proxy/streams"
    )
    assert stream.name in page
    platform.headrace("stream", "resume", stream.name)
    stream.check_each_once(8)


@pytest.mark.usefixtures("secret")
def test_a_deleted_stream_takes_its_deployment_along_and_no_secret_is_in_it(made: Any, platform: Installed) -> None:
    stream = made(scaling={"min-replicas": 1})
    stream.apply()
    until(stream.pods, "it has a pod")
    listed = f"{STREAM}={stream.name}"
    document = platform.kubectl("get", "deployment,pod", "-l", listed, "-o", "yaml")
    assert "${KAFKA_PASSWORD}" in document
    assert PASSWORD not in document
    platform.headrace("stream", "rm", stream.name)
    until(lambda: not platform.kubectl("get", "deployment,pod", "-l", listed, "-o", "name"), "all of it is gone")


@pytest.mark.usefixtures("secret")
def test_a_controller_that_begins_anew_and_a_second_one_leave_one_deployment_each(
    made: Any, platform: Installed
) -> None:
    stream = made(scaling={"min-replicas": 1})
    stream.apply()
    until(stream.pods, "it has a pod")
    before = stream.pods()
    platform.kubectl("scale", "deployment/headrace-controller", "--replicas=2")
    platform.kubectl("rollout", "status", "deployment/headrace-controller", "--timeout=120s")
    try:
        stream.send(0, 200)
        stream.broker.read(stream.destination, 200)
        assert before == stream.pods()
        assert 1 == len(platform.kubectl("get", "deployment", "-l", STREAM, "-o", "name").split())
    finally:
        platform.kubectl("scale", "deployment/headrace-controller", "--replicas=1")
    stream.check_each_once(200)


def test_a_stream_is_let_in_where_callers_are_asked_who_they_are(
    guarded: Installed, broker: Broker, pods_port: int, tmp_path: Path
) -> None:
    apply_adder(guarded, tmp_path / "adder")
    create_secret(guarded)
    stream = Streamed(guarded, broker, pods_port, tmp_path, "guarded")
    stream.apply()
    stream.send(0, 20)
    stream.check_each_once(20)


def _written(broker: Broker, topic: str, key: bytes) -> float:
    """When the message of a key was written, in seconds since 1970, by the clock that all share here."""
    consumer = Consumer(
        {"bootstrap.servers": broker.address, "group.id": f"when-{topic}", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for message in consumer.consume(500, 0.5):
                if message.key() == key:
                    return float(message.timestamp()[1]) / 1000
    finally:
        consumer.close()
    raise AssertionError(f"{key!r} is not in {topic}")
