"""What a version predicts of its target: which outputs are probabilities of which classes, or which one is the number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace_functions.classes import spellings
from headrace_functions.errors import InvalidInput
from headrace_functions.logtable import output_column
from headrace_functions.signature import Field
from headrace_functions.version import Version
from headrace_functions.views import Array
from headrace_jobs import inputs

MAX_CLASSES = 32
"""Classes with a metric each; counts grow with their number."""


@dataclass(frozen=True, slots=True)
class Classes:
    """Probabilities of two or more classes, and the answered class where an output says it."""

    target: str
    output: Field
    names: tuple[str, ...]
    answer: Field | None

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the log that are read."""
        return tuple(output_column(f) for f in (self.output, self.answer) if f is not None)

    @property
    def binary(self) -> bool:
        return len(self.names) == 2

    def read(self, columns: Mapping[str, Any]) -> tuple[Array, Array, Array]:
        """``usable`` rows ``(n,)``, and of them ``probabilities`` and ``answered`` ``(m, k)``; k is 1 for two classes."""
        found = _matrix(columns[output_column(self.output)], len(self.names))
        usable = np.asarray(((found >= 0) & (found <= 1)).all(axis=1))  # NaN is neither
        found = found[usable]
        if self.answer is not None:
            chosen = codes(columns[output_column(self.answer)], self.names)[usable]
        else:
            chosen = found.argmax(axis=1) if found.shape[1] > 1 else (found[:, 0] >= 0.5).astype(np.int64)
        if self.binary:
            return usable, found[:, -1:], (chosen == 1)[:, None]
        return usable, found, chosen[:, None] == np.arange(len(self.names))


@dataclass(frozen=True, slots=True)
class Number:
    """One output that is the prediction of a number."""

    target: str
    output: Field

    @property
    def columns(self) -> tuple[str, ...]:
        return (output_column(self.output),)

    def read(self, columns: Mapping[str, Any]) -> Array:
        """Answers as float64 ``(n,)``, NaN where missing."""
        return floats(columns[output_column(self.output)])


Problem = Classes | Number


def problem_of(version: Version, target: Any, answers: pq.ParquetFile, wanted: str | None = None) -> Problem:
    """The problem that ``target`` (a column of the training data) and the outputs make; ``wanted`` names the output.

    A vector of numbers with named elements is the probabilities of the classes of these names. A number is the probability of
    the second of two classes where the target has two values and all answers on training rows are in [0, 1]; else it is the
    prediction where the target is a number. Raises ``InvalidInput`` where no output is any of these.
    """
    (name,) = version.target
    outputs = [f for f in version.signature.outputs if wanted in (None, f.name)]
    if not outputs:
        known = ", ".join(f.name for f in version.signature.outputs)
        message = f"output: there is no output {wanted!r}"
        raise InvalidInput(message, field="output", expected=f"one of {known}", got=wanted)
    for field in outputs:
        if field.columns and field.dtype.is_number and field.size == len(field.columns) > 1:
            return _classes(version, name, field, tuple(field.columns), answers)
    scalars = [f for f in outputs if f.is_scalar and f.dtype.is_number and f.profile != "categorical"]
    for field in scalars:
        values = _two(target)
        column = inputs.column(answers, output_column(field))
        if values is not None and column is not None and _within(floats(column)):
            return _classes(version, name, field, values, answers)
    kind = target.type
    if scalars and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return Number(name, scalars[0])
    message = f"{version.id}: no output is a probability or a number to hold against {name!r}"
    hint = "give the probabilities of the classes as an output with 'columns', or choose one by --output"
    raise InvalidInput(message, field="output", hint=hint)


def codes(column: Any, names: Sequence[str]) -> Array:
    """The class of each value of an Arrow column by its place in ``names``, -1 for none; 1, 1.0, True and "1" are one spelling."""
    place = {name: i for i, name in enumerate(names)}
    encoded = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    encoded = pa.concat_arrays(encoded.chunks) if isinstance(encoded, pa.ChunkedArray) else encoded
    encoded = encoded.dictionary_encode()
    found = [next((place[s] for s in spellings(v) if s in place), -1) for v in encoded.dictionary.to_pylist()]
    indices = pc.fill_null(encoded.indices, len(found)).to_numpy(zero_copy_only=False)
    return np.asarray(np.array([*found, -1], np.int64)[indices])


def floats(column: Any) -> Array:
    """An Arrow column of numbers as float64, NaN where missing."""
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)


def _classes(version: Version, target: str, field: Field, names: tuple[str, ...], answers: pq.ParquetFile) -> Classes:
    if len(names) > MAX_CLASSES:
        message = f"{version.id} has {len(names)} classes"
        raise InvalidInput(message, field="output", expected=f"at most {MAX_CLASSES}", got=str(len(names)))
    others = [f for f in version.signature.outputs if f is not field and f.is_scalar]
    answer = next((f for f in others if _says(answers, f, names)), None)
    return Classes(target, field, names, answer)


def _says(answers: pq.ParquetFile, field: Field, names: tuple[str, ...]) -> bool:
    """True where every answer of the output is the name of a class."""
    column = inputs.column(answers, output_column(field))
    return column is not None and len(column) > 0 and bool((codes(column, names) >= 0).all())


def _two(target: Any) -> tuple[str, ...] | None:
    values = sorted(v for v in pc.unique(target).to_pylist() if v is not None and v == v)
    return tuple(str(v) for v in values) if len(values) == 2 else None


def _within(values: Array) -> bool:
    known = values[~np.isnan(values)]
    return bool(len(known)) and bool(((known >= 0) & (known <= 1)).all())


def _matrix(column: Any, width: int) -> Array:
    """Rows of an Arrow column of numbers, or of lists of ``width`` numbers, as float64; NaN where a row is not of that kind."""
    if not pa.types.is_list(column.type) and not pa.types.is_large_list(column.type):
        return floats(column)[:, None]
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    result = np.full((len(lengths), width), np.nan)
    whole = column.filter(pa.array(lengths == width))
    result[lengths == width] = floats(pc.list_flatten(whole)).reshape(-1, width)
    return result
