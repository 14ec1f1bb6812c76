"""Rows of a log as requests to another model, and a metric model's answers as values. Who carries them is a port: ``Ask``."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from headrace_controller.monitoring.specs import VALUE
from headrace_functions.logtable import input_column, output_column
from headrace_functions.names import VersionId
from headrace_functions.protocol.codec import decode_response
from headrace_functions.signature import Field
from headrace_functions.version import Version

BATCH = 1000
"""Rows of a request."""
AGAIN = frozenset((404, 408, 429, 502, 503, 504))
"""Statuses of a model that is not there yet, or too busy: asking again may help."""
MAX_ERROR = 500  # characters that are kept of what a model says


class Unanswered(Exception):
    """The model could not be asked now: not there, starting, overloaded, too late. Asking again may help."""


class Refused(Exception):
    """The model failed on what it was asked (500)."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes


Ask = Callable[[VersionId, bytes], Reply]
"""Posts a v2 request of JSON to a version, unrecorded; raises ``Unanswered`` where no answer comes."""


def nobody_to_ask(_version: VersionId, _body: bytes) -> Reply:
    """The ``Ask`` of a platform without a gateway."""
    raise Unanswered("this platform has no gateway to ask by")


Answers = list[tuple[float | None, str | None]]


def columns_for(metric: Version, version: Version) -> Mapping[str, str] | str:
    """The log column of each input of a metric model: the version's input of the same name, else its output; or why not."""
    columns = {}
    for wanted in metric.signature.inputs:
        given, column = version.signature.input(wanted.name), input_column
        if given is None:
            given, column = version.signature.output(wanted.name), output_column
        if given is None:
            return f"{metric.id} wants {wanted.name!r}, which {version.id} neither takes nor gives"
        columns[wanted.name] = column(given)
    if metric.signature.output(VALUE) is None:
        return f"{metric.id} has no output {VALUE!r}"
    return columns


def columns_for_inputs(model: Version, version: Version) -> Mapping[str, str] | str:
    """The log column of each input of a model that shall be asked what a version was asked; or why it cannot be."""
    columns = {}
    for wanted in model.signature.inputs:
        given = version.signature.input(wanted.name)
        if given is None:
            return f"{model.id} wants {wanted.name!r}, which {version.id} does not take"
        columns[wanted.name] = input_column(given)
    return columns


def ask_rows(ask: Ask, metric: Version, columns: Mapping[str, str], rows: pa.Table) -> Answers:
    """Value or error of each row. Of a batch that is refused (4xx) halves are asked, until the rows at fault are alone."""
    size = BATCH if metric.batch else 1
    answers: Answers = []
    for start in range(0, rows.num_rows, size):
        answers += _ask_part(ask, metric, columns, rows.slice(start, size))
    return answers


def _ask_part(ask: Ask, metric: Version, columns: Mapping[str, str], rows: pa.Table) -> Answers:
    reply = ask(metric.id, request_of(metric, columns, rows))
    if reply.status == 200:
        return _values(reply.body, rows.num_rows)
    words = _words(reply)
    if reply.status in AGAIN:
        raise Unanswered(words)
    if reply.status >= 500:
        raise Refused(words)
    if rows.num_rows == 1:
        return [(None, words)]
    half = rows.num_rows // 2
    return [
        *_ask_part(ask, metric, columns, rows.slice(0, half)),
        *_ask_part(ask, metric, columns, rows.slice(half)),
    ]


def request_of(metric: Version, columns: Mapping[str, str], rows: pa.Table) -> bytes:
    """A v2 request of JSON; a missing value is null."""
    count = rows.num_rows
    tensors = []
    for field in metric.signature.inputs:
        name = columns[field.name]
        values = rows[name].to_pylist() if name in rows.column_names else [None] * count
        data = values if field.is_scalar else [item for value in values for item in value or ()]
        shape = _shape(field, values) if not field.is_scalar else []
        wire = [count, *shape] if metric.batch else shape
        tensors.append({"name": field.name, "datatype": field.dtype.wire, "shape": wire, "data": data})
    return orjson.dumps({"inputs": tensors})


def answered_rows(version: Version, body: bytes) -> list[dict[str, Any]]:
    """The outputs of each row of a v2 answer by log column: a value, or a list of a vector's elements."""
    tensors = decode_response(body, None, version.signature, batch=version.batch)
    columns: dict[str, list[Any]] = {}
    for output in version.signature.outputs:
        if output.name in tensors:
            array = np.asarray(tensors[output.name]) if version.batch else np.asarray(tensors[output.name])[np.newaxis]
            flat = array if array.ndim == 1 else array.reshape(len(array), -1)
            columns[output_column(output)] = flat.tolist()
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _shape(field: Field, values: list[Any]) -> list[int]:
    """The shape of a row; a free size is what the first row has left of it."""
    known = math.prod(n for n in field.shape if n != -1)
    first = next((len(v) for v in values if v is not None), known)
    return [n if n != -1 else first // max(known, 1) for n in field.shape]


def _values(body: bytes, count: int) -> Answers:
    try:
        outputs = {tensor["name"]: tensor["data"] for tensor in orjson.loads(body)["outputs"]}
        values = outputs[VALUE]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise Refused(f"the answer cannot be read: {error}") from error
    if len(values) != count:
        raise Refused(f"{len(values)} values for {count} rows")
    return [(float(v), None) if v is not None else (None, "the model gave no value") for v in values]


def _words(reply: Reply) -> str:
    """What the problem document says."""
    try:
        document = orjson.loads(reply.body)
        said = document.get("detail") or document.get("error") or document.get("title")
    except (orjson.JSONDecodeError, AttributeError):
        said = None
    return f"{reply.status}: {said or reply.body[:200].decode(errors='replace')}"[:MAX_ERROR]
