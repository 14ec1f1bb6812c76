"""Trying an artifact: completes a signature from what the model says and from what it answers.

Inputs come from the definition, else from the model, else from the sample's columns. Outputs come from the definition,
else from the model, else from the answer. Then the rows of the sample (or two made-up ones) are predicted, and the answer
has to fit: names, types, shapes, as many rows as were asked. That a made-up row fails proves nothing, so it is only a
warning where no output has to be learnt from it.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from headrace_functions.errors import FunctionFailed, HeadraceError, InvalidInput
from headrace_functions.protocol.checks import as_array, check_inputs, check_outputs
from headrace_functions.protocol.rows import Array
from headrace_functions.protocol.values import from_json
from headrace_functions.runtime.frameworks import find
from headrace_functions.runtime.frameworks.port import Framework
from headrace_functions.runtime.loading import LoadedFunction, bind, load_model
from headrace_functions.signature import DType, Field, Signature, Tensors, dtype, dtype_of
from headrace_functions.user_text import repr_of, text_of

_ROWS = 100  # rows of a sample that are tried
_UNKNOWN = (Field("answer", dtype("float64")),)
"""Stands for outputs that are not known yet: frameworks that need them to bind describe them."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trial:
    """What to try, see ``probe.ProbeRequest``."""

    framework: str
    artifact: Path
    options: Mapping[str, Any]
    batch: bool
    inputs: list[dict[str, Any]] | None
    outputs: list[dict[str, Any]] | None
    sample: Mapping[str, list[Any]] | None


def try_artifact(trial: Trial) -> tuple[Signature, dict[str, Any]]:
    """The complete signature and what was seen; a ``HeadraceError`` says why the artifact cannot be a version."""
    started = time.perf_counter()
    framework = find(trial.framework)
    model = load_model(framework, trial.artifact, trial.options)
    details: dict[str, Any] = {"load_seconds": round(time.perf_counter() - started, 3), "warnings": []}
    declared = _declared(trial.inputs)
    said = framework.describe(model, trial.options, declared)
    if trial.sample is None and said.example is not None:
        trial = replace(trial, sample=said.example)
        log.info("tried with the %s rows of the artifact's own example", len(next(iter(said.example.values()))))
    inputs = declared or said.inputs or _inputs_of(trial.sample)
    outputs = _declared(trial.outputs) or said.outputs
    details["inferred"] = [side for side, given in (("inputs", trial.inputs), ("outputs", trial.outputs)) if not given]
    tensors, made_up = _rows(inputs, trial)
    details["rows"] = 0 if made_up else len(next(iter(tensors.values()))) if trial.batch else 1
    if outputs is None:
        outputs = _outputs_of(framework, model, inputs, tensors, trial)
    signature = Signature(inputs, outputs)
    function = bind(framework, model, trial.options, signature, batch=trial.batch)
    checked = check_inputs(tensors, signature, trial.batch)
    if not made_up:
        for note in framework.compare(model, signature, checked):
            log.warning("%s", note)
            details["warnings"].append(note)
    started = time.perf_counter()
    try:
        said_so = function.unchecked(checked)
        if not trial.outputs:
            signature = _as_answered(signature, said_so, trial.batch)
            function = bind(framework, model, trial.options, signature, batch=trial.batch)
        rows = len(next(iter(checked.values()))) if trial.batch else None
        answer = check_outputs(said_so, signature, trial.batch, rows)
    except HeadraceError as error:
        user_code = error.__cause__ is not None and not isinstance(error.__cause__, HeadraceError)
        if not (made_up and user_code):
            raise _of_the_function(error) from error.__cause__
        told = f"a made-up row could not be predicted ({repr_of(error.__cause__)}); give a sample or training data to have it tried"
        log.warning("%s", told)
        details["warnings"].append(told)
        return signature, details
    details["predict_ms"] = round((time.perf_counter() - started) * 1000, 3)
    return (signature if trial.outputs else _closed(signature, answer, trial.batch)), details


def _of_the_function(error: HeadraceError) -> HeadraceError:
    """A build has no service log to point at: say what the function said."""
    said = error.__cause__
    if not isinstance(error, FunctionFailed) or said is None or isinstance(said, HeadraceError):
        return error
    return InvalidInput(f"{error.message} on the rows tried: {text_of(said)}", field="payload", got=repr_of(said))


def _declared(documents: list[dict[str, Any]] | None) -> tuple[Field, ...] | None:
    return tuple(Field.from_document(d) for d in documents) if documents else None


def _inputs_of(sample: Mapping[str, list[Any]] | None) -> tuple[Field, ...]:
    """Fields for the columns of a sample, where neither the definition nor the model names the inputs."""
    if not sample:
        raise InvalidInput(
            "the inputs are unknown",
            field="contract",
            expected="inputs in the contract",
            hint="declare them, or provide training data",
        )
    return tuple(_field_of(name, np.asarray(column)) for name, column in sample.items())


def _field_of(name: str, column: Array) -> Field:
    kind = dtype_of(column)
    if column.dtype.kind == "O" and all(isinstance(v, int | float | None) for v in column.ravel().tolist()):
        kind = dtype("float64")
    return Field(name, kind, column.shape[1:], _profile(kind, column.ndim - 1))


def _profile(kind: DType, rank: int) -> str:
    if rank == 0:
        return "numerical" if kind.is_number else "categorical"
    return "numerical" if kind.is_number and rank == 1 else "none"


def _rows(inputs: tuple[Field, ...], trial: Trial) -> tuple[Tensors, bool]:
    """Rows to predict, and whether they are made up."""
    if trial.sample is None:
        made = {f.name: np.stack([_made_up(f)] * 2) if trial.batch else _made_up(f) for f in inputs}
        return made, True
    missing = next((f.name for f in inputs if f.name not in trial.sample), None)
    if missing is not None:
        raise InvalidInput(
            f"the training data has no column for the input {missing!r}",
            field=missing,
            expected=", ".join(f.name for f in inputs),
            got=", ".join(trial.sample),
        )
    rows = {f.name: _column(trial.sample[f.name][: _ROWS if trial.batch else 1], f) for f in inputs}
    return (rows if trial.batch else {name: array[0, ...] for name, array in rows.items()}), False


def _column(values: list[Any], field: Field) -> Array:
    if field.is_scalar:
        return from_json(values, field.dtype, field.name)
    return as_array(values, field)


def _made_up(field: Field) -> Array:
    """One plausible value: a category, the middle of the range, else zero or an empty word."""
    value: Any = "" if field.dtype.name == "string" else 0
    if field.categories:
        value = field.categories[0]
    elif field.range is not None:
        value = sum(field.range) / 2
    shape = tuple(1 if n == -1 else n for n in field.shape)
    array = np.empty(shape, dtype=field.dtype.numpy)
    array[...] = value
    return array


def _outputs_of(
    framework: Framework, model: Any, inputs: tuple[Field, ...], tensors: Tensors, trial: Trial
) -> tuple[Field, ...]:
    """Fields for what the function answers to the rows."""
    function: LoadedFunction = bind(framework, model, trial.options, Signature(inputs, _UNKNOWN), batch=trial.batch)
    try:
        answer = function.function(tensors)
    except BaseException as error:
        raise InvalidInput(
            f"the outputs are unknown, and the function failed on the rows tried: {type(error).__name__}: {text_of(error)}",
            field="contract",
            hint="declare the outputs, or provide training data to try the function on",
        ) from error
    if not isinstance(answer, Mapping) or not answer:
        raise InvalidInput(
            "the function did not return a dict",
            field="payload",
            expected="a dict of arrays by name",
            got=type(answer).__name__,
        )
    return tuple(_output(str(name), np.asarray(value), trial.batch) for name, value in answer.items())


def _output(name: str, array: Array, batch: bool) -> Field:
    if batch and array.ndim == 0:
        raise InvalidInput(
            f"output {name!r} has no rows", field=name, expected="an array with one value per row", got="a single value"
        )
    shape = array.shape[1:] if batch else array.shape
    kind = dtype_of(array)
    return Field.from_document(
        {"name": name, "type": kind.name, "shape": list(shape), "profile": _profile(kind, len(shape))}
    )


def _as_answered(signature: Signature, answer: Any, batch: bool) -> Signature:
    """The outputs with as many dimensions as were answered: not every model tells how many targets it has."""
    if not isinstance(answer, Mapping):
        return signature
    shaped = tuple(_shaped_as(f, answer.get(f.name), batch) for f in signature.outputs)
    classes = {
        tuple(map(str, before.categories or ()))
        for before, after in zip(signature.outputs, shaped, strict=True)
        if before.is_scalar and not after.is_scalar
    }
    # Where a row has several labels, a probability belongs to a label and not to a class.
    return Signature(signature.inputs, tuple(replace(f, columns=None) if f.columns in classes else f for f in shaped))


def _shaped_as(field: Field, value: Any, batch: bool) -> Field:
    if not isinstance(value, np.ndarray) or value.dtype == object or (batch and not value.ndim):
        return field
    shape = value.shape[1:] if batch else value.shape
    if shape == field.shape or field.size is None or (field.is_scalar and shape == (1,)):
        return field
    named = field.columns if field.columns is not None and shape == (len(field.columns),) else None
    return replace(field, shape=shape, columns=named, categories=None)


def _closed(signature: Signature, answer: Tensors, batch: bool) -> Signature:
    """Outputs whose size the model could not tell, with the size that was seen."""
    outputs = tuple(
        replace(f, shape=answer[f.name].shape[1 if batch else 0 :]) if f.size is None else f for f in signature.outputs
    )
    return Signature(signature.inputs, outputs)
