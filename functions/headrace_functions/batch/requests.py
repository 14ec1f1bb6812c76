"""Rows of a table to one request and its answer to columns. Who is to blame for a refusal is found by asking in halves."""

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import orjson
import pyarrow as pa

from headrace_functions.errors import InvalidInput, Unreachable
from headrace_functions.protocol.binary import unpack
from headrace_functions.signature import DTYPES, DType
from headrace_functions.tabular.missing import MISSING_WORDS

TRIES = 40
_PAUSES = (0.1, 0.3, 1.0, 2.0, 5.0)
_NOBODY_ANSWERS = (429, 502, 503, 504)
_BY_WIRE: Mapping[str, DType] = {d.wire: d for d in DTYPES}
OUTPUT = "out."
_NO_VALUE = frozenset(MISSING_WORDS)
"""Texts for a missing number or truth value, as in training data."""
_TRUTH = {"true": True, "1": True, "false": False, "0": False}
LOG = "x-headrace-log"
"""Header by which a caller asks for a request to be left out of the log."""
Json = dict[str, Any]


class Reply(Protocol):
    """An answer of the gateway; names of headers are found in any case."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def content(self) -> bytes: ...
    def json(self) -> Any: ...


Post = Callable[[bytes, Mapping[str, str]], Reply]


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that has no answer, by its place in the part, with the problem."""

    row: int
    problem: Json


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of the rows of a part. ``kept`` are the places of those that were answered, in order; ``columns`` are their outputs."""

    kept: list[int]
    columns: Mapping[str, pa.Array]
    refused: list[Refused]
    versions: frozenset[str]


class Asker:
    """Asks one name. Safe for several threads."""

    def __init__(
        self,
        post: Post,
        metadata: Mapping[str, Any],
        sleep: Callable[[float], None] = time.sleep,
        *,
        unlogged: bool = False,
    ) -> None:
        """``post`` sends a body with headers to the name's ``infer``, or raises ``Unreachable``; ``metadata`` is what the platform says of the name."""
        self._post = post
        self._more = {LOG: "off"} if unlogged else {}
        self._sleep = sleep
        self._inputs: Sequence[Json] = metadata["inputs"]
        self._outputs: Sequence[Json] = metadata.get("outputs") or []
        self._batched = all(t["shape"][:1] == [-1] for t in self._inputs)

    def check(self, columns: Sequence[str], file: str) -> None:
        """``InvalidInput``, before anything is asked, where a table of ``file`` lacks an input or has a column twice or of an output's name."""
        twice = next((name for name in columns if columns.count(name) > 1), None)
        if twice is not None:
            raise InvalidInput(
                f"{file} has two columns named {twice!r}", field=twice, hint="rename one of them, or leave it out"
            )
        check_outputs(columns, [OUTPUT + t["name"] for t in self._outputs], file)
        missing = [t["name"] for t in self._inputs if t["name"] not in columns]
        if missing:
            raise InvalidInput(
                f"{file} has no column {missing[0]!r}",
                field=missing[0],
                expected=", ".join(t["name"] for t in self._inputs),
                got=", ".join(columns[:20]),
                hint="write it as null in the first lines, if it is missing there"
                if file.endswith((".jsonl", ".ndjson"))
                else None,
            )

    def no_answers(self) -> Mapping[str, pa.Array]:
        """The columns of the outputs, as far as they are known, without a row."""
        return {OUTPUT + t["name"]: pa.array([], _arrow(t)) for t in self._outputs}

    def ask(self, part: pa.Table, request_id: str) -> Answered:
        """Answers for the rows of a part; ``Unreachable`` where nobody can answer for long. Of no row nobody is asked."""
        if not part.num_rows:
            return Answered([], {}, [], frozenset())
        if not self._batched and part.num_rows > 1:
            return _joined([self._one(part, at, request_id) for at in range(part.num_rows)], list(range(part.num_rows)))
        reply = self._patiently(part, request_id)
        if reply.status_code == 200:
            version = frozenset(filter(None, [reply.headers.get("x-headrace-version")]))
            columns = self._columns(reply, part.num_rows)
            return Answered(list(range(part.num_rows)), columns, [], version)
        if reply.status_code in (401, 403, 404, 405):
            raise InvalidInput(str(reply.json().get("detail", reply.status_code)), hint=reply.json().get("hint"))
        if part.num_rows == 1:
            return Answered([], {}, [Refused(0, reply.json())], frozenset())
        half = part.num_rows // 2
        both = [
            self.ask(part.slice(0, half), f"{request_id}.0"),
            self.ask(part.slice(half), f"{request_id}.1"),
        ]
        return _joined(both, [0, half])

    def _one(self, part: pa.Table, at: int, request_id: str) -> Answered:
        return self.ask(part.slice(at, 1), f"{request_id}.{at}")

    def _patiently(self, part: pa.Table, request_id: str) -> Reply:
        body, length = self._body(part)
        headers = {"x-request-id": request_id[-128:], "inference-header-content-length": str(length), **self._more}
        said = ""
        for tries in range(TRIES):
            try:
                reply = self._post(body, headers)
            except Unreachable as error:
                said = error.message
            else:
                if reply.status_code not in _NOBODY_ANSWERS:
                    return reply
                said = str(reply.json().get("detail", reply.status_code))
            self._sleep(_PAUSES[min(tries, len(_PAUSES) - 1)])
        raise Unreachable(
            f"there is no response: {said}", hint="run the same command again to continue where it stopped"
        )

    def _body(self, part: pa.Table) -> tuple[bytes, int]:
        inputs: list[Json] = []
        tail: list[bytes] = []
        for tensor in self._inputs:
            rank = len(tensor["shape"]) - self._batched
            column = _as_written(part.column(tensor["name"]), _BY_WIRE[tensor["datatype"]], rank)
            shape = [part.num_rows, *tensor["shape"][1:]] if self._batched else list(tensor["shape"])
            plain = isinstance(column, pa.ChunkedArray) and -1 not in shape
            raw = _raw(column, _BY_WIRE[tensor["datatype"]]) if plain else None
            entry: Json = {"name": tensor["name"], "datatype": tensor["datatype"], "shape": shape}
            if raw is not None:
                entry["parameters"] = {"binary_data_size": len(raw)}
                tail.append(raw)
            else:
                entry["data"] = column.to_pylist()
                entry["shape"] = _shape(entry["data"], shape)
                if tensor["datatype"] == "FP16":
                    entry["datatype"] = "FP32"
            inputs.append(entry)
        document = {"parameters": {"binary_data_output": True}, "inputs": inputs}
        text = orjson.dumps(document, default=str, option=orjson.OPT_SERIALIZE_NUMPY)
        return b"".join((text, *tail)), len(text)

    def _columns(self, reply: Reply, rows: int) -> Mapping[str, pa.Array]:
        length = int(reply.headers.get("inference-header-content-length", len(reply.content)))
        document = orjson.loads(reply.content[:length])
        tail, at = memoryview(reply.content)[length:], 0
        found: dict[str, pa.Array] = {}
        for output in document["outputs"]:
            kind, shape = _BY_WIRE[output["datatype"]], tuple(output["shape"])
            size = (output.get("parameters") or {}).get("binary_data_size")
            if size is None:
                array = np.array(output["data"], dtype=object).reshape(shape)
            else:
                array = unpack(tail[at : at + size], kind, shape, output["name"])
                at += size
            found[OUTPUT + output["name"]] = _as_column(array.reshape(rows, -1), scalar=len(shape) <= 1)
        return found


def check_outputs(columns: Sequence[str], outputs: Iterable[str], file: str) -> None:
    """``InvalidInput`` where a column of ``file`` has the name of a column of answers."""
    taken = next((name for name in outputs if name in columns), None)
    if taken is not None:
        raise InvalidInput(
            f"{file} has a column {taken!r}, which would be overwritten by an output",
            field=taken,
            expected=f"no column of this name, such as the outputs of an earlier run ({OUTPUT}NAME)",
            hint="rename the column in the file, or leave it out",
        )


def _arrow(tensor: Json) -> pa.DataType:
    """The type of an output's column, as ``_as_column`` makes it."""
    kind = _BY_WIRE[tensor["datatype"]].numpy
    value = pa.from_numpy_dtype(kind) if kind.kind in "biuf" else pa.string()
    return value if len(tensor["shape"]) <= 1 else pa.list_(value)


def _as_column(flat: np.ndarray[Any, Any], *, scalar: bool) -> pa.Array:
    """An output ``[rows, elements]`` as a column: a value a row, or a list of its elements."""
    values = pa.array(flat.ravel().tolist() if flat.dtype == object else flat.ravel())
    if scalar and flat.shape[1] == 1:
        return values
    return pa.ListArray.from_arrays(pa.array(np.arange(len(flat) + 1, dtype=np.int32) * flat.shape[1]), values)


def _as_written(column: pa.ChunkedArray, kind: DType, rank: int) -> Any:
    """A column of an input in the input's type, where its file has text or decimals: all of CSV is text, and one value that is none makes a column of JSON lines text."""
    if pa.types.is_decimal(column.type) and kind.is_number:
        return column.cast(pa.float64())
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    if rank:
        return _Values([_list(text) for text in column.to_pylist()])
    if kind.name == "string":
        return column
    try:
        return column.cast(pa.from_numpy_dtype(kind.numpy))
    except pa.ArrowInvalid:
        return _Values([_value(text, kind) for text in column.to_pylist()])


def _value(text: str | None, kind: DType) -> Any:
    """The number or truth value that a text is, else the text, which is then refused with its row alone."""
    word = (text or "").strip()
    if word in _NO_VALUE:
        return None
    if not kind.is_number:
        return _TRUTH.get(word.lower(), text)
    if "_" in word:  # which Python takes for a separator of digits
        return text
    with contextlib.suppress(ValueError):
        if -(2**63) <= (whole := int(word)) < 2**64:
            return whole
    with contextlib.suppress(ValueError):
        if math.isfinite(number := float(word)):
            return number
    return text  # words for infinities included, which are read as such at the other end


def _list(text: str | None) -> Any:
    """The list that a text is as JSON, which is how CSV holds it; else the text."""
    try:
        return orjson.loads(text or "null")
    except ValueError:
        return text


class _Values:
    """Values of several types, which no Arrow column can hold."""

    def __init__(self, values: list[Any]) -> None:
        self._values = values

    def to_pylist(self) -> list[Any]:
        return self._values


def _raw(column: pa.ChunkedArray, kind: DType) -> bytes | None:
    """Binary data of a column of numbers that the datatype holds without loss; None for what has to go as JSON."""
    if (
        not kind.is_number
        or column.null_count
        or not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type))
    ):
        return None
    values = column.to_numpy()
    if not np.can_cast(values.dtype, kind.numpy, "safe"):
        return None
    raw: bytes = values.astype(kind.numpy).tobytes()
    return raw


def _shape(data: list[Any], wanted: list[int]) -> list[int]:
    """The shape on the wire with its free sizes as the first row has them."""
    shape, inner = [len(data)] if wanted and wanted[0] == len(data) else [], data[0] if data else None
    for size in wanted[len(shape) :]:
        shape.append(len(inner) if size == -1 and isinstance(inner, list) else max(size, 0))
        inner = inner[0] if isinstance(inner, list) and inner else None
    return shape


def _joined(parts: Sequence[Answered], starts: Sequence[int]) -> Answered:
    kept = [start + row for part, start in zip(parts, starts, strict=True) for row in part.kept]
    refused = [
        Refused(start + r.row, r.problem) for part, start in zip(parts, starts, strict=True) for r in part.refused
    ]
    names = next((list(part.columns) for part in parts if part.columns), [])
    columns = {n: pa.concat_arrays([part.columns[n] for part in parts if part.columns]) for n in names}
    return Answered(kept, columns, refused, frozenset().union(*(part.versions for part in parts)))
