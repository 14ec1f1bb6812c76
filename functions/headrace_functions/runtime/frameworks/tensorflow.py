"""TensorFlow SavedModels, called by a signature. Imports tensorflow when it loads.

Options: ``signature``, the name of the one to serve (by default ``serving_default``, else the only one). Inputs and outputs are the signature's own by
name, without their first dimension, which is the rows.
"""

import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headrace_functions.errors import HeadraceError, InvalidInput
from headrace_functions.protocol.rows import Array
from headrace_functions.runtime.frameworks import graphs
from headrace_functions.runtime.frameworks.graphs import Tensor
from headrace_functions.runtime.frameworks.model_files import saved_model
from headrace_functions.runtime.frameworks.port import Description, Function, Options
from headrace_functions.signature import Field, Signature, Tensors

ROWS = True
DEFAULT = "serving_default"
_INIT = "__saved_model_init_op"


@dataclass(frozen=True, slots=True)
class Served:
    """A signature; ``model`` keeps alive what it refers to."""

    run: Callable[[dict[str, Array]], dict[str, Array]]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    model: Any


def preload() -> None:
    """The library; it starts no threads before the first operation."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    importlib.import_module("tensorflow")


def load(artifact: Path, options: Options) -> Served:
    """The signature of the SavedModel in the artifact. ``InvalidInput`` for a folder that is none, or that has no such signature."""
    folder = saved_model(artifact)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    tf: Any = importlib.import_module("tensorflow")
    # A replica is one process of many: threads of its own would only make it wait.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    try:
        return _loaded(tf, folder, options)
    except HeadraceError:
        raise
    except Exception as first:  # noqa: BLE001 - a type of its own for each status; the second way says what is wrong
        try:
            return _by_graph(tf, folder, options)
        except HeadraceError:
            raise
        except Exception as error:
            raise InvalidInput(
                f"payload: TensorFlow {tf.__version__} cannot load {folder.name}: {' '.join(str(first).split())[:300]}",
                field="payload",
                expected="a SavedModel that this version supports",
            ) from error


def _loaded(tf: Any, folder: Path, options: Options) -> Served:
    model = tf.saved_model.load(str(folder))
    function = model.signatures[_chosen(list(getattr(model, "signatures", {})), options)]
    _, inputs = function.structured_input_signature

    def run(given: dict[str, Array]) -> dict[str, Array]:
        return {n: t.numpy() for n, t in function(**{n: tf.constant(a) for n, a in given.items()}).items()}

    return Served(run, _tensors(inputs), _tensors(dict(sorted(function.structured_outputs.items()))), model)


def _by_graph(tf: Any, folder: Path, options: Options) -> Served:
    """A model whose objects this version cannot make again (of TensorFlow 1, or with an old optimizer): its graph alone, in a session."""
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        session = v1.Session(
            graph=graph, config=v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
        )
        signatures = v1.saved_model.load(session, ["serve"], str(folder)).signature_def
        chosen = signatures[_chosen([n for n in signatures if n != _INIT], options)]
    inputs, outputs = dict(chosen.inputs), dict(sorted(chosen.outputs.items()))
    wanted = {n: o.name for n, o in outputs.items()}

    def run(given: dict[str, Array]) -> dict[str, Array]:
        found: dict[str, Array] = session.run(wanted, {inputs[n].name: a for n, a in given.items()})
        return found

    def tensors(told: Mapping[str, Any]) -> tuple[Tensor, ...]:
        return tuple(
            graphs.tensor(n, tf.as_dtype(i.dtype).name, [d.size for d in i.tensor_shape.dim]) for n, i in told.items()
        )

    return Served(run, tensors(inputs), tensors(outputs), session)


def _chosen(known: list[str], options: Options) -> str:
    wanted = options.get("signature", DEFAULT if DEFAULT in known else known[0] if len(known) == 1 else None)
    if wanted in known:
        return str(wanted)
    if known:
        raise InvalidInput(
            f"options: the SavedModel has no signature {wanted!r}"
            if wanted
            else "options: the signature is not specified",
            field="options",
            expected=f"signature: one of {', '.join(known)}",
            got=str(wanted or "nothing"),
        )
    raise InvalidInput(
        "payload: the SavedModel has no signature, so its inputs are unknown",
        field="payload",
        expected="tf.saved_model.save(model, folder, signatures=a tf.function with an input_signature)",
        got="no signature",
        hint="a Keras model is saved with one by model.export(folder)",
    )


def _tensors(told: Mapping[str, Any]) -> tuple[Tensor, ...]:
    return tuple(graphs.tensor(name, spec.dtype.name, _dimensions(spec)) for name, spec in told.items())


def _dimensions(spec: Any) -> list[Any]:
    return spec.shape.as_list() if spec.shape.rank is not None else [None]


def describe(model: Served, options: Options, inputs: tuple[Field, ...] | None = None) -> Description:
    """The signature's own inputs and outputs; outputs of free size are found by trying."""
    del options
    return Description(inputs or graphs.fields(model.inputs), graphs.outputs(model.outputs))


def bind(model: Served, options: Options, signature: Signature) -> Function:
    """One call a batch, or one a row where the signature takes no more."""
    del options
    feed = graphs.feeding(model.inputs, signature.inputs)
    names = [t.name for t in model.outputs]
    places = graphs.picking(names, signature)

    def run(tensors: Tensors) -> Mapping[str, Any]:
        answers = model.run({name: _given(a) for name, a in feed(tensors).items()})
        return {f.name: graphs.as_rows(_plain(answers[names[places[f.name]]]), f) for f in signature.outputs}

    return graphs.answering(run, by_row=not all(t.rows for t in model.inputs))


def _given(array: Array) -> Array:
    """Texts as bytes: NumPy's texts would lose NULs at their ends."""
    if array.dtype != object:
        return array
    return np.array([str(v).encode() for v in array.flat], object).reshape(array.shape)


def _plain(array: Array) -> Array:
    if array.dtype != object:
        return array
    texts = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in array.ravel()]
    return np.array(texts, object).reshape(array.shape)


def compare(model: Served, signature: Signature, tensors: Tensors) -> list[str]:
    """A graph does not say what rows it was trained on."""
    del model, signature, tensors
    return []
