"""How unusual a row is among the rows that a model was trained on: ``value``, the share of training rows that are less so.

Inputs are the model's own. ``detector.npz`` beside this file holds what was learnt; numpy is all that is needed.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

STATE = "detector.npz"
CHUNK = 8192
"""Rows scored at once: what they need stays in the processor's cache."""
HELD_AT_ONCE = 1024
"""Rows held against all kept training rows at once: a thousand of these take 4 MB."""
LAST_BITS = np.int32(1023)
BEYOND = 0.1
FAR = 10.0
"""Distance, in spreads, from which on columns grow by the logarithm: one broken value must not hide another."""


@dataclass(frozen=True, slots=True)
class FieldCode:
    """How a field becomes columns: ``number``, ``text`` (its length), ``category`` (its surprisal), ``vector`` (an element a
    column) or ``summary`` (mean and norm)."""

    name: str
    kind: str
    width: int
    present: float
    """Surprisal of a value that is there, and of one that is missing: minus the logarithm of its share."""
    absent: float
    levels: Mapping[str, float]
    unseen: float

    def columns(self, values: Array) -> list[Array]:
        """Float64 ``(n,)`` a column with NaN where missing, from an array ``(n, *shape)``."""
        if self.kind == "number":
            return [floats(values)]
        if self.kind == "text":
            return [np.array([math.nan if absent(v) else len(v) for v in values.tolist()], np.float64)]
        if self.kind == "category":
            return [self.surprisal(values.tolist())]
        matrix = floats(values.reshape(-1)).reshape(len(values), -1)
        if self.kind == "summary":
            with np.errstate(over="ignore", invalid="ignore"):
                return [matrix.mean(axis=1), np.sqrt((matrix**2).sum(axis=1))]
        return list(matrix.T)

    def surprisal(self, values: Iterable[Any]) -> Array:
        """Surprisal of each value in nats, NaN where it is missing."""
        levels, unseen = self.levels, self.unseen
        return np.array([math.nan if absent(v) else levels.get(spelling(v), unseen) for v in values], np.float64)


@dataclass(frozen=True, slots=True)
class Encoding:
    """Fields as one matrix. Columns are in spreads from their centre; the last one is the surprisal of what is missing."""

    fields: tuple[FieldCode, ...]
    centre: Array
    scale: Array

    @property
    def width(self) -> int:
        return len(self.centre) + 1

    def matrix(self, columns: Mapping[str, Sequence[Array]]) -> Array:
        """``(n, width)`` of finite numbers from the columns of each field; a missing value is at the centre."""
        flat = [column for code in self.fields for column in columns[code.name]]
        result = np.zeros((len(flat[0]) if flat else 0, self.width))
        place = 0
        for code in self.fields:
            missing = np.zeros(len(result), bool)
            for column in columns[code.name]:
                unknown = np.isnan(column)
                result[:, place] = self._apart(column, unknown, place)
                missing |= unknown
                place += 1
            result[:, -1] += code.present
            if missing.any():
                result[missing, -1] += code.absent - code.present
        return result

    def _apart(self, column: Array, missing: Array, place: int) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            apart = (column - self.centre[place]) / self.scale[place]
        apart[missing] = 0.0
        if apart.size and max(apart.max(), -apart.min()) > FAR:
            apart = np.nan_to_num(apart, nan=0.0)
            size = np.abs(apart)
            apart = np.where(size > FAR, np.sign(apart) * (FAR + np.log(np.maximum(size, FAR) / FAR)), apart)
        return np.asarray(apart)

    def places(self) -> dict[str, list[int]]:
        """The columns of each field."""
        found, place = {}, 0
        for code in self.fields:
            found[code.name] = list(range(place, place + code.width))
            place += code.width
        return found


def absent(value: Any) -> bool:
    return value is None or value != value


def spelling(value: Any) -> str:
    """A category as a key: ``1``, ``1.0`` and ``True`` stay apart only where they are written differently."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def floats(values: Array) -> Array:
    """Float64 with NaN for what is missing."""
    if values.dtype.kind in "biuf":
        return values.astype(np.float64)
    return np.array([math.nan if v is None else float(v) for v in values.tolist()], np.float64)


def mahalanobis(rows: Array, state: Mapping[str, Array]) -> Array:
    """Squared Mahalanobis distance of rows ``(n, d)``; ``whiten`` is ``(d, k)``."""
    return np.asarray((((rows - state["location"]) @ state["whiten"]) ** 2).sum(axis=1))


def tails(rows: Array, state: Mapping[str, Array]) -> Array:
    """How far rows are in the tails of all columns together: the larger of the left, right and skewed sums (ECOD).

    Beyond the extremes of training a tail goes on as an exponential one, so that what is farther out scores more.
    """
    total = np.zeros((len(rows), 3))
    knots = np.split(state["knots"], state["starts"][1:-1])
    for column, own, table in zip(rows.T, knots, state["tables"], strict=True):
        found = table[np.searchsorted(own, column, "right")]
        found[:, 0] += np.maximum(own[0] - column, 0.0)
        found[:, 1] += np.maximum(column - own[-1], 0.0)
        total += found
    return np.asarray(total.max(axis=1))


def forest(rows: Array, state: Mapping[str, Array]) -> Array:
    """Isolation forest: 2 to the power of minus the mean path length over its expectation.

    No path is shorter than that of the extremes of training; beyond them a tenth of the distance in spreads is added.
    """
    feature, threshold, depth = state["feature"], state["threshold"], state["depth"]
    levels = int(math.log2(depth.shape[1]))
    flat, base = np.ascontiguousarray(rows).reshape(-1), np.arange(len(rows)) * rows.shape[1]
    total = np.zeros(len(rows))
    for one, cuts, lengths in zip(feature, threshold, depth, strict=True):
        node = np.zeros(len(rows), np.intp)
        for _ in range(levels):
            right = flat.take(base + one.take(node)) > cuts.take(node)
            node = 2 * node + 1 + right
        total += lengths.take(node - (2**levels - 1))
    beyond = np.maximum(rows - state["high"], 0.0) + np.maximum(state["low"] - rows, 0.0)
    return np.asarray(np.exp2(-total / len(feature) / float(state["expected"])) + BEYOND * beyond.sum(axis=1))


def isolation(rows: Array, state: Mapping[str, Array]) -> Array:
    """Isolation forest of trees of any shape, ``(trees, nodes)`` each: 2 to the power of minus the mean path length over its expectation.

    Thresholds are held against numbers of 32 bits, as the forest was grown on them.
    """
    single = rows.astype(np.float32).astype(np.float64)
    total = np.zeros(len(rows))
    every = np.arange(len(rows))
    parts = (state[name] for name in ("left", "right", "feature", "threshold", "length"))
    for left, right, feature, threshold, length in zip(*parts, strict=True):
        node = np.zeros(len(rows), np.intp)
        while (inner := left[node] >= 0).any():
            low = single[every, feature[node]] <= threshold[node]
            node = np.where(inner, np.where(low, left[node], right[node]), node)
        total += length[node]
    return np.asarray(np.exp2(-total / len(state["left"]) / float(state["expected"])) + float(state["offset"]))


def neighbours(rows: Array, state: Mapping[str, Array]) -> Array:
    """Mean distance to the nearest kept training rows, columns in standard deviations."""
    return _nearest(rows, state)[0]


def density(rows: Array, state: Mapping[str, Array]) -> Array:
    """That distance by what it is for those neighbours themselves: how much emptier it is here than around them (after Breunig et al. 2000)."""
    apart, places = _nearest(rows, state)
    return np.asarray(apart / state["own"][places].mean(axis=1))


def _nearest(rows: Array, state: Mapping[str, Array]) -> tuple[Array, Array]:
    """Mean distance ``(n,)`` to the nearest ``points`` ``(r, d)``, and their places ``(n, k)``."""
    parts = [_nearest_of(rows[i : i + HELD_AT_ONCE], state) for i in range(0, len(rows), HELD_AT_ONCE)]
    if not parts:
        return np.zeros(0), np.zeros((0, 1), np.intp)
    return np.concatenate([apart for apart, _ in parts]), np.concatenate([places for _, places in parts])


def _nearest_of(rows: Array, state: Mapping[str, Array]) -> tuple[Array, Array]:
    points, count = state["points"], int(state["count"])
    scaled = (rows / state["spread"]).astype(np.float32)
    squares = (points**2).sum(axis=1) - 2 * scaled @ points.T + (scaled**2).sum(axis=1)[:, None]
    np.maximum(squares, 0.0, out=squares)
    # Numbers that are not negative are in the order of their bits, so the last of these can hold the place: to part values takes a tenth of the time.
    keys = (squares.view(np.int32) & ~LAST_BITS) | np.arange(len(points), dtype=np.int32)
    places = np.partition(keys, count - 1, axis=1)[:, :count] & LAST_BITS
    near = np.take_along_axis(squares, places, axis=1)
    return np.sqrt(near).mean(axis=1, dtype=np.float64), places


METHODS: Mapping[str, Callable[[Array, Mapping[str, Array]], Array]] = {
    "tails": tails,
    "mahalanobis": mahalanobis,
    "forest": forest,
    "neighbours": neighbours,
    "density": density,
    "online-mahalanobis": mahalanobis,
    "iforest": isolation,
}


@dataclass(frozen=True, slots=True)
class Detector:
    """What was learnt: the encoding, the method's state, and the scores of training rows that it was not fitted to."""

    encoding: Encoding
    method: str
    state: Mapping[str, Array]
    held_out: Array
    """Ascending."""
    typical: Array
    """Median of each column of the matrix."""

    def scores(self, matrix: Array) -> Array:
        """The method's own scores of encoded rows, ``(n,)``; more is more unusual."""
        parts = [METHODS[self.method](matrix[i : i + CHUNK], self.state) for i in range(0, len(matrix), CHUNK)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def values(self, scores: Array) -> Array:
        """The share of held-out training rows that score lower, 0 to 1."""
        return np.asarray(np.searchsorted(self.held_out, scores, "left") / len(self.held_out))

    def save(self, path: Path) -> None:
        """The same detector is the same bytes."""
        fields = [
            {
                "name": c.name,
                "kind": c.kind,
                "width": c.width,
                "present": c.present,
                "absent": c.absent,
                "levels": dict(c.levels),
                "unseen": c.unseen,
            }
            for c in self.encoding.fields
        ]
        about = json.dumps({"schema": 1, "method": self.method, "fields": fields}, sort_keys=True)
        own: dict[str, Any] = {f"state.{name}": array for name, array in self.state.items()}
        np.savez_compressed(
            path,
            about=np.array(about),
            centre=self.encoding.centre,
            scale=self.encoding.scale,
            held_out=self.held_out,
            typical=self.typical,
            **own,
        )


def load(path: str) -> Detector:
    """The detector in a folder."""
    with np.load(Path(path) / STATE, allow_pickle=False) as file:
        about = json.loads(str(file["about"]))
        encoding = Encoding(tuple(FieldCode(**f) for f in about["fields"]), file["centre"], file["scale"])
        state = {name.removeprefix("state."): file[name] for name in file.files if name.startswith("state.")}
        return Detector(encoding, about["method"], state, file["held_out"], file["typical"])


def predict(model: Detector, **inputs: Array) -> dict[str, Array]:
    """``value`` (0 to 1) and ``score`` (the method's own) of each row."""
    matrix = model.encoding.matrix({code.name: code.columns(inputs[code.name]) for code in model.encoding.fields})
    scores = model.scores(matrix)
    return {"value": model.values(scores), "score": scores}
