"""The profile of a version's training data, by which its rows are checked: made once and kept beside the version.

The build makes it while it reads the data; here it is made for a version whose build did not, by the same statistics.
"""

from headrace_functions.errors import Conflict, InvalidInput
from headrace_functions.names import VersionId
from headrace_functions.profile import Profile
from headrace_functions.signature import Field
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.views import names
from headrace_jobs import inputs
from headrace_jobs.profiles.partial import Profiled
from headrace_jobs.profiles.training import profile_training


def make_profile(objects: ObjectStore, version_id: VersionId) -> str:
    """The key of the version's profile; it is made if there is none (the build usually has done so)."""
    version = inputs.read_version(objects, version_id)
    key = layout.profile(version_id)
    if objects.exists(key):
        return key
    if version.training is None:
        raise InvalidInput(
            f"{version_id} has no training data",
            field="training-data",
            hint="add training-data to its definition and apply it again",
        )
    found = profile_of(profile_training(objects, version, ("input",)), version.signature.inputs)
    try:
        Documents(objects).create(key, found.to_document())
    except Conflict:
        return key  # another run was faster; both read the same immutable data
    return key


def profile_of(whole: Profiled, fields: tuple[Field, ...]) -> Profile:
    """What the statistics say of the views of ``fields``; fields without a column are left out."""
    found = {f.name: [(v, whole.series[v.of(f)]) for v in names(f) if v.of(f) in whole.series] for f in fields}
    return Profile(whole.rows, {name: tuple(one.to_view(v) for v, one in some) for name, some in found.items() if some})
