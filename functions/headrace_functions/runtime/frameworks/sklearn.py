"""scikit-learn estimators and pipelines, pickled, dumped by joblib or written by skops. The only file that imports scikit-learn, joblib, pandas, skops.

Options: ``file``, the file in the artifact where there are several. Inputs are the model's features: fields named as the
model was fitted, ``x0, x1, …`` where it was fitted without names, one vector ``x`` above 1000 features, ``text`` for text
vectorizers. Outputs by default, see ``estimators``: a classifier gives ``label`` and ``probabilities``, a regressor
``value``, a transformer its columns, a clusterer ``label``, an outlier detector ``value`` and ``outlier``.
"""

import importlib
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.base import ClusterMixin, is_classifier, is_outlier_detector
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

from headrace_functions.errors import InvalidInput
from headrace_functions.protocol.rows import Array, PackedRows
from headrace_functions.runtime.frameworks import estimators, frames
from headrace_functions.runtime.frameworks.model_files import SKOPS
from headrace_functions.runtime.frameworks.needs import model_file
from headrace_functions.runtime.frameworks.port import Description, Function, Options
from headrace_functions.runtime.frameworks.safety import OPTION, refused_types
from headrace_functions.signature import Field, Signature, Tensors, dtype

ROWS = True
WIDE = 1000
"""Features above which the input is one vector instead of a field each."""

BY_PLACE = ("sklearn.", "lightgbm.", "xgboost.")
"""Libraries whose estimators take a matrix in the order of the features, whatever they were fitted on; of another's it is not known."""

_COMMON = ("sklearn.pipeline", "sklearn.linear_model", "sklearn.preprocessing")


def preload() -> None:
    """What nearly every pipeline needs; the rest is learnt from the first process that loads the model."""
    for module in _COMMON:
        importlib.import_module(module)


def load(artifact: Path, options: Options) -> Any:
    """The fitted estimator; what unpickling raises is let through. Modules beside the file and in the payload can be imported."""
    path = model_file(artifact, options)
    for folder in dict.fromkeys((str(artifact.resolve()), str(path.resolve().parent))):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    model = _from_skops(path, options) if path.suffix in SKOPS else joblib.load(path)
    if not any(hasattr(model, verb) for verb in ("predict", "transform", "score_samples")):
        raise InvalidInput(
            f"{path.name} does not contain an estimator",
            field="payload",
            expected="an object with predict or transform",
            got=type(model).__name__,
        )
    try:
        check_is_fitted(model)
    except NotFittedError as error:
        raise InvalidInput(
            f"{path.name} contains an estimator that is not fitted", field="payload", hint="fit it before you dump it"
        ) from error
    except TypeError:
        pass  # not a scikit-learn class; it may still work like one
    _use_one_thread(model)
    return model


def _from_skops(path: Path, options: Options) -> Any:
    """The object in a skops file. Of the types that skops itself does not trust, the usual and the allowed ones are built, no other."""
    io: Any = importlib.import_module("skops.io")
    untrusted = io.get_untrusted_types(file=path)
    refused = sorted(set(untrusted) & set(refused_types(path, options)))
    if refused:
        raise InvalidInput(
            f"{path.name} contains types that models usually do not contain: {', '.join(refused[:10])}",
            field=OPTION,
            got=", ".join(refused[:10]),
            hint=f"if you trust them, add to the definition: {OPTION}: [{', '.join(refused[:10])}]",
        )
    return io.load(path, trusted=untrusted)


def _use_one_thread(model: Any) -> None:
    """A replica is one process of many: threads of its own would only make it wait."""
    parameters = model.get_params(deep=True) if hasattr(model, "get_params") else {}
    single = {name: 1 for name in parameters if name == "n_jobs" or name.endswith("__n_jobs")}
    if single:
        model.set_params(**single)


def describe(model: Any, options: Options, inputs: tuple[Field, ...] | None = None) -> Description:
    """Inputs are unknown where steps pick columns of any type by name: then data or a contract must say them."""
    del options
    known = inputs or _inputs(model)
    outputs = estimators.offers(model, _kind(model), known)
    return Description(known, tuple(o.field for o in outputs.values() if o.default) or None)


def _kind(model: Any) -> estimators.Kind:
    if is_classifier(model):
        return "classifier"
    if is_outlier_detector(model):
        return "outlier detector"
    clusters = getattr(model, "_estimator_type", None) == "clusterer" or isinstance(
        estimators.last_step(model), ClusterMixin
    )
    return "clusterer" if clusters else "other"


def _inputs(model: Any) -> tuple[Field, ...] | None:
    first = estimators.first_step(model)
    if hasattr(first, "build_analyzer"):
        return (Field("text", dtype("string"), profile="text"),)
    names, count = _feature_names(model), _feature_count(model)
    if count is None or (names is not None and _needs_frame(model)):
        return None
    kinds = [c.dtype for c in getattr(first, "categories_", ())]
    if kinds and any(k.kind in "OSU" for k in kinds):
        return None
    number = dtype("float64")
    if count > WIDE:
        return (Field("x", number, (count,), "numerical", names),)
    return tuple(Field(name, number, (), "numerical") for name in names or (f"x{i}" for i in range(count)))


def _feature_names(model: Any) -> tuple[str, ...] | None:
    """The names that the model was fitted with. CatBoost keeps its own, and numbers features that have none."""
    names = getattr(model, "feature_names_in_", None)
    if names is None and hasattr(model, "get_cat_feature_indices"):
        names = getattr(model, "feature_names_", None)
        names = None if names == [str(i) for i in range(len(names or ()))] else names
    return None if names is None else tuple(str(n) for n in names)


def _feature_count(model: Any) -> int | None:
    """How many features the model takes; CatBoost says 0 once it has been loaded from a file."""
    names = getattr(model, "feature_names_in_", None)
    names = getattr(model, "feature_names_", None) if names is None else names
    return getattr(model, "n_features_in_", None) or (None if names is None else len(names))


def _needs_frame(model: Any) -> bool:
    """True where a step may look at column names. A step of a library that is not known is taken to."""
    parameters = model.get_params(deep=True).values() if hasattr(model, "get_params") else ()
    steps = [v for v in (model, *parameters) if hasattr(v, "fit")]
    return any(
        isinstance(s, ColumnTransformer | FunctionTransformer) or not type(s).__module__.startswith(BY_PLACE)
        for s in steps
    )


def bind(model: Any, options: Options, signature: Signature) -> Function:
    """The estimator's methods behind the signature's outputs, each called once a batch.

    Where the label follows from probabilities that are asked for anyway, ``predict`` is not called: it would do the
    same work again, which is most of the time of a small model. The columns of a transformer stay together in one matrix:
    taking thirty apart and looking at each costs as much as scaling them.
    """
    del options
    # Rows come as arrays in the order of the names that the model was fitted with: the warning would be wrong.
    warnings.filterwarnings("ignore", message="X does not have valid feature names", category=UserWarning)
    rows = _rows_of(model, signature)
    outputs = estimators.choose(estimators.offers(model, _kind(model), signature.inputs), signature)
    methods = {o.method: getattr(model, o.method) for _, o in outputs}
    if estimators.are_one_matrix(outputs):
        (transform,) = methods.values()
        return lambda tensors: estimators.packed(transform(rows(tensors)), signature.outputs)
    derived = methods.keys() >= {"predict", "predict_proba"} and estimators.label_follows(model)
    if derived:
        del methods["predict"]

    def function(tensors: Tensors) -> Mapping[str, Any]:
        x = rows(tensors)
        answers = {name: method(x) for name, method in methods.items()}
        if derived:
            answers["predict"] = estimators.labels(model, x, answers["predict_proba"])
        return {f.name: estimators.in_type(o.pick(answers[o.method]), f) for f, o in outputs}

    return function


def _rows_of(model: Any, signature: Signature) -> Callable[[Tensors], Any]:
    """How tensors become what the estimator takes: texts, a data frame where names matter, else a matrix."""
    fields = signature.inputs
    if hasattr(estimators.first_step(model), "build_analyzer") and len(fields) == 1:
        return lambda tensors: tensors[fields[0].name]
    if any(f.size is None for f in fields):
        raise InvalidInput(
            "an input of variable size cannot be a row of features", field="contract", expected="fixed shapes"
        )
    names = _feature_names(model)
    ordered = _in_order(fields, names, _feature_count(model))
    columns = frames.remembered(model, names or ())
    if names is not None and signature.is_table and (columns.categories or _needs_frame(model)):
        return frames.maker(ordered, names, columns)
    identity = ordered == fields

    def matrix(tensors: Tensors) -> Array:
        if identity and isinstance(tensors, PackedRows):
            return tensors.matrix
        return np.hstack([tensors[f.name].reshape(-1, f.size or 1) for f in ordered])

    return matrix


def _in_order(fields: tuple[Field, ...], names: tuple[str, ...] | None, count: int | None) -> tuple[Field, ...]:
    """The fields in the order of the model's features: by name where the names are the same, else as they are declared."""
    size = sum(f.size or 0 for f in fields)
    further = [f.name for f in fields if names is not None and f.name not in names]
    if count is not None and size > count and further:
        listed = ", ".join(map(repr, further[:10]))
        raise InvalidInput(
            f"the model was not fitted on {'the columns' if len(further) > 1 else 'the column'} {listed}",
            field=further[0],
            expected=", ".join((names or ())[:20]),
            got=", ".join(f.name for f in fields[:20]),
            hint="name a label column as 'target'; leave other columns out of the file, or declare the inputs in the contract",
        )
    if count is not None and size != count:
        raise InvalidInput(
            "the contract does not match the model",
            field="contract",
            expected=f"{count} features",
            got=f"{size} features",
        )
    given = {f.name: f for f in fields}
    shared = given.keys() & set(names or ())
    if names is None or not shared or len(fields) != len(names):
        return fields
    if len(shared) != len(names):
        missing = next(n for n in names if n not in given)
        raise InvalidInput(
            f"the contract has no field for the model's feature {missing!r}",
            field=missing,
            expected=", ".join(names),
            got=", ".join(given),
        )
    return tuple(given[n] for n in names)


def compare(model: Any, signature: Signature, tensors: Mapping[str, Array]) -> list[str]:
    """Notes on rows that are not like those of the fit; ``InvalidInput`` naming the column where none of its values is known."""
    return frames.compare(frames.remembered(model, _feature_names(model) or ()), signature, tensors)
