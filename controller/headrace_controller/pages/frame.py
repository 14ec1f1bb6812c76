"""What the frame of every page shows: open incidents, problems of the platform itself, the release."""

import time
from typing import Any

from headrace_controller.access import current
from headrace_controller.pages import incidentpages
from headrace_controller.service.platform import Platform

KEPT = 2.0
"""Seconds for which it is kept: every page and part needs it."""

_MOST = 500


class Frame:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._kept: dict[Any, tuple[float, dict[str, Any]]] = {}

    def shown(self) -> dict[str, Any]:
        """For who asks: what one may see another may not."""
        now, rights = time.monotonic(), current.rights()
        at, shown = self._kept.get(rights, (-KEPT, {}))
        if now - at >= KEPT:
            if len(self._kept) >= _MOST:
                self._kept.clear()
            status = self._platform.status()
            shown = {
                "version": status["version"],
                "problems": status["problems"],
                "open_incidents": len(incidentpages.open_incidents(self._platform)),
                "caller": current.caller().subject,
                "administers": self._platform.trust.required and current.may("administer"),
            }
            self._kept[rights] = now, shown
        return shown
