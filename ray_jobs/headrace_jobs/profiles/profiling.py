"""The profile of a version's training data, by which its rows are checked: made once and kept beside the version.

The build makes it from columns in memory; here it is made by streaming, for a version whose build did not. Counts, extremes and moments
are of every row; quantiles, histogram and distinct values are those of ``profiles``: exact for few rows, else of a sample or estimated.
"""

import numpy as np

from headrace_functions.errors import Conflict, InvalidInput
from headrace_functions.names import VersionId
from headrace_functions.profile import (
    BINS,
    CategoryProfile,
    NumberProfile,
    Profile,
    ViewProfile,
    category_profile,
    number_profile,
)
from headrace_functions.signature import Field
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.views import Array, ViewName, names
from headrace_jobs import inputs
from headrace_jobs.profiles.partial import Profiled, SeriesProfile
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
            hint="give training-data in its definition and apply it again",
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
    return Profile(whole.rows, {name: tuple(_view(v, one) for v, one in some) for name, some in found.items() if some})


def _view(view: ViewName, one: SeriesProfile) -> ViewProfile:
    if one.kind == "category":
        kept = category_profile(one.counts)
        distinct = max(one.distinct.estimate, len(kept.values) + 1) if one.dropped else kept.distinct
        categories = CategoryProfile(kept.values, distinct, kept.other + one.dropped)
        return ViewProfile(view.label, view.kind, one.rows, one.missing, None, categories)
    return ViewProfile(view.label, view.kind, one.rows, one.missing, _numbers(one))


def _numbers(one: SeriesProfile) -> NumberProfile:
    """Figures of the sample, with those put in that are known of every row."""
    m = one.moments
    if not m.count:
        return NumberProfile(infinite=one.infinite)
    sampled = number_profile(np.clip(one.values, m.min, m.max), one.infinite)
    if m.count == len(one.values):
        return sampled
    return NumberProfile(
        m.min,
        m.max,
        mean=_known(m.mean),
        std=_known(m.variance**0.5),
        skewness=_known(m.skewness),
        kurtosis=_known(m.kurtosis),
        distinct=one.distinct.estimate,
        infinite=one.infinite,
        quantiles=sampled.quantiles,
        histogram=_histogram(one.values, m.min, m.max, m.count),
    )


def _known(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def _histogram(sample: Array, low: float, high: float, count: int) -> tuple[int, ...]:
    """Counts of all values in equal bins, by the shares of the sample's; they add up to ``count``."""
    edges = np.linspace(low, high, BINS + 1)
    if not np.isfinite(edges).all() or not (np.diff(edges) > 0).all():
        return (count,)
    upto = np.concatenate(([0], np.cumsum(np.histogram(sample, edges)[0])))
    return tuple(np.diff(np.rint(upto / len(sample) * count).astype(np.int64)).tolist())
