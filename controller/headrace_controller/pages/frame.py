"""What the frame of every page shows: open incidents, problems of the platform itself, the release."""

import time
from typing import Any

from headrace_controller.pages import incidentpages
from headrace_controller.service.platform import Platform

KEPT = 2.0
"""Seconds for which it is kept: every page and part needs it."""


class Frame:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._at = -KEPT
        self._shown: dict[str, Any] = {}

    def shown(self) -> dict[str, Any]:
        now = time.monotonic()
        if now - self._at >= KEPT:
            status = self._platform.status()
            self._shown = {
                "version": status["version"],
                "problems": status["problems"],
                "open_incidents": len(incidentpages.open_incidents(self._platform)),
            }
            self._at = now
        return self._shown
