"""Lines of JSON, one row a line, in both directions: ``{"age": 40}`` in, ``{"probability": 0.2}`` out.

They are v1 bodies in another dress, so values are read and refused by the same rules.
"""

from collections.abc import Sequence

import orjson

from headrace_functions.errors import Malformed, Unreachable
from headrace_functions.protocol.jsontext import rewritten

TYPE = b"application/x-ndjson"


def is_lines(content_type: bytes) -> bool:
    kind = content_type.partition(b";")[0].strip().lower()
    return kind in (TYPE, b"application/jsonl", b"application/ndjson")


def to_v1(body: bytes) -> bytes:
    """The v1 request of some lines. ``Malformed`` names the first line that is no object."""
    rows = []
    for number, line in enumerate(body.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except ValueError as error:
            raise Malformed(
                f"line {number} is not JSON: {error}", field=f"line {number}", expected="an object"
            ) from error
        if not isinstance(row, dict):
            raise Malformed(
                f"line {number} is not an object",
                field=f"line {number}",
                expected="an object by input name",
                got=type(row).__name__,
            )
        rows.append(row)
    if not rows:
        raise Malformed("there are no lines", field="body", expected="at least one line of JSON")
    return rewritten({"instances": rows})


def from_v1(body: bytes, outputs: Sequence[str]) -> bytes:
    """The lines of a v1 answer, each an object by output name."""
    try:
        predictions = orjson.loads(body)["predictions"]
    except (ValueError, KeyError, TypeError) as error:
        raise Unreachable("the function's response is not a prediction") from error
    rows = predictions if len(outputs) != 1 else [{outputs[0]: value} for value in predictions]
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)
