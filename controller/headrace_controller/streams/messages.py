"""What messages say: bytes of a topic to rows of a request, and answers to bytes of another topic. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from headrace_functions.errors import HeadraceError, Malformed, TooLarge, Unreachable
from headrace_functions.protocol.jsontext import rewritten
from headrace_functions.protocol.problems import problem

MAX_ROWS = 10_000
"""Rows that one message may hold."""
Headers = list[tuple[str, bytes]]
Form = Literal["row", "rows", "v2"]
Decode = Callable[[bytes], Any]
JSON_LENGTH = "inference-header-content-length"
"""Header of a message whose value is a v2 body with binary tensors, as HTTP has it."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the source, as the adapter read it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Question:
    """A message that can be asked about: ``row`` is one object, ``rows`` a list of them, ``v2`` an Open Inference Protocol request.

    ``json_length`` is that of a v2 body with binary tensors behind its JSON.
    """

    message: Message
    form: Form
    rows: tuple[Any, ...]
    json_length: int | None = None

    @property
    def count(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a message has no answer: the problem document that an HTTP caller would get."""

    message: Message
    document: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one message."""

    message: Message
    value: bytes
    version: str
    json_length: str = ""
    """Of a v2 answer with binary tensors, the bytes of JSON in front of them."""


def question(message: Message, decode: Decode | None = None) -> Question | Problem:
    """What a message asks; a ``Problem`` where it cannot be read. ``decode`` reads values that are no JSON; raises ``Unreachable`` as it does."""
    try:
        return _question(message, decode)
    except Unreachable:
        raise
    except HeadraceError as error:
        return Problem(message, problem(error).body)


def _question(message: Message, decode: Decode | None) -> Question:
    if message.value is None:
        raise Malformed("the message has no value (a tombstone)", field="value", expected="JSON", got="nothing")
    length = _json_length(message)
    if length is not None:
        return _binary(message, message.value, length)
    try:
        said = decode(message.value) if decode is not None else orjson.loads(_without_schema_id(message.value))
    except ValueError as error:
        raise Malformed(
            f"the message is not JSON: {error}",
            field="value",
            expected="one object per row, a list of objects, or an Open Inference Protocol request",
            got=f"{len(message.value)} bytes",
        ) from error
    if isinstance(said, dict):
        return (
            Question(message, "v2", (said,))
            if isinstance(said.get("inputs"), list)
            else Question(message, "row", (said,))
        )
    if isinstance(said, list) and said and all(isinstance(row, dict) for row in said):
        if len(said) > MAX_ROWS:
            raise TooLarge(
                "the message has too many rows", field="value", expected=f"at most {MAX_ROWS}", got=str(len(said))
            )
        return Question(message, "rows", tuple(said))
    raise Malformed(
        "the message is neither an object nor a list of objects",
        field="value",
        expected="one object per row, a list of objects, or an Open Inference Protocol request",
        got=type(said).__name__,
    )


def _without_schema_id(value: bytes) -> bytes:
    """JSON as producers with a schema registry write it has a zero byte and the schema's id in front."""
    return value[5:] if value[:1] == b"\0" else value


def _json_length(message: Message) -> int | None:
    """Bytes of JSON in front of binary tensors, where the message says so as HTTP does."""
    told = next((value for name, value in message.headers if name.lower() == JSON_LENGTH), None)
    if told is None:
        return None
    if not told.isdigit() or len(told) > 9:
        raise Malformed(
            f"the header {JSON_LENGTH} is not a number",
            field=JSON_LENGTH,
            expected="bytes of JSON",
            got=repr(told)[:40],
        )
    return int(told)


def _binary(message: Message, value: bytes, length: int) -> Question:
    """A body of the Open Inference Protocol with binary tensors, which goes to the model as it is."""
    if length > len(value):
        raise Malformed(
            f"the header {JSON_LENGTH} is not within the message",
            field=JSON_LENGTH,
            expected=f"at most {len(value)}",
            got=str(length),
        )
    try:
        head = orjson.loads(value[:length])
    except ValueError as error:
        raise Malformed(
            f"the message's first {length} bytes are not JSON: {error}",
            field="value",
            expected="an Open Inference Protocol request",
        ) from error
    if not isinstance(head, dict) or not isinstance(head.get("inputs"), list):
        raise Malformed("the message has no inputs", field="inputs", expected="an Open Inference Protocol request")
    return Question(message, "v2", (head,), length)


def rows_of(asked: Question) -> int:
    """Rows that the log will have of a message; of a v2 body they are its first tensor's first dimension."""
    if asked.form != "v2":
        return asked.count
    tensors = asked.rows[0]["inputs"]
    shape = tensors[0].get("shape") if tensors and isinstance(tensors[0], dict) else None
    first = shape[0] if isinstance(shape, list) and shape else 1
    return first if isinstance(first, int) and not isinstance(first, bool) and 0 < first < 10**9 else 1


def groups(asked: Sequence[Question], most: int) -> Iterator[list[Question]]:
    """The questions that are asked together: rows of one partition, at most ``most`` of them; a v2 body is asked alone."""
    group: list[Question] = []
    size = 0
    for one in asked:
        fits = group and one.form != "v2" and one.message.partition == group[0].message.partition
        if group and (not fits or size + one.count > most):
            yield group
            group, size = [], 0
        group.append(one)
        size += one.count
        if one.form == "v2":
            yield group
            group, size = [], 0
    if group:
        yield group


def body_of(group: Sequence[Question]) -> bytes:
    """The body of the request that asks about a group: v2 as it came, else ``instances``. ``Malformed`` where a row cannot be written."""
    if group[0].form == "v2":
        return group[0].message.value or b""
    return rewritten({"instances": [row for one in group for row in one.rows]})


def replies(group: Sequence[Question], body: bytes, outputs: Sequence[str], version: str) -> list[Reply]:
    """The answers to a group's messages; ``Unreachable`` where the body is no answer to it."""
    if group[0].form == "v2":
        return [Reply(group[0].message, body, version)]
    try:
        predictions = orjson.loads(body)["predictions"]
    except (ValueError, KeyError, TypeError) as error:
        raise Unreachable("the gateway's response is not a prediction") from error
    if not isinstance(predictions, list) or len(predictions) != sum(one.count for one in group):
        raise Unreachable("the response has a different number of rows than the request")
    if len(outputs) == 1:
        predictions = [{outputs[0]: value} for value in predictions]
    found: list[Reply] = []
    at = 0
    for one in group:
        mine = predictions[at : at + one.count]
        found.append(Reply(one.message, orjson.dumps(mine[0] if one.form == "row" else mine), version))
        at += one.count
    return found


def outgoing_headers(of: Reply | Problem, more: Mapping[str, bytes]) -> Headers:
    """The message's own headers, and ours. How a question was laid out is no news of its answer."""
    ours = dict(more)
    gone = ours.keys() | ({JSON_LENGTH} if isinstance(of, Reply) else set())
    return [*((name, value) for name, value in of.message.headers if name not in gone), *ours.items()]
