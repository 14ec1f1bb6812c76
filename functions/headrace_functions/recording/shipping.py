"""The records of a process that runs alone in a pod, on their way to the store.

On one machine the collector's process ships for all; a pod's disk goes away with it, so it ships its own: about every second
while it serves, and once more when it has drained. What a killed container left, the next one of the pod ships.
A collector that sleeps while the inbox is empty is told of what arrived, for functions by the store proxy.
"""

import logging
import threading
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from headrace_functions.errors import StorageFailed
from headrace_functions.loop_health import LoopHealth
from headrace_functions.recording.shipper import Inbox, Shipper

EVERY = 1.0
"""Seconds between two looks for sealed segments."""
_LAST_TRIES = 3
_BETWEEN_TRIES = 1.0  # seconds; the process ends by itself a second after the time for its drain
_WAKE_SECONDS = 10.0  # a collector that sleeps answers when it is up, which nobody needs to wait for

log = logging.getLogger(__name__)


class Shipping:
    """Ships what is below ``root`` to a store from a thread of its own, which touches nothing but files.

    ``collector`` is the URL that hears of what arrived, empty for none. What is not heard is not lost: the next segment
    tells it too, and the controller looks after the inbox.
    """

    def __init__(self, root: Path, inbox: Inbox, collector: str = "") -> None:
        self._shipper = Shipper(root, inbox)
        self._collector = collector
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
        LoopHealth("shipping records", log).repeat(self._sweep, EVERY, self._stop)

    def _sweep(self) -> bool:
        try:
            shipped = self._shipper.sweep()
        except StorageFailed as error:
            log.warning("%s; the records wait", error.message)
            return False
        if shipped and self._collector:
            threading.Thread(target=wake, args=(self._collector,), name="wake collector", daemon=True).start()
        return True


def wake(collector: str) -> bool:
    """Tell the collector at ``collector`` (a URL) that segments have arrived; whether it heard."""
    where = urlsplit(collector)
    connection = HTTPConnection(where.hostname or "", where.port or 80, timeout=_WAKE_SECONDS)
    try:
        connection.request("POST", where.path or "/", headers={"content-length": "0"})
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        log.warning("the collector at %s did not hear: %s", collector, error)
        return False
    finally:
        connection.close()
    if status >= 400:
        log.warning("the collector at %s answered %d", collector, status)
    return status < 400


class CollectorBell:
    """Wakes the collector for others, at most once in ``EVERY`` seconds; from a thread of its own, for one that sleeps answers late.

    A word that is not heard is not repeated: the next segment brings another, and the controller looks after the inbox.
    """

    def __init__(self, collector: str) -> None:
        self._collector = collector
        self._told = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wake collector", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ring(self) -> None:
        """Segments have arrived; returns at once."""
        self._told.set()

    def close(self) -> None:
        """Ring once more where something was told meanwhile, and end."""
        self._stop.set()
        self._told.set()
        self._thread.join(_WAKE_SECONDS)

    def _run(self) -> None:
        health = LoopHealth("waking the collector", log)
        while True:
            self._told.wait()
            self._told.clear()
            with health.guard():
                wake(self._collector)
            if self._stop.wait(EVERY) and not self._told.is_set():
                return
