"""Arrow types that every reader of Parquet knows: the query engine answers in views and dictionaries, which pandas and others refuse.

And uint64, which Delta tables do not have: they hold it as decimals of twenty digits.
"""

from collections.abc import Iterable

import pyarrow as pa

STORED_UINT64 = pa.decimal128(20, 0)


def plain(kind: pa.DataType) -> pa.DataType:
    """The type without views, dictionaries and large offsets, inside lists and structs too."""
    if pa.types.is_dictionary(kind):
        return plain(kind.value_type)
    if pa.types.is_string_view(kind) or pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_binary_view(kind) or pa.types.is_large_binary(kind):
        return pa.binary()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_list_view(kind):
        return pa.list_(plain(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(f.name, plain(f.type), f.nullable) for f in kind])
    return kind


def as_logged(rows: pa.Table) -> pa.Table:
    """Rows of a table of the store with uint64 where the table has decimals in its place."""
    for place, field in enumerate(rows.schema):
        kind = _as_logged(field.type)
        if kind != field.type:
            rows = rows.set_column(place, pa.field(field.name, kind, field.nullable), rows.column(place).cast(kind))
    return rows


def batches_as_logged(reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """As ``as_logged``, batch by batch."""
    schema = pa.schema([pa.field(f.name, _as_logged(f.type), f.nullable) for f in reader.schema])
    if schema == pa.schema(reader.schema):
        return reader
    batches: Iterable[pa.RecordBatch] = (
        batch for b in reader for batch in as_logged(pa.Table.from_batches([pa.record_batch(b)])).to_batches()
    )
    return pa.RecordBatchReader.from_batches(schema, batches)


def _as_logged(kind: pa.DataType) -> pa.DataType:
    if kind == STORED_UINT64:
        return pa.uint64()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = _as_logged(kind.value_type)
        return kind if inner == kind.value_type else pa.list_(inner)
    return kind


def plain_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(f.name, plain(f.type), f.nullable) for f in schema])


def plain_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch in the types of ``schema``, which is ``plain_schema`` of its own."""
    columns = [_cast(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind:
        return column
    if pa.types.is_list(kind):
        return pa.array(column.to_pylist(), kind)  # Arrow casts no views within lists
    return column.cast(kind)
