"""Kafka as streams need it. The one module that imports its client library.

With ``exactly-once``, the answers of a batch, its problems and its offsets are one transaction: a reader with
``isolation.level=read_committed`` sees all or nothing of it, and a batch whose transaction did not commit is read again. The
transactional id is the stream's name, so a process that was taken for dead cannot commit any more once another has begun. Where
several consumers share a stream each has an ``identity`` beside it, and the group's generation fences: an answer to a partition
that has gone to another consumer is not committed, and whoever gets a partition waits for transactions that are open on it.
With ``at-least-once``, the offsets are committed after the broker has every answer; a batch may be answered again after a crash.

A consumer that has read a partition to its end commits that end: it may lie behind the last message, after the marker of a
transaction, and a group that has committed nothing would take ``latest`` for another place the next time.
"""

import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import Message as KafkaMessage

from headrace_controller.definitions.stream import VARIABLE, StreamDefinition
from headrace_controller.streams.messages import Headers, Message
from headrace_functions.errors import InvalidInput, NotFound, Unreachable

log = logging.getLogger("headrace.streams")

_BROKER_SECONDS = 10.0
_TRANSACTION_SECONDS = 10.0
_FLUSH_SECONDS = 60.0
_NO_TOPIC = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)  # noqa: SLF001 -- the library's name for it
_WORDS: Mapping[int, str] = {
    KafkaError._TRANSPORT: "no connection; check the address and security.protocol",  # noqa: SLF001
    KafkaError._ALL_BROKERS_DOWN: "no broker can be reached",  # noqa: SLF001
    KafkaError._RESOLVE: "the host name cannot be resolved",  # noqa: SLF001
    KafkaError._TIMED_OUT: "no answer in time",  # noqa: SLF001
    KafkaError._AUTHENTICATION: "the credentials were refused, or the brokers do not use this security.protocol",  # noqa: SLF001
    KafkaError.SASL_AUTHENTICATION_FAILED: "the credentials were refused",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "the credentials have no permission on the topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "the credentials have no permission on the consumer group",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "the credentials have no permission on the transactional id",
}
OPEN_TRANSACTION = 20.0
"""Seconds after which brokers give up the transaction of a consumer that never comes back under its identity."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers


class TooBig(Exception):
    """The broker takes no message of this size."""


class Moved(Exception):
    """Partitions went to another consumer, or the transaction was given up: what is not committed is read again."""


class Lanes:
    """One consumer and one producer of a stream. Not for several threads at once.

    Raises ``NotFound`` for a topic that is missing, ``Unreachable`` for brokers that do not answer or refuse.
    """

    def __init__(
        self,
        stream: StreamDefinition,
        resets: int,
        start: str,
        environment: Mapping[str, str] = os.environ,
        identity: str = "",
    ) -> None:
        """``identity`` tells consumers of one stream from one another; empty where there is one."""
        self._stream = stream
        self._start = start
        self._said = ""
        self._exactly_once = stream.guarantee == "exactly-once"
        shared = client_settings(stream, environment) | {"error_cb": self._heard}
        self._consumer = _made(
            Consumer,
            shared
            | {
                "group.id": stream.consumer_group(resets),
                "enable.auto.commit": False,
                "auto.offset.reset": "latest" if start == "latest" else "earliest",
                "isolation.level": "read_committed",
                "max.poll.interval.ms": 600_000,
                # The least that brokers take by default: so long the partitions of a killed process are nobody's.
                "session.timeout.ms": 6_000,
                "heartbeat.interval.ms": 1_500,
                "allow.auto.create.topics": False,
                "fetch.wait.max.ms": 100,
                "enable.partition.eof": True,
            },
        )
        self._moved = False
        self._fatal: KafkaException | None = None
        self._ends: dict[int, int] = {}
        self._committed: dict[int, int] = {}
        transactional: dict[str, Any] = {}
        if self._exactly_once:
            transactional["transactional.id"] = f"headrace.{stream.name}" + (f".{identity}" if identity else "")
            if identity:  # one that is gone for good is fenced by nobody of the same id
                transactional["transaction.timeout.ms"] = round(OPEN_TRANSACTION * 1000)
        self._producer = _made(Producer, shared | {"enable.idempotence": True, "linger.ms": 5, **transactional})
        self._refused: list[KafkaError] = []

    def open(self) -> None:
        """Check the topics, fence an earlier process of this stream, and join the group."""
        stream = self._stream
        try:
            for key in ("source", "destination", "errors"):
                topic = getattr(stream, key)
                found = self._consumer.list_topics(topic, timeout=_BROKER_SECONDS).topics[topic]
                if found.error is not None:
                    raise self._topic_unusable(key, topic, found.error)
            if self._exactly_once:
                self._producer.init_transactions(_TRANSACTION_SECONDS)
        except KafkaException as error:
            raise self._away(error) from error
        self._consumer.subscribe(
            [stream.source], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )

    def read(self, most: int, seconds: float) -> list[Message]:
        """The next messages, none after ``seconds`` without any."""
        try:
            found = self._consumer.consume(most, seconds)
        except KafkaException as error:
            raise self._away(error) from error
        if self._fatal is not None:  # the client would read nothing more, and not say so again
            raise Moved(f"the client has to begin anew: {self._said}")
        moved, self._moved = self._moved, False
        messages = []
        for one in found:
            refused = one.error()
            if refused is not None and refused.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 -- the library's name for it
                if not moved:  # else it may be the end of a partition that went to another consumer
                    self._ends[int(one.partition() or 0)] = int(one.offset() or 0)
            elif refused is not None:
                raise self._away(KafkaException(refused))
            else:
                messages.append(_message(one))
        return messages

    def settle(self) -> None:
        """Commit the ends of partitions that have been read and answered to their ends, where that is further than the last answer."""
        ends, self._ends = self._ends, {}
        further = {p: end for p, end in ends.items() if end > self._committed.get(p, -1)}
        if not further:
            return
        try:
            offsets = [TopicPartition(self._stream.source, p, o) for p, o in sorted(further.items())]
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except (
            KafkaException
        ) as error:  # the group is being divided anew; whoever gets the partition comes to its end, too
            log.info("stream %s: ends are not committed: %s", self._stream.name, error.args[0].str())
        else:
            self._committed |= further

    def stay(self) -> None:
        """Tell the group that this consumer lives while it waits for answers; ``Moved`` if it lost its partitions."""
        held = self._consumer.assignment()
        self._consumer.pause(held)
        self._consumer.poll(0)
        if self._moved or self._fatal is not None:
            raise Moved("the group has given the partitions to another consumer")
        self._consumer.resume(held)

    def write(self, outgoing: Iterable[Outgoing], read: Sequence[Message]) -> None:
        """Write answers and problems and commit the offsets behind ``read``, all or nothing with ``exactly-once``."""
        behind: dict[int, int] = {}
        for message in read:
            behind[message.partition] = max(message.offset + 1, behind.get(message.partition, 0))
        offsets = [TopicPartition(self._stream.source, p, o) for p, o in sorted(behind.items())]
        try:
            if self._exactly_once:
                self._in_transaction(outgoing, offsets)
            else:
                self._produce(outgoing)
                if self._producer.flush(_FLUSH_SECONDS):
                    raise Unreachable("the brokers did not accept the responses in time")
                self._raise_refused()
                self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            raise self._away(error) from error
        self._committed |= behind

    def _in_transaction(self, outgoing: Iterable[Outgoing], offsets: list[TopicPartition]) -> None:
        self._producer.begin_transaction()
        try:
            self._produce(outgoing)
            self._producer.send_offsets_to_transaction(
                offsets, self._consumer.consumer_group_metadata(), _TRANSACTION_SECONDS
            )
            self._commit_transaction()
        except TooBig:
            self._producer.abort_transaction(_TRANSACTION_SECONDS)
            raise
        except KafkaException as error:
            if error.args[0].fatal():
                raise
            self._producer.abort_transaction(_TRANSACTION_SECONDS)
            raise Moved(f"the transaction was given up: {error.args[0].str()}") from error

    def _commit_transaction(self) -> None:
        while True:
            try:
                self._producer.commit_transaction(_TRANSACTION_SECONDS)
            except KafkaException as error:
                if not error.args[0].retriable():
                    raise
            else:
                return

    def _produce(self, outgoing: Iterable[Outgoing]) -> None:
        for one in outgoing:
            while True:
                try:
                    self._producer.produce(
                        one.topic, one.value, one.key, headers=[*one.headers], on_delivery=self._delivered
                    )
                except BufferError:
                    self._producer.poll(0.1)  # the queue is full: what it holds goes out meanwhile
                except KafkaException as error:
                    if error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
                        raise TooBig(one.topic) from error
                    raise
                else:
                    break
        self._producer.poll(0)

    def _delivered(self, error: KafkaError | None, _message: KafkaMessage) -> None:
        if error is not None:
            self._refused.append(error)

    def _raise_refused(self) -> None:
        refused, self._refused = self._refused, []
        for error in refused:
            raise TooBig(error.str()) if error.code() == KafkaError.MSG_SIZE_TOO_LARGE else KafkaException(error)

    def close(self) -> None:
        """Leave the group at once; what was not committed is read again by whoever comes next."""
        self._consumer.close()
        self._producer.purge()
        self._producer.flush(1)

    def _assigned(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """Begin where the group has committed; where it has not, where the stream says."""
        if self._start in ("earliest", "latest"):
            return
        moment = round(datetime.fromisoformat(self._start).timestamp() * 1000)
        committed = consumer.committed(partitions, timeout=_BROKER_SECONDS)
        fresh = [TopicPartition(c.topic, c.partition, moment) for c in committed if c.offset < 0]
        known = [c for c in committed if c.offset >= 0]
        found = consumer.offsets_for_times(fresh, timeout=_BROKER_SECONDS) if fresh else []
        consumer.assign([*known, *found])

    def _revoked(self, _consumer: Any, _partitions: list[TopicPartition]) -> None:
        self._moved = True
        self._ends.clear()
        self._committed.clear()

    def _heard(self, error: KafkaError) -> None:
        self._said = error.str()
        if error.code() == KafkaError._FATAL or error.fatal():  # noqa: SLF001 -- the library's name for it
            self._fatal = KafkaException(error)

    def _topic_unusable(self, key: str, topic: str, error: KafkaError) -> NotFound | Unreachable:
        if error.code() in _NO_TOPIC:
            there = ", ".join(self._stream.brokers)
            return NotFound(
                f"topic {topic} does not exist at {there}",
                field=key,
                hint="create it; no topic is created automatically",
            )
        return Unreachable(f"topic {topic}: {_words(error)}", field=key)

    def _away(self, error: KafkaException) -> Unreachable:
        return _unreachable(self._stream, error.args[0], self._said)


class LagView:
    """Looks at a group from outside, whether its stream runs or not."""

    begun = False
    """Whether the last look saw that the group has committed in every partition; before, where it begins is known to its consumers alone."""

    def __init__(self, stream: StreamDefinition, resets: int, environment: Mapping[str, str] = os.environ) -> None:
        self._stream = stream
        settings = client_settings(stream, environment)
        self._consumer = _made(
            Consumer,
            settings | {"group.id": stream.consumer_group(resets), "enable.auto.commit": False, "log_level": 0},
        )

    def lag(self) -> dict[int, int]:
        """Messages by partition that are there and not committed. ``Unreachable`` where the brokers do not answer."""
        stream = self._stream
        try:
            topic = self._consumer.list_topics(stream.source, timeout=_BROKER_SECONDS).topics[stream.source]
            partitions = [TopicPartition(stream.source, number) for number in sorted(topic.partitions)]
            committed = self._consumer.committed(partitions, timeout=_BROKER_SECONDS) if partitions else []
            found: dict[int, int] = {}
            self.begun = bool(committed) and all(one.offset >= 0 for one in committed)
            for one in committed:
                low, high = self._consumer.get_watermark_offsets(
                    TopicPartition(one.topic, one.partition), timeout=_BROKER_SECONDS
                )
                begin = one.offset if one.offset >= 0 else low if stream.start != "latest" else high
                found[one.partition] = max(0, high - max(low, begin))
        except KafkaException as error:
            raise _unreachable(stream, error.args[0]) from error
        return found

    def close(self) -> None:
        self._consumer.close()


_Client = TypeVar("_Client", Consumer, Producer)


def _made(kind: type[_Client], settings: dict[str, Any]) -> _Client:
    """A client with these settings; ``InvalidInput`` for one that the library does not have or whose value it refuses."""
    try:
        return kind(settings)
    except (KafkaException, TypeError, ValueError) as error:
        text = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        said = text.replace('"', "'")
        raise InvalidInput(
            f"the Kafka client refuses the settings: {said}",
            field="properties",
            hint="properties takes the settings of librdkafka",
        ) from error


def _unreachable(stream: StreamDefinition, error: KafkaError, heard: str = "") -> Unreachable:
    said = _words(error)
    more = f" ({heard})" if heard and heard not in said else ""
    return Unreachable(f"Kafka at {', '.join(stream.brokers)}: {said}{more}", field="brokers")


def _words(error: KafkaError) -> str:
    """What the library says, in words that say what to look at; unusual errors in its own."""
    known = _WORDS.get(error.code())
    return known or error.str().removeprefix("Local: ").removeprefix("Broker: ")


def client_settings(stream: StreamDefinition, environment: Mapping[str, str]) -> dict[str, Any]:
    """Settings of the client; ``${NAME}`` is the environment's. ``InvalidInput`` names a variable that is not set."""
    given = {key: filled(key, value, environment) for key, value in stream.properties.items()}
    return {
        "socket.keepalive.enable": True,
        "client.id": "headrace",
        **given,
        "bootstrap.servers": ",".join(stream.brokers),
    }


def filled(key: str, value: str, environment: Mapping[str, str]) -> str:
    """A text with the environment's values for ``${NAME}``; ``InvalidInput`` names a variable that is not set."""

    def of(found: re.Match[str]) -> str:
        if found[1] not in environment:
            raise InvalidInput(
                f"{key} needs the environment variable {found[1]}, which the platform does not have",
                field=key,
                hint="set it in the environment of headrace up; in a cluster, in the Secret headrace-streams",
            )
        return environment[found[1]]

    return VARIABLE.sub(of, value)


def _message(found: KafkaMessage) -> Message:
    key, value = found.key(), found.value()
    headers: Any = found.headers() or []
    return Message(
        str(found.topic()),
        int(found.partition() or 0),
        int(found.offset() or 0),
        key.encode() if isinstance(key, str) else key,
        value.encode() if isinstance(value, str) else value,
        [(str(name), b"" if v is None else v if isinstance(v, bytes) else str(v).encode()) for name, v in headers],
    )
