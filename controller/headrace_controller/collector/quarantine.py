"""What the collector could not bring into a log: set aside with the reason, so that one bad object stops nothing and is not lost.

An object ``inbox/<path>`` is set aside as ``inbox-refused/<path>`` with ``<path>.reason.json`` beside it. Of a segment in which some
records are unreadable the others are logged and the bytes of these alone are set aside. Setting aside twice is once.
"""

import logging

from headrace_controller import clock
from headrace_functions.errors import Conflict
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore

log = logging.getLogger("headrace.collector")


class Quarantine:
    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._documents = Documents(objects)
        self.refused = 0
        """Objects and parts of segments that were set aside since the process began."""

    def refuse(self, key: str, data: bytes, reason: str) -> None:
        """Keep ``data`` of the inbox object ``key`` aside. Raises ``StorageFailed`` where the store is away."""
        aside = layout.refused(key)
        self._objects.put(aside, data)
        document = {"schema": 1, "key": key, "reason": reason, "bytes": len(data), "at": clock.now()}
        try:
            self._documents.create(layout.refused_reason(aside), document)
        except Conflict:
            return  # an earlier round set it aside and was cut short
        self.refused += 1
        log.error("set aside %s (%d bytes): %s; 'headrace log refused' lists it", key, len(data), reason)
