"""MLflow model folders. A flavour that has a loader of its own here is given to it; every other model is loaded by MLflow, through ``pyfunc``.

Options: ``flavour``, the one to use where several would serve (``python_function`` for pyfunc); the others go to its loader. Inputs and outputs are those of the
model's signature; its input example is what the build tries it with where there is no training data.
"""

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headrace_functions.errors import InvalidInput
from headrace_functions.protocol.rows import Array
from headrace_functions.runtime.frameworks import graphs, mlmodel
from headrace_functions.runtime.frameworks.mlmodel import MlModel
from headrace_functions.runtime.frameworks.port import Description, Framework, Function, Options
from headrace_functions.signature import Field, Signature, Tensors

ROWS = True
ALONE = "prediction"
"""Name of the one output of a model that names none."""


@dataclass(frozen=True, slots=True)
class Loaded:
    told: MlModel
    model: Any
    framework: Framework | None
    """The loader that gave the model; None for pyfunc."""


def preload() -> None:
    """NumPy alone: the flavour decides what is needed, and the first process that loads it tells."""
    importlib.import_module("numpy.random")


def load(artifact: Path, options: Options) -> Loaded:
    """The model, by the loader of its flavour or by pyfunc. What the model's own code raises is let through."""
    told = mlmodel.read(artifact, options)
    if told.framework is not None:
        framework = _loader(told.framework)
        return Loaded(told, framework.load(told.part, told.options), framework)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    model = importlib.import_module("mlflow.pyfunc").load_model(str(told.folder))
    return Loaded(told, model, None)


def _loader(name: str) -> Framework:
    found: Any = importlib.import_module(f"{__package__}.{name}")
    return found  # type: ignore[no-any-return]


def describe(model: Loaded, options: Options, inputs: tuple[Field, ...] | None = None) -> Description:
    """The signature's inputs. Outputs are those of the flavour's loader, which tells more (probabilities), else the signature's."""
    del options  # the model has kept its own
    told = model.told
    known = inputs or told.inputs
    example = None if inputs else told.example()
    if model.framework is None:
        return Description(known, told.outputs, example)
    said = model.framework.describe(model.model, told.options, known)
    return Description(known or said.inputs, said.outputs or told.outputs, example)


def bind(model: Loaded, options: Options, signature: Signature) -> Function:
    """The function of the flavour's loader, or ``predict`` of pyfunc with what its signature asks for."""
    del options
    if model.framework is not None:
        return model.framework.bind(model.model, model.told.options, signature)
    predict = model.model.predict

    def function(tensors: Tensors) -> Mapping[str, Any]:
        return graphs.picked(_named(predict(_given(model.told, signature, tensors))), signature)

    return function


def _given(told: MlModel, signature: Signature, tensors: Tensors) -> Any:
    """A frame for a signature of columns; arrays for one of tensors."""
    columns = (told.document.get("signature") or {}).get("inputs")
    if columns and '"tensor"' in str(columns):
        arrays = {f.name: tensors[f.name] for f in signature.inputs}
        return next(iter(arrays.values())) if len(arrays) == 1 and "input" in arrays else arrays
    frame: Any = importlib.import_module("pandas").DataFrame
    return frame({f.name: _column(tensors[f.name]) for f in signature.inputs})


def _column(array: Array) -> Any:
    return array if array.ndim == 1 else list(array)


def _named(answer: Any) -> dict[str, Any]:
    """Frames by column, everything else by its own names or as ``prediction``."""
    if hasattr(answer, "columns"):
        return {str(n): answer[n].to_numpy() for n in answer.columns}
    if hasattr(answer, "to_numpy"):
        answer = answer.to_numpy()
    if isinstance(answer, list) and answer and isinstance(answer[0], Mapping):
        return {str(n): np.asarray([row[n] for row in answer]) for n in answer[0]}
    if isinstance(answer, list):
        answer = np.asarray(answer)
    return {name: np.asarray(value) for name, value in graphs.named(answer, ALONE).items()}


def compare(model: Loaded, signature: Signature, tensors: Tensors) -> list[str]:
    """What the flavour's loader says; for pyfunc, columns of another type than the signature's."""
    if model.framework is not None:
        return model.framework.compare(model.model, signature, tensors)
    known = {f.name: f for f in model.told.inputs or ()}
    strange = next(
        (n for n in known if n in tensors and (tensors[n].dtype == object) != (known[n].dtype.name == "string")), None
    )
    if strange is not None:
        raise InvalidInput(
            f"{strange}: the model's signature has {known[strange].dtype.name}, and the rows have {tensors[strange].dtype}",
            field=strange,
            expected=known[strange].dtype.name,
            got=str(tensors[strange].dtype),
        )
    return []
