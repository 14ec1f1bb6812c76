"""Counting beside the collecting: a thread, so that it delays no record."""

import logging
import threading
from collections.abc import Callable

from headrace_controller.health.writer import HealthWriter
from headrace_functions.loop_health import LoopHealth
from headrace_functions.names import VersionId

log = logging.getLogger("headrace.health")

EVERY = 1.0
"""Seconds between two rounds: what came meanwhile is one commit."""


class HealthThread:
    """``lags`` until everything that was told of is counted. Nothing is held in memory: the next process goes on by the cursors."""

    def __init__(self, writer: HealthWriter, every: float = EVERY) -> None:
        self._writer = writer
        self._every = every
        self._told = threading.Event()
        self._stopping = threading.Event()
        self._works = threading.Event()
        self.health = LoopHealth("counting health", log)
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)

    @property
    def lags(self) -> bool:
        """Whether something is left to count that can be counted."""
        return self._told.is_set() or self._works.is_set()

    @property
    def problems(self) -> list[str]:
        """What keeps versions from being counted."""
        return [p for p in (self.health.problem, *self._writer.problems) if p]

    def start(self) -> None:
        self._told.set()
        self._thread.start()

    def grown(self, version: VersionId) -> None:
        """The log or the metric values of a version have grown; returns at once."""
        self._writer.note(version)
        self._told.set()

    def stop(self) -> None:
        """End after the version that is on, then count in the caller's thread what came last."""
        self._stopping.set()
        self._told.set()
        if self._thread.ident is not None:
            self._thread.join()
        with self.health.guard():
            self._writer.round()
            self._told.clear()

    def _run(self) -> None:
        self._guarded(self._writer.look)  # what an earlier process left
        wait: float | None = None
        while not self._stopping.is_set():
            self._told.wait(wait)
            self._works.set()
            self._told.clear()
            wait = None
            with self.health.guard():
                wait = self._writer.round()
            wait = self.health.pause if self.health.failures else wait
            self._works.clear()
            self._stopping.wait(self._every)

    def _guarded(self, step: Callable[[], None]) -> None:
        with self.health.guard():
            step()
