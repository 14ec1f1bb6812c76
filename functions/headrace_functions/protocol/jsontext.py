"""JSON in and out: strict and fast where the text is JSON, tolerant of the NaN tokens that other clients send.

JSON has no NaN and no infinities. Requests may hold the bare tokens ``NaN``, ``Infinity`` and ``-Infinity`` (Python's own
encoder writes them); answers hold ``null`` in their place. A caller who must tell them apart asks for binary data.
"""

import json
import re
from typing import Any

import orjson

from headrace_functions.errors import Malformed
from headrace_functions.protocol.rows import Array
from headrace_functions.signature import DType
from headrace_functions.user_text import repr_of

_FEW = 16  # elements up to which a list is quicker to write than an array
_PLAIN = {"float64", "int64", "int32", "bool"}
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_LONGEST_INT = 18  # digits that every integer of 64 bits may have


def parse(text: bytes | memoryview, content_type: str = "") -> dict[str, Any]:
    """The JSON object in ``text``; ``Malformed`` if it is anything else."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        document = _parse_with_nan(bytes(text), content_type, error)
    if type(document) is not dict:
        raise Malformed(
            "the body is not a JSON object",
            field="body",
            expected="a JSON object",
            got=f"a JSON {type(document).__name__}",
        )
    return document


def _parse_with_nan(text: bytes, content_type: str, first: orjson.JSONDecodeError) -> Any:
    if b"NaN" in text or b"Infinity" in text:
        try:
            document = json.loads(text, parse_int=_whole)
            if _SURROGATE.search(text):
                orjson.dumps(document)
        except (ValueError, TypeError, RecursionError):
            pass  # the first parser's message is the one to show
        else:
            return document
    sent = content_type.partition(";")[0].strip().lower()
    hint = None if "json" in sent or not sent else f"the content type says {sent}; send application/json"
    raise Malformed(
        f"the body is not JSON: {first.msg} at character {first.pos}", field="body", expected="JSON in UTF-8", hint=hint
    ) from first


def _whole(digits: str) -> Any:
    """A whole number as the first parser reads it: one that has more than 64 bits is a floating-point number."""
    return int(digits) if len(digits) <= _LONGEST_INT else orjson.loads(digits)


def rewritten(document: Any) -> bytes:
    """JSON bytes of what a caller sent, for whoever reads it next. ``Malformed`` for what is nested more deeply than can be written."""
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError as error:
        raise Malformed(
            f"the body cannot be passed on as JSON: {error}",
            field="body",
            expected="at most 250 lists and objects in one another, and integers of 64 bits",
        ) from error


def shown(value: Any, most: int = 60) -> str:
    """A value of JSON as an error says it again: at most ``most`` characters of it, however deeply it is nested."""
    try:
        text = "null" if value is None else repr_of(value)
    except RecursionError:
        text = f"a deeply nested {type(value).__name__}"
    return text if len(text) <= most else text[:most] + "…"


def dump(document: Any) -> bytes:
    """JSON bytes; arrays are written as lists, NaN and infinities as null. ``TypeError`` for text that is no UTF-8."""
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def flat_data(array: Array, dtype: DType) -> Any:
    """The elements of a tensor as ``dump`` takes them, flat in row-major order. ``UnicodeDecodeError`` for bytes that are no text."""
    if dtype.name == "string":
        return [e.decode() if isinstance(e, bytes) else None if e is None else str(e) for e in array.ravel().tolist()]
    if array.dtype == object or (array.size <= _FEW and dtype.name in _PLAIN):
        return array.ravel().tolist()
    return array.reshape(-1).copy() if not array.flags.c_contiguous else array.reshape(-1)
