"""The word that something changed, to everyone who looks: pages and ``/events``."""

import threading
from typing import Any

from headrace_controller.service.services import Services


class Changes:
    """A counter that goes up with each change; watchers wait until it is past what they saw."""

    def __init__(self) -> None:
        self._number = 0
        self._condition = threading.Condition()

    def announce(self) -> None:
        with self._condition:
            self._number += 1
            self._condition.notify_all()

    def wait(self, seen: int, timeout: float) -> int:
        """The counter once it is past ``seen``, or as it is after ``timeout`` seconds."""
        with self._condition:
            self._condition.wait_for(lambda: self._number > seen, timeout)
            return self._number


class AnnouncedServices:
    """``Services`` that also tell watchers of each change."""

    def __init__(self, services: Services, changes: Changes) -> None:
        self._services = services
        self._changes = changes

    def observe(self) -> list[dict[str, Any]]:
        return self._services.observe()

    def summary(self) -> dict[str, Any]:
        return self._services.summary()

    def changed(self, name: str) -> None:
        self._services.changed(name)
        self._changes.announce()

    def wake(self, service: str) -> None:
        self._services.wake(service)
        self._changes.announce()

    def sleep(self, service: str) -> None:
        self._services.sleep(service)
        self._changes.announce()
