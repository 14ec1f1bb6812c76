"""A version asked the rows of a table in order, each of which may fail alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa

from headrace_controller.requestlog.model_requests import (
    AGAIN,
    BATCH,
    Ask,
    Reply,
    Unanswered,
    answered_rows,
    request_of,
)
from headrace_functions.version import Version

ATTEMPTS = 7
"""Of a request that the version is too busy for, or still starting for: about half a minute."""
SHOWN = 20
"""Refused rows that are told with their problem."""


@dataclass(slots=True)
class Answers:
    """``rows`` has the outputs of each row by log column, None where it was refused."""

    rows: list[Mapping[str, Any] | None] = field(default_factory=list)
    refused: int = 0
    first_refused: list[Mapping[str, Any]] = field(default_factory=list)
    """Row (from 1) and problem of the first ones."""

    @property
    def asked(self) -> int:
        return len(self.rows)


def answers(
    ask: Ask, version: Version, table: pa.Table, sleep: Callable[[float], None], told: Callable[[Answers], None]
) -> Answers:
    """``told`` hears of the answers so far after each request. Raises ``Unanswered`` where nobody can answer for long."""
    found = Answers()
    size = BATCH if version.batch else 1
    for start in range(0, table.num_rows, size):
        _ask(ask, version, table.slice(start, size), sleep, found)
        told(found)
    return found


def _ask(ask: Ask, version: Version, part: pa.Table, sleep: Callable[[float], None], found: Answers) -> None:
    """Of rows that are refused together halves are asked, until those at fault are alone."""
    reply = _patiently(
        ask, version, request_of(version, {f.name: f.name for f in version.signature.inputs}, part), sleep
    )
    if reply.status == 200:
        found.rows += answered_rows(version, reply.body)
    elif part.num_rows == 1:
        if len(found.first_refused) < SHOWN:
            found.first_refused.append({"row": found.asked + 1, **_problem(version, reply)})
        found.rows.append(None)
        found.refused += 1
    else:
        half = part.num_rows // 2
        _ask(ask, version, part.slice(0, half), sleep, found)
        _ask(ask, version, part.slice(half), sleep, found)


def _patiently(ask: Ask, version: Version, body: bytes, sleep: Callable[[float], None]) -> Reply:
    said = ""
    for attempt in range(ATTEMPTS):
        try:
            reply = ask(version.id, body)
        except Unanswered as error:  # the gateway is away: it may be restarting
            said = str(error)
        else:
            if reply.status not in AGAIN:
                return reply
            said = _problem(version, reply)["reason"]
        sleep(0.25 * 2**attempt)
    raise Unanswered(f"{version.id} does not answer: {said}")


def _problem(version: Version, reply: Reply) -> dict[str, Any]:
    """Field and reason, without values of a version that has sensitive fields."""
    try:
        said = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        said = {}
    said = said if isinstance(said, dict) else {}
    hidden = any(f.sensitive for f in (*version.signature.inputs, *version.signature.outputs))
    words = said.get("title" if hidden else "detail") or said.get("error") or "no problem document"
    return {"field": str(said.get("field") or ""), "reason": f"{reply.status}: {words}"[:500]}
