"""fastai learners as ``learn.export`` wrote them. Imports fastai when it loads.

The file is a pickle: builds read what it imports before it is loaded, see ``safety``. Options: ``file``, the file in the artifact where there are several. A learner for
a table takes its columns by name; one for images takes ``image`` (``uint8 [height, width, 3]``), one for texts takes ``text``, both a row at a time. A classifier gives
``label`` and ``probabilities`` in the order of its vocabulary, every other learner ``value``.
"""

import importlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from headrace_functions.errors import InvalidInput
from headrace_functions.protocol.rows import Array
from headrace_functions.runtime.frameworks import graphs
from headrace_functions.runtime.frameworks.model_files import FASTAI, only_file
from headrace_functions.runtime.frameworks.port import Description, Function, Options
from headrace_functions.signature import Field, Signature, Tensors, dtype, dtype_of

ROWS = True
Kind = Literal["table", "image", "text"]
_FLOAT = dtype("float64")


@dataclass(frozen=True, slots=True)
class Learner:
    learner: Any
    kind: Kind
    classes: tuple[Any, ...]
    """Empty where it is no classifier of one label."""


def preload() -> None:
    """The part for tables, which imports PyTorch; it starts no threads."""
    importlib.import_module("fastai.tabular.learner")


def load(artifact: Path, options: Options) -> Learner:
    """The learner in a file, on the processor. ``InvalidInput`` for a pickle of something else."""
    path = only_file(artifact, options, FASTAI, "learn.export('export.pkl')")
    importlib.import_module("torch").set_num_threads(1)  # a replica is one process of many
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="load_learner")  # builds have read the pickle
        learner = importlib.import_module("fastai.learner").load_learner(path, cpu=True)
    if not hasattr(learner, "dls"):
        raise InvalidInput(
            f"payload: {path.name} does not contain a learner",
            field="payload",
            expected="what learn.export wrote",
            got=type(learner).__name__,
        )
    kind = _kind(learner)
    vocabulary = getattr(learner.dls, "vocab", None)
    if kind == "text" and isinstance(vocabulary, list | tuple) and len(vocabulary) == 2:
        vocabulary = vocabulary[1]  # the words, then the classes
    single = "CrossEntropy" in type(learner.loss_func).__name__
    classes = tuple(v.item() if isinstance(v, np.generic) else v for v in vocabulary or ()) if single else ()
    return Learner(learner, kind, classes)


def _kind(learner: Any) -> Kind:
    if type(learner).__module__.startswith("fastai.tabular"):
        return "table"
    if type(learner).__module__.startswith("fastai.text"):
        return "text"
    return "image"


def describe(model: Learner, options: Options, inputs: tuple[Field, ...] | None = None) -> Description:
    """A table's continuous columns are numbers, its categorical ones the values that they had in training."""
    del options
    return Description(inputs or _inputs(model), _outputs(model))


def _inputs(model: Learner) -> tuple[Field, ...]:
    if model.kind == "image":
        return (Field("image", dtype("uint8"), (-1, -1, 3), "image"),)
    if model.kind == "text":
        return (Field("text", dtype("string"), profile="text"),)
    known: Mapping[str, Any] = getattr(model.learner.dls, "classes", None) or {}
    numbers = [Field(str(n), _FLOAT, (), "numerical") for n in model.learner.dls.cont_names]
    return (
        *(_category(str(n), known.get(n)) for n in model.learner.dls.cat_names if not str(n).endswith("_na")),
        *numbers,
    )


def _category(name: str, values: Any) -> Field:
    listed = [v.item() if isinstance(v, np.generic) else v for v in values or () if v != "#na#"]
    whole = bool(listed) and all(isinstance(v, int) and not isinstance(v, bool) for v in listed)
    kind = dtype("int64") if whole else dtype("string")
    return Field(name, kind, (), "categorical", categories=tuple(listed if whole else map(str, listed)) or None)


def _outputs(model: Learner) -> tuple[Field, ...] | None:
    if not model.classes:
        return None
    kind = dtype_of(np.asarray(model.classes))
    names = tuple(str(c) for c in model.classes)
    return (
        Field("label", kind, (), "categorical", categories=model.classes),
        Field("probabilities", _FLOAT, (len(model.classes),), "numerical", names),
    )


def bind(model: Learner, options: Options, signature: Signature) -> Function:
    """One pass over the batch."""
    del options
    if model.kind == "table":
        frame: Any = importlib.import_module("pandas").DataFrame
        wanted = [f.name for f in signature.inputs]
        lacking = [str(n) for n in model.learner.dls.cont_names if str(n) not in wanted]
        if lacking:
            raise InvalidInput(f"the contract has no field for the learner's column {lacking[0]!r}", field=lacking[0])
        items: Callable[[Tensors], Any] = lambda tensors: frame({n: tensors[n] for n in wanted})  # noqa: E731
    else:
        if len(signature.inputs) != 1:
            raise InvalidInput(
                f"the learner takes one {model.kind} per row",
                field="contract",
                expected=model.kind,
                got=str(len(signature.inputs)),
            )
        (name,) = (f.name for f in signature.inputs)
        items = lambda tensors: list(tensors[name])  # noqa: E731
    learner = model.learner
    classes = np.asarray(model.classes)

    def function(tensors: Tensors) -> Mapping[str, Any]:
        with warnings.catch_warnings(), learner.no_bar(), learner.no_logging():
            warnings.simplefilter("ignore")  # of how the library copies a frame
            given = learner.dls.test_dl(items(tensors))
            answers = np.asarray(learner.get_preds(dl=given)[0], np.float64)
        if not model.classes:
            only = signature.outputs[0].name
            return {"value" if only == "answer" else only: _value(answers)}
        told: dict[str, Array] = {"label": classes[answers.argmax(axis=1)], "probabilities": answers}
        return {f.name: graphs.as_rows(told[f.name], f) for f in signature.outputs}

    if model.classes:
        strange = next((f.name for f in signature.outputs if f.name not in ("label", "probabilities")), None)
        if strange is not None:
            raise InvalidInput(
                f"the learner has no output {strange!r}", field=strange, expected="label, probabilities", got=strange
            )
    return function


def _value(answers: Array) -> Array:
    return answers.reshape(len(answers)) if answers.ndim == 2 and answers.shape[1] == 1 else answers


def compare(model: Learner, signature: Signature, tensors: Tensors) -> list[str]:
    """Text where the learner has a number, or a category that it has not seen, is seen when it is tried."""
    del model, signature, tensors
    return []
