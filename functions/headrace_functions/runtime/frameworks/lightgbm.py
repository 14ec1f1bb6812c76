"""LightGBM models in LightGBM's own text files (``booster.save_model``, ``model.booster_.save_model``). Imports lightgbm when it loads.

Options: ``file``, the file in the artifact where there are several. Inputs are the booster's features: by the names that it was trained with, unless
they are LightGBM's own ``Column_0, …``, which are ``x0, x1, …`` here. Columns that were of pandas' ``category`` type take their values again: the
file has them. Outputs follow from the objective, see ``boosted_outputs``.
"""

import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from headrace_functions.errors import InvalidInput
from headrace_functions.protocol.rows import Array
from headrace_functions.runtime.frameworks import boosted_outputs, features
from headrace_functions.runtime.frameworks.boosted_outputs import Objective
from headrace_functions.runtime.frameworks.model_files import LIGHTGBM, only_file
from headrace_functions.runtime.frameworks.port import Description, Function, Options
from headrace_functions.signature import Field, Signature, Tensors

ROWS = True
_UNNAMED = re.compile(r"Column_\d+")
_PLACE = re.compile(r"^feature_infos=(.*)$", re.MULTILINE)
_PANDAS = re.compile(r"^pandas_categorical:(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Booster:
    """A booster with what its file says of it."""

    native: Any
    objective: Objective
    names: tuple[str, ...] | None
    count: int
    codes: features.Codes
    """By column of pandas' ``category`` type, the number of each of its values."""


def preload() -> None:
    """The library; it starts no threads before the first prediction."""
    importlib.import_module("lightgbm")


def load(artifact: Path, options: Options) -> Booster:
    """The booster in a file. ``InvalidInput`` where it is none, or one that this version of LightGBM cannot read."""
    path = only_file(artifact, options, LIGHTGBM, "save it by model.booster_.save_model('model.txt')")
    lightgbm: Any = importlib.import_module("lightgbm")
    text = path.read_text("utf-8", "replace")
    try:
        native = lightgbm.Booster(model_str=text)
    except lightgbm.basic.LightGBMError as error:
        raise InvalidInput(
            f"payload: LightGBM {lightgbm.__version__} cannot read {path.name}: {str(error)[:300]}",
            field="payload",
            expected="a file written by save_model",
        ) from error
    names = tuple(native.feature_name())
    named = not all(_UNNAMED.fullmatch(n) for n in names)
    return Booster(native, _objective(text, native), names if named else None, len(names), _codes(text, names))


def _objective(text: str, native: Any) -> Objective:
    found = re.search(r"^objective=(\w+)", text, re.MULTILINE)
    name = found[1] if found else "regression"
    if name == "binary":
        return Objective(classes=2)
    if name in ("multiclass", "multiclassova"):
        return Objective(classes=int(native.num_model_per_iteration()))
    return Objective()


def _codes(text: str, names: tuple[str, ...]) -> features.Codes:
    """The categories of the columns that were a frame's; the file lists them in the order of the columns that have any."""
    listed = _PANDAS.search(text)
    categories = orjson.loads(listed[1]) if listed and listed[1] not in ("", "null") else []
    infos = _PLACE.search(text)
    kinds = infos[1].split() if infos else []
    coded = [n for n, kind in zip(names, kinds, strict=False) if kind != "none" and not kind.startswith("[")]
    if len(coded) != len(categories):
        return {}
    return {name: {value: i for i, value in enumerate(values)} for name, values in zip(coded, categories, strict=True)}


def describe(model: Booster, options: Options, inputs: tuple[Field, ...] | None = None) -> Description:
    """The features by their names, and what the objective gives."""
    del options
    known = inputs or features.inputs(model.names, model.count, model.codes)
    return Description(known, model.objective.defaults())


def bind(model: Booster, options: Options, signature: Signature) -> Function:
    """One prediction a batch; a value that is no known category is missing, as LightGBM has it."""
    del options
    rows = features.matrix_of(signature.inputs, model.names, model.count, model.codes)
    answer = boosted_outputs.answering(model.objective, lambda x: _predict(model.native, x), signature)
    return lambda tensors: answer(rows(tensors))


def _predict(native: Any, rows: Array) -> Array:
    return np.asarray(native.predict(rows, num_threads=1))


def compare(model: Booster, signature: Signature, tensors: Tensors) -> list[str]:
    """``InvalidInput`` naming the column where none of its values is a known category, a note where some are not."""
    notes = []
    for field in signature.inputs:
        codes = model.codes.get(field.name)
        if codes is None:
            continue
        known = {str(value) for value in codes}
        present = [str(v) for v in tensors[field.name].tolist() if v is not None]
        strange = [v for v in present if v not in known]
        if present and len(strange) == len(present):
            raise InvalidInput(
                f"{field.name}: none of its values is a category of the booster",
                field=field.name,
                expected=", ".join(sorted(known)[:20]),
                got=", ".join(sorted(set(strange))[:20]),
            )
        if strange:
            notes.append(
                f"{field.name}: {len(strange)} of {len(present)} values are no category that the booster knows"
            )
    return notes
