"""From a public name to what answers it: one version, or a sequence with all its versions."""

import asyncio
import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from headrace_functions.errors import DamagedDocument, NotFound, NotReady, StorageFailed
from headrace_functions.gateway.last_known import LastKnown, NothingKnown
from headrace_functions.gateway.routes import Route, SequenceRoute
from headrace_functions.names import Reference, VersionId
from headrace_functions.sequence import Sequence
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents, interpret
from headrace_functions.storage.releases import ReleaseKey, read_release
from headrace_functions.version import Version

PATIENCE = 0.25
"""Seconds that the store has to answer before what was last known is asked for."""
AGAIN = 2.0
"""Seconds after which a store that was away is asked again."""
_READERS = 8

log = logging.getLogger(__name__)


class Resolver:
    """Reads definitions from the store and remembers them.

    Versions are immutable and are kept for good. What a *name* means is kept until ``forget``; a request that has its route
    keeps it to the end, so a change loses nobody. While the store is away a name means what it last meant, as far as this
    gateway or ``last_known`` knows, and the store is asked again every ``AGAIN`` seconds.
    """

    def __init__(
        self, documents: Documents, last_known: LastKnown | None = None, release_key: ReleaseKey | None = None
    ) -> None:
        """With a ``release_key`` a release that is not signed is answered for by nobody."""
        self._documents = documents
        self._release_key = release_key
        self._last_known = last_known or NothingKnown()
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="definitions")
        self._reading: dict[Reference, asyncio.Task[Route]] = {}
        self._routes: dict[Reference, Route] = {}
        self._earlier: dict[Reference, Route] = {}
        self._unconfirmed: dict[Reference, Route] = {}
        self._versions: dict[VersionId, Version] = {}
        self._generation = 0
        self._ask_again = 0.0

    def known(self, reference: Reference) -> Route | None:
        """The route if it is remembered; never waits."""
        return self._routes.get(reference)

    @property
    def unconfirmed(self) -> int:
        """The number of names that are served as they were last known, because the store is away."""
        return len(self._unconfirmed)

    def is_unconfirmed(self, reference: Reference) -> bool:
        return reference in self._unconfirmed

    async def resolve(self, reference: Reference) -> Route:
        """The route; ``NotFound`` for an unknown or deleted name, ``NotReady`` for a version whose build is not done or failed.

        ``StorageFailed`` where the store is away and nobody knows the name.
        """
        route = self._routes.get(reference)
        if route is not None:
            return route
        away = asyncio.get_running_loop().time() < self._ask_again
        if away and reference in self._unconfirmed:
            return self._unconfirmed[reference]
        reading = self._begin(reference)
        if reference in self._unconfirmed:
            return self._unconfirmed[reference]
        await asyncio.wait({reading}, timeout=0 if away else PATIENCE)
        if not reading.done() or isinstance(reading.exception(), StorageFailed):
            last = await self._recall(reference)
            if last is not None:
                return last
        return await asyncio.shield(reading)

    def forget(self) -> None:
        """Names may mean something else now; the next request of each looks again."""
        self._generation += 1
        self._earlier |= self._routes
        self._routes.clear()
        self._reading.clear()  # a read that began before must not answer who comes after

    async def learn(self, name: str) -> None:
        """Resolve what a name and its aliases mean now, so that it is known when the store is away and nobody has asked before."""
        loop = asyncio.get_running_loop()
        aliases = await loop.run_in_executor(self._readers, self._documents.objects.folders, layout.aliases(name))
        for reference in (Reference(name), *(Reference(name, alias=a) for a in aliases)):
            with contextlib.suppress(NotFound, NotReady, DamagedDocument):
                await self.resolve(reference)

    async def close(self) -> None:
        """Read no more, and wait for what is being read: its threads must not speak to a loop that has ended."""
        await asyncio.to_thread(self._readers.shutdown, cancel_futures=True)

    def _begin(self, reference: Reference) -> asyncio.Task[Route]:
        reading = self._reading.get(reference)
        if reading is None:
            reading = asyncio.get_running_loop().create_task(self._load(reference))
            self._reading[reference] = reading
            reading.add_done_callback(lambda task: self._read_done(reference, task))
        return reading

    def _read_done(self, reference: Reference, task: asyncio.Task[Route]) -> None:
        if self._reading.get(reference) is task:
            del self._reading[reference]
        _heard(task)

    async def _load(self, reference: Reference) -> Route:
        generation = self._generation
        loop = asyncio.get_running_loop()
        try:
            route = await loop.run_in_executor(self._readers, self._read, reference)
        except StorageFailed:
            self._ask_again = loop.time() + AGAIN
            raise
        except (NotFound, NotReady, DamagedDocument):
            self._drop(reference)
            raise
        self._ask_again = 0.0
        if generation == self._generation:  # else it changed while we read: serve this one, remember the next
            self._routes[reference] = route
            self._unconfirmed.pop(reference, None)
            self._last_known.remember(reference, route)
        return route

    def _drop(self, reference: Reference) -> None:
        self._earlier.pop(reference, None)
        self._unconfirmed.pop(reference, None)
        self._last_known.forget(reference)

    async def _recall(self, reference: Reference) -> Route | None:
        """What the name last led to, served from now on until the store can be read."""
        route = self._earlier.get(reference) or await self._last_known.recall(reference)
        if route is None:
            return None
        confirmed = self._routes.get(reference)
        if confirmed is not None:
            return confirmed
        if reference not in self._unconfirmed:
            log.warning("the store is away: %s is served as it was last known", reference)
        self._ask_again = max(self._ask_again, asyncio.get_running_loop().time() + AGAIN)
        self._unconfirmed[reference] = route
        return route

    async def numbers_of(self, name: str) -> list[int]:
        """As ``versions_of``, without holding up the event loop; while the store is away, the numbers that are remembered."""
        loop = asyncio.get_running_loop()
        listing = loop.run_in_executor(self._readers, self.versions_of, name)
        try:
            return await asyncio.wait_for(asyncio.shield(listing), PATIENCE if self._unconfirmed else None)
        except (StorageFailed, TimeoutError):
            listing.add_done_callback(_heard)
            held = (r for r in (*self._routes.values(), *self._unconfirmed.values()) if isinstance(r, Version))
            return sorted({v.id.number for v in held if v.id.model == name})

    def versions_of(self, name: str) -> list[int]:
        """The numbers of a model's versions, whatever their state."""
        return sorted(int(n) for n in self._documents.objects.folders(layout.versions(name)) if n.isdigit())

    def _read(self, reference: Reference) -> Route:
        if reference.number is None and reference.alias is None:
            sequence = self._sequence(reference.name)
            if sequence is not None:
                return sequence
        if self._documents.find(layout.model_tombstone(reference.name)) is not None:
            raise _unknown(reference)
        if reference.alias is not None:
            return self._alias(reference)
        if reference.number is not None:
            return self._version(VersionId(reference.name, reference.number))
        return self._newest(reference)

    def _sequence(self, name: str) -> SequenceRoute | None:
        revision = self._documents.last_number(layout.revisions(name))
        if revision is None:
            return None
        document = self._documents.get(f"{layout.revisions(name)}{revision}.json")
        if document.get("deleted"):
            return None
        sequence = Sequence.from_document(document)
        return SequenceRoute(sequence, revision, {v: self._version(v) for v in sequence.versions()})

    def _alias(self, reference: Reference) -> Version:
        position = self._documents.last(layout.alias(reference.name, str(reference.alias)))
        if position is None or position.get("deleted"):
            raise _unknown(reference)
        return self._version(VersionId(reference.name, position["version"]))

    def _newest(self, reference: Reference) -> Version:
        problem: Exception = _unknown(reference)
        for number in reversed(self.versions_of(reference.name)):
            try:
                return self._version(VersionId(reference.name, number))
            except (NotReady, DamagedDocument) as error:
                problem = error
            except NotFound:
                continue
        raise problem

    def _release(self, version: VersionId) -> Version:
        key = layout.version_document(version)
        document = read_release(self._documents.objects, version, self._release_key)
        if document is None:
            raise DamagedDocument(f"{key} is missing", field=key)
        return interpret(key, document, Version.from_document)

    def _version(self, version: VersionId) -> Version:
        if self._documents.find(layout.version_tombstone(version)) is not None:
            raise NotFound(f"version {version} was deleted")
        known = self._versions.get(version)
        if known is not None:
            return known
        status = self._documents.last(layout.status(version))
        if status is None:
            raise NotFound(
                f"there is no version {version}", hint=f"list them with: headrace version list {version.model}"
            )
        if status["state"] != "released":
            raise NotReady(
                f"version {version} is {status['state']}{': ' if status['reason'] else ''}{status['reason']}"
            )
        found = self._release(version)
        if not found.served:
            raise NotFound(
                f"version {version} is external, and its definition has no external.url",
                hint="log its exchanges with POST /api/v1/models/MODEL/versions/NUMBER/exchanges",
            )
        return self._versions.setdefault(version, found)


def _heard(done: asyncio.Future[Any]) -> None:
    """Who waited has the exception; that of a read which nobody waits for any more is not reported as lost."""
    if not done.cancelled():
        done.exception()


def _unknown(reference: Reference) -> NotFound:
    what = f"alias {reference}" if reference.alias else f"model or sequence {reference}"
    return NotFound(f"there is no {what}", hint="list them with: headrace model list, headrace sequence list")
