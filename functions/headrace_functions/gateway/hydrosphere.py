"""``POST /gateway/application/NAME``: a request as clients of Hydrosphere send it, a JSON object of inputs by name, answered by one of outputs by name. Pure.

It becomes a v1 request with columns: of a model that takes rows, each input is a list with a value a row; of one that takes one row (``batch: false``), the value.
"""

from typing import Any

import orjson

from headrace_functions.errors import Malformed
from headrace_functions.protocol import jsontext
from headrace_functions.signature import Signature

PREFIX = "/gateway/application/"


def question(body: bytes) -> bytes:
    """The v1 request. ``Malformed`` for what is no JSON object."""
    return jsontext.rewritten({"inputs": jsontext.parse(body)})


def answer(body: bytes, signature: Signature, *, batch: bool) -> bytes:
    """The outputs of a v1 answer by name: columns of a model that takes rows, else the values of its only row."""
    try:
        predictions = orjson.loads(body)["predictions"]
        names = [f.name for f in signature.outputs]
        rows = [{names[0]: p} for p in predictions] if len(names) == 1 else predictions
        columns: dict[str, Any] = {n: [row[n] for row in rows] for n in names}
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise Malformed(f"the response has no predictions: {error}") from error
    return orjson.dumps(columns if batch else {n: c[0] for n, c in columns.items()})
