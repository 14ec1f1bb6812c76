"""What a scikit-learn estimator can answer: named outputs, each from one method. Works on any object of that shape, imports no library.

| estimator | default outputs | a contract may also name |
|---|---|---|
| classifier | ``label``; ``probabilities`` ``[k]`` in the order of the classes, else ``score`` from its decision function | ``probability`` of the second of two classes, ``score`` |
| regressor | ``value``, ``[k]`` with several targets | |
| transformer | a field a column where it names them, else ``values`` ``[k]`` | ``values`` |
| clusterer | ``label`` | |
| density | ``value`` from ``score_samples`` | |
| outlier detector | ``value``, the larger the odder (negated ``score_samples``), and ``outlier`` | |
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from headrace_functions.errors import HeadraceError, InvalidInput
from headrace_functions.names import check_field_name
from headrace_functions.protocol.rows import Array, PackedRows
from headrace_functions.signature import DType, Field, Signature, dtype, dtype_of

Kind = Literal["classifier", "outlier detector", "clusterer", "other"]

_LABEL_FOLLOWS = {
    "DecisionTreeClassifier",
    "ExtraTreesClassifier",
    "GaussianNB",
    "GradientBoostingClassifier",
    "HistGradientBoostingClassifier",
    "LogisticRegression",
    "MLPClassifier",
    "MultinomialNB",
    "RandomForestClassifier",
}

_FLOAT = dtype("float64")
_INT = dtype("int64")
_COLUMNS = 1000  # transformed columns above which the output is one vector


@dataclass(frozen=True, slots=True)
class Output:
    """One output: its field, the method that gives it, and how to pick it from what the method returns."""

    field: Field
    method: str
    pick: Callable[[Any], Array]
    default: bool = True
    column: int | None = None
    """Where it is one column of a matrix that the method returns, which one."""


def first_step(model: Any) -> Any:
    model = getattr(model, "best_estimator_", model)
    steps = getattr(model, "steps", None)
    return first_step(steps[0][1]) if steps else model


def last_step(model: Any) -> Any:
    model = getattr(model, "best_estimator_", model)
    steps = getattr(model, "steps", None)
    return last_step(steps[-1][1]) if steps else model


def offers(model: Any, kind: Kind, inputs: tuple[Field, ...] | None = None) -> dict[str, Output]:
    """Everything an estimator of this kind can answer, by name. ``inputs`` name a transformer's columns where its fit did not."""
    if kind == "classifier":
        outputs = _classifier(model)
    elif kind == "outlier detector":
        outputs = [
            Output(Field("value", _FLOAT, (), "numerical"), "score_samples", lambda s: -np.asarray(s)),
            Output(Field("outlier", dtype("bool")), "predict", lambda p: np.asarray(p) == -1),
        ]
    elif kind == "clusterer" and hasattr(model, "predict"):
        outputs = [Output(Field("label", _INT, (), "categorical"), "predict", np.asarray)]
    elif hasattr(model, "predict"):
        outputs = [Output(Field("value", _FLOAT, _targets(last_step(model)), "numerical"), "predict", np.asarray)]
    elif hasattr(model, "transform"):
        outputs = _transformer(model, inputs)
    elif hasattr(model, "score_samples"):
        outputs = [Output(Field("value", _FLOAT, (), "numerical"), "score_samples", np.asarray)]
    else:
        outputs = []
    return {o.field.name: o for o in outputs}


def _classifier(model: Any) -> list[Output]:
    classes = getattr(model, "classes_", None)
    if classes is None or isinstance(classes, list):  # several targets: one label each, no common probabilities
        count = len(classes) if classes is not None else 1
        shape = (count,) if count > 1 else ()
        kind = dtype_of(classes[0]) if classes else _INT
        return [Output(Field("label", kind, shape, "categorical"), "predict", _labels_like(kind))]
    values, kind = tuple(classes.tolist()), dtype_of(classes)
    outputs = [Output(Field("label", kind, (), "categorical", categories=values), "predict", _labels_like(kind))]
    names = tuple(str(v) for v in values)
    likely = hasattr(model, "predict_proba")
    if likely:
        field = Field("probabilities", _FLOAT, (len(values),), "numerical", names)
        outputs.append(Output(field, "predict_proba", np.asarray))
        if len(values) == 2:
            second = Field("probability", _FLOAT, (), "numerical")
            outputs.append(Output(second, "predict_proba", lambda p: np.asarray(p)[:, 1], default=False))
    if hasattr(model, "decision_function"):
        wide = len(values) > 2
        field = Field("score", _FLOAT, (len(values),) if wide else (), "numerical", names if wide else None)
        outputs.append(Output(field, "decision_function", np.asarray, default=not likely))
    return outputs


def _labels_like(kind: DType) -> Callable[[Any], Array]:
    """Picks labels: whole floats as the integers that the classes are, and a column of single labels as labels."""

    def pick(answer: Any) -> Array:
        labels = np.asarray(answer)
        labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
        if labels.dtype.kind != "f" or kind.numpy.kind not in "iu" or not np.isfinite(labels).all():
            return labels
        whole = labels.astype(kind.numpy)
        return whole if bool((whole == labels).all()) else labels

    return pick


def label_follows(model: Any) -> bool:
    """True for scikit-learn's own classifiers whose ``predict`` is the class of the largest probability, ties aside."""
    last = last_step(model)
    several = str(getattr(getattr(last, "_label_binarizer", None), "y_type_", "")).startswith("multilabel")
    return type(last).__module__.startswith("sklearn.") and type(last).__name__ in _LABEL_FOLLOWS and not several


def labels(model: Any, x: Any, probabilities: Any) -> Array:
    """What ``predict`` answers, from its probabilities. Rows that tie (rounding makes ties) are left to the model."""
    table = np.asarray(probabilities)
    best = table.argmax(axis=1)
    if np.count_nonzero(table == table.max(axis=1, keepdims=True)) != len(table):
        return np.asarray(model.predict(x))
    chosen: Array = np.asarray(model.classes_)[best]
    return chosen


def _targets(model: Any) -> tuple[int, ...]:
    """What a regressor says of its targets; where it says nothing, its answers tell (see ``trial``)."""
    count = getattr(model, "n_outputs_", None)
    if count is None:
        weights = np.asarray(getattr(model, "coef_", ()))
        count = weights.shape[0] if weights.ndim == 2 else 1
    return (int(count),) if count > 1 else ()


def _transformer(model: Any, inputs: tuple[Field, ...] | None) -> list[Output]:
    names = _column_names(model, inputs)
    width = len(names) if names else -1
    vector = Output(Field("values", _FLOAT, (width,), "numerical", names or None), "transform", dense, default=False)
    if names is None or len(names) > _COLUMNS or not _usable(names):
        return [Output(vector.field, "transform", dense)]
    columns = [
        Output(Field(name, _FLOAT, (), "numerical"), "transform", _column(at), column=at)
        for at, name in enumerate(names)
        if name != "values"
    ]
    return [*columns, vector]


def _column(at: int) -> Callable[[Any], Array]:
    return lambda matrix: dense(matrix)[:, at]


def _column_names(model: Any, inputs: tuple[Field, ...] | None) -> tuple[str, ...] | None:
    """The model's own names; a model fitted without names gets the inputs', so that a scaler's columns feed a classifier."""
    own = getattr(model, "feature_names_in_", None) is not None
    scalars = (
        inputs is not None
        and all(f.is_scalar for f in inputs)
        and len(inputs) == getattr(model, "n_features_in_", None)
    )
    given = [f.name for f in inputs] if inputs is not None and scalars and not own else None
    try:
        return tuple(str(n) for n in model.get_feature_names_out(given))
    except (AttributeError, ValueError, NotImplementedError, TypeError):
        return None  # not every transformer names its columns


def _usable(names: tuple[str, ...]) -> bool:
    try:
        fields = tuple(Field(check_field_name(n), _FLOAT) for n in names)
        Signature(fields, fields)
    except HeadraceError:
        return False
    return True


def dense(matrix: Any) -> Array:
    """A sparse matrix written out, anything else as an array; truth values as the numbers that columns are."""
    array = np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix)
    return array.astype(np.float64) if array.dtype == np.bool_ else array


def choose(known: Mapping[str, Output], signature: Signature) -> list[tuple[Field, Output]]:
    """The output behind each field of the signature. One field of another name is taken for the main output.

    Raises ``InvalidInput`` where the contract names what the estimator cannot give.
    """
    fields = signature.outputs
    if len(fields) == 1 and fields[0].name not in known and known:
        return [(fields[0], _main(known, fields[0]))]
    for field in fields:
        if field.name not in known:
            raise InvalidInput(
                f"the model has no output {field.name!r}",
                field=field.name,
                expected=", ".join(known) or "no output",
                got=field.name,
            )
    return [(f, known[f.name]) for f in fields]


def _main(known: Mapping[str, Output], field: Field) -> Output:
    """A number between classes is the probability of the second one, a vector the first vector; everything else the first output."""
    if not field.is_scalar:
        return next((o for o in known.values() if not o.field.is_scalar), next(iter(known.values())))
    if field.is_scalar and field.dtype.numpy.kind == "f" and "probability" in known:
        return known["probability"]
    return next(iter(known.values()))


def are_one_matrix(chosen: list[tuple[Field, Output]]) -> bool:
    """True where the chosen outputs are the first columns of one method's matrix in their order, declared with one type."""
    return (
        [o.column for _, o in chosen] == list(range(len(chosen)))
        and len({o.method for _, o in chosen}) == 1
        and len({f.dtype.name for f, _ in chosen}) == 1
    )


def packed(matrix: Any, fields: tuple[Field, ...]) -> PackedRows:
    """The first columns of a matrix as the outputs of these names, in their declared type where ``in_type`` allows it."""
    return PackedRows((f.name for f in fields), in_type(dense(matrix)[:, : len(fields)], fields[0]))


def in_type(array: Array, field: Field) -> Array:
    """Numbers in the declared type: floating ones rounded to it, whole ones where none changes; else left for the check."""
    want = field.dtype.numpy
    if array.dtype == want or array.dtype.kind not in "iuf" or want.kind not in "iuf":
        return array
    if array.dtype.kind == "f" and want.kind in "iu":
        return array
    cast = array.astype(want)
    return cast if want.kind == "f" or bool((cast == array).all()) else array
