"""Keras models: ``.keras``, and ``.h5`` of Keras 2 or 3. Imports keras when it loads, and with it the backend.

Options: ``file``, the file in the artifact where there are several; ``backend``, ``tensorflow`` (the default), ``torch`` or ``jax``. Inputs and outputs are the model's
own by name. A ``Lambda`` layer is Python code in the file: it is refused unless ``allow-unsafe`` lists ``keras.layers.Lambda``.
"""

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headrace_functions.errors import InvalidInput
from headrace_functions.runtime.frameworks import graphs
from headrace_functions.runtime.frameworks.graphs import Tensor
from headrace_functions.runtime.frameworks.keras_files import BACKENDS, check_file, written_by
from headrace_functions.runtime.frameworks.model_files import KERAS, only_file
from headrace_functions.runtime.frameworks.port import Description, Function, Options
from headrace_functions.runtime.frameworks.safety import LAMBDA, allows
from headrace_functions.signature import Field, Signature, Tensors

ROWS = True


@dataclass(frozen=True, slots=True)
class Network:
    model: Any
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def preload() -> None:
    """NumPy alone: which backend is imported with Keras is a version's own choice."""
    importlib.import_module("numpy.random")


def load(artifact: Path, options: Options) -> Network:
    """The model in a file. ``InvalidInput`` for a file that is none, a layer that is not known, a Keras that is too old or too new."""
    path = only_file(artifact, options, KERAS, "model.save('model.keras')")
    check_file(path)
    backend = str(options.get("backend", BACKENDS[0]))
    if backend not in BACKENDS:
        raise InvalidInput(f"options: backend {backend!r} is not known", field="options", expected=", ".join(BACKENDS))
    os.environ["KERAS_BACKEND"] = backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    keras: Any = importlib.import_module("keras")
    _use_one_thread(backend)
    made = written_by(path)
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=not allows(options, LAMBDA))
    except Exception as error:  # layers, their code and three backends raise whatever they like
        by = f", which Keras {made} wrote" if made else ""
        raise InvalidInput(
            f"payload: Keras {keras.__version__} cannot load {path.name}{by}: {_said(error)}",
            field="payload",
            expected="a model whose layers are part of Keras",
            got=_said(error),
            hint=_hint(made, str(keras.__version__), str(error)),
        ) from error
    return Network(model, tuple(map(_tensor, model.inputs)), _outputs(model))


def _said(error: Exception) -> str:
    """The reason, behind the layers of configuration in which Keras wraps it."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text.rpartition('Exception encountered: ')[2][:300]}"


def _hint(made: str, has: str, said: str) -> str:
    if made and made.partition(".")[0] != has.partition(".")[0]:
        return (
            f"pin the version that wrote it (requirements: keras=={made}), or load it there and save it as .keras anew"
        )
    if "custom" in said or "locate class" in said or "Unknown layer" in said:
        return "a layer of your own needs its class: use framework: python, import the class in function.py and load the model there"
    return "load and save it with the version that serves it"


def _use_one_thread(backend: str) -> None:
    """A replica is one process of many: threads of its own would only make it wait."""
    if backend == "tensorflow":
        threading = importlib.import_module("tensorflow").config.threading
        threading.set_intra_op_parallelism_threads(1)
        threading.set_inter_op_parallelism_threads(1)
    elif backend == "torch":
        importlib.import_module("torch").set_num_threads(1)


def _tensor(tensor: Any) -> Tensor:
    return graphs.tensor(str(tensor.name), _kind(tensor.dtype), list(tensor.shape))


def _kind(dtype: Any) -> str:
    name = str(getattr(dtype, "name", dtype))
    return "float32" if name == "bfloat16" else name


def _outputs(model: Any) -> tuple[Tensor, ...]:
    """By the names that the model returns them under, else those of the layers that make them."""
    names = [
        str(n) for n in getattr(model, "output_names", ()) or [model.layers[-1].name]
    ]  # a Sequential has one, of its last layer
    told = model.compute_output_spec(model.inputs if len(model.inputs) > 1 else model.inputs[0])
    by_name = (
        told
        if isinstance(told, Mapping)
        else dict(zip(names, told if isinstance(told, list | tuple) else [told], strict=True))
    )
    return tuple(graphs.tensor(str(n), _kind(t.dtype), list(t.shape)) for n, t in by_name.items())


def describe(model: Network, options: Options, inputs: tuple[Field, ...] | None = None) -> Description:
    """The model's own inputs and outputs; outputs of free size are found by trying."""
    del options
    return Description(inputs or graphs.fields(model.inputs), graphs.outputs(model.outputs))


def bind(model: Network, options: Options, signature: Signature) -> Function:
    """One call a batch in inference mode."""
    del options
    feed = graphs.feeding(model.inputs, signature.inputs)
    places = graphs.picking([t.name for t in model.outputs], signature)
    keras: Any = importlib.import_module("keras")
    network = model.model

    def run(tensors: Tensors) -> Mapping[str, Any]:
        given = [keras.ops.convert_to_tensor(a) for a in feed(tensors).values()]
        answer = network(given if len(given) > 1 else given[0], training=False)
        values = (
            list(answer.values())
            if isinstance(answer, Mapping)
            else answer
            if isinstance(answer, list | tuple)
            else [answer]
        )
        arrays = [np.asarray(keras.ops.convert_to_numpy(v)) for v in values]
        return {f.name: graphs.as_rows(arrays[places[f.name]], f) for f in signature.outputs}

    return graphs.answering(run, by_row=not all(t.rows for t in model.inputs))


def compare(model: Network, signature: Signature, tensors: Tensors) -> list[str]:
    """A network does not say what rows it was trained on."""
    del model, signature, tensors
    return []
