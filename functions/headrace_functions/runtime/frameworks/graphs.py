"""Models that take and give named tensors (ONNX graphs, exported programs, SavedModels, Keras models): how fields of a signature become theirs.

Imports no library of a framework. A model's tensors are told as ``Tensor``; where training data or a contract have a column for each feature and the
model one matrix, the columns become that matrix.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_functions.errors import HeadraceError, InvalidInput
from headrace_functions.names import check_field_name
from headrace_functions.protocol.rows import Array
from headrace_functions.signature import Field, Signature, Tensors, dtype

Feed = Callable[[Mapping[str, Array]], dict[str, Array]]
"""Inputs by field to the model's inputs by its own names."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of a model. ``shape`` is that of a row; -1 is free. ``kind`` is None for what is no tensor of a known type."""

    name: str
    kind: str | None
    shape: tuple[int, ...]
    rows: bool = True
    """Whether its first dimension is the rows, and free."""


def tensor(name: str, kind: str | None, dimensions: Sequence[Any]) -> Tensor:
    """A tensor by its whole shape, whose first dimension is the rows; what is no positive number is free."""
    free = bool(dimensions) and not _is_size(dimensions[0])
    return Tensor(name, kind, tuple(int(n) if _is_size(n) else -1 for n in dimensions[1:]), free)


def _is_size(dimension: Any) -> bool:
    return isinstance(dimension, int) and dimension > 0


def fields(tensors: Sequence[Tensor]) -> tuple[Field, ...]:
    """Tensors as fields of a signature. ``InvalidInput`` for one that is no tensor."""
    found = []
    for one in tensors:
        if one.kind is None:
            raise InvalidInput(
                f"payload: {one.name!r} of the model is not a tensor",
                field="payload",
                expected="inputs that are tensors",
            )
        shape = () if one.shape == (1,) else one.shape
        kind = dtype(one.kind)
        found.append(Field(usable(one.name), kind, shape, _profile(kind.is_number, shape)))
    return tuple(found)


def _profile(number: bool, shape: tuple[int, ...]) -> str:
    return "numerical" if number and len(shape) == 1 and shape[0] > 0 else "none"


def outputs(tensors: Sequence[Tensor]) -> tuple[Field, ...] | None:
    """Outputs as fields; None where one is no tensor or of free size, which trying tells."""
    return fields(tensors) if tensors and all(t.kind and -1 not in t.shape for t in tensors) else None


def usable(name: str) -> str:
    """The model's own name where it may name a field, else one made of it."""
    try:
        return check_field_name(name)
    except HeadraceError:
        return "".join(c if c.isalnum() else "_" for c in name)[:100].strip("_") or "tensor"


def feeding(tensors: Sequence[Tensor], wanted: Sequence[Field]) -> Feed:
    """How fields become the model's inputs: one by one, by name or else by place, or all columns as its one matrix.

    Raises ``InvalidInput`` naming the field where they cannot.
    """
    if len(tensors) == 1 and len(wanted) > 1:
        return _one_matrix(tensors[0], wanted)
    by_name = {usable(t.name): t for t in tensors}
    pairs = [(f, by_name.get(f.name)) for f in wanted]
    if len(wanted) == len(tensors) and any(t is None for _, t in pairs):
        pairs = list(zip(wanted, tensors, strict=True))
    for field, one in pairs:
        if one is None:
            raise InvalidInput(
                f"the model has no input {field.name!r}", field=field.name, expected=", ".join(by_name), got=field.name
            )
    missing = [t.name for t in tensors if all(t is not other for _, other in pairs)]
    if missing:
        raise InvalidInput(f"the contract has no field for the model's input {missing[0]!r}", field=missing[0])
    known = [(f.name, t) for f, t in pairs if t is not None]
    return lambda given: {t.name: _fed(given[name], t) for name, t in known}


def _one_matrix(one: Tensor, wanted: Sequence[Field]) -> Feed:
    width = sum(f.size or 0 for f in wanted)
    if len(one.shape) != 1 or one.shape[0] not in (-1, width):
        takes = "no matrix of rows" if len(one.shape) != 1 else f"{one.shape[0]} features"
        raise InvalidInput(
            f"the contract has {width} features, and the model's input {one.name!r} takes {takes}",
            field="contract",
            expected=takes,
            got=", ".join(f.name for f in wanted[:20]),
        )
    kind = dtype(one.kind or "float32").numpy
    return lambda given: {
        one.name: np.hstack([np.asarray(given[f.name], kind).reshape(len(given[f.name]), -1) for f in wanted])
    }


def _fed(values: Array, one: Tensor) -> Array:
    kind = dtype(one.kind) if one.kind else None
    if kind is not None and kind.name == "string":
        array = np.array(["" if v is None else str(v) for v in values.ravel()], object).reshape(values.shape)
    else:
        array = values if kind is None else np.asarray(values, kind.numpy)
    return array.reshape(len(array), 1) if one.shape == (1,) and array.ndim == 1 else array


def picking(names: Sequence[str], signature: Signature) -> dict[str, int]:
    """Which of the model's outputs each output of the contract is: by name, else by place where there are as many."""
    own = [usable(n) for n in names]
    if all(f.name in own for f in signature.outputs):
        return {f.name: own.index(f.name) for f in signature.outputs}
    if len(signature.outputs) == len(own):
        return {f.name: place for place, f in enumerate(signature.outputs)}
    strange = next(f.name for f in signature.outputs if f.name not in own)
    raise InvalidInput(f"the model has no output {strange!r}", field=strange, expected=", ".join(own), got=strange)


def picked(answer: Mapping[str, Any], signature: Signature) -> Mapping[str, Any]:
    """The outputs of the contract as ``[n, *shape]``, of an answer by the model's own names; the answer as it is while outputs are being found."""
    if [f.name for f in signature.outputs] == ["answer"]:
        return answer
    places, values = picking(list(answer), signature), list(answer.values())
    return {f.name: as_rows(values[places[f.name]], f) for f in signature.outputs}


def as_rows(answer: Any, field: Field) -> Array:
    """An output as ``[n, *shape]``: a column of one as scalars, floating numbers in the declared type."""
    array = np.asarray(answer)
    if field.is_scalar and array.ndim > 1 and array.shape[1:] == (1,) * (array.ndim - 1):
        array = array.reshape(len(array))
    return array.astype(field.dtype.numpy, copy=False) if field.dtype.is_number and array.dtype.kind == "f" else array


def answering(run: Callable[[Tensors], Mapping[str, Array]], *, by_row: bool) -> Callable[[Tensors], Mapping[str, Any]]:
    """``run`` for a batch; a row at a time for a model that takes one a run."""
    if not by_row:
        return run

    def each(tensors: Tensors) -> Mapping[str, Any]:
        count = len(next(iter(tensors.values())))
        parts = [run({n: a[i : i + 1] for n, a in tensors.items()}) for i in range(count)]
        return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}

    return each


def named(answer: Any, alone: str = "output") -> dict[str, Any]:
    """What a model gave by name: a mapping as it is, several by place, one as ``alone``."""
    if isinstance(answer, Mapping):
        return {str(k): v for k, v in answer.items()}
    if isinstance(answer, list | tuple):
        found: Sequence[Any] = answer
        fieldnames = getattr(answer, "_fields", None)
        keys = fieldnames or ([alone] if len(found) == 1 else [f"{alone}_{i}" for i in range(len(found))])
        return dict(zip(keys, found, strict=True))
    return {alone: answer}
