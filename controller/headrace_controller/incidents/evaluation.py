"""Findings to incidents: one a cause. Pure; the clock comes in.

Findings of one version, or of versions in stages of one sequence, that began within ``CLOSE`` of each other have one cause: they are a
chain, ordered by when they began, and at the same time as requests go through the stages. What an incident has in its chain already makes no
other one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from headrace_controller.incidents.model import RANK, Incident, Movement

CLOSE = timedelta(minutes=5)
QUIET = timedelta(minutes=10)
"""Without its findings after which an incident is resolved."""
REOPENS = timedelta(hours=1)
"""Within which what comes again is the same incident."""
TOGETHER = frozenset({"moved", "checks", "errors", "metric", "latency"})
"""What may have a common cause; anything else is an incident of its own."""
_CHANGED = 0.1
"""Change of a share that is worth another word, once in ``_PAUSE``."""
_PAUSE = timedelta(minutes=1)

Linked = Callable[[str, str], bool]
Depth = Callable[[str], int]
"""The stage in which a version answers; 0 for the first, and where it is in no sequence."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be written: ``opened`` (without an incident), ``grew``, ``reopened`` or ``resolved``."""

    kind: Literal["opened", "grew", "reopened", "resolved"]
    incident: Incident | None
    chain: tuple[Movement, ...] = ()


def evaluate(
    known: Sequence[Incident],
    found: Sequence[Movement],
    active: Mapping[int, datetime],
    linked: Linked,
    now: datetime,
    depth: Depth = lambda _version: 0,
) -> tuple[list[Step], dict[int, datetime]]:
    """What to write, and when each incident that is not resolved was last seen. ``active`` is what the evaluation before said."""
    alive = [i for i in known if i.state != "resolved"]
    resolved = sorted((i for i in known if i.resolved is not None), key=lambda i: i.number, reverse=True)
    owned: dict[int, list[Movement]] = {}
    again: dict[int, list[Movement]] = {}
    loose: list[Movement] = []
    for movement in ordered(found, depth):
        if (owner := _owner(alive, movement, linked)) is not None:
            owned.setdefault(owner.number, []).append(movement)
        elif (earlier := _earlier(resolved, movement, now)) is None:
            loose.append(movement)
        elif not _settled(earlier, movement):
            again.setdefault(earlier.number, []).append(movement)
    steps = [Step("opened", None, chain) for chain in _clusters(loose, linked)]
    steps += [Step("reopened", i, tuple(again[i.number])) for i in resolved if i.number in again]
    # After a restart nobody knows when something old was last seen, so its quiet begins now.
    fresh = {i.number: i.updated if now - i.updated < QUIET else now for i in alive}
    seen = {i.number: now if i.number in owned else active.get(i.number, fresh[i.number]) for i in alive}
    for incident in alive:
        if incident.number in owned:
            steps += _grown(incident, owned[incident.number], now, depth)
        elif now - seen[incident.number] >= QUIET:
            steps.append(Step("resolved", incident))
    return steps, seen


def ordered(found: Sequence[Movement], depth: Depth) -> list[Movement]:
    """By when they began; at the same time earlier stages first, inputs before what follows from them, then the larger share.

    What concerns less than a quarter as many rows as the largest of them comes last, though it began earlier: it cannot be the cause of the others.
    """
    rank = {"input": 0, "output": 1}
    least = max((m.share or 0.0 for m in found), default=0.0) / 4
    return sorted(
        found,
        key=lambda m: (
            m.share is not None and m.share < least,
            m.first,
            depth(m.version),
            rank.get(m.side, 2),
            -(m.share or 0.0),
            m.version,
            m.field,
        ),
    )


def _owner(alive: Sequence[Incident], movement: Movement, linked: Linked) -> Incident | None:
    for incident in alive:
        if movement.key in incident.keys:
            return incident
    for incident in alive:
        if _joins(incident.chain, movement, linked):
            return incident
    return None


def _joins(chain: Sequence[Movement], movement: Movement, linked: Linked) -> bool:
    """Whether it has the cause of the chain."""
    if movement.what not in TOGETHER or not any(m.what in TOGETHER for m in chain):
        return False
    near = min(abs(m.first - movement.first) for m in chain) <= CLOSE
    return near and any(m.version == movement.version or linked(m.version, movement.version) for m in chain)


def _earlier(resolved: Sequence[Incident], movement: Movement, now: datetime) -> Incident | None:
    for incident in resolved:
        if movement.key in incident.keys and incident.resolved is not None and now - incident.resolved <= REOPENS:
            return incident
    return None


def _settled(incident: Incident, movement: Movement) -> bool:
    """A person resolved it and it has not been quiet since: that word stands."""
    return bool(incident.resolved_by) and incident.resolved is not None and movement.first <= incident.resolved


def _clusters(loose: Sequence[Movement], linked: Linked) -> list[tuple[Movement, ...]]:
    found: list[list[Movement]] = []
    for movement in loose:
        cluster = next((c for c in found if _joins(c, movement, linked)), None)
        if cluster is None:
            found.append([movement])
        else:
            cluster.append(movement)
    return [tuple(c) for c in found]


def _grown(incident: Incident, found: Sequence[Movement], now: datetime, depth: Depth) -> list[Step]:
    """A step where there is something to say that the incident does not say yet."""
    before = {m.key: m for m in incident.chain}
    new = [m for m in found if m.key not in before]
    worse = [m for m in found if m.key in before and RANK[m.severity] > RANK[before[m.key].severity]]
    other = [m for m in found if m.key in before and _otherwise(m, before[m.key])]
    if not new and not worse and not (other and now - incident.updated >= _PAUSE):
        return []
    for m in found:
        old = before.get(m.key, m)
        before[m.key] = replace(m, first=min(m.first, old.first), severity=max(m.severity, old.severity, key=RANK.get))  # type: ignore[arg-type]
    return [Step("grew", incident, tuple(ordered(list(before.values()), depth)))]


def _otherwise(now: Movement, before: Movement) -> bool:
    return now.what != before.what or abs((now.share or 0) - (before.share or 0)) >= _CHANGED
