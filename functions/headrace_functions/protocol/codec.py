"""Requests and responses to and from named arrays, in both protocols. The front of this package.

The function server decodes requests and encodes responses; the gateway also plays the client, from stage to stage; the
collector reads logged bodies with the same functions, so a log shows what the function saw.
"""

from collections.abc import Sequence

import numpy as np

from headrace_functions.errors import Malformed
from headrace_functions.protocol import v1, v2
from headrace_functions.protocol.messages import EncodedBody, Protocol, RequestInfo
from headrace_functions.protocol.rows import Array, plan_of
from headrace_functions.signature import Field, Signature, Tensors, check_shape


def decode_request(
    body: bytes,
    content_type: str,
    json_length: int | None,
    signature: Signature,
    *,
    protocol: Protocol = "v2",
    batch: bool = True,
) -> tuple[Tensors, RequestInfo]:
    """The inputs of a request in signature order, checked as ``check_inputs`` does, and what it asks of the answer.

    ``json_length`` is ``Inference-Header-Content-Length`` if it was sent. With ``batch`` the arrays are ``[n, *shape]``,
    else ``shape``; strings are object arrays of ``str`` (``bytes`` where a binary tensor is not UTF-8), missing ones None.
    Raises ``Malformed`` for what the protocol does not allow and ``SignatureMismatch`` for what the signature does not.
    """
    if protocol == "v1":
        return v1.decode_request(body, content_type, signature, batch)
    return v2.decode_request(body, content_type, json_length, signature, batch)


def encode_response(
    tensors: Tensors,
    signature: Signature,
    info: RequestInfo,
    *,
    model: str,
    version: int,
    protocol: Protocol = "v2",
    batch: bool = True,
) -> EncodedBody:
    """The response with checked outputs (see ``check_outputs``), those that the request wants, as it wants them.

    In JSON, NaN and infinities are ``null``. Raises ``FunctionFailed`` for bytes that are no text and shall be v2 JSON.
    """
    if protocol == "v1":
        return v1.encode_response(tensors, signature, info, batch)
    return v2.encode_response(tensors, signature, info, model, version, batch)


def encode_request(
    tensors: Tensors,
    signature: Signature,
    *,
    binary: bool = True,
    request_id: str = "",
    outputs: Sequence[str] | None = None,
    batch: bool = True,
) -> EncodedBody:
    """A v2 request for a function with this signature; ``tensors`` must have passed ``check_inputs``.

    With ``binary``, tensors are sent as binary data and asked for so; rows of numbers of one type travel packed, there and back.
    A string tensor with missing values travels as JSON, because binary data cannot say them.
    """
    return v2.encode_request(tensors, signature, binary, request_id, outputs, batch)


def decode_response(
    body: bytes, json_length: int | None, signature: Signature, *, protocol: Protocol = "v2", batch: bool = True
) -> Tensors:
    """The outputs in a response, in signature order and types; those that the request did not want are absent.

    Outputs that the signature does not name are left out. Raises ``Malformed`` for a body that is no such response
    (a problem document, for one) and ``SignatureMismatch`` for an output of another shape.
    """
    if protocol == "v1":
        return v1.decode_response(body, signature, batch)
    document, tail = v2.split(body, "", json_length)
    plan = plan_of(signature)
    received = v2.read_tensors(document, "outputs", tail, plan.outputs)
    packed = v2.unpack_answer(document, received, plan) if batch else None
    if packed is not None:
        return packed
    return {f.name: _as_field(received[f.name], f, batch) for f in signature.outputs if f.name in received}


def _as_field(array: Array, field: Field, batch: bool) -> Array:
    have, want = array.dtype, field.dtype.numpy
    if have != want:
        if not np.can_cast(have, want, "same_kind"):
            raise Malformed(
                f"output {field.name!r} has a different type",
                field=field.name,
                expected=field.dtype.wire,
                got=str(have),
            )
        array = array.astype(want)
    if field.is_scalar and array.shape[int(batch) :] == (1,):
        array = array.reshape(array.shape[: int(batch)])
    check_shape(field, array.shape, batched=batch, side="output")
    return array
