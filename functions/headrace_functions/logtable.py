"""Columns of a version's log table: the collector writes them, the API and the jobs read them.

One line is one row of a request. An exchange that could not be read into rows (refused, failed before decoding) is one
line with ``row`` 0, empty field columns, and its raw request in ``raw``. Types are names of Arrow types; the tables are
Delta tables, which have no unsigned and no 16-bit floating types, so those widen: uint64 to decimals of twenty digits, which readers
here turn back into uint64.
"""

from headrace_functions.signature import Field, Signature

INPUT = "in."
OUTPUT = "out."

EXCHANGE_COLUMNS: dict[str, str] = {
    "request_id": "string",
    "row": "int32",
    "received": "timestamp",
    "date": "string",
    "latency_ms": "float64",
    "outcome": "string",
    "status": "int32",
    "error": "string",
    "protocol": "string",
    "sequence": "string",
    "stage": "int32",
    "variant": "string",
    "shadow": "bool",
    "caller_time": "timestamp",
    "traceparent": "string",
    "replica": "string",
    "caller": "string",
    "checks": "list<string>",
    "raw": "string",
}
"""``received`` and ``caller_time`` are microseconds in UTC; ``date`` (``YYYY-MM-DD`` of ``received``) is the partition;
``caller`` is who asked, as the gateway found out; ``checks`` lists the failed checks as ``field:check``; ``raw`` is the request as text, cut at 64 KB, where it was not read into rows."""

PARTITION = "date"

_WIDER = {"uint8": "int16", "uint16": "int32", "uint32": "int64", "uint64": "decimal(20,0)", "float16": "float32"}


def input_column(field: Field) -> str:
    return INPUT + field.column


def output_column(field: Field) -> str:
    return OUTPUT + field.column


def column_type(field: Field) -> str:
    """Arrow type of a field's column; a tensor is its elements in row-major order, e.g. ``list<float64>``."""
    element = _WIDER.get(field.dtype.name, field.dtype.name)
    return element if field.is_scalar else f"list<{element}>"


def columns(signature: Signature) -> dict[str, str]:
    """All columns of a log table and their Arrow types, in order."""
    fields = {input_column(f): column_type(f) for f in signature.inputs}
    fields.update({output_column(f): column_type(f) for f in signature.outputs})
    return {**EXCHANGE_COLUMNS, **fields}
