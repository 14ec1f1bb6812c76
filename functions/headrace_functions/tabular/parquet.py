"""Parquet files of others: what a damaged one may raise, and how many values one has, without what would end the process."""

import pyarrow as pa
import pyarrow.parquet as pq

UNREADABLE = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What reading a damaged file raises."""


def values_of(file: pq.ParquetFile) -> int:
    """Values of a file, those in lists by themselves; raises one of ``UNREADABLE``.

    Metadata of columns is looked at only of lists, and only where a row of them could be read: pyarrow ends the process for metadata that
    contradict themselves, and raises where it meets them on its way to a row.
    """
    schema, metadata = file.metadata.schema, file.metadata
    leaves = [schema.column(at) for at in range(len(schema))]
    lists = [at for at, leaf in enumerate(leaves) if leaf.max_repetition_level]
    values = (len(leaves) - len(lists)) * metadata.num_rows
    names = sorted({leaves[at].path.split(".")[0] for at in lists})
    for group in range(metadata.num_row_groups if lists else 0):
        next(file.iter_batches(1, row_groups=[group], columns=names, use_threads=False), None)
        row_group = metadata.row_group(group)
        values += sum(row_group.column(at).num_values for at in lists)
    return int(values)
