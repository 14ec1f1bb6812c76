"""What messages say: bytes of a topic to rows of a request, and answers to bytes of another topic. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from headrace_functions.errors import HeadraceError, Malformed, TooLarge, Unreachable
from headrace_functions.protocol.problems import problem

MAX_ROWS = 10_000
"""Rows that one message may hold."""
Headers = list[tuple[str, bytes]]
Form = Literal["row", "rows", "v2"]


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
    """A message that can be asked about: ``row`` is one object, ``rows`` a list of them, ``v2`` a body of the Open Inference Protocol."""

    message: Message
    form: Form
    rows: tuple[Any, ...]

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


def question(message: Message) -> Question | Problem:
    """What a message asks; a ``Problem`` where it cannot be read."""
    try:
        return _question(message)
    except HeadraceError as error:
        return Problem(message, problem(error).body)


def _question(message: Message) -> Question:
    if message.value is None:
        raise Malformed("the message has no value (a tombstone)", field="value", expected="JSON", got="nothing")
    try:
        said = orjson.loads(message.value)
    except ValueError as error:
        raise Malformed(
            f"the message is not JSON: {error}",
            field="value",
            expected="an object a row, a list of them, or a body of the Open Inference Protocol",
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
        expected="an object a row, a list of them, or a body of the Open Inference Protocol",
        got=type(said).__name__,
    )


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
    """The body of the request that asks about a group: v2 as it came, else ``instances``."""
    if group[0].form == "v2":
        return group[0].message.value or b""
    return orjson.dumps({"instances": [row for one in group for row in one.rows]})


def replies(group: Sequence[Question], body: bytes, outputs: Sequence[str], version: str) -> list[Reply]:
    """The answers to a group's messages; ``Unreachable`` where the body is no answer to it."""
    if group[0].form == "v2":
        return [Reply(group[0].message, body, version)]
    try:
        predictions = orjson.loads(body)["predictions"]
    except (ValueError, KeyError, TypeError) as error:
        raise Unreachable("the gateway answered what is no prediction") from error
    if not isinstance(predictions, list) or len(predictions) != sum(one.count for one in group):
        raise Unreachable("the answer has another number of rows than the request")
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
    """The message's own headers, and ours."""
    ours = dict(more)
    return [*((name, value) for name, value in of.message.headers if name not in ours), *ours.items()]
