"""The window cut into chunks of time: each compared by itself, all judged as one family of tests."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from headrace_jobs.detectors.base import Detector
from headrace_jobs.drift.compare import Comparison, findings, judged, shares
from headrace_jobs.report.models import Chunk, Moved
from headrace_jobs.scan import Part, Reference
from headrace_jobs.statistics.numbers import NumberReference
from headrace_jobs.verdict import SEVERITIES, Judged, Policy, worst
from headrace_jobs.window import Window, text

POINTS = 512
"""Grid points of a chunk's counts at most: distances of chunks are exact to 1 / POINTS."""
MIN_POINTS = 64
CELLS = 4_000_000
"""Grid points of all chunks and views together: with more of them each has fewer points, so that memory is bounded."""
NAMED = 20


def coarse(references: Mapping[str, Reference], chunks: int) -> dict[str, Reference]:
    """The references that ``chunks`` chunks are counted against."""
    points = max(MIN_POINTS, min(POINTS, CELLS // max(1, chunks * len(references))))
    return {k: r.coarser(points) if isinstance(r, NumberReference) else r for k, r in references.items()}


def judge_chunks(
    pieces: Sequence[Window],
    sides: Comparison,
    references: Mapping[str, Reference],
    detector: Detector,
    policy: Policy,
) -> tuple[Chunk, ...]:
    """The verdict of each piece; its p-values are adjusted over the tests of all pieces."""
    parts = [sides.window.chunks.get(i, Part()) for i in range(len(pieces))]
    found = {
        (i, key): some
        for i, part in enumerate(parts)
        for key, some in findings(
            replace(sides, references=references, window=part, together=(), more=(), contents={}), detector, policy
        ).items()
    }
    weights = {
        (i, key): [weight / len(parts) for weight in some]
        for i in range(len(parts))
        for key, some in shares({key: found[i, key] for key in sides.views}).items()
    }
    answers = judged(found, policy, sides, weights, lambda place: place[1])
    return tuple(
        _chunk(piece, part, {key: answers[i, key] for key in sides.views}, sides, policy)
        for i, (piece, part) in enumerate(zip(pieces, parts, strict=True))
    )


def _chunk(
    piece: Window, part: Part, answers: Mapping[str, Sequence[Judged]], sides: Comparison, policy: Policy
) -> Chunk:
    moved = [_moved(sides, key, some) for key, some in answers.items() if any(j.severity != "none" for j in some)]
    moved.sort(key=lambda m: (-SEVERITIES.index(m.severity), -m.effect, m.name))
    enough = replace(sides, window=part).enough(policy)
    severity = worst([m.severity for m in moved])
    return Chunk(
        since=text(piece.since),
        until=text(piece.until),
        rows=part.rows,
        verdict="not-enough-data" if not enough else "drift" if moved else "no-drift",
        severity=severity,
        drifted=len(moved),
        fields=tuple(moved[:NAMED]),
    )


def _moved(sides: Comparison, key: str, some: Sequence[Judged]) -> Moved:
    column, view = sides.views[key]
    counting = [j for j in some if j.severity != "none"]
    return Moved(
        name=view.of(column.field),
        severity=worst([j.severity for j in counting]),
        effect=max(j.finding.effect for j in counting),
    )
