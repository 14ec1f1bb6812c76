"""Metrics beside the collecting: a thread, so that a model that is slow or broken delays no record."""

import logging
import threading

from headrace_controller.collector.scoring import Scoring
from headrace_functions.errors import StorageFailed
from headrace_functions.names import VersionId

log = logging.getLogger("headrace.collector")

_AWAY_SECONDS = 2.0
_LOOK_SECONDS = 30.0


class MetricThread:
    """``lags`` until everything that was told of is scored. Nothing is held in memory: the next process goes on by the cursor."""

    def __init__(self, scoring: Scoring) -> None:
        self._scoring = scoring
        self._told = threading.Event()
        self._stopping = threading.Event()
        self._lags = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    @property
    def lags(self) -> bool:
        return self._lags.is_set() or self._told.is_set()

    def start(self) -> None:
        self._told.set()  # what an earlier process left
        self._thread.start()

    def grown(self, version: VersionId) -> None:
        self._scoring.note(version)
        self._told.set()

    def stop(self) -> None:
        """Returns at once: a round that is on is cut by the end of the process, and done again by the next one."""
        self._stopping.set()
        self._told.set()

    def _run(self) -> None:
        wait: float | None = None
        while True:
            self._told.wait(_LOOK_SECONDS if wait is None else wait)
            if self._stopping.is_set():
                return
            self._lags.set()
            self._told.clear()
            try:
                wait = self._scoring.round()
            except StorageFailed as error:
                log.warning("metrics wait: %s", error.message)
                wait = _AWAY_SECONDS
            if wait is None:
                self._lags.clear()
