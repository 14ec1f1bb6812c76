"""A real Kafka broker on loopback, where the machine has one: ``HEADRACE_KAFKA`` is a command with ``up PORT`` and ``down PORT``."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parents[1]


def command() -> str | None:
    """The command that starts a broker; None where there is none, or no Java to run it."""
    named = os.environ.get("HEADRACE_KAFKA") or None
    places = [Path(named)] if named else [p / "shared" / "kafka" / "kafka" for p in (_ROOT.parent, _ROOT.parents[1])]
    found = next((p for p in places if p.is_file()), None)
    return str(found) if found is not None and shutil.which("java") else None


@dataclass
class Read:
    """One message as a consumer that sees committed ones alone got it."""

    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]
    partition: int
    offset: int


@dataclass
class Broker:
    """A broker and what tests do with it."""

    port: int
    state: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def run(self, verb: str) -> None:
        told = {**os.environ, "HEADRACE_KAFKA_STATE": str(self.state)}
        done = subprocess.run(
            [str(command()), verb, str(self.port)], check=False, env=told, capture_output=True, timeout=180
        )
        assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()

    def restart(self) -> None:
        """Kill the broker's process and start it again on the same data."""
        pid, arguments = next(self._java())
        os.kill(pid, 9)
        while Path(f"/proc/{pid}").exists() and "Z" not in _state(pid):
            time.sleep(0.05)
        with (self.state / "broker.log").open("ab") as log:
            self.started.append(subprocess.Popen(arguments, stdout=log, stderr=log, start_new_session=True))
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.1)
        raise AssertionError("the broker does not come back")

    def _java(self) -> Iterator[tuple[int, list[bytes]]]:
        """The broker's own process with its arguments."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    arguments = (entry / "cmdline").read_bytes().split(b"\0")[:-1]
                except OSError:
                    continue
                if b"kafka.Kafka" in arguments and str(self.state / "server.properties").encode() in arguments:
                    yield int(entry.name), arguments

    def stop(self) -> None:
        """End the broker. Its own ``down`` removes the data while the broker may still write, so the process is ended first."""
        for pid, _ in list(self._java()):
            os.kill(pid, 9)
            while Path(f"/proc/{pid}").exists() and "Z" not in _state(pid):
                time.sleep(0.05)
        for process in self.started:
            process.wait()
        self.run("down")

    def topics(self, *names: str, partitions: int = 3) -> list[str]:
        """New topics whose names begin with ``names``."""
        made = [f"{name}-{uuid.uuid4().hex[:8]}" for name in names]
        self.create(*made, partitions=partitions)
        return made

    def create(self, *made: str, partitions: int = 3) -> None:
        from confluent_kafka.admin import AdminClient, NewTopic

        admin = AdminClient({"bootstrap.servers": self.address})
        for done in admin.create_topics([NewTopic(t, partitions, 1) for t in made]).values():
            done.result(30)

    def send(self, topic: str, messages: list[tuple[Any, ...]]) -> None:
        """Messages of key, value and, where there are any, headers."""
        from confluent_kafka import Producer

        producer = Producer({"bootstrap.servers": self.address, "linger.ms": 20, "enable.idempotence": True})
        for key, value, *headers in messages:
            while True:
                try:
                    producer.produce(topic, value, key, headers=headers[0] if headers else None)
                except BufferError:
                    producer.poll(0.1)
                else:
                    break
        assert producer.flush(120) == 0

    def read(self, topic: str, count: int, seconds: float = 60.0) -> list[Read]:
        """All committed messages, once there are ``count`` and no more come for a second; an error names how many there are."""
        from confluent_kafka import Consumer

        consumer = Consumer(
            {
                "bootstrap.servers": self.address,
                "group.id": f"test-{uuid.uuid4().hex}",
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
            }
        )
        consumer.subscribe([topic])
        found: list[Read] = []
        deadline = time.monotonic() + seconds
        quiet = 0.0
        try:
            while time.monotonic() < deadline and not (len(found) >= count and quiet > 0.6):
                started = time.monotonic()
                some = consumer.consume(5000, 0.3)
                for m in some:
                    assert m.error() is None, m.error()
                    found.append(Read(m.key(), m.value(), dict(m.headers() or []), m.partition(), m.offset()))
                quiet = 0.0 if some else quiet + time.monotonic() - started
        finally:
            consumer.close()
        assert len(found) >= count, f"{len(found)} of {count} messages in {topic}"
        return found


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2]
    except OSError:
        return "Z"


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    if command() is None:
        pytest.skip("no Kafka broker here: HEADRACE_KAFKA names no command, or there is no java")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    made = Broker(port, tmp_path_factory.mktemp("kafka") / "state")
    made.run("up")
    yield made
    made.stop()
