"""A record as it may be kept: bodies of versions with sensitive fields are read, protected and written anew."""

from dataclasses import replace

from headrace_functions.errors import HeadraceError
from headrace_functions.protection import protect
from headrace_functions.protocol.codec import decode_request, decode_response, encode_request, encode_response
from headrace_functions.protocol.messages import EncodedBody, RequestInfo
from headrace_functions.record import Record, RecordHeader
from headrace_functions.version import Version


def protected_record(version: Version, record: Record, key: bytes) -> Record:
    """The record without clear values of sensitive fields.

    A body that cannot be read into tensors is not kept at all, and of an error only its code: both may hold values.
    """
    header = record.header
    request, response = _request(version, record, key), _response(version, record, key)
    error = header.error.partition(":")[0]
    return Record(_described(replace(header, error=error), request, response), request.body, response.body)


_NOTHING = EncodedBody("application/json", None, b"")


def _described(header: RecordHeader, request: EncodedBody, response: EncodedBody) -> RecordHeader:
    return replace(
        header,
        protocol="v2",
        request_type=request.content_type,
        request_json=request.json_length,
        response_json=response.json_length,
    )


def _request(version: Version, record: Record, key: bytes) -> EncodedBody:
    h, signature = record.header, version.signature
    try:
        tensors, _ = decode_request(
            record.request, h.request_type, h.request_json, signature, protocol=h.protocol, batch=version.batch
        )
        return encode_request(protect(signature.inputs, tensors, key), signature, batch=version.batch)
    except HeadraceError:
        return _NOTHING


def _response(version: Version, record: Record, key: bytes) -> EncodedBody:
    h, signature, name = record.header, version.signature, version.id
    if h.outcome != "ok":
        return _NOTHING
    try:
        tensors = decode_response(record.response, h.response_json, signature, protocol=h.protocol, batch=version.batch)
        kept, wanted = protect(signature.outputs, tensors, key), RequestInfo(binary=True)
        return encode_response(kept, signature, wanted, model=name.model, version=name.number, batch=version.batch)
    except HeadraceError:
        return _NOTHING
