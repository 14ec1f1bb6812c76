"""How a loop that must not end is doing: what it failed at, and how long it waits before it tries again."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from headrace_functions.errors import HeadraceError

FIRST_PAUSE = 1.0
"""Seconds before the first repetition; each failure in a row doubles it."""
LONGEST_PAUSE = 60.0


class LoopHealth:
    """The health of one loop. ``guard`` a step with it: whatever the step raises is logged and kept, and the loop goes on.

    One thread runs the loop; any thread may read ``problem``. A failure that repeats is logged whole once, then by its last line.
    """

    def __init__(self, name: str, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._log = log
        self._clock = clock
        self._since = 0.0
        self.failures = 0
        """Failures in a row; 0 while it works."""
        self.total = 0
        """Failures since the process began."""
        self._reason = ""

    @property
    def problem(self) -> str:
        """What the loop fails at now, empty while it works."""
        if not self.failures:
            return ""
        return f"{self.name} has failed {self.failures} times in {self._clock() - self._since:.0f} s: {self._reason}"

    @property
    def pause(self) -> float:
        """Seconds to wait before the next step because of failures; 0 while it works."""
        return min(FIRST_PAUSE * 2.0 ** min(self.failures - 1, 16), LONGEST_PAUSE) if self.failures else 0.0

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Run one step. An error of any kind ends the step and nothing else; a step that ends well clears the problem."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 -- the purpose: no item may end a loop that serves all others
            self._failed(error)
        else:
            self.failures, self._reason = 0, ""

    def repeat(self, step: Callable[[], object], every: float, stop: threading.Event) -> None:
        """Run ``step`` every so many seconds, later after failures, until ``stop`` is set; the first time after one wait."""
        while not stop.wait(max(every, self.pause)):
            with self.guard():
                step()

    def _failed(self, error: Exception) -> None:
        known = isinstance(error, HeadraceError)
        reason = error.message if isinstance(error, HeadraceError) else f"{type(error).__name__}: {error}"
        repeated, self._reason = reason == self._reason, reason
        if not self.failures:
            self._since = self._clock()
        self.failures += 1
        self.total += 1
        again = "" if not self.pause else f"; again in {self.pause:.0f} s"
        self._log.error("%s: %s%s", self.name, reason, again, exc_info=None if known or repeated else error)
