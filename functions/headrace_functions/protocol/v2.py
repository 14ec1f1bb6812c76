"""Open Inference Protocol v2: JSON, and the binary tensor extension.

**Packed rows.** Where all inputs are scalars (a table), a request may hold the whole batch in one tensor ``[n, fields]``
in signature order. A request is read so if it has exactly one tensor and either the tensor's name is no input, or its
shape is two-dimensional with as many columns as the signature has fields, which are more than one. An answer is packed only where
the request allows it by the parameter ``packed_output``, wants all outputs as binary data, and these are numbers of one type.

**FP16** has no JSON form. In JSON, an ``FP16`` input is sent as ``FP32`` and an ``FP16`` output is answered as ``FP32``.

**BF16** is read from binary data, as ``FP32``. No output is ``BF16``.

**BYTES** elements are ``str`` where the whole tensor is UTF-8, else ``bytes``. An output that is not UTF-8 needs binary data.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from headrace_functions.errors import FunctionFailed, Malformed, SignatureMismatch
from headrace_functions.protocol.binary import has_missing, pack, unpack
from headrace_functions.protocol.checks import check_inputs, check_rows, check_strict
from headrace_functions.protocol.jsontext import dump, flat_data, parse, shown
from headrace_functions.protocol.messages import BINARY_TYPE, EXPLANATIONS, JSON_TYPE, PLAIN, EncodedBody, RequestInfo
from headrace_functions.protocol.rows import Array, PackedRows, Plan, plan_of
from headrace_functions.protocol.values import by_value, flatten, from_json
from headrace_functions.signature import DTYPES, DType, Field, Signature, Tensors, dtype

_BY_WIRE = {d.wire: d for d in DTYPES}
_FP16, _FP32 = dtype("float16"), dtype("float32")
_BF16 = DType("bfloat16", "BF16", np.dtype(np.uint16))
"""Half of a ``FP32``, its more significant one. numpy has no such type, so it is read as ``FP32``, which holds it without loss."""
MAX_RANK = 32
"""Sizes of a tensor's shape: as many as every version of numpy takes."""
_MOST_ELEMENTS = 2**48
"""Of a tensor without elements, for which no data vouches: what its other sizes may come to."""
PACKED = "rows"
"""The name we give to a packed tensor; any name is taken."""
PACKED_OUTPUT = "packed_output"
"""Parameter of a request, and then of its answer: outputs may come, and have come, as one tensor ``[n, outputs]``. An extension of ours."""


def decode_request(
    body: bytes, content_type: str, json_length: int | None, signature: Signature, batch: bool
) -> tuple[Tensors, RequestInfo]:
    """Read a request; see ``codec.decode_request``."""
    document, tail = split(body, content_type, json_length)
    plan = plan_of(signature)
    tensors = read_tensors(document, "inputs", tail, plan.inputs)
    info = read_info(document, plan)
    if plan.is_table and len(tensors) == 1:
        name, array = next(iter(tensors.items()))
        if (name not in plan.inputs and not (batch and array.ndim == 1 == len(plan.names))) or (
            array.ndim == 2 and 1 < array.shape[1] == len(plan.names)
        ):
            return unpack_rows(array, plan, batch), info
    return check_inputs(tensors, signature, batch), info


def split(body: bytes, content_type: str, json_length: int | None) -> tuple[dict[str, Any], memoryview]:
    """The JSON document of a body and the raw tensor data behind it."""
    if json_length is None:
        return parse(body, content_type), memoryview(b"")
    if not 0 <= json_length <= len(body):
        raise Malformed(
            "Inference-Header-Content-Length is not within the body",
            field="Inference-Header-Content-Length",
            expected=f"0 to {len(body)}",
            got=str(json_length),
        )
    view = memoryview(body)
    return parse(view[:json_length], content_type), view[json_length:]


def read_tensors(document: Mapping[str, Any], side: str, tail: memoryview, fields: Mapping[str, Field]) -> Tensors:
    """The tensors of a document by name, in the types that the wire says. ``side`` is ``inputs`` or ``outputs``."""
    items = document.get(side)
    if type(items) is not list or not items:
        raise Malformed(
            f"{side!r} must be a list of tensors",
            field=side,
            expected="a list of at least one tensor",
            got=_kind(items),
        )
    tensors: Tensors = {}
    at = 0
    for item in items:
        name, wire, shape = _head(item, side)
        if name in tensors:
            raise Malformed(
                f"tensor {name!r} appears twice", field=name, expected="each tensor once", got="two of them"
            )
        size = item["parameters"].get("binary_data_size") if type(item.get("parameters")) is dict else None
        if size is None:
            tensors[name] = _from_data(item, name, wire, shape, fields.get(name))
            continue
        if type(size) is not int or size < 0 or at + size > len(tail):
            raise Malformed(
                f"tensor {name!r}: binary_data_size is not within the body",
                field=name,
                expected=f"0 to {len(tail) - at}",
                got=shown(size),
            )
        found = unpack(tail[at : at + size], wire, shape, name)
        tensors[name] = (found.astype(np.uint32) << 16).view(np.float32) if wire is _BF16 else found
        at += size
    if at != len(tail):
        raise Malformed(
            "the binary data is longer than its tensors", field="body", expected=f"{at} bytes", got=f"{len(tail)} bytes"
        )
    return tensors


def _head(item: Any, side: str) -> tuple[str, DType, tuple[int, ...]]:
    if type(item) is not dict:
        raise Malformed(f"an entry of {side!r} is not a tensor", field=side, expected="an object", got=_kind(item))
    name, shape, wire = item.get("name"), item.get("shape"), item.get("datatype")
    if type(name) is not str:
        raise Malformed(f"a tensor of {side!r} has no name", field=side, expected="a 'name' as text", got=_kind(name))
    if type(shape) is not list or not all(type(n) is int and n >= 0 for n in shape):
        raise Malformed(
            f"tensor {name!r}: 'shape' is not a list of sizes", field=name, expected="a list of sizes", got=_kind(shape)
        )
    if len(shape) > MAX_RANK or (0 in shape and math.prod(n or 1 for n in shape) > _MOST_ELEMENTS):
        raise Malformed(
            f"tensor {name!r}: no array has such a shape",
            field=name,
            expected=f"at most {MAX_RANK} sizes, and {_MOST_ELEMENTS} elements",
            got=shown(shape),
        )
    found = (_BF16 if wire == _BF16.wire else _BY_WIRE.get(wire)) if type(wire) is str else None
    if found is None:
        raise Malformed(
            f"tensor {name!r}: unknown datatype",
            field=name,
            expected=f"one of {', '.join([*_BY_WIRE, _BF16.wire])}",
            got=shown(wire),
        )
    return name, found, tuple(shape)


def _from_data(item: dict[str, Any], name: str, wire: DType, shape: tuple[int, ...], field: Field | None) -> Array:
    if "data" not in item:
        raise Malformed(
            f"tensor {name!r} has no data", field=name, expected="'data', or 'binary_data_size' in its parameters"
        )
    if wire is _FP16 or wire is _BF16:
        raise Malformed(
            f"tensor {name!r}: {wire.wire} has no JSON form",
            field=name,
            expected="FP32 in JSON, or binary data",
            got=wire.wire,
        )
    if wire is _FP32 and field is not None and field.dtype is _FP16:
        wire = _FP16
    return from_json(flatten(item["data"], shape, name), wire, name).reshape(shape)


def read_info(document: Mapping[str, Any], plan: Plan) -> RequestInfo:
    """What a request asks of its answer; ``SignatureMismatch`` for an output that there is not."""
    if len(document) == 1:
        return PLAIN
    parameters = document.get("parameters") or {}
    if type(parameters) is not dict:
        raise Malformed(
            "'parameters' is not an object", field="parameters", expected="an object", got=_kind(parameters)
        )
    request_id = document.get("id") or ""
    if type(request_id) is not str:
        raise Malformed("'id' is not text", field="id", expected="a text", got=_kind(request_id))
    binary = parameters.get("binary_data_output") is True
    return RequestInfo(request_id, _wanted(document.get("outputs"), plan, binary), binary, parameters)


def _wanted(items: Any, plan: Plan, binary: bool) -> dict[str, bool] | None:
    if not items:
        return None
    if type(items) is not list or not all(type(i) is dict and type(i.get("name")) is str for i in items):
        raise Malformed(
            "'outputs' must be a list of objects with a name",
            field="outputs",
            expected='[{"name": …}]',
            got=_kind(items),
        )
    wanted: dict[str, bool] = {}
    for item in items:
        name = item["name"]
        if name not in plan.outputs:
            raise SignatureMismatch(
                f"there is no output {name!r}", field=name, expected=f"one of {', '.join(plan.outputs)}", got=name
            )
        wanted[name] = bool((item.get("parameters") or {}).get("binary_data", binary))
    return wanted


def unpack_rows(array: Array, plan: Plan, batch: bool) -> Tensors:
    """Named columns of packed rows, checked. Without ``batch`` the tensor is ``[fields]`` or ``[1, fields]``."""
    fields = len(plan.names)
    matrix = array.reshape(1, -1) if not batch and array.ndim == 1 else array
    if matrix.ndim != 2 or matrix.shape[1] != fields or matrix.shape[0] == 0 or (not batch and matrix.shape[0] != 1):
        raise SignatureMismatch(
            "the packed rows have the wrong shape",
            field=plan.names[0] if fields == 1 else None,
            expected=f"[{'n' if batch else 1}, {fields}], or one tensor for each of {', '.join(plan.names[:20])}",
            got=str(list(array.shape)),
            hint="one tensor holds a row of all fields in the signature's order; the batch of rows comes first",
        )
    if batch and plan.uniform is not None and matrix.dtype == plan.uniform.numpy:
        rows: Tensors = PackedRows(plan.names, matrix)
    else:
        columns = {f.name: by_value(matrix[:, i], f) for i, f in enumerate(plan.signature.inputs)}
        rows = columns if batch else {name: column.reshape(()) for name, column in columns.items()}
    for field in plan.strict:
        check_strict(field, rows[field.name])
    return rows


def encode_response(
    tensors: Tensors,
    signature: Signature,
    info: RequestInfo,
    model: str,
    version: int,
    batch: bool,
) -> EncodedBody:
    """Write a response; see ``codec.encode_response``."""
    document: dict[str, Any] = {"model_name": model, "model_version": str(version)}
    if info.id:
        document["id"] = info.id
    if info.explanations is not None:
        document["parameters"] = {EXPLANATIONS: info.explanations}
    plan = plan_of(signature)
    packs = info.binary and info.outputs is None and info.parameters.get(PACKED_OUTPUT) is True
    if packs and batch and plan.answer is not None:
        document["parameters"] = {**document.get("parameters", {}), PACKED_OUTPUT: True}
        matrix = _side_by_side(tensors, plan.outputs)
        return _encode(document, "outputs", [(Field(PACKED, plan.answer, (len(plan.outputs),)), matrix, True)])
    wanted = info.outputs if info.outputs is not None else dict.fromkeys(plan.outputs, info.binary)
    chosen = [(plan.outputs[name], tensors[name], binary) for name, binary in wanted.items()]
    try:
        return _encode(document, "outputs", chosen)
    except UnicodeDecodeError as error:
        raise FunctionFailed("an output holds bytes that are not UTF-8", hint="request it as binary data") from error
    except (TypeError, UnicodeEncodeError) as error:
        raise not_utf8() from error


def encode_request(
    tensors: Tensors, signature: Signature, binary: bool, request_id: str, outputs: Sequence[str] | None, batch: bool
) -> EncodedBody:
    """Write a request; see ``codec.encode_request``."""
    document: dict[str, Any] = {"id": request_id} if request_id else {}
    if binary:
        document["parameters"] = {"binary_data_output": True, PACKED_OUTPUT: True}
    if outputs is not None:
        document["outputs"] = [{"name": name} for name in outputs]
    plan = plan_of(signature)
    if batch and plan.uniform is not None and plan.uniform.is_number and len(plan.names) > 1:
        check_rows(tensors)
        matrix = _side_by_side(tensors, plan.names)
        packed = Field(PACKED, plan.uniform, (len(plan.names),))
        return _encode(document, "inputs", [(packed, matrix, binary)])
    return _encode(document, "inputs", [(f, tensors[f.name], binary) for f in signature.inputs])


def not_utf8() -> FunctionFailed:
    """For an answer with text that has no UTF-8 form, such as a lone surrogate from the name of a file."""
    return FunctionFailed(
        "an output holds text that cannot be written as UTF-8",
        hint="replace it in the function, e.g. text.encode('utf-8', 'replace').decode()",
    )


def _side_by_side(tensors: Tensors, names: Iterable[str]) -> Array:
    """The columns of these names as one matrix; packed rows, which are in the order of the names, are one already."""
    if isinstance(tensors, PackedRows):
        return tensors.matrix
    return np.stack([tensors[name] for name in names], axis=1)


def unpack_answer(document: Mapping[str, Any], tensors: Tensors, plan: Plan) -> PackedRows | None:
    """Named columns of a packed answer; None for an answer that is not packed."""
    parameters = document.get("parameters")
    if type(parameters) is not dict or parameters.get(PACKED_OUTPUT) is not True or plan.answer is None:
        return None
    matrix = tensors.get(PACKED)
    fits = matrix is not None and matrix.ndim == 2 and matrix.shape[1] == len(plan.outputs) and matrix.shape[0] > 0
    if matrix is None or not fits or matrix.dtype != plan.answer.numpy:
        raise SignatureMismatch(
            "the packed answer has the wrong shape or type",
            expected=f"one tensor {PACKED!r}, {plan.answer.wire} [n, {len(plan.outputs)}]",
            got=", ".join(f"{name} {array.dtype} {list(array.shape)}" for name, array in tensors.items()),
        )
    return PackedRows(plan.outputs, matrix)


def _encode(document: dict[str, Any], side: str, chosen: Sequence[tuple[Field, Array, bool]]) -> EncodedBody:
    entries: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for field, array, binary in chosen:
        kind = field.dtype
        entry: dict[str, Any] = {"name": field.name, "datatype": kind.wire, "shape": array.shape}
        if binary and not has_missing(array, kind):
            raw = pack(array, kind)
            entry["parameters"] = {"binary_data_size": len(raw)}
            tail.append(raw)
        elif kind is _FP16:
            entry["datatype"], entry["data"] = _FP32.wire, flat_data(array.astype(np.float32), _FP32)
        else:
            entry["data"] = flat_data(array, kind)
        entries.append(entry)
    document[side] = entries
    text = dump(document)
    if not tail:
        return EncodedBody(JSON_TYPE, None, text)
    return EncodedBody(BINARY_TYPE, len(text), b"".join((text, *tail)))


def _kind(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__
