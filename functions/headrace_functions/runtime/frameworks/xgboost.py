"""XGBoost models in XGBoost's own files (``save_model``: ``.json``, ``.ubj``), of the native or the scikit-learn API. Imports xgboost when it loads.

Options: ``file``, the file in the artifact where there are several. Inputs are the booster's features: by the names that it was trained with, else
``x0, x1, …``; a feature of type ``c`` takes the codes of its categories. Outputs follow from the objective, see ``boosted_outputs``:
``binary:logistic`` and ``multi:softprob`` give ``label`` and ``probabilities``, ``multi:softmax`` gives ``label``, everything else ``value``.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from headrace_functions.errors import InvalidInput
from headrace_functions.protocol.rows import Array
from headrace_functions.runtime.frameworks import boosted_outputs, features
from headrace_functions.runtime.frameworks.boosted_outputs import Objective
from headrace_functions.runtime.frameworks.model_files import XGBOOST, only_file
from headrace_functions.runtime.frameworks.port import Description, Function, Options
from headrace_functions.signature import Field, Signature, Tensors

ROWS = True
_CATEGORY = "c"


@dataclass(frozen=True, slots=True)
class Booster:
    """A booster with what its file says of it."""

    native: Any
    objective: Objective
    names: tuple[str, ...] | None
    count: int


def preload() -> None:
    """The library; it starts no threads before the first prediction."""
    importlib.import_module("xgboost")


def load(artifact: Path, options: Options) -> Booster:
    """The booster in a file. ``InvalidInput`` where it is none, or one that this version of XGBoost cannot read."""
    path = only_file(artifact, options, XGBOOST, "save it by model.save_model('model.ubj')")
    xgboost: Any = importlib.import_module("xgboost")
    native = xgboost.Booster()
    try:
        native.load_model(path)
    except xgboost.core.XGBoostError as error:
        said = str(error).strip().splitlines()
        raise InvalidInput(
            f"payload: XGBoost {xgboost.__version__} cannot read {path.name}: {said[-1][:300] if said else error}",
            field="payload",
            expected="a file written by save_model",
        ) from error
    native.set_param({"nthread": 1})  # a replica is one process of many: threads of its own would only make it wait
    names = tuple(native.feature_names) if native.feature_names else None
    return Booster(native, _objective(native), names, int(native.num_features()))


def _objective(native: Any) -> Objective:
    learner = orjson.loads(native.save_config())["learner"]
    name, parameters = learner["objective"]["name"], learner["learner_model_param"]
    classes, targets = int(parameters.get("num_class", 0)), int(parameters.get("num_target", 1))
    if name == "binary:logistic":
        return Objective(classes=2)
    if name in ("multi:softprob", "multi:softmax"):
        return Objective(classes=classes, probabilities=name == "multi:softprob")
    return Objective(targets=targets)


def describe(model: Booster, options: Options, inputs: tuple[Field, ...] | None = None) -> Description:
    """The features by their names, and what the objective gives."""
    del options
    known = inputs or features.inputs(model.names, model.count)
    return Description(known, model.objective.defaults())


def bind(model: Booster, options: Options, signature: Signature) -> Function:
    """One prediction a batch, without a DMatrix; missing values are NaN."""
    del options
    rows = features.matrix_of(signature.inputs, model.names, model.count)
    answer = boosted_outputs.answering(model.objective, lambda x: _predict(model.native, x), signature)
    return lambda tensors: answer(rows(tensors))


def _predict(native: Any, rows: Array) -> Array:
    found: Array = native.inplace_predict(
        np.ascontiguousarray(rows, np.float32), missing=np.nan, validate_features=False
    )
    return found


def compare(model: Booster, signature: Signature, tensors: Tensors) -> list[str]:
    """The file does not say what rows it was trained on, but which features are categories."""
    del signature
    kinds: Mapping[str, str] = dict(zip(model.names or (), model.native.feature_types or (), strict=False))
    coded = [n for n, kind in kinds.items() if kind == _CATEGORY and n in tensors and tensors[n].dtype == object]
    if coded:
        raise InvalidInput(
            f"{coded[0]}: the booster refers to its categories by number, and the rows have text",
            field=coded[0],
            expected="the codes of the categories, as the booster was trained with (.cat.codes)",
            hint="or dump the scikit-learn estimator with joblib and use framework: sklearn, which keeps the categories",
        )
    return []
