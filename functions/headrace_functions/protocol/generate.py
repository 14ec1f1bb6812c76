"""Bodies of ``generate`` and ``generate_stream``: one row whose members are the inputs, and answers whose members are the outputs.

A request is ``{"id": …, "parameters": {…}, "INPUT": VALUE, …}``, or a body of v2 where it has a list of ``inputs``, which then may have binary data.
An answer, or an event of a stream, is ``{"model_name": …, "model_version": …, "OUTPUT": VALUE, …}``.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from headrace_functions.errors import Malformed, SignatureMismatch
from headrace_functions.protocol import v1, v2
from headrace_functions.protocol.jsontext import dump, parse, rewritten
from headrace_functions.protocol.messages import JSON_TYPE
from headrace_functions.signature import Signature, Tensors

SSE_TYPE = "text/event-stream"
NDJSON_TYPE = "application/x-ndjson"
MAX_LOGGED = 256 * 1024
"""Bytes of events whose outputs the log puts together; what is yielded after that is sent and not logged."""
_BESIDES = ("id", "parameters")


def decode_request(
    body: bytes, content_type: str, json_length: int | None, signature: Signature, batch: bool
) -> tuple[Tensors, bytes]:
    """The inputs of a request and the same request as a v1 body, for the log. Raises as ``codec.decode_request`` does."""
    if json_length is not None or _is_v2(body, content_type, signature):
        tensors, _ = v2.decode_request(body, content_type, json_length, signature, batch)
        rows = len(next(iter(tensors.values()))) if batch else 1
        if rows != 1:
            raise SignatureMismatch("generate takes one row a request", expected="1 row", got=f"{rows} rows")
        named = {f.name: tensors[f.name] for f in signature.inputs}
        row = {name: v1.plain(array[0] if batch else array) for name, array in named.items()}
        return tensors, orjson.dumps({"instances": [row]})
    document = parse(body, content_type)
    for name in _BESIDES:
        if signature.input(name) is None:
            document.pop(name, None)
    as_v1 = rewritten({"instances": [document]})
    tensors, _ = v1.decode_request(as_v1, JSON_TYPE, signature, batch)
    return tensors, as_v1


def _is_v2(body: bytes, content_type: str, signature: Signature) -> bool:
    if b'"inputs"' not in body or signature.input("inputs") is not None:
        return False
    return isinstance(parse(body, content_type).get("inputs"), list)


def encode_answer(tensors: Tensors, signature: Signature, model: str, version: int, batch: bool) -> bytes:
    """One answer or event, without what frames it. ``FunctionFailed`` for text that has no UTF-8 form."""
    document: dict[str, Any] = {"model_name": model, "model_version": str(version)}
    for field in signature.outputs:
        array = tensors[field.name]
        document[field.name] = v1.plain(array[0] if batch else array)
    try:
        return dump(document)
    except TypeError as error:
        raise v2.not_utf8() from error


def framed(event: bytes, content_type: str) -> bytes:
    """An event as the stream's type writes it."""
    return b"data: %b\n\n" % event if content_type == SSE_TYPE else event + b"\n"


def framed_problem(problem: bytes, content_type: str) -> bytes:
    """What a stream ends with that could not go on: an event ``error``, or a line ``{"error": PROBLEM}``."""
    return b"event: error\ndata: %b\n\n" % problem if content_type == SSE_TYPE else b'{"error":%b}\n' % problem


def answered_so_far(stream: bytes, content_type: str, signature: Signature) -> bytes:
    """What the events of a stream that was cut short come to, as a v1 body; empty for nothing. An event whose end is missing does not count.

    Text is joined, of other outputs the last value counts, as for a stream that ends (``runtime.frameworks.streaming``).
    """
    found: dict[str, Any] = {}
    for event in _events(stream, content_type):
        for field in signature.outputs:
            value, before = event.get(field.name), found.get(field.name)
            joins = isinstance(value, str) and isinstance(before, str)
            if field.name in event:
                found[field.name] = f"{before}{value}" if joins else value
    if found.keys() != {f.name for f in signature.outputs}:
        return b""
    return dump({"predictions": [found if len(found) > 1 else next(iter(found.values()))]})


def _events(stream: bytes, content_type: str) -> Iterator[dict[str, Any]]:
    mark, end = (b"data: ", b"\n\n") if content_type.startswith(SSE_TYPE) else (b"", b"\n")
    for line in stream.split(end)[:-1]:
        try:
            event = orjson.loads(line.removeprefix(mark))
        except ValueError:
            continue  # an event of another kind, such as an error
        if isinstance(event, dict):
            yield event


def wanted_type(accept: str) -> str:
    """The type of a stream for an ``Accept`` header: server-sent events unless lines of JSON are asked for."""
    given = accept.lower()
    if NDJSON_TYPE in given or "application/jsonl" in given:
        return NDJSON_TYPE
    if given and not any(kind in given for kind in (SSE_TYPE, "*/*", "text/*", "application/json")):
        raise Malformed(
            f"Accept {accept[:60]!r} is not supported",
            field="accept",
            expected=f"{SSE_TYPE} or {NDJSON_TYPE}",
            got=accept[:60],
        )
    return SSE_TYPE
