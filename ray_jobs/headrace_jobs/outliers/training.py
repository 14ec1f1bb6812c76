"""Learning a detector from training data: encode, fit every candidate, take the best, set its scale on rows held out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from headrace_functions.errors import InvalidInput
from headrace_functions.signature import Field
from headrace_functions.statistics.sample import lowest, priorities
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import MAX_ELEMENTS, Array
from headrace_jobs import inputs
from headrace_jobs.columns import Coded, series
from headrace_jobs.outliers.detector_selection import best, planted
from headrace_jobs.outliers.engines import NATIVE, OutlierEngine
from headrace_jobs.outliers.scorer import METHODS, Detector, Encoding, FieldCode, spelling
from headrace_jobs.statistics.ranks import area

ROWS = 50_000
"""Training rows that are looked at."""
HELD_OUT = 0.25
PLANTED = 4000
"""Held-out rows that anomalies are made of at most."""
MIN_ROWS = 20
HUGE = 1e150
"""The square of a larger number is no number."""
LEVELS = 1000
"""Categories with a surprisal of their own; the rest count as unseen."""

Columns = Mapping[str, Sequence[Array]]


@dataclass(frozen=True, slots=True)
class Learnt:
    """A detector and how it came about: ``areas`` by candidate, ``fitted`` and ``held_out`` rows."""

    detector: Detector
    areas: Mapping[str, float]
    fitted: int
    skipped: Mapping[str, str]
    """Inputs that are not looked at, and why."""


def learn(objects: ObjectStore, version: Version, engine: OutlierEngine = NATIVE) -> Learnt:
    """The detector of a version; ``InvalidInput`` where there is not enough training data to learn from."""
    training = inputs.read_training(objects, version)
    if training is None:
        raise InvalidInput(
            f"{version.id} has no training data to learn outliers from",
            field="training-data",
            hint="add training-data to its definition and apply it again",
        )
    rows = np.sort(lowest(priorities(f"{version.id} outliers", training.metadata.num_rows), ROWS))
    if len(rows) < MIN_ROWS:
        raise InvalidInput(
            f"{version.id}: {len(rows)} rows of training data are too few to determine what is unusual",
            field="training-data",
            expected=f"at least {MIN_ROWS} rows",
        )
    skipped: dict[str, str] = {}
    codes: list[FieldCode] = []
    columns: dict[str, Sequence[Array]] = {}
    for field in version.signature.inputs:
        found = inputs.column(training, field.name)
        if found is None:
            skipped[field.name] = "the training data has no such column"
        elif kind_of(field) == "":
            skipped[field.name] = "lists of free size have no columns to look at"
        else:
            code, columns[field.name] = _field(field, found.take(rows), ~held_out(len(rows)))
            codes.append(code)
    if not codes:
        raise InvalidInput(f"{version.id}: no input can be analysed", field="training-data")
    return fit(codes, columns, skipped, engine)


def fit(
    codes: Sequence[FieldCode],
    columns: Columns,
    skipped: Mapping[str, str] | None = None,
    engine: OutlierEngine = NATIVE,
) -> Learnt:
    """Fit and choose. Rows that are held out set the scale of ``value`` and are what anomalies are planted in."""
    out = held_out(len(next(iter(columns.values()))[0]))
    encoding = _encoding(codes, {name: [c[~out] for c in found] for name, found in columns.items()})
    fitted, kept = (
        encoding.matrix({name: [c[chosen] for c in found] for name, found in columns.items()}) for chosen in (~out, out)
    )
    typical = np.median(fitted, axis=0)
    anomalies = planted(kept[:PLANTED])
    detectors, areas = {}, {}  # areas by candidate and way
    for name, fitting in engine.candidates.items():
        state = fitting(fitted)
        ordinary = METHODS[name](kept, state)
        areas[name] = {way: area(ordinary, METHODS[name](rows, state)) for way, rows in anomalies.items()}
        detectors[name] = Detector(encoding, name, state, np.sort(ordinary), typical)
    means = {name: float(np.mean(list(by_way.values()))) for name, by_way in areas.items()}
    return Learnt(detectors[best(areas, min(len(kept), PLANTED))], means, int((~out).sum()), skipped or {})


def held_out(count: int) -> Array:
    """Which of so many training rows are not fitted to, a mask."""
    out = np.zeros(count, bool)
    out[lowest(priorities("held out", count), max(int(count * HELD_OUT), 1))] = True
    return out


def kind_of(field: Field) -> str:
    """How ``scorer`` looks at a field: as ``views`` does; empty where the rows have no columns in common."""
    if field.is_scalar:
        if field.profile == "text":
            return "text"
        return "category" if field.profile == "categorical" or not field.dtype.is_number else "number"
    if field.size is None or not field.dtype.is_number:
        return ""
    return "vector" if field.size <= MAX_ELEMENTS else "summary"


def columns_of(code: FieldCode, field: Field, column: Any) -> list[Array]:
    """The columns of a field from Arrow, the same numbers as ``scorer`` makes of a request."""
    found = series(field, column)
    return [_surprisal(code, one) if isinstance(one, Coded) else one.values for one in found.values()]


def _field(field: Field, column: Any, fitted: Array) -> tuple[FieldCode, list[Array]]:
    """What the ``fitted`` rows (a mask) say of a field, and the columns of all.

    Rows that are held out say nothing of it: none of their categories would be unseen, as those of new rows are.
    """
    kind = kind_of(field)
    levels: dict[str, float] = {}
    unseen = 0.0
    if kind == "category":
        (found,) = series(field, column.filter(pa.array(fitted))).values()
        assert isinstance(found, Coded)
        counts = found.counts().most_common(LEVELS)
        total = sum(n for _, n in counts)
        levels = {spelling(value): _minus_log(n, total) for value, n in counts}
        unseen = _minus_log(0, total)
    code = FieldCode(field.name, kind, 1, 0.0, 0.0, levels, unseen)
    columns = columns_of(code, field, column)
    missing = np.logical_or.reduce([np.isnan(c) for c in columns])[fitted]
    absent, count = int(missing.sum()), len(missing)
    present = _minus_log(count - absent, count)
    return FieldCode(field.name, kind, len(columns), present, _minus_log(absent, count), levels, unseen), columns


def _minus_log(count: int, total: int) -> float:
    """Surprisal of a share in nats; half a row stands for what was never seen."""
    return float(-np.log(max(count, 0.5) / max(total, 1)))


def _surprisal(code: FieldCode, coded: Coded) -> Array:
    found = np.append(code.surprisal(coded.values), np.nan)  # code -1 meets the last place
    return np.asarray(found[coded.codes])


def _encoding(codes: Sequence[FieldCode], columns: Columns) -> Encoding:
    """Robust centres and spreads of the fitted rows."""
    flat = [column for code in codes for column in columns[code.name]]
    known = [column[np.isfinite(column)] for column in flat]
    centre = np.array([np.median(k) if len(k) else 0.0 for k in known])
    scale = np.array([_spread(k, float(c)) for k, c in zip(known, centre, strict=True)])
    return Encoding(tuple(codes), centre, scale)


def _spread(values: Array, centre: float) -> float:
    """Interquartile range as a standard deviation; where half the rows are one value, the deviation itself; of a constant
    a millionth, so that any other value is far."""
    if len(values):
        low, high = np.quantile(values, (0.25, 0.75))
        deviation = float(np.clip(values, -HUGE, HUGE).std())
        for found in (float(high - low) / 1.349, deviation):
            if found > 1e-9 * max(abs(centre), 1e-300):
                return found
    return max(abs(centre), 1.0) * 1e-6
