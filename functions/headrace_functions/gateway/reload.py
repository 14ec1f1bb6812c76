"""Definitions that changed while nobody could say so: a gateway looks at the store's mark of changes now and then."""

import asyncio
import logging

from headrace_functions.errors import HeadraceError, NotFound
from headrace_functions.gateway.resolve import Resolver
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore

EVERY = 2.0
"""Seconds between two looks. The controller tells each gateway it knows at once; this is for those that just started."""

log = logging.getLogger(__name__)


async def follow(resolver: Resolver, objects: ObjectStore, every: float = EVERY) -> None:
    """Forget what names mean each time the mark is another one, until cancelled."""
    seen = b""
    while True:
        mark = await asyncio.to_thread(_mark, objects, seen)
        if mark != seen:
            resolver.forget()
            seen = mark
        await asyncio.sleep(every)


def _mark(objects: ObjectStore, seen: bytes) -> bytes:
    try:
        return objects.get(layout.CHANGES)
    except NotFound:
        return b""
    except HeadraceError as error:
        log.warning("cannot look for changes: %s", error.message)
        return seen
