"""The data frame that an estimator was fitted on, made again from the columns of a request.

What an estimator answers may depend on the types of the frame's columns: boosters code columns of pandas' ``category`` type by the categories
of the fit, encoders compare values with those that they met. Each column gets back what the estimator remembers of it; where it
remembers too little to do so, that is an error and no answer. Imports pandas only where a frame is made.
"""

import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from headrace_functions.errors import InvalidInput
from headrace_functions.protocol.rows import Array
from headrace_functions.signature import Field, Signature, Tensors

_HELD = ("best_estimator_", "regressor_", "classifier_", "estimator_")
_XGBOOST_INDEX = {9: "i1", 10: "u1", 11: "i2", 13: "i4", 15: "i8"}
"""Types of whole numbers by their numbers in XGBoost's files."""
_LISTED = ("estimators_", "calibrated_classifiers_")


@dataclass(slots=True)
class Columns:
    """What an estimator remembers of the columns of its fit."""

    categories: dict[str, Array | None] = field(default_factory=dict)
    """Columns of pandas' ``category`` type and their categories in order; None where the estimator knows them and does not tell."""
    known: dict[str, Array] = field(default_factory=dict)
    """The values that an encoder met in a column."""

    def differing(self, name: str, column: Array) -> tuple[list[Any], int]:
        """Values of a column that the estimator has never met, and the number of all values that are not missing."""
        given = self.known.get(name)
        if given is None:
            given = self.categories.get(name)
        if given is None:
            return [], 0
        met = {_same(v) for v in given.tolist()}
        column = _as_numbers(column) if _are_numbers(given) else column
        present = [v for v in column.tolist() if v is not None and v == v]
        return [v for v in present if _same(v) not in met], len(present)


def remembered(model: Any, names: tuple[str, ...]) -> Columns:
    """What the estimator, or the steps that see its rows as they came, remember of the columns ``names``."""
    found = Columns()
    for step in _consumers(model):
        for column, categories in _encoded(step, names):
            found.known.setdefault(column, categories)
    for step in _parts(model):
        found.categories.update(_booster_categories(step, names))
    return found


def maker(ordered: tuple[Field, ...], names: tuple[str, ...], columns: Columns) -> Callable[[Tensors], Any]:
    """Makes the frame of a request: its columns ``names``, from the inputs ``ordered``."""
    try:
        pandas = importlib.import_module("pandas")  # only models that look at names need it
    except ImportError as error:
        raise InvalidInput(
            "the model selects columns by name, which requires pandas",
            field="requirements",
            hint="add pandas to the requirements",
        ) from error

    def column_of(name: str, column: Array) -> Any:
        if name in columns.categories:
            values = _with_nan(column) if column.dtype == object else column
            return pandas.Categorical(values, categories=columns.categories[name])
        known = columns.known.get(name)
        if known is not None and _are_numbers(known):
            return _as_numbers(column)
        if column.dtype == np.bool_ and known is not None and known.dtype == object:
            return column.astype(object)
        if column.dtype != object or (known is not None and any(v is None for v in known.tolist())):
            return column
        return _with_nan(column)

    def frame(tensors: Tensors) -> Any:
        given = {name: tensors[f.name].reshape(-1) for name, f in zip(names, ordered, strict=True)}
        return pandas.DataFrame({name: column_of(name, column) for name, column in given.items()})

    return frame


def compare(columns: Columns, signature: Signature, tensors: Mapping[str, Array]) -> list[str]:
    """Notes on values of ``tensors`` that the estimator was not fitted on.

    Raises ``InvalidInput`` naming the column where it knows none of them: the data is not what it was fitted on.
    """
    notes = []
    for f in signature.inputs:
        if f.name not in tensors or not f.is_scalar:
            continue
        unknown, present = columns.differing(f.name, np.asarray(tensors[f.name], object).reshape(-1))
        if not unknown:
            continue
        some = ", ".join(map(repr, dict.fromkeys(unknown[:5])))
        if len(unknown) == present:
            met = columns.known.get(f.name)
            listed = met if met is not None else columns.categories[f.name]
            fitted = [] if listed is None else listed.tolist()[:5]
            raise InvalidInput(
                f"column {f.name!r}: the model was not fitted on any of its values",
                field=f.name,
                expected="such as " + ", ".join(map(repr, fitted)),
                got=some,
                hint="provide the data that the model was fitted on, or declare the column's type in the contract",
            )
        notes.append(
            f"column {f.name!r}: the model was not fitted on {some} ({len(unknown)} of {present} values tried)"
        )
    return notes


def _parts(model: Any) -> Iterator[Any]:
    """The estimator and all that it holds, fitted."""
    yield model
    for name in _HELD:
        if hasattr(model, name):
            yield from _parts(getattr(model, name))
    for name in _LISTED:
        held = getattr(model, name, None)
        for one in held if isinstance(held, list) else ():
            yield from _parts(getattr(one, "estimator", one))
    for _, step, *_ in [*(getattr(model, "steps", None) or ()), *(getattr(model, "transformers_", None) or ())]:
        if hasattr(step, "fit"):
            yield from _parts(step)


def _consumers(model: Any) -> Iterator[Any]:
    """The steps that see the rows as they came."""
    held = [getattr(model, name) for name in _HELD if hasattr(model, name)]
    for name in _LISTED:
        listed = getattr(model, name, None)
        held += (
            [getattr(one, "estimator", one) for one in listed if hasattr(one, "fit") or hasattr(one, "estimator")]
            if isinstance(listed, list)
            else []
        )
    steps = getattr(model, "steps", None)
    held += [steps[0][1]] if steps else []
    held += [step for _, step in getattr(model, "transformer_list", None) or () if hasattr(step, "fit")]
    if not held or hasattr(model, "categories_"):
        yield model
    for one in held:
        yield from _consumers(one)


def _encoded(step: Any, names: tuple[str, ...]) -> Iterator[tuple[str, Array]]:
    """Columns that an encoder sees as they came, and the values that it met in them."""
    own = getattr(step, "feature_names_in_", None)
    if hasattr(step, "categories_") and own is not None and len(own) == len(step.categories_):
        yield from ((str(n), np.asarray(c)) for n, c in zip(own, step.categories_, strict=True))
    for _, inner, chosen in getattr(step, "transformers_", None) or ():
        picked = _picked(chosen, tuple(map(str, own)) if own is not None else names)
        for one in [s for _, s in getattr(inner, "steps", ())] or [inner]:
            met = getattr(one, "categories_", None)
            if isinstance(met, list) and len(met) == len(picked):
                yield from ((n, np.asarray(c)) for n, c in zip(picked, met, strict=True))
                break
            if not hasattr(one, "statistics_"):  # an imputer keeps the values; anything else changes them
                break


def _picked(chosen: Any, names: tuple[str, ...]) -> list[str]:
    """The names of the columns that a column transformer gives to a step."""
    if isinstance(chosen, str):
        return [chosen]
    if isinstance(chosen, slice):
        if isinstance(chosen.start, str) or isinstance(chosen.stop, str):
            start = names.index(chosen.start) if chosen.start else 0
            return list(names[start : names.index(chosen.stop) + 1 if chosen.stop else None])
        return list(names[chosen])
    if isinstance(chosen, int):
        return [names[chosen]]
    listed = list(chosen) if hasattr(chosen, "__iter__") else []
    if listed and isinstance(listed[0], bool | np.bool_):
        return [n for n, wanted in zip(names, listed, strict=True) if wanted]
    return [v if isinstance(v, str) else names[int(v)] for v in listed]


def _booster_categories(step: Any, names: tuple[str, ...]) -> Mapping[str, Array | None]:
    library = type(step).__module__.partition(".")[0]
    if library == "lightgbm" and hasattr(step, "booster_"):
        return _of_lightgbm(step.booster_, names)
    if library == "xgboost" and hasattr(step, "get_booster"):
        return _of_xgboost(step.get_booster(), names)
    return {}


def _of_lightgbm(booster: Any, names: tuple[str, ...]) -> dict[str, Array]:
    """LightGBM keeps the categories of its categorical columns in the order of these, and says of each feature whether it is one."""
    listed = getattr(booster, "pandas_categorical", None) or []
    if not listed:
        return {}
    infos: list[str] = next(
        (
            line.partition("=")[2].split(" ")
            for line in booster.model_to_string(num_iteration=1).splitlines()
            if line.startswith("feature_infos=")
        ),
        [],
    )
    told = [
        n for n, info in zip(booster.feature_name(), infos, strict=False) if info != "none" and not info.startswith("[")
    ]
    if len(told) < len(listed):
        raise _ordered(len(listed) - len(told))
    if len(told) != len(listed):
        raise _lost("LightGBM", told)
    return {_raw_name(n, names, "LightGBM"): _listed(values) for n, values in zip(told, listed, strict=True)}


def _of_xgboost(booster: Any, names: tuple[str, ...]) -> dict[str, Array | None]:
    """XGBoost 3.1 and later keep the categories of the ``category`` type in their file; earlier ones keep nothing."""
    types = booster.feature_types or []
    features = booster.feature_names or []
    told = [at for at, kind in enumerate(types) if kind == "c"]
    if not told:
        return {}
    trees = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]
    kept = trees.get("gbtree", trees).get("model", {}).get("cats", {}).get("enc") or []
    if len(kept) != len(features):
        raise _lost("XGBoost", [features[at] for at in told])
    return {_raw_name(features[at], names, "XGBoost"): _decoded(kept[at]) for at in told}


def _decoded(kept: Mapping[str, Any]) -> Array | None:
    """Categories as XGBoost's file has them: whole numbers with their type, or ASCII text with the places where each ends.

    Of other text it may keep the beginning only, as many bytes as there are characters.
    """
    if "offsets" not in kept:
        return np.array(kept["values"], _XGBOOST_INDEX[kept["type"]])
    if min(kept["values"], default=0) < 0:
        return None
    text = bytes(kept["values"]).decode("ascii")
    return np.array([text[start:end] for start, end in pairwise(kept["offsets"])], object)


def _raw_name(feature: str, names: tuple[str, ...], library: str) -> str:
    """The column of the model's rows that a booster's feature is: itself, or behind the prefix of a column transformer."""
    for name in (feature, feature.rpartition("__")[2]):
        if name in names or any(n.replace(" ", "_") == name for n in names):
            return next(n for n in names if n == name or n.replace(" ", "_") == name)
    raise _lost(library, [feature])


def _listed(values: list[Any]) -> Array:
    """Categories of one type as an array of it, any others as objects."""
    kinds = set(map(type, values))
    return np.array(values, None if kinds in ({int}, {float}, {bool}) else object)


def _ordered(count: int) -> InvalidInput:
    return InvalidInput(
        f"the LightGBM model was fitted on {count} column{'s' * (count > 1)} of ordered categories, and the artifact does not tell which",
        field="payload",
        expected="columns of categories without an order, or of numbers",
        hint="fit it again after frame[column].cat.as_unordered(), or on codes, e.g. with OrdinalEncoder in a Pipeline",
    )


def _lost(library: str, columns: list[str]) -> InvalidInput:
    listed = ", ".join(map(repr, columns))
    return InvalidInput(
        f"the {library} model was fitted on columns of type 'category' ({listed}), and the artifact does not contain their categories",
        field="payload",
        expected="a model whose categories are known",
        hint="fit it again on codes, e.g. with OrdinalEncoder in a Pipeline, or with XGBoost 3.1 or later",
    )


def _same(value: Any) -> Any:
    """A value as it is compared: numbers by value whatever their type, text and truth values only with their own kind."""
    if isinstance(value, bool | np.bool_):
        return ("truth", bool(value))
    return ("number", float(value)) if isinstance(value, int | float | np.number) else ("text", str(value))


def _are_numbers(values: Array) -> bool:
    return values.dtype.kind in "iuf"


def _as_numbers(column: Array) -> Array:
    """True and false, with or without gaps, as the numbers that encoders make of pandas' nullable types; other columns as they are."""
    if column.dtype == np.bool_:
        return column.astype(np.float64)
    given = column.tolist() if column.dtype == object else [""]
    if not all(v is None or isinstance(v, bool) for v in given):
        return column
    return np.array([np.nan if v is None else float(v) for v in given])


def _with_nan(column: Array) -> Array:
    """Missing values as data frames hold them after reading a file."""
    missing = np.array([v is None for v in column.tolist()], bool)
    return np.where(missing, np.nan, column) if missing.any() else column
