"""The port between analysis jobs and where they run: this machine or a cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from headrace_controller.environments.named import Engine


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: ``reason`` is empty where it did what it was asked."""

    reason: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)


class Run(Protocol):
    """One run of ``headrace_jobs``."""

    def wait(self, timeout: float) -> Outcome:
        """Follow it to its end; after ``timeout`` seconds it is stopped."""
        ...

    def stop(self) -> None:
        """End it; ``wait`` then returns."""
        ...


class Runner(Protocol):
    """Starts runs. ``outlives`` says whether they go on when the platform's process ends."""

    outlives: bool

    def start(self, job_id: str, engine: Engine, arguments: Sequence[str], timeout: float, log: Path) -> Run:
        """Run ``python ARGUMENTS…`` in the engine's environment, its output into the file ``log``.

        The same id again is the same run, where runs outlive the platform. Raises a ``HeadraceError`` where it cannot start.
        """
        ...
