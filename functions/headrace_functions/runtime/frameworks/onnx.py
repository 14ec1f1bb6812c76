"""ONNX models, run by ONNX Runtime on the processor. Imports onnxruntime when it loads.

Options: ``file``, the file in the artifact where there are several. Inputs and outputs are the graph's own, without their first dimension where it
is free (the rows); a graph whose first dimension is fixed is run a row at a time. Where training data or a contract have a column for
each feature and the graph one matrix, the columns become that matrix. A sequence of maps (scikit-learn's ``ZipMap``) becomes the probabilities
in the order of the keys.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headrace_functions.errors import InvalidInput
from headrace_functions.protocol.rows import Array
from headrace_functions.runtime.frameworks import graphs
from headrace_functions.runtime.frameworks.graphs import Tensor
from headrace_functions.runtime.frameworks.model_files import only_file
from headrace_functions.runtime.frameworks.port import Description, Function, Options
from headrace_functions.signature import Field, Signature, Tensors

ROWS = True
SUFFIXES = (".onnx", ".ort")
_TYPES = {
    "float": "float32", "double": "float64", "float16": "float16", "string": "string", "bool": "bool",
    **{f"int{n}": f"int{n}" for n in (8, 16, 32, 64)}, **{f"uint{n}": f"uint{n}" for n in (8, 16, 32, 64)},
}  # fmt: skip


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
            expected="an ONNX model whose operators this version supports",
        ) from error
    return Graph(session, tuple(map(_tensor, session.get_inputs())), tuple(map(_tensor, session.get_outputs())))


def _said(error: Exception) -> str:
    """The library's last words, without the places in its own sources that stand before them."""
    text = " ".join(str(error).split())
    return text.rpartition("&) ")[2].rpartition("&, int) ")[2].rpartition("std::string&, int) ")[2][-400:]


def _tensor(node: Any) -> Tensor:
    inner = node.type.removeprefix("tensor(").removesuffix(")")
    kind = _TYPES.get(inner) if node.type.startswith("tensor(") else None
    found = graphs.tensor(node.name, kind, list(node.shape or ()))
    return found if kind is not None else Tensor(found.name, None, found.shape)


def describe(model: Graph, options: Options, inputs: tuple[Field, ...] | None = None) -> Description:
    """The graph's own inputs and outputs; outputs that are no tensors, or of free size, are found by trying."""
    del options
    return Description(inputs or graphs.fields(model.inputs), graphs.outputs(model.outputs))


def bind(model: Graph, options: Options, signature: Signature) -> Function:
    """One run a batch, or one a row where the graph takes no more. ``InvalidInput`` where the contract is not the graph's."""
    del options
    feed = graphs.feeding(model.inputs, signature.inputs)
    picked = graphs.picking([t.name for t in model.outputs], signature)
    names = [model.outputs[place].name for place in picked.values()]

    def run(tensors: Mapping[str, Array]) -> Mapping[str, Any]:
        answers = model.session.run(names, feed(tensors))
        return {f.name: graphs.as_rows(_plain(a), f) for f, a in zip(signature.outputs, answers, strict=True)}

    return graphs.answering(run, by_row=model.by_row)


def _plain(answer: Any) -> Any:
    """Maps by the order of their keys."""
    if not (isinstance(answer, list) and answer and isinstance(answer[0], Mapping)):
        return answer
    keys = sorted({key for row in answer for key in row})
    return np.array([[row.get(key, 0.0) for key in keys] for row in answer])


def compare(model: Graph, signature: Signature, tensors: Tensors) -> list[str]:
    """A graph does not say what rows it was trained on."""
    del model, signature, tensors
    return []
