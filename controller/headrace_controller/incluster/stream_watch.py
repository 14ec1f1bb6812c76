"""Looks at the lag of one stream from the controller, whether the stream has a pod or not."""

import logging
import threading
import time
from collections.abc import Callable, Mapping

from headrace_controller.definitions.stream import StreamDefinition
from headrace_controller.incluster.stream_scaling import Look
from headrace_controller.streams.kafka import LagView
from headrace_functions.errors import HeadraceError
from headrace_functions.loop_health import LoopHealth

log = logging.getLogger("headrace.streams")

EVERY = 1.0
"""Seconds between two looks."""
KNOWN = 20.0
"""Seconds for which the last look counts while brokers do not answer."""


class LagWatch:
    """A thread a stream, so that brokers that are away delay nobody else's looks."""

    def __init__(self, definition: StreamDefinition, resets: int, variables: Mapping[str, str]) -> None:
        """``variables`` are what the definition's settings refer to."""
        self._definition = definition
        self._resets = resets
        self._variables = dict(variables)
        self._stop = threading.Event()
        self._look: tuple[float, Look] | None = None
        self.reason = ""
        """Why the lag is not known, empty while it is."""
        self._thread = threading.Thread(target=self._run, name=f"lag of {definition.name}", daemon=True)

    def start(self, arrived: Callable[[], None]) -> None:
        """``arrived`` is called after a look that found lag where there was none."""
        self._arrived = arrived
        self._thread.start()

    def stop(self) -> None:
        """Returns at once; a look that is on ends by itself."""
        self._stop.set()

    @property
    def look(self) -> Look | None:
        """What was seen last; None where that is too long ago."""
        found = self._look
        return found[1] if found is not None and time.monotonic() - found[0] < KNOWN else None

    def _run(self) -> None:
        health = LoopHealth(f"lag of stream {self._definition.name}", log)
        view: LagView | None = None
        while not self._stop.is_set():
            with health.guard():
                try:
                    view = view or LagView(self._definition, self._resets, self._variables)
                    before, look = self.look, Look(view.lag(), view.begun)
                    self._look, self.reason = (time.monotonic(), look), ""
                    if any(look.lag.values()) and (before is None or not any(before.lag.values())):
                        self._arrived()
                except HeadraceError as error:
                    self.reason = error.message + (f" ({error.hint})" if error.hint else "")
            if health.failures:
                self.reason = health.problem
            self._stop.wait(max(EVERY, health.pause))
        if view is not None:
            view.close()
