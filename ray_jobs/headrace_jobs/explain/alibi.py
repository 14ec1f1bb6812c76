"""Alibi's anchors behind ours: AnchorTabular finds the rule of a row, AnchorImage the parts of an image. The only module that imports ``alibi``.

Alibi names its conditions in words with two digits after the point. So it is given the places of values among those of the background instead
of the values, and its words are read back without loss. A rule is measured by us, as one of ours is (``anchors.measured``).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_functions.errors import InvalidInput
from headrace_functions.views import Array
from headrace_jobs.explain.anchors import DELTA, LONGEST, TARGET, Anchor, Background, Model, halves, measured
from headrace_jobs.explain.predicates import CUTS
from headrace_jobs.explain.predicates import Predicate as Condition
from headrace_jobs.optional_engines import without_alibi

LICENCE = (
    "This report was made with Alibi 0.9, which is under the Business Source License 1.1: production use needs a licence from "
    "Seldon Technologies (non-profit educational institutions excepted); other use does not. The native engine has no such condition."
)
BUDGET = 100_000
"""Rows that its search may ask about: it draws rows anew for each rule that it compares, tens of thousands in all for thirty features."""
SEARCH = {
    "threshold": TARGET,
    "delta": DELTA,
    "tau": 0.2,
    "batch_size": 100,
    "min_samples_start": 20,
    "coverage_samples": 1000,
    "stop_on_first": True,
}
"""In its words: ``tau`` is its tolerance between rules; a rule starts with 20 rows, and 100 are asked together."""
CELLS = 7
"""Parts of an image each way."""

_WORDS = re.compile(r"^(?:(?P<above>[\d.]+) < )?f(?P<feature>\d+) (?P<relation><=|>|=) (?P<value>[\d.]+)$")


@dataclass(frozen=True, slots=True)
class Parts:
    """``held`` ``(height, width)`` marks the pixels that hold the answer, whatever the others are; measured by Alibi."""

    held: Array
    precision: float
    coverage: float


def rule(model: Model, row: Array, background: Background, seed: int = 0) -> Anchor:
    """The rule of AnchorTabular, found on one half of the background and measured on the other."""
    explainers = _import()
    seen, rest = halves(background, np.random.default_rng(seed))
    values = [_values(column) for column in np.vstack((seen.rows, row[None, :])).T]
    rows, own = _places(seen.rows, values), _places(row[None, :], values)[0]
    asked = 0

    def answer(places: Array) -> Array:
        nonlocal asked
        asked += len(places)
        columns = [given[p] for given, p in zip(values, places.astype(np.intp).T, strict=True)]
        return model(np.stack(columns, axis=1)).astype(np.int64)

    words = {i: [str(k) for k in range(len(v))] for i, v in enumerate(values) if isinstance(row[i], str | bool | bytes)}
    explainer = explainers.AnchorTabular(answer, [f"f{i}" for i in range(len(row))], words, seed=seed)
    explainer.fit(rows, disc_perc=[100 * c for c in CUTS])
    found = explainer.explain(own, max_anchor_size=min(LONGEST, len(row)), **SEARCH)
    chosen = [c for word in found.anchor for c in _conditions(word, values, row)]
    return measured(model, chosen, rest, asked, seed)


def parts(model: Callable[[Array], Array], image: Array, seed: int = 0) -> Parts:
    """The parts of ``image`` ``(height, width[, channels])`` that hold its answer; ``model`` tells of images whether they have it."""
    flat = image[:, :, None] if image.ndim == 2 else image
    grid = _grid(flat.shape[0], flat.shape[1])

    def answer(images: Array) -> Array:
        return model(images.reshape(len(images), *image.shape)).astype(np.int64)

    explainer = _import().AnchorImage(answer, flat.shape, dtype=np.float64, segmentation_fn=lambda _: grid, seed=seed)
    found = explainer.explain(flat, **SEARCH)
    held = np.isin(grid, [int(p) for p in found.raw["feature"]])
    return Parts(held, float(np.mean(found.precision)), float(np.mean(found.coverage)))


def _grid(height: int, width: int) -> Array:
    rows, columns = min(CELLS, height), min(CELLS, width)
    return np.asarray((np.arange(height) * rows // height)[:, None] * columns + np.arange(width) * columns // width)


def _values(column: Array) -> Array:
    """What occurs in a column of objects, each once and in order; what is missing first."""
    plain = column.tolist()
    missing = [v for v in plain if _missing(v)]
    known = sorted({v for v in plain if not _missing(v)}, key=lambda v: (isinstance(v, str), v))
    found = np.empty(len(known) + bool(missing), object)
    found[:] = [*missing[:1], *known]
    return found


def _missing(value: Any) -> bool:
    return value is None or value != value


def _places(rows: Array, values: Sequence[Array]) -> Array:
    """Where the values of rows are among those of their columns, float64 ``(n, d)``."""
    known = [{v: i for i, v in enumerate(given.tolist()) if not _missing(v)} for given in values]
    return np.array([[at.get(v, 0) for at, v in zip(known, row, strict=True)] for row in rows.tolist()], np.float64)


def _conditions(words: str, values: Sequence[Array], row: Array) -> list[Condition]:
    """What Alibi says of places as conditions on values; none of a value that the row lacks."""
    found = _WORDS.match(words)
    if found is None:
        raise InvalidInput(f"engine: alibi's rule {words!r} cannot be read", field="engine", hint="use --engine native")
    feature = int(found["feature"])
    if _missing(row[feature]):
        return []
    if found["relation"] == "=":
        return [Condition(feature, "=", row[feature])]
    ends = [(found["relation"], found["value"]), *([(">", found["above"])] if found["above"] else [])]
    held = [(relation, values[feature][int(float(at))]) for relation, at in ends]
    return [Condition(feature, relation, value) for relation, value in held if not _missing(value)]


def _import() -> Any:
    """It takes ten seconds: only where this engine was asked for."""
    try:
        from alibi import explainers
    except ImportError as error:
        raise without_alibi() from error
    return explainers
