"""Tables on the wire: rows packed in one matrix, and what is worked out once per signature."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_functions.signature import DType, Field, Signature

Array = np.ndarray[Any, Any]

_REMEMBERED = 4096  # plans kept; a gateway with more live signatures works them out again


class PackedRows(dict[str, Array]):
    """Named columns that are views of one ``[n, fields]`` matrix in signature order.

    It is an ordinary mapping of tensors; code that wants all columns side by side finds them in ``matrix``
    instead of stacking them again.
    """

    __slots__ = ("matrix",)

    def __init__(self, names: Iterable[str], matrix: Array) -> None:
        super().__init__(zip(names, matrix.T, strict=True))
        self.matrix = matrix

    def rows(self, start: int, end: int) -> "PackedRows":
        """Some of the rows, packed as well."""
        return PackedRows(self, self.matrix[start:end])

    def is_for(self, fields: Sequence[Field]) -> bool:
        """Whether the matrix is the columns of these fields, in their order and type."""
        return self.matrix.dtype == fields[0].dtype.numpy and list(self) == [f.name for f in fields]


@dataclass(frozen=True, slots=True)
class Plan:
    """What the hot path asks of a signature's inputs."""

    signature: Signature
    names: tuple[str, ...]
    inputs: Mapping[str, Field]
    outputs: Mapping[str, Field]
    is_table: bool
    uniform: DType | None
    """The one type of all inputs of a table, so that its rows fit in a matrix; None otherwise."""
    answer: DType | None
    """The one type of all outputs where these are several numbers a row, so that an answer's rows fit in a matrix; None otherwise."""
    strict: tuple[Field, ...]


_plans: dict[int, Plan] = {}


def plan_of(signature: Signature) -> Plan:
    """The plan of a signature, remembered by identity: hashing thirty fields takes longer than decoding them.

    The plan holds the signature, so its identity cannot be given to another one while it is remembered.
    """
    plan = _plans.get(id(signature))
    if plan is None:
        if len(_plans) >= _REMEMBERED:
            _plans.clear()
        packed = _uniform(signature.outputs) if len(signature.outputs) > 1 else None
        plan = _plans[id(signature)] = Plan(
            signature,
            tuple(f.name for f in signature.inputs),
            {f.name: f for f in signature.inputs},
            {f.name: f for f in signature.outputs},
            signature.is_table,
            _uniform(signature.inputs),
            packed if packed is not None and packed.is_number else None,
            tuple(f for f in signature.inputs if f.strict),
        )
    return plan


def _uniform(fields: Sequence[Field]) -> DType | None:
    types = {f.dtype.name: f.dtype for f in fields}
    return next(iter(types.values())) if all(f.is_scalar for f in fields) and len(types) == 1 else None
