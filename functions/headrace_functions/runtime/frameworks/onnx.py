"""ONNX models, run by ONNX Runtime on the processor. Imports onnxruntime when it loads.

Options: ``file``, the file in the artifact where there are several. Inputs and outputs are the graph's own, without their first dimension where it
is free (the rows); a graph whose first dimension is fixed is run a row at a time. Where training data or a contract have a column for
each feature and the graph one matrix, the columns become that matrix. A sequence of maps (scikit-learn's ``ZipMap``) becomes the probabilities
in the order of the keys.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headrace_functions.errors import HeadraceError, InvalidInput
from headrace_functions.names import check_field_name
from headrace_functions.protocol.rows import Array
from headrace_functions.runtime.frameworks.model_files import only_file
from headrace_functions.runtime.frameworks.port import Description, Function, Options
from headrace_functions.signature import Field, Signature, Tensors, dtype

ROWS = True
SUFFIXES = (".onnx", ".ort")
_TYPES = {
    "float": "float32", "double": "float64", "float16": "float16", "string": "string", "bool": "bool",
    **{f"int{n}": f"int{n}" for n in (8, 16, 32, 64)}, **{f"uint{n}": f"uint{n}" for n in (8, 16, 32, 64)},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of a graph. ``shape`` is that of a row; -1 is free. ``kind`` is None for what is no tensor."""

    name: str
    kind: str | None
    shape: tuple[int, ...]
    rows: bool
    """Whether its first dimension is the rows, and free."""


@dataclass(frozen=True, slots=True)
class Graph:
    session: Any
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @property
    def by_row(self) -> bool:
        """Whether it takes one row a run."""
        return not all(t.rows for t in self.inputs)


def preload() -> None:
    """Nothing: onnxruntime starts a thread when it is imported, and a process with threads cannot be forked."""


def load(artifact: Path, options: Options) -> Graph:
    """The graph in a file. ``InvalidInput`` for a file that is none, an operator set that is too new, or an operator that is not known."""
    path = only_file(artifact, options, SUFFIXES)
    runtime: Any = importlib.import_module("onnxruntime")
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    try:
        session = runtime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library has a type of its own for each status, without a common one
        raise InvalidInput(
            f"payload: ONNX Runtime {runtime.__version__} cannot load {path.name}: {_said(error)}",
            field="payload",
            expected="an ONNX model whose operators this version knows",
        ) from error
    return Graph(session, tuple(map(_tensor, session.get_inputs())), tuple(map(_tensor, session.get_outputs())))


def _said(error: Exception) -> str:
    """The library's last words, without the places in its own sources that stand before them."""
    text = " ".join(str(error).split())
    return text.rpartition("&) ")[2].rpartition("&, int) ")[2].rpartition("std::string&, int) ")[2][-400:]


def _tensor(node: Any) -> Tensor:
    inner = node.type.removeprefix("tensor(").removesuffix(")")
    kind = _TYPES.get(inner) if node.type.startswith("tensor(") else None
    dimensions = list(node.shape or ())
    free = bool(dimensions) and not isinstance(dimensions[0], int)
    shape = tuple(n if isinstance(n, int) and n > 0 else -1 for n in dimensions[1:])
    return Tensor(node.name, kind, shape, free or kind is None)


def describe(model: Graph, options: Options, inputs: tuple[Field, ...] | None = None) -> Description:
    """The graph's own inputs and outputs; outputs that are no tensors, or of free size, are found by trying."""
    del options
    known = inputs or _fields(model.inputs)
    outputs = _fields(model.outputs) if all(t.kind and -1 not in t.shape for t in model.outputs) else None
    return Description(known, outputs)


def _fields(tensors: Sequence[Tensor]) -> tuple[Field, ...] | None:
    found = []
    for tensor in tensors:
        if tensor.kind is None:
            raise InvalidInput(
                f"payload: input {tensor.name!r} of the graph is no tensor",
                field="payload",
                expected="inputs that are tensors",
            )
        shape = () if tensor.shape == (1,) else tensor.shape
        found.append(Field(_usable(tensor.name), dtype(tensor.kind), shape))
    return tuple(found)


def _usable(name: str) -> str:
    """The graph's name where it may name a field, else one made of it."""
    try:
        return check_field_name(name)
    except HeadraceError:
        return "".join(c if c.isalnum() else "_" for c in name)[:100].strip("_") or "tensor"


def bind(model: Graph, options: Options, signature: Signature) -> Function:
    """One run a batch, or one a row where the graph takes no more. ``InvalidInput`` where the contract is not the graph's."""
    del options
    feed = _feeding(model, signature)
    picked = _picking(model, signature)
    names = [model.outputs[place].name for place in picked.values()]

    def run(tensors: Mapping[str, Array]) -> Mapping[str, Any]:
        answers = model.session.run(names, feed(tensors))
        return {f.name: _as_rows(answer, f) for f, answer in zip(signature.outputs, answers, strict=True)}

    if not model.by_row:
        return run

    def each(tensors: Tensors) -> Mapping[str, Any]:
        count = len(next(iter(tensors.values())))
        parts = [run({n: a[i : i + 1] for n, a in tensors.items()}) for i in range(count)]
        return {f.name: np.concatenate([p[f.name] for p in parts]) for f in signature.outputs}

    return each


def _feeding(model: Graph, signature: Signature) -> Callable[[Mapping[str, Array]], dict[str, Array]]:
    """How inputs become the graph's: one by one, or all columns as its one matrix."""
    fields, tensors = signature.inputs, model.inputs
    if len(tensors) == 1 and len(fields) > 1:
        return _one_matrix(tensors[0], fields)
    by_name = {_usable(t.name): t for t in tensors}
    pairs = [(f, by_name.get(f.name)) for f in fields]
    if len(fields) == len(tensors) and any(t is None for _, t in pairs):
        pairs = list(zip(fields, tensors, strict=True))
    for field, tensor in pairs:
        if tensor is None:
            raise InvalidInput(
                f"the graph has no input {field.name!r}", field=field.name, expected=", ".join(by_name), got=field.name
            )
    missing = [t.name for t in tensors if all(t is not other for _, other in pairs)]
    if missing:
        raise InvalidInput(f"the contract lacks the graph's input {missing[0]!r}", field=missing[0])
    known = [(f.name, t) for f, t in pairs if t is not None]
    return lambda given: {t.name: _fed(given[name], t) for name, t in known}


def _one_matrix(tensor: Tensor, fields: Sequence[Field]) -> Callable[[Mapping[str, Array]], dict[str, Array]]:
    width = sum(f.size or 0 for f in fields)
    if len(tensor.shape) != 1 or tensor.shape[0] not in (-1, width):
        wanted = "a matrix of one row" if len(tensor.shape) != 1 else f"{tensor.shape[0]} features"
        raise InvalidInput(
            f"the contract has {width} features, and the graph's input {tensor.name!r} takes {wanted}",
            field="contract",
            expected=wanted,
            got=", ".join(f.name for f in fields[:20]),
        )
    kind = dtype(tensor.kind or "float32").numpy
    return lambda given: {
        tensor.name: np.hstack([np.asarray(given[f.name], kind).reshape(len(given[f.name]), -1) for f in fields])
    }


def _fed(values: Array, tensor: Tensor) -> Array:
    kind = dtype(tensor.kind or "float32")
    array = values if kind.name == "string" else np.asarray(values, kind.numpy)
    if kind.name == "string":
        array = np.array(["" if v is None else str(v) for v in values.ravel()], object).reshape(values.shape)
    return array.reshape(len(array), 1) if tensor.shape == (1,) and array.ndim == 1 else array


def _picking(model: Graph, signature: Signature) -> dict[str, int]:
    """Which of the graph's outputs each output of the contract is: by name, else by place where there are as many."""
    names = [_usable(t.name) for t in model.outputs]
    if all(f.name in names for f in signature.outputs):
        return {f.name: names.index(f.name) for f in signature.outputs}
    if len(signature.outputs) == len(names):
        return {f.name: place for place, f in enumerate(signature.outputs)}
    strange = next(f.name for f in signature.outputs if f.name not in names)
    raise InvalidInput(f"the graph has no output {strange!r}", field=strange, expected=", ".join(names), got=strange)


def _as_rows(answer: Any, field: Field) -> Array:
    """An output as ``[n, *shape]``: maps by the order of their keys, a column of one as scalars."""
    if isinstance(answer, list):
        keys = sorted({key for row in answer for key in row}) if answer and isinstance(answer[0], Mapping) else []
        array = np.array([[row.get(key, 0.0) for key in keys] for row in answer]) if keys else np.asarray(answer)
    else:
        array = np.asarray(answer)
    if field.is_scalar and array.ndim > 1 and array.shape[1:] == (1,) * (array.ndim - 1):
        array = array.reshape(len(array))
    return array.astype(field.dtype.numpy, copy=False) if field.dtype.is_number and array.dtype.kind == "f" else array


def compare(model: Graph, signature: Signature, tensors: Tensors) -> list[str]:
    """A graph does not say what rows it was trained on."""
    del model, signature, tensors
    return []
