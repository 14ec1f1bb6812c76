"""Log rows and metric values to counts by minute. Pure: no files, no clock, and the same whatever the rows are split into."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_controller.health import latency
from headrace_controller.health.frame import Frame
from headrace_controller.health.plan import Plan, Series
from headrace_functions.signature import Field, Signature
from headrace_functions.views import View, views

MINUTE = 60

Array = np.ndarray[Any, Any]


def of_log(plan: Plan, signature: Signature, rows: pa.Table, step: int = MINUTE) -> Frame:
    """Counts of log rows by stretches of ``step`` seconds."""
    starts, place = _placed(rows["received"], step)
    frame = Frame.empty(plan.width, len(plan.series), starts.tolist(), step)
    if not len(starts):
        return frame
    n = len(starts)
    frame.rows[:] = np.bincount(place, minlength=n)
    first = _true(pc.equal(rows["row"], 0))
    tallies: list[dict[str, Counter[str]]] = [{} for _ in range(n)]
    _tally(tallies, "outcomes", place[first], rows["outcome"].filter(pa.array(first)).to_pylist())
    _checks(plan, tallies, place, rows)
    _stages(tallies, place[first], rows.filter(pa.array(first)))
    frame.latency[:] = _latency(place[first], rows["latency_ms"].filter(pa.array(first)), n)
    for side, fields, chosen in _sides(signature, rows):
        part, at = rows.filter(pa.array(chosen)), place[chosen]
        for field in fields:
            _count_field(plan, frame, side, field, part, at)
    return Frame(**{**vars(frame), "tallies": tuple(tallies)})


def of_metrics(plan: Plan, values: pa.Table, step: int = MINUTE) -> Frame:
    """Counts of metric values: rows that have one, unhealthy ones, and those that could not be scored."""
    starts, place = _placed(values["received"], step)
    frame = Frame.empty(plan.width, len(plan.series), starts.tolist(), step)
    tallies: list[dict[str, Counter[str]]] = [{} for _ in range(len(starts))]
    for at, name, healthy in zip(
        place.tolist(), values["metric"].to_pylist(), values["healthy"].to_pylist(), strict=True
    ):
        what = "errors" if healthy is None else "rows"
        counts = tallies[at].setdefault("metrics", Counter())
        counts[f"{name}#{what}"] += 1
        if healthy is False:
            counts[f"{name}#unhealthy"] += 1
    return Frame(**{**vars(frame), "tallies": tuple(tallies)})


def _placed(received: pa.ChunkedArray, step: int) -> tuple[Array, Array]:
    """The starts that occur, ascending, and which of them each row belongs to."""
    seconds = received.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy() // 1_000_000
    starts, place = np.unique(seconds - seconds % step, return_inverse=True)
    return starts, place.reshape(-1)


def _true(mask: Any) -> Array:
    return pc.fill_null(mask, False).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _tally(tallies: list[dict[str, Counter[str]]], group: str, place: Array, names: Sequence[Any]) -> None:
    for (at, name), count in Counter(zip(place.tolist(), names, strict=True)).items():
        tallies[at].setdefault(group, Counter())[str(name)] += count


def _checks(plan: Plan, tallies: list[dict[str, Counter[str]]], place: Array, rows: pa.Table) -> None:
    if "checks" not in rows.column_names:
        return
    checks = rows["checks"].combine_chunks()
    owners = place[pc.list_parent_indices(checks).to_numpy()]
    for (at, failed), count in Counter(zip(owners.tolist(), checks.flatten().to_pylist(), strict=True)).items():
        tallies[at].setdefault("checks", Counter())[":".join(plan.checked(failed))] += count


def _stages(tallies: list[dict[str, Counter[str]]], place: Array, requests: pa.Table) -> None:
    """Requests by the stage that they came through: how many, how many failed, and their latency by bin."""
    for tally in tallies:
        tally["stages"] = Counter()
    if "sequence" not in requests.column_names:
        return
    known, bins = _latency_bins(requests["latency_ms"])
    timed = np.full(len(known), -1)
    timed[known] = bins
    alike = (requests[name].to_pylist() for name in ("sequence", "stage", "shadow", "outcome"))
    counted = Counter(zip(place.tolist(), *alike, timed.tolist(), strict=True))
    for (at, sequence, stage, shadow, outcome, latency_bin), count in counted.items():
        if sequence:
            counts, key = tallies[at]["stages"], stage_key(sequence, stage, shadow=bool(shadow))
            counts[f"{key}#requests"] += count
            counts[f"{key}#failed"] += count * (outcome != "ok")
            if latency_bin >= 0:
                counts[f"{key}#{latency_bin}"] += count


def stage_key(sequence: str, stage: int, *, shadow: bool) -> str:
    """What requests through a stage (from 0, as in the log) of a sequence are counted by."""
    return f"{sequence}/{stage}{'/shadow' if shadow else ''}"


def _latency_bins(milliseconds: pa.ChunkedArray) -> tuple[Array, Array]:
    """Which requests have a latency, and the bin of each of those."""
    values = milliseconds.to_numpy().astype(np.float64)
    known = np.isfinite(values)
    return known, np.searchsorted(latency.EDGES, values[known], side="right")


def _latency(place: Array, milliseconds: pa.ChunkedArray, n: int) -> Array:
    known, bins = _latency_bins(milliseconds)
    return _histogram(place[known], bins, n, latency.BINS)


def _histogram(place: Array, bins: Array, n: int, width: int) -> Array:
    return np.bincount(place * width + bins, minlength=n * width).reshape(n, width)


def _sides(signature: Signature, rows: pa.Table) -> list[tuple[str, Sequence[Field], Array]]:
    """Fields of both sides with the rows that have them: requests that were read, and answers."""
    read = _true(pc.is_null(rows["raw"])) if "raw" in rows.column_names else np.ones(rows.num_rows, bool)
    return [
        ("input", signature.inputs, read),
        ("output", signature.outputs, read & _true(pc.equal(rows["outcome"], "ok"))),
    ]


def _count_field(plan: Plan, frame: Frame, side: str, field: Field, rows: pa.Table, place: Array) -> None:
    own = [(i, s) for i, s in enumerate(plan.series) if s.side == side and s.field == field.name]
    if not own or own[0][1].column not in rows.column_names or not rows.num_rows:
        return
    seen = {v.label: v for v in columns_seen(field, rows[own[0][1].column])}
    for index, series in own:
        if series.label in seen:
            _count(plan, frame, index, seen[series.label], place)


def columns_seen(field: Field, column: pa.ChunkedArray) -> tuple[View, ...]:
    """The views of a field's column of a log table."""
    kind = column.type
    if not pa.types.is_list(kind):
        plain = pa.types.is_floating(kind) or pa.types.is_integer(kind)
        if plain and (field.profile != "categorical" or not column.null_count):
            return views(field, column.to_numpy())
        return views(field, _objects(column.to_pylist()))
    if field.size and not column.null_count and field.dtype.is_number:
        flat = column.combine_chunks().flatten()
        if len(flat) == len(column) * field.size and not flat.null_count:
            return views(field, flat.to_numpy(zero_copy_only=False).reshape(len(column), field.size))
    return views(field, _objects([None if v is None else _row(field, v) for v in column.to_pylist()]))


def _row(field: Field, values: list[Any]) -> Any:
    return np.array([np.nan if v is None else v for v in values], np.float64) if field.dtype.is_number else values


def _objects(values: list[Any]) -> Array:
    found = np.empty(len(values), object)
    found[:] = values
    return found


def _count(plan: Plan, frame: Frame, index: int, view: View, place: Array) -> None:
    """Add one view of some rows to the numbers of its series."""
    series, begin, n = plan.series[index], plan.offsets[index], len(frame)
    bins, present = _number_bins(series, view.values) if view.kind == "number" else _category_bins(series, view.values)
    frame.counts[:, begin] += np.bincount(place, minlength=n)
    frame.counts[:, begin + 2] += np.bincount(place[~present], minlength=n)
    if series.bins:
        counted = _histogram(place[present], bins[present], n, series.bins)
        frame.counts[:, begin + 3 : begin + series.width] += counted
    if view.kind == "number":
        finite = np.isfinite(view.values)
        at, values = place[finite], view.values[finite]
        frame.counts[:, begin + 1] += np.bincount(at, minlength=n)
        frame.sums[:, index] += np.bincount(at, values, minlength=n)
        np.minimum.at(frame.lows[:, index], at, values)
        np.maximum.at(frame.highs[:, index], at, values)


def _number_bins(series: Series, values: Array) -> tuple[Array, Array]:
    edges = np.asarray(series.edges)
    bins = np.searchsorted(edges, values, side="right")
    if len(edges):
        bins[values == edges[-1]] = len(edges) - 1  # the last bin has both its ends, as in the profile's histogram
    return bins, ~np.isnan(values)


def _category_bins(series: Series, values: Array) -> tuple[Array, Array]:
    places, rare = series.places, len(series.labels)
    other = rare if series.open else rare + 1
    found = np.array([places.get(v, other) for v in values.tolist()], np.int64)
    return found, np.array([v is not None for v in values.tolist()], bool)
