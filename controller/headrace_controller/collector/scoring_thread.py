"""Metrics beside the collecting: a thread, so that a model that is slow or broken delays no record."""

import logging
import threading
import time
from collections.abc import Callable

from headrace_controller.collector.scoring import Scoring
from headrace_functions.loop_health import LoopHealth
from headrace_functions.names import VersionId

log = logging.getLogger("headrace.collector")

PATIENCE = 600.0
"""Seconds without a single answer after which metrics that lag no longer keep their process; the next one asks again."""
_AWAY_SECONDS = 2.0
_LOOK_SECONDS = 30.0


class MetricThread:
    """``lags`` until everything that was told of is scored. Nothing is held in memory: the next process goes on by the cursor."""

    def __init__(self, scoring: Scoring, clock: Callable[[], float] = time.monotonic) -> None:
        self._scoring = scoring
        self._clock = clock
        self._wake = threading.Event()
        self._told = threading.Event()
        self._stopping = threading.Event()
        self._lags = threading.Event()
        self.health = LoopHealth("scoring by metrics", log)
        self._moved = clock()
        self._answered = 0
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    @property
    def lags(self) -> bool:
        """Whether there is something to score, and a model that answered within ``PATIENCE``."""
        if not (self._lags.is_set() or self._told.is_set()):
            return False
        if self._scoring.answered != self._answered:
            self._answered, self._moved = self._scoring.answered, self._clock()
        return self._clock() - self._moved < PATIENCE

    @property
    def problems(self) -> list[str]:
        """What keeps metrics from being scored."""
        return [p for p in (self.health.problem, *self._scoring.problems) if p]

    def start(self) -> None:
        self._tell()  # what an earlier process left
        self._thread.start()

    def grown(self, version: VersionId) -> None:
        """The log of a version has new rows."""
        self._scoring.note(version)
        self._tell()

    def look(self) -> None:
        """Metrics may have been attached; returns at once."""
        self._scoring.forget()
        self._tell()

    def stop(self, seconds: float = 0.0) -> None:
        """Begin no other question, and wait for the one that is on. One that takes longer is cut by the end of the process, and
        asked again by the next one."""
        self._stopping.set()
        self._scoring.stop()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def _tell(self) -> None:
        if not self._lags.is_set() and not self._told.is_set():
            self._moved = self._clock()  # what was all scored has begun to lag now
        self._told.set()
        self._wake.set()

    def _run(self) -> None:
        wait: float | None = None
        while True:
            self._wake.wait(_LOOK_SECONDS if wait is None else wait)
            self._wake.clear()
            if self._stopping.is_set():
                return
            self._lags.set()
            self._told.clear()
            wait = _AWAY_SECONDS
            with self.health.guard():
                wait = self._scoring.round()
            wait = max(self.health.pause, wait or 0.0) if self.health.failures else wait
            if wait is None and not self._stopping.is_set():
                self._lags.clear()
