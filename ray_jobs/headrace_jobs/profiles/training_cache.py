"""The statistics of a version's training data, kept in the store: a version never changes, so it is read once.

As with ``drift.baseline_cache``, the key holds a digest of the code that makes them, and what is read cannot be code.
"""

import io
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import astuple
from typing import Any

import numpy as np
import orjson

from headrace_functions import views
from headrace_functions.errors import NotFound
from headrace_functions.statistics import distinct, moments, sample, series
from headrace_functions.statistics.distinct import Distinct
from headrace_functions.statistics.moments import Moments
from headrace_functions.statistics.sample import RowSample
from headrace_functions.statistics.series import SeriesProfile
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import Array
from headrace_jobs import columns
from headrace_jobs.drift.baseline_cache import DAMAGED, digest
from headrace_jobs.profiles import field_series, partial, training
from headrace_jobs.profiles.partial import Directions, Profiled

COUNTING = (columns, field_series, partial, training, distinct, moments, sample, series, views)
"""Modules that decide what the statistics are."""


def profile_training(objects: ObjectStore, version: Version) -> Profiled:
    """As ``training.profile_training`` of both sides, read in the first run alone."""
    key = layout.baseline(version.id, f"profile-{digest(COUNTING)}")
    with suppress(NotFound, *DAMAGED):
        return decoded(objects.get(key))
    found = training.profile_training(objects, version)
    objects.put(key, encoded(found))  # who else does so at once writes the same
    return found


def encoded(found: Profiled) -> bytes:
    """Statistics as an npz file: arrays by the name of their series, and ``told``, JSON that says the rest."""
    arrays: dict[str, Array] = {}
    series = []
    for i, (name, one) in enumerate(found.series.items()):
        arrays[f"registers-{i}"] = one.distinct.registers
        arrays[f"moments-{i}"] = np.array(astuple(one.moments), np.float64)
        if one.sample is not None:
            arrays |= {f"priority-{i}": one.sample.priority, f"value-{i}": one.sample.columns["value"]}
        figures = {n: getattr(one, n) for n in ("kind", "rows", "missing", "infinite", "dropped")}
        size = None if one.sample is None else one.sample.size
        series.append({**figures, "name": name, "size": size, "counts": list(one.counts.items())})
    for i, one_field in enumerate(found.directions.values()):
        arrays |= {f"mean-{i}": one_field.mean, f"scatter-{i}": one_field.scatter}
    told = {"rows": found.rows, "series": series, "sides": found.sides, "problems": found.problems}
    told["directions"] = [(name, one.count) for name, one in found.directions.items()]
    file = io.BytesIO()
    np.savez(file, told=np.frombuffer(orjson.dumps(told), np.uint8), **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def decoded(body: bytes) -> Profiled:
    """What ``encoded`` made."""
    with np.load(io.BytesIO(body), allow_pickle=False) as file:
        told = orjson.loads(file["told"].tobytes())
        series = {one["name"]: _series(one, i, file) for i, one in enumerate(told["series"])}
        directions = {
            name: Directions(count, file[f"mean-{i}"], file[f"scatter-{i}"])
            for i, (name, count) in enumerate(told["directions"])
        }
    return Profiled(told["rows"], 0, series, told["sides"], directions, told["problems"])


def _series(told: Mapping[str, Any], i: int, file: Mapping[str, Array]) -> SeriesProfile:
    kept = None
    if told["size"] is not None:
        kept = RowSample(told["size"], file[f"priority-{i}"], {"value": file[f"value-{i}"]})
    count, *powers = file[f"moments-{i}"].tolist()
    return SeriesProfile(
        told["kind"],
        told["rows"],
        told["missing"],
        Distinct(file[f"registers-{i}"]),
        told["infinite"],
        Moments(int(count), *powers),
        kept,
        dict(told["counts"]),
        told["dropped"],
    )
