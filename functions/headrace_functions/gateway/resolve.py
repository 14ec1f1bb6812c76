"""From a public name to what answers it: one version, or a sequence with all its versions."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from headrace_functions.errors import NotFound, NotReady
from headrace_functions.names import Reference, VersionId
from headrace_functions.sequence import Sequence
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.version import Version


@dataclass(frozen=True, slots=True)
class SequenceRoute:
    sequence: Sequence
    revision: int
    versions: Mapping[VersionId, Version]

    @property
    def batch(self) -> bool:
        """Whether requests carry the row dimension; a sequence is not created over versions that differ in it."""
        return all(v.batch for v in self.versions.values())

    @property
    def passes_through(self) -> bool:
        """Whether a body may go to the one stage as it came: packed rows mean the same only where inputs are in one order."""
        return (
            len(self.sequence.stages) == 1
            and len({tuple(f.name for f in v.signature.inputs) for v in self.versions.values()}) == 1
        )

    def choose(self, index: int, request_id: str) -> Version:
        """The version that answers a request at a stage."""
        chosen = self.sequence.stages[index].choose(request_id, f"{self.sequence.name}\0{index}")
        return self.versions[chosen.version]


Route = Version | SequenceRoute


class Resolver:
    """Reads definitions from the store and remembers them.

    Versions are immutable and are kept for good. What a *name* means is kept until ``forget``; a request that has its route
    keeps it to the end, so a change loses nobody.
    """

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._routes: dict[Reference, Route] = {}
        self._versions: dict[VersionId, Version] = {}
        self._generation = 0

    def known(self, reference: Reference) -> Route | None:
        """The route if it is remembered; never waits."""
        return self._routes.get(reference)

    async def resolve(self, reference: Reference) -> Route:
        """The route; ``NotFound`` for an unknown or deleted name, ``NotReady`` for a version whose build is not done or failed."""
        route = self._routes.get(reference)
        if route is None:
            generation = self._generation
            route = await asyncio.to_thread(self._read, reference)
            if generation == self._generation:  # else it changed while we read: serve this one, remember the next
                self._routes[reference] = route
        return route

    def forget(self) -> None:
        """Names may mean something else now; the next request of each looks again."""
        self._generation += 1
        self._routes.clear()

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
            except NotReady as error:
                problem = error
            except NotFound:
                continue
        raise problem

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
        found = Version.from_document(self._documents.get(layout.version_document(version)))
        if not found.served:
            raise NotFound(
                f"version {version} is external: it answers elsewhere, and its definition has no external.url",
                hint="its exchanges are logged by POST /api/v1/models/MODEL/versions/NUMBER/exchanges",
            )
        return self._versions.setdefault(version, found)


def _unknown(reference: Reference) -> NotFound:
    what = f"alias {reference}" if reference.alias else f"model or sequence {reference}"
    return NotFound(f"there is no {what}", hint="list them with: headrace model list, headrace sequence list")
