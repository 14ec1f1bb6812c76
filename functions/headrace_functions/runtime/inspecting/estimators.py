"""Pickled estimators, skops files, learners of fastai, MLflow folders and Python files."""

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headrace_functions.runtime.frameworks import mlmodel
from headrace_functions.runtime.frameworks.model_files import SKOPS
from headrace_functions.runtime.frameworks.pickles import Inert, UnreadablePickleError, contents, libraries
from headrace_functions.runtime.frameworks.port import Options
from headrace_functions.runtime.frameworks.safety import skops_types
from headrace_functions.runtime.inspecting.found import Contents
from headrace_functions.signature import Field, dtype

_TEXTS = ("CountVectorizer", "TfidfVectorizer", "HashingVectorizer")
_SKIP = ("numpy.", "joblib.", "builtins.", "copyreg.", "collections.", "sklearn.utils", "sklearn.tree._tree", "pandas.")
_CLASS = re.compile(r"class (\w+)\([^)]*\bModel\b[^)]*\)")


def pickled(path: Path, options: Options) -> Contents:
    """The estimators in a file; what they were fitted on as far as the pickle has it as text."""
    del options
    if path.suffix in SKOPS:
        return _skops(path)
    try:
        found = contents(path)
    except UnreadablePickleError as error:
        found = error.found
    versions = {n: v for n, _, v in (line.partition("==") for line in libraries(found)) if v}
    made = [o for o in found if o.state and not o.path.startswith(_SKIP)]
    steps = list(dict.fromkeys(o.path.rpartition(".")[2] for o in made))
    names = next((n for n in map(_names, made) if n), ())
    count = next((o.state["n_features_in_"] for o in made if isinstance(o.state.get("n_features_in_"), int)), 0)
    classes = any("classes_" in o.state for o in made)
    inputs = _features(names, count)
    if any(s in _TEXTS for s in steps):
        inputs = (Field("text", dtype("string"), profile="text"),)
    answers = "label and probabilities" if classes else "a value, or the columns of a transformer"
    unclear = [f"it answers {answers}; their names, types and sizes are told when it is loaded"]
    if not inputs:
        unclear.insert(0, "its inputs are told when it is loaded, or are the columns of your training data")
    return Contents(versions, " → ".join(steps[:6]) or "no estimator", inputs, (), tuple(unclear))


def _names(estimator: Inert) -> tuple[str, ...]:
    """``feature_names_in_``: an array of texts, whose own state lists them."""
    array: Any = estimator.state.get("feature_names_in_")
    if not isinstance(array, Inert):
        return ()
    held: Any = array
    if array.items and isinstance(array.items[-1], Inert):  # joblib keeps such an array as a pickle behind it
        held = array.items[-1]
    state = held.raw_state
    listed = state[-1] if isinstance(state, tuple) and state and isinstance(state[-1], list) else []
    return tuple(listed) if listed and all(isinstance(n, str) for n in listed) else ()


def _features(names: Sequence[str], count: int) -> tuple[Field, ...]:
    number = dtype("float64")
    return tuple(Field(n, number, (), "numerical") for n in names or [f"x{i}" for i in range(min(count, 1000))])


def _skops(path: Path) -> Contents:
    skops_types(path)  # says what is wrong with a damaged one
    with zipfile.ZipFile(path) as archive:
        schema = archive.read("schema.json").decode("utf-8", "replace")
    told = re.search(r'"_skops_version": "([\d.]+)"', schema)
    classes = re.findall(r'"__class__": "([A-Z]\w+)",\s*"__module__": "sklearn\.(?!utils)', schema)
    steps = " → ".join(dict.fromkeys(classes))
    said = "its inputs and outputs are told when it is loaded"
    return Contents({"skops": told[1]} if told else {}, steps or "an estimator", unclear=(said,))


def learner(path: Path, options: Options) -> Contents:
    """A learner of fastai: what it is for."""
    del options
    with zipfile.ZipFile(path) as archive:
        inside = next((n for n in archive.namelist() if n.endswith("data.pkl")), "")
        held = archive.read(inside) if inside else b""
    kinds = {"tabular": "a table", "text": "texts", "vision": "images", "collab": "a table"}
    about = next(
        (f"a learner for {what}" for name, what in kinds.items() if f"fastai.{name}".encode() in held), "a learner"
    )
    return Contents({}, about, unclear=("its inputs and outputs are told when it is loaded",))


def mlflow(folder: Path, options: Options) -> Contents:
    """A model folder: flavour and signature."""
    model = mlmodel.read(folder, options)
    versions = {"mlflow": str(model.document["mlflow_version"])} if model.document.get("mlflow_version") else {}
    served = f"served by the loader of {model.framework}" if model.framework else "served through pyfunc"
    about = f"flavours {', '.join(map(str, model.flavours))}; {served}"
    unclear = [f"its signature cannot be taken over, {u}" for u in model.unclear]
    if model.inputs is None and not unclear:
        unclear.append(
            "it has no signature; its inputs are the columns of your training data, or told when it is loaded"
        )
    outputs = model.outputs if model.framework is None else None
    if outputs is None:
        unclear.append("its outputs are told when it is loaded")
    return Contents(versions, about, model.inputs or (), outputs or (), tuple(unclear))


def predictor(path: Path, options: Options) -> Contents:
    """A Python file with a subclass of ``kserve.Model``."""
    del options
    classes = _CLASS.findall(path.read_text("utf-8", "replace"))
    lines = ("training-data: train.csv   # or a contract",)
    return Contents({}, f"a predictor, {', '.join(classes)}", unclear=("code says nothing of types",), lines=lines)


def function(path: Path, options: Options) -> Contents:
    """A plain Python function."""
    del options
    said = "code says nothing of types: inputs are declared or the columns of your training data, outputs are found by trying"
    return Contents(
        {}, f"a function in {path.name}", unclear=(said,), lines=("training-data: train.csv   # or a contract",)
    )
