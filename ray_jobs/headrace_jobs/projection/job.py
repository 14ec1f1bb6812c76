"""The projection job: a sample of a window's rows on one map with a sample of the training data."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from headrace_functions.errors import InvalidInput, NotFound
from headrace_functions.names import VersionId
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import Array, names
from headrace_jobs import inputs
from headrace_jobs.baseline import Baseline, from_training
from headrace_jobs.columns import columns_of
from headrace_jobs.detectors.rows import matrix, shared
from headrace_jobs.execution import Executor
from headrace_jobs.projection.layout import METHODS, MIN_ROWS, Method, layout, nearest, trustworthiness
from headrace_jobs.report.models import MapPoint, Neighbour, ProjectionReport, Span
from headrace_jobs.report_text import share
from headrace_jobs.sampling import REQUEST, ROW, Progress, Sampled, SampleTask, sample
from headrace_jobs.window import Window

MAX_POINTS = 4000
"""Points of a map, both sides together: the page stays under 1 MB."""
SHOWN = 10
"""Neighbours of a request."""
KTH = 10
"""A row's distance from training is that to its KTH nearest training row."""
USUAL = 0.99
"""A row is far off where it is farther than this share of the training rows are from each other."""


@dataclass(frozen=True, slots=True)
class ProjectionRun:
    """One run of the job; ``points`` of both sides together, ``request_id`` for the neighbours of its row ``row``."""

    version: VersionId
    window: Window
    dimensions: int = 2
    method: Method = "tsne"
    points: int = 2000
    request_id: str | None = None
    row: int = 0

    def __post_init__(self) -> None:
        if self.dimensions not in (2, 3):
            raise InvalidInput(
                "dimensions: a projection has two or three",
                field="dimensions",
                expected="2 or 3",
                got=str(self.dimensions),
            )
        if not 2 * MIN_ROWS <= self.points <= MAX_POINTS:
            expected = f"{2 * MIN_ROWS} to {MAX_POINTS}"
            raise InvalidInput(
                "points: too few or too many for a projection", field="points", expected=expected, got=str(self.points)
            )
        if self.method not in METHODS:
            raise InvalidInput("method: unknown", field="method", expected=" or ".join(METHODS), got=self.method)

    def report(self, objects: ObjectStore, executor: Executor, progress: Progress) -> ProjectionReport:
        """``NotFound`` for an unknown version or request, ``InvalidInput`` without training data or with too few rows."""
        version = inputs.read_version(objects, self.version)
        half = self.points // 2
        base = from_training(objects, version, 0, half)
        files = inputs.log_files(objects, self.version, self.window)
        wanted = (self.request_id, self.row) if self.request_id is not None else None
        task = SampleTask(self.window, columns_of(version.signature), half, identified=True, wanted=wanted)
        found = sample(files, task, executor, progress, "files")
        keys, n, m = shared(base.sample.inputs, found.columns)
        if min(n, m) < MIN_ROWS:
            message = f"a map needs {MIN_ROWS} rows a side: training has {n}, the window {m}"
            raise InvalidInput(message, field="window", hint="choose a longer window")
        x = matrix(base.sample.inputs, found.columns, keys, n, m).astype(np.float64)
        return self._describe(version, base, found, x, n)

    def _describe(self, version: Version, base: Baseline, found: Sampled, x: Array, n: int) -> ProjectionReport:
        places = layout(x, self.dimensions, self.method)
        far, limit = _distances(x[:n], x[n:])
        beyond = float((far[n:] > limit).mean())
        colour = _output(version, found.columns)
        points = _points(places, n, far, found.columns, colour)
        return ProjectionReport(
            model=str(self.version),
            window=Span.of(self.window),
            method=self.method,
            dimensions=self.dimensions,
            training=base.rows,
            rows=found.rows,
            trustworthiness=trustworthiness(x, places),
            usual=limit,
            beyond=beyond,
            output=colour[0] if colour is not None else None,
            sentence=_sentence(beyond, len(x) - n),
            points=points,
            request=self.request_id,
            neighbours=self._neighbours(x, n, points, found),
        )

    def _neighbours(self, x: Array, n: int, points: tuple[MapPoint, ...], found: Sampled) -> tuple[Neighbour, ...]:
        if self.request_id is None:
            return ()
        rows = zip(found.columns[REQUEST].tolist(), found.columns[ROW].tolist(), strict=True)
        place = next((i for i, row in enumerate(rows) if row == (self.request_id, self.row)), None)
        if place is None:
            message = f"the window has no answered request {self.request_id} with a row {self.row}"
            raise NotFound(message, field="request-id", hint="see headrace log query, or choose a longer window")
        distances, nearby = nearest(x, x[n + place : n + place + 1], SHOWN + 1)
        pairs = zip(distances[0].tolist(), nearby[0].tolist(), strict=True)
        near = [(distance, i) for distance, i in pairs if i != n + place][:SHOWN]
        return tuple(Neighbour(point=i, side=points[i].side, distance=distance) for distance, i in near)


def _distances(training: Array, window: Array) -> tuple[Array, float]:
    """Distances ``(n + m,)`` from training in standard deviations, and the one that is still usual."""
    own, _ = nearest(training, training, KTH + 1)  # the nearest row of a training row is itself
    other, _ = nearest(training, window, KTH)
    return np.concatenate((own[:, -1], other[:, -1])), float(np.quantile(own[:, -1], USUAL))


def _output(version: Version, columns: Mapping[str, Array]) -> tuple[str, Array] | None:
    """The first output that was answered: its name, and its values in the window."""
    for column in columns_of(version.signature):
        for view in names(column.field):
            if column.side == "output" and column.key(view) in columns:
                return view.of(column.field), columns[column.key(view)]
    return None


def _points(
    places: Array, n: int, far: Array, columns: Mapping[str, Array], colour: tuple[str, Array] | None
) -> tuple[MapPoint, ...]:
    found = []
    for i, place in enumerate(places.tolist()):
        row = i - n
        known = row >= 0
        value = colour[1][row] if known and colour is not None else None
        found.append(
            MapPoint(
                side="window" if known else "training",
                at=tuple(round(v, 4) for v in place),
                distance=float(f"{far[i]:.4g}"),
                request_id=columns[REQUEST][row] if known else None,
                row=int(columns[ROW][row]) if known else None,
                output=None if value is None or value != value else value,
            )
        )
    return tuple(found)


def _sentence(beyond: float, rows: int) -> str:
    return (
        f"{share(beyond)} of {rows:,} rows of the window are farther from the training data than "
        f"{share(USUAL)} of its own rows are from each other."
    )
