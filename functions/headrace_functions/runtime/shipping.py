"""The records of a function server that runs alone in a pod, on their way to the store.

On one machine the collector's process ships for all; a pod's disk goes away with it, so it ships its own: about every second
while it serves, and once more when it has drained. What a killed container left, the next one of the pod ships.
"""

import logging
import threading
from pathlib import Path

from headrace_functions.errors import StorageFailed

EVERY = 1.0
"""Seconds between two looks for sealed segments."""
_LAST_TRIES = 3
_BETWEEN_TRIES = 1.0  # seconds; the process ends by itself a second after the time for its drain

log = logging.getLogger(__name__)


class Shipping:
    """Ships what is below ``root`` to a store from a thread of its own, which touches nothing but files."""

    def __init__(self, root: Path, storage: str) -> None:
        # Imported here alone: a function's environment on one machine has no client for object storage, its image has.
        from headrace_functions.recording.shipper import Shipper  # noqa: PLC0415
        from headrace_functions.storage.objects import ObjectStore  # noqa: PLC0415

        self._shipper = Shipper(root, ObjectStore(storage))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ship records", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Ship what is left; call it when the spool is closed. What the store does not take in time is lost, and said."""
        self._stop.set()
        self._thread.join()
        for _ in range(_LAST_TRIES):
            if self._sweep():
                return
            threading.Event().wait(_BETWEEN_TRIES)
        log.error("the store took no records at the end; those of the last seconds are lost")

    def _run(self) -> None:
        while not self._stop.wait(EVERY):
            self._sweep()

    def _sweep(self) -> bool:
        try:
            self._shipper.sweep()
        except StorageFailed as error:
            log.warning("%s; the records wait", error.message)
            return False
        return True
