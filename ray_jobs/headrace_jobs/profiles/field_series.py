"""What a profile looks at in a field: the views that drift compares, and more of texts and of tensors."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_functions.signature import Field
from headrace_functions.views import Array, ViewName
from headrace_jobs.columns import Numbers, Series, series

CLASSES = {"letters": r"\p{L}", "digits": r"\p{N}", "spaces": r"\s", "punctuation": r"\p{P}"}
"""Classes of Unicode characters: they mean the same in every language."""
WORD = r"[\p{L}\p{N}]+"
CHANNELS = 4
"""A tensor of three dimensions whose last one is at most this is an image; its channels are looked at one by one."""
WIDTH = 512
"""Elements of a tensor whose principal directions are looked at, at most."""


def looks(field: Field, column: Any) -> dict[str, Series]:
    """Series by the name people read; ``InvalidInput`` where the column cannot be read as the field's type."""
    found = {view.of(field): one for view, one in series(field, column).items()}
    if field.is_scalar and field.profile == "text":
        return {**found, **_text(field, column)}
    if len(field.shape) == 3 and 0 < field.shape[-1] <= CHANNELS:
        return {**found, **_channels(field, column)}
    return found


def matrix(field: Field, column: Any) -> Array | None:
    """Rows ``(n, size)`` of a vector or tensor of numbers without missing elements; None for any other field."""
    if field.is_scalar or field.size is None or not 1 < field.size <= WIDTH or not field.dtype.is_number:
        return None
    rows = _rows(field, column)
    return rows[np.isfinite(rows).all(axis=1)]


def kind_of(one: Series) -> ViewName:
    return ViewName("", "number" if isinstance(one, Numbers) else "category")


def _text(field: Field, column: Any) -> dict[str, Series]:
    """Tokens of each row, and shares of its characters by class."""
    words = column.cast(pa.string())
    length = _floats(pc.utf8_length(words))
    result: dict[str, Series] = {f"{field.name} tokens": Numbers(_floats(pc.count_substring_regex(words, WORD)))}
    for name, pattern in CLASSES.items():
        counted = _floats(pc.count_substring_regex(words, pattern))
        share = np.divide(counted, length, out=np.full(len(length), np.nan), where=length > 0)
        result[f"{field.name} {name}"] = Numbers(share)
    return result


def _channels(field: Field, column: Any) -> dict[str, Series]:
    """The mean of each channel of each row."""
    rows = _rows(field, column) if field.size is not None else np.empty((len(column), 0))
    count = field.shape[-1]
    return {f"{field.name} channel {c}": Numbers(rows[:, c::count].mean(axis=1)) for c in range(count) if rows.size}


def _rows(field: Field, column: Any) -> Array:
    """Float64 ``(n, size)``; rows that are missing or of another size are NaN."""
    size = field.size or 0
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    whole = pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole
    lengths = pc.fill_null(pc.list_value_length(whole), -1).to_numpy(zero_copy_only=False)
    result = np.full((len(lengths), size), np.nan)
    kept = whole.filter(pa.array(lengths == size))
    result[lengths == size] = _floats(pc.list_flatten(kept)).reshape(-1, size)
    return result


def _floats(column: Any) -> Array:
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)
