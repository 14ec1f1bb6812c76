"""Messages of the protocol to and from an HTTP request with binary tensors.

Raw contents pass as they are. Typed contents are written as raw ones, so the gateway sees one form. What does not fit is refused
here only where it cannot be written down (contents of another type than the datatype, raw contents for some tensors alone);
everything else is judged by the data plane, with the words that HTTP callers read.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import orjson

from headrace_functions.errors import Malformed, Unreachable
from headrace_functions.protocol.messages import EXPLANATIONS
from headrace_functions.rpc.descriptors import message, read

InferRequest = message("inference.ModelInferRequest")
InferResponse = message("inference.ModelInferResponse")

_CONTENTS: dict[str, tuple[str, str]] = {
    "BOOL": ("bool_contents", "?"),
    "INT8": ("int_contents", "i1"),
    "INT16": ("int_contents", "<i2"),
    "INT32": ("int_contents", "<i4"),
    "INT64": ("int64_contents", "<i8"),
    "UINT8": ("uint_contents", "u1"),
    "UINT16": ("uint_contents", "<u2"),
    "UINT32": ("uint_contents", "<u4"),
    "UINT64": ("uint64_contents", "<u8"),
    "FP32": ("fp32_contents", "<f4"),
    "FP64": ("fp64_contents", "<f8"),
    "BYTES": ("bytes_contents", ""),
}
"""Datatype: the member of ``InferTensorContents`` that holds it, and how its elements are written."""
_LENGTH = struct.Struct("<I")


def http_body(request: Any, data: bytes) -> tuple[bytes, int]:
    """The body for a ``READ_REQUEST`` that was read from ``data``, and the bytes of JSON at its start. ``Malformed`` names the tensor."""
    raw: Sequence[bytes] = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise Malformed(
            "raw_input_contents and inputs have different lengths",
            field="raw_input_contents",
            expected=f"{len(request.inputs)}, one for each tensor, or none",
            got=str(len(raw)),
        )
    inputs: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for at, tensor in enumerate(request.inputs):
        contents = _raw(tensor, raw[at] if raw else None, data, at)
        inputs.append(
            {
                "name": tensor.name,
                "datatype": tensor.datatype,
                "shape": list(tensor.shape),
                "parameters": {**parameters(tensor.parameters), "binary_data_size": len(contents)},
            }
        )
        tail.append(contents)
    document: dict[str, Any] = {
        "parameters": {**parameters(request.parameters), "binary_data_output": True},
        "inputs": inputs,
    }
    if request.id:
        document["id"] = request.id
    if request.outputs:
        document["outputs"] = [
            {"name": o.name, "parameters": {**parameters(o.parameters), "binary_data": True}} for o in request.outputs
        ]
    text = orjson.dumps(document)
    return b"".join((text, *tail)), len(text)


def parameters(entries: Any) -> dict[str, Any]:
    """A map of ``InferParameter`` as plain values."""
    found: dict[str, Any] = {}
    for name, value in entries.items():
        which = value.WhichOneof("parameter_choice")
        if which is not None:
            found[name] = getattr(value, which)
    return found


def _raw(tensor: Any, raw: bytes | None, data: bytes, at: int) -> bytes:
    held = [f.name for f, _ in tensor.contents.ListFields()] if tensor.HasField("contents") else []
    if raw is not None:
        if held:
            raise Malformed(
                f"tensor {tensor.name!r} has both contents and raw_input_contents",
                field=tensor.name,
                expected="one of them",
                got="both",
            )
        return raw
    known = _CONTENTS.get(tensor.datatype)
    if known is None:
        raise Malformed(
            f"tensor {tensor.name!r}: {tensor.datatype or 'no datatype'} has no typed contents",
            field=tensor.name,
            expected=f"raw_input_contents, or one of {', '.join(_CONTENTS)}",
            got=tensor.datatype,
        )
    member, element = known
    if any(name != member for name in held):
        raise Malformed(
            f"tensor {tensor.name!r}: contents do not match its datatype",
            field=tensor.name,
            expected=f"{member} for {tensor.datatype}",
            got=", ".join(held),
        )
    values = getattr(tensor.contents, member)
    if member in ("fp32_contents", "fp64_contents"):
        return _floats(tensor, values, data, at, member, element)
    return lengths_and_bytes(values) if not element else _written(values, element, tensor)


def _floats(tensor: Any, runs: Sequence[bytes], data: bytes, at: int, member: str, element: str) -> bytes:
    """Floating-point contents, which are little-endian on the wire as they are in raw ones; those that are not one packed run are read again."""
    run = runs[0] if len(runs) == 1 else b""
    # One byte for the field, some for the length: contents of more bytes have values that are written one by one.
    whole = 1 + (len(run).bit_length() + 6) // 7 + len(run)
    if run and len(run) % int(element[2]) == 0 and tensor.contents.ByteSize() == whole:
        return run
    values = getattr(read(InferRequest, data).inputs[at].contents, member)
    return _written(values, element, tensor)


def _written(values: Any, element: str, tensor: Any) -> bytes:
    array = (
        np.asarray(values, dtype=np.dtype(element) if element != "?" else np.bool_) if _fits(values, element) else None
    )
    if array is None:
        raise Malformed(
            f"tensor {tensor.name!r}: a value is outside the range of {tensor.datatype}",
            field=tensor.name,
            expected=tensor.datatype,
            got=str(next(v for v in values if not _in_range(v, element))),
        )
    return array.tobytes()


def _fits(values: Any, element: str) -> bool:
    return (
        not element.endswith(("1", "2"))
        or not values
        or (_in_range(min(values), element) and _in_range(max(values), element))
    )


def _in_range(value: int, element: str) -> bool:
    limits = np.iinfo(np.dtype(element))
    return bool(limits.min <= value <= limits.max)


def lengths_and_bytes(values: Iterable[bytes]) -> bytes:
    """BYTES elements, each behind its length."""
    return b"".join(part for value in values for part in (_LENGTH.pack(len(value)), value))


def infer_response(body: bytes, json_length: int | None) -> Any:
    """The ``ModelInferResponse`` for an answer of the gateway, all of it as raw contents.

    A missing text or truth value, which raw contents cannot say, is sent as empty text or false, and the tensor's parameter ``missing`` has the
    positions of such elements, separated by commas. Explanations are JSON in the parameter ``explanations``.
    """
    try:
        document = orjson.loads(body if json_length is None else memoryview(body)[:json_length])
        outputs = document["outputs"]
    except (ValueError, KeyError, TypeError) as error:
        raise Unreachable("the gateway's response is not an inference response") from error
    response = InferResponse(
        model_name=document.get("model_name", ""),
        model_version=document.get("model_version", ""),
        id=document.get("id", ""),
    )
    explanations = (document.get("parameters") or {}).get(EXPLANATIONS)
    if explanations is not None:  # a parameter of the protocol is a single value
        response.parameters[EXPLANATIONS].string_param = orjson.dumps(explanations).decode()
    at = json_length or 0
    for output in outputs:
        tensor = response.outputs.add(name=output["name"], datatype=output["datatype"], shape=output["shape"])
        size = (output.get("parameters") or {}).get("binary_data_size")
        if size is None:
            data, missing = _from_json(output["data"], output["datatype"])
            response.raw_output_contents.append(data)
            if missing:
                tensor.parameters["missing"].string_param = ",".join(map(str, missing))
        else:
            response.raw_output_contents.append(body[at : at + size])
            at += size
    return response


def _from_json(data: list[Any], datatype: str) -> tuple[bytes, list[int]]:
    missing = [i for i, value in enumerate(data) if value is None]
    if datatype == "BYTES":
        return lengths_and_bytes(b"" if v is None else str(v).encode() for v in data), missing
    element = _CONTENTS[datatype][1]
    if element == "?":
        return np.array([bool(v) for v in data], dtype=np.bool_).tobytes(), missing
    return np.array(data, dtype=np.dtype(element)).tobytes(), []
