"""What a version's answers on its training rows depend on, kept beside the version: drifted fields are ranked by it.

Kept by ``headrace analyze attribution --rows training``, or by the first drift run where the artifact's trees can be read: no endpoint is
asked then. That there is nothing to be had is kept too, so that it is not tried again at each run.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from headrace_functions.attribution.ensembles import NotDirectError
from headrace_functions.attribution.features import features_of, matrix
from headrace_functions.attribution.outcome import choose
from headrace_functions.errors import InvalidInput
from headrace_functions.names import VersionId
from headrace_functions.profile import spread_rows
from headrace_functions.runtime.artifact_trees import WITH_TREES
from headrace_functions.signature import Tensors
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import Array
from headrace_jobs import inputs
from headrace_jobs.attribution.direct import by_trees, middle
from headrace_jobs.columns import columns_of
from headrace_jobs.explain.background import typed

ROWS = 500
"""Training rows that are explained."""
MAX_LEAVES = 10_000
"""Of trees that a drift run explains by the way, once for a version: two seconds of processor at most."""


def shares(objects: ObjectStore, version: Version) -> Mapping[str, float]:
    """Share of each feature in the sum of mean |SHAP|, 0 to 1; worked out now where that was never tried. Empty where there is nothing to be had."""
    known = Documents(objects).last(layout.importance(version.id))
    if known is not None:
        return {str(name): float(share) for name, share in known["shares"].items()}
    try:
        found = _from_trees(objects, version)
    except (NotDirectError, InvalidInput) as error:
        keep(objects, version.id, {}, str(error))
        return {}
    keep(objects, version.id, found)
    return found


def keep(objects: ObjectStore, version: VersionId, found: Mapping[str, float], reason: str = "") -> None:
    """The last that is kept counts."""
    Documents(objects).append(layout.importance(version), {"schema": 1, "shares": dict(found), "reason": reason})


def training_rows(objects: ObjectStore, version: Version, count: int) -> tuple[Array, Tensors]:
    """Features ``(n, d)`` of training rows that the build asked about, and the answers; ``InvalidInput`` where none were kept."""
    training, answers = inputs.read_training(objects, version), inputs.read_answers(objects, version.id)
    if training is None or answers is None:
        raise InvalidInput(f"{version.id}: no predictions on training data were stored", field="training-data")
    kept = spread_rows(answers.metadata.num_rows, count)
    places = spread_rows(training.metadata.num_rows, answers.metadata.num_rows)[kept]
    columns = {}
    for field in version.signature.inputs:
        found = inputs.column(training, field.name)
        if found is None:
            raise InvalidInput(f"{field.name}: the training data has no such column", field=field.name)
        columns[field.name] = typed(field, found.take(pa.array(places)))
    outputs: Tensors = {}
    for column in columns_of(version.signature):
        given = inputs.column(answers, column.name) if column.side == "output" else None
        if given is not None:
            kind = object if column.field.dtype.name == "string" else None  # NumPy's texts lose NULs at their ends
            outputs[column.field.name] = np.array(given.take(pa.array(kept)).to_pylist(), kind)
    if len(outputs) < len(version.signature.outputs):
        raise InvalidInput(f"{version.id}: not all outputs were stored", field="training-data")
    return matrix(version.signature, columns), outputs


def _from_trees(objects: ObjectStore, version: Version) -> Mapping[str, float]:
    if version.framework not in WITH_TREES:
        raise NotDirectError(f"a model of the framework {version.framework} is a black box")
    features_of(version.signature)  # refuses what cannot be taken apart
    if any(f.size is None for f in version.signature.outputs):
        raise NotDirectError("an output of free size is no sum of trees")
    rows, outputs = training_rows(objects, version, ROWS)
    outcome = choose(version.signature, {name: middle(values) for name, values in outputs.items()})
    found = by_trees(objects, version, outcome, rows, outcome.of(outputs), MAX_LEAVES)
    return of_values(version, found.values)


def of_values(version: Version, values: Array) -> Mapping[str, float]:
    """Shares by feature from SHAP values ``(n, d)``; empty where the answers depend on nothing."""
    size = np.abs(values).mean(axis=0)
    total = float(size.sum())
    names = [f.name for f in features_of(version.signature)]
    return {name: float(share) / total for name, share in zip(names, size, strict=True)} if total > 0 else {}
