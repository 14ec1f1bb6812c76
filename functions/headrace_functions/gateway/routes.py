"""What a public name leads to: one version, or a sequence with all its versions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace_functions.names import VersionId
from headrace_functions.sequence import Sequence
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


def route_document(route: Route) -> dict[str, Any]:
    """A route as JSON, for a gateway that cannot read the store."""
    if isinstance(route, Version):
        return {"schema": 1, "versions": [route.to_document()]}
    return {
        "schema": 1,
        "sequence": route.sequence.to_document(),
        "revision": route.revision,
        "versions": [v.to_document() for v in route.versions.values()],
    }


def route_from_document(document: Mapping[str, Any]) -> Route:
    """The route of ``route_document``; ``KeyError``, ``TypeError`` or ``ValueError`` where the document is not one."""
    versions = [Version.from_document(v) for v in document["versions"]]
    if "sequence" not in document:
        return versions[0]
    sequence = Sequence.from_document(document["sequence"])
    return SequenceRoute(sequence, document["revision"], {v.id: v for v in versions})
