"""How a stream in a cluster is doing, from what its pods say, what the cluster says of them, and its lag. Pure, but for counts it adds up."""

from collections.abc import Iterable, Mapping
from typing import Any

from headrace_controller import clock
from headrace_controller.backends.kserve.status import pod_trouble
from headrace_controller.incluster.stream_scaling import Look

Json = dict[str, Any]

_ORDER = ("running", "waiting", "starting", "failed")
"""States of pods: the first that one of them is in is the stream's."""
_COUNTS = ("answered", "refused")


class Totals:
    """Counts over pods that come and go, since the controller began; what a pod counted in its last second is not known."""

    def __init__(self) -> None:
        self._pods: dict[str, dict[str, int]] = {}
        self._ended = dict.fromkeys(_COUNTS, 0)

    def add(self, said: Mapping[str, Mapping[str, Any]], there: Iterable[str]) -> None:
        """``said`` are the words of pods by name, ``there`` the names of all pods that have not ended."""
        for name, words in said.items():
            counts = {key: int(words.get(key, 0)) for key in _COUNTS}
            before = self._pods.get(name, counts)
            if any(counts[key] < before[key] for key in _COUNTS):  # its container began anew
                self._end(name)
            self._pods[name] = counts
        for name in self._pods.keys() - set(there):
            self._end(name)

    def _end(self, name: str) -> None:
        for key, count in self._pods.pop(name).items():
            self._ended[key] += count

    def counts(self) -> dict[str, int]:
        return {key: self._ended[key] + sum(pod[key] for pod in self._pods.values()) for key in _COUNTS}


def progress_of(
    *,
    paused: bool,
    replicas: int,
    look: Look | None,
    trouble: str,
    pods: Iterable[Json],
    said: Iterable[Mapping[str, Any]],
) -> Json:
    """State, reason and lag. ``trouble`` is what the controller itself fails at for this stream, ``said`` the words of its pods."""
    alive = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    state, reason = _state(alive, list(said), look, paused=paused, replicas=replicas)
    if trouble and state not in ("running", "waiting"):
        state = state if paused else "failed"
        reason = trouble
    lag = {str(p): n for p, n in look.lag.items()} if look is not None else {}
    return {"state": state, "reason": reason, "lag": lag, "replicas": len(alive), "at": clock.now()}


def _state(
    alive: list[Json], said: list[Mapping[str, Any]], look: Look | None, *, paused: bool, replicas: int
) -> tuple[str, str]:
    if paused and not alive:
        return "paused", ""
    if not alive and replicas == 0 and (look is None or not sum(look.lag.values())):
        return "asleep", ""
    states = {str(words.get("state")): str(words.get("reason", "")) for words in said}
    for state in _ORDER:
        if state in states:
            return state, states[state]
    found = next((t for t in map(pod_trouble, alive) if t is not None), None)
    if found is not None:
        return "failed" if found.final else "starting", found.reason
    return "starting", ""
