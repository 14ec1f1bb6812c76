"""The profile job: statistics of a version's training data, made once and kept beside the version."""

from typing import Any

import numpy as np

from headrace_functions.errors import Conflict, InvalidInput
from headrace_functions.names import VersionId
from headrace_functions.profile import Profile
from headrace_functions.signature import Field
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.views import Array
from headrace_jobs import inputs


def make_profile(objects: ObjectStore, version_id: VersionId) -> str:
    """The key of the version's profile; it is made if there is none (the build usually has done so)."""
    version = inputs.read_version(objects, version_id)
    key = layout.profile(version_id)
    if objects.exists(key):
        return key
    training = inputs.read_training(objects, version)
    if training is None:
        raise InvalidInput(
            f"{version_id} has no training data",
            field="training-data",
            hint="give training-data in its definition and apply it again",
        )
    columns: dict[str, Array] = {}
    for field in version.signature.inputs:
        values = inputs.column(training, field.name)
        if values is not None:
            columns[field.name] = _array(field, values)
    try:
        Documents(objects).create(key, Profile.of_columns(columns, version.signature.inputs).to_document())
    except Conflict:
        return key  # another run was faster; both read the same immutable data
    return key


def _array(field: Field, column: Any) -> Array:
    """Numbers with NaN for null, anything else as objects with None."""
    if field.is_scalar and field.dtype.is_number:
        return np.asarray(column.to_numpy(zero_copy_only=False))
    array = np.empty(len(column), object)
    array[:] = column.to_pylist()
    return array
